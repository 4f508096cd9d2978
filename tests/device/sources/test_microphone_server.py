"""The microphone on a real sound server, with the real PyAudio, in a process of its own."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from support import speech

from tests.device.pulse import PulseServer, pulse_server, why_not

HANG_S = 60
"""Time after which a process that should have ended is taken to hang."""

needs_server = pytest.mark.skipif(bool(why_not()), reason=f"no sound server: {why_not()}")

CAPTURE = """
import dataclasses, json, select, sys, time
import numpy as np
from emopi.device.sources import portaudio
from emopi.device.sources.microphone import Microphone
from emopi.device.sources.settings import SourceSettings

asked = json.loads(sys.argv[1])
inputs = portaudio.inputs
portaudio.inputs = lambda audio: [
    dataclasses.replace(device, **asked["described"]) for device in inputs(audio)
]

def tell(notice):
    print(notice.kind, len(blocks), flush=True)

blocks = []
source = Microphone(
    SourceSettings(**asked["settings"]), asked["sample_rate_hz"], tell=tell, **asked["options"]
)
try:
    for block in source.blocks():
        if len(block.samples):
            blocks.append(block)
        if len(blocks) == 1 and len(block.samples):
            print("ready", flush=True)
            time.sleep(asked["pause_s"])
        if select.select([sys.stdin], [], [], 0)[0]:
            break
finally:
    source.close()
np.savez(
    asked["out"],
    samples=np.concatenate([block.samples for block in blocks]),
    sizes=[len(block.samples) for block in blocks],
    overflows=[block.overflows for block in blocks],
    fresh=[block.fresh for block in blocks],
)
"""


@dataclasses.dataclass
class Capture:
    """A process that records until `stop`, then has the recording."""

    process: subprocess.Popen[str]
    out: Path

    def wait_for(self, kind: str) -> int:
        """Read what it prints until a notice of that kind; how many blocks had come."""
        for line in self.process.stdout:
            found, _, n = line.strip().rpartition(" ")
            if found == kind:
                return int(n)
        raise AssertionError(f"it has ended without: {kind}")

    def stop(self) -> dict[str, NDArray[Any]]:
        _, stderr = self.process.communicate(timeout=HANG_S)  # closes stdin, which stops it
        assert self.process.returncode == 0, stderr
        with np.load(self.out) as recording:
            return dict(recording)

    def failure(self) -> str:
        """What it says on stderr when it fails, as it should; raises if it hangs."""
        self.process.wait(HANG_S)  # not communicate(), which would stop it
        stderr = self.process.stderr.read()
        assert self.process.returncode == 1, (self.process.returncode, stderr)
        return stderr


@contextlib.contextmanager
def capture(
    server: PulseServer,
    sample_rate_hz: int = 16_000,
    *,
    described: dict[str, int] | None = None,
    device: str = "mic",
    pause_s: float = 0.0,
    buffer_s: float = 10.0,
    block_s: float = 0.05,
    ready: bool = True,
    **settings: Any,
) -> Iterator[Capture]:
    """Record from the server; `described` is what the device says of itself, in place of ALSA's
    32 channels at 44.1 kHz for every server. Ready when the first block has come."""
    out = server.folder / "capture.npz"
    asked = {
        "sample_rate_hz": sample_rate_hz,
        "described": described or {},
        "settings": {"name": device, "remove_dc": False} | settings,
        "pause_s": pause_s,
        "options": {"buffer_s": buffer_s, "block_s": block_s},
        "out": str(out),
    }
    process = subprocess.Popen(
        [sys.executable, "-W", "error", "-c", CAPTURE, json.dumps(asked)],
        env=server.env,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            if ready:
                process.stdout.readline()
            yield Capture(process, out)
        finally:
            process.kill()


@pytest.fixture(scope="module")
def server() -> Iterator[PulseServer]:
    """A 16 kHz mono server for the tests that leave it running."""
    with pulse_server() as started:
        yield started


def noise(n: int) -> NDArray[np.int16]:
    """Noise in which no stretch repeats and no sample is zero."""
    values = np.random.default_rng(4).integers(1, 12_000, n)
    return (values * np.where(np.arange(n) % 3, 1, -1)).astype(np.int16)


def tone(frequency_hz: float, rate_hz: int, length_s: float) -> NDArray[np.float64]:
    return np.sin(2 * np.pi * frequency_hz * np.arange(round(length_s * rate_hz)) / rate_hz)


@needs_server
def test_records_what_was_played_bit_for_bit(server: PulseServer) -> None:
    played = noise(32_000)
    described = {"rate_hz": 16_000, "channels": 1}
    with capture(server, described=described, block_s=0.04) as recording:
        server.play(played, 16_000)
        time.sleep(1)  # what is on its way
        recorded = recording.stop()
    assert set(recorded["sizes"]) == {640}
    assert recorded["samples"].dtype == np.float32
    scaled = recorded["samples"] * 32768
    np.testing.assert_array_equal(scaled, np.rint(scaled))
    heard = scaled.astype("<i2").tobytes()
    pieces = [heard.find(piece.astype("<i2").tobytes()) for piece in np.split(played, 100)]
    found = [place for place in pieces if place >= 0]
    assert len(found) >= 90  # each gap, should the player or the server be late, splits one
    assert found == sorted(found)


@needs_server
@pytest.mark.parametrize(("rate_hz", "channels"), [(48_000, 2), (44_100, 1), (16_000, 1)])
def test_resamples_to_mono(rate_hz: int, channels: int) -> None:
    length_s, amplitude = 2.0, 0.5
    played = np.zeros((round(length_s * rate_hz), channels))
    played[:, 0] = amplitude * tone(1000, rate_hz, length_s)  # of two channels only the left
    with (
        pulse_server(rate_hz, channels) as server,
        capture(server, described={"rate_hz": rate_hz, "channels": channels}) as recording,
    ):
        server.play((played * 32767).astype(np.int16), rate_hz)
        time.sleep(1)
        samples = recording.stop()["samples"]
    sounding = np.flatnonzero(np.abs(samples) > 0.01)
    heard = samples[sounding[0] : sounding[-1] + 1]
    assert len(heard) / 16_000 == pytest.approx(length_s, abs=0.2)
    middle = heard[4_000:20_000]  # one second: a bin is 1 Hz
    spectrum = np.abs(np.fft.rfft(middle * np.hanning(len(middle)))) / len(middle) * 4
    assert int(np.argmax(spectrum)) == 1000
    assert float(spectrum[1000]) == pytest.approx(amplitude, rel=0.1)


@needs_server
def test_a_server_as_alsa_describes_it(server: PulseServer) -> None:
    """32 channels at 44.1 kHz, of a sink of 16 kHz mono."""
    played = (0.25 * 32767 * tone(440, 16_000, 1.5)).astype(np.int16)
    with capture(server, device="mic:mic") as recording:
        server.play(played, 16_000)
        time.sleep(1)
        samples = recording.stop()["samples"]
    assert float(np.abs(samples).max()) == pytest.approx(0.25, rel=0.05)


@needs_server
def test_a_slow_reader_of_a_real_device(server: PulseServer) -> None:
    described = {"rate_hz": 16_000, "channels": 1}
    with capture(server, described=described, pause_s=2, buffer_s=0.2) as recording:
        time.sleep(3)
        recorded = recording.stop()
    assert recorded["overflows"].max() >= 10  # of the 40 blocks in two seconds, 4 are kept
    assert set(recorded["sizes"]) == {800}


@needs_server
def test_a_server_that_is_killed_and_started_again() -> None:
    """Once more after that: a device that has come back is watched like before."""
    played = (0.25 * 32767 * tone(440, 16_000, 1.5)).astype(np.int16)
    with (
        pulse_server() as server,
        capture(server, rate_hz=16_000, retry_s=0.5) as recording,
    ):
        first = []
        for _ in range(2):
            server.kill()
            lost = recording.wait_for("lost")
            server.start()
            first.append(recording.wait_for("back"))
            assert first[-1] == lost
        server.play(played, 16_000)
        time.sleep(1)
        recorded = recording.stop()
    assert np.flatnonzero(recorded["fresh"]).tolist() == first
    assert not recorded["overflows"].any()
    last = recorded["samples"][recorded["sizes"][: first[-1]].sum() :]
    assert float(np.abs(last).max()) == pytest.approx(0.25, rel=0.05)


@needs_server
def test_a_server_that_hangs_and_goes_on() -> None:
    """PortAudio's closing of the device hangs with it; only then is it opened again."""
    with pulse_server() as server, capture(server, lost_after_s=1.0, retry_s=0.5) as recording:
        server.hang()
        recording.wait_for("lost")
        time.sleep(1)
        server.go_on()
        recording.wait_for("back")
        server.play(noise(16_000), 16_000)
        recorded = recording.stop()
    assert recorded["fresh"].sum() == 1


@needs_server
def test_silence_of_a_real_device_is_named(server: PulseServer) -> None:
    """A server's monitor gives zeros where nothing plays."""
    with capture(server, rate_hz=16_000) as recording:
        blocks = recording.wait_for("zeros")
        assert 2.4 <= blocks * 0.05 <= 2.6  # seconds of audio
        server.play(noise(8_000), 16_000)
        recording.wait_for("sound again")


@needs_server
def test_waits_for_a_server_that_is_started_later() -> None:
    with pulse_server() as server:
        server.kill()
        with capture(server, wait=True, retry_s=0.5, ready=False) as recording:
            recording.wait_for("lost")
            server.start()
            recording.wait_for("back")


@needs_server
def test_an_index_out_of_range_of_a_real_device(server: PulseServer) -> None:
    with capture(server, device="mic:99") as recording:
        failure = recording.failure()
    assert "MicrophoneError: no microphone matches '99'" in failure
    assert failure.rstrip().endswith("one of: 0: mic; 1: default")


@needs_server
def test_a_server_without_input() -> None:
    with pulse_server(has_input=False) as server, capture(server) as recording:
        failure = recording.failure()
    assert (
        "MicrophoneError: the microphone 'default' cannot be opened at 44100 Hz, 2 channels"
        in failure
    )


LIST = "from emopi.device.sources.microphone import input_devices; print(input_devices())"


@needs_server
def test_no_server_is_no_devices_and_no_chatter() -> None:
    with pulse_server() as server:
        server.kill()
        command = [sys.executable, "-W", "error", "-c", LIST]
        listed = subprocess.run(
            command, env=server.env, capture_output=True, text=True, timeout=HANG_S, check=True
        )
        assert (listed.stdout, listed.stderr) == ("[]\n", "")
        with capture(server) as recording:
            failure = recording.failure()
    assert "MicrophoneError: no microphone was found" in failure


@needs_server
def test_listen_to_a_microphone_that_goes_and_comes_back() -> None:
    voice = (speech(4.0) * 32767).astype(np.int16)
    command = [sys.executable, "-m", "emopi.device.cli", "listen", "--source", "mic", "--json"]
    with pulse_server() as server:
        out, talk = server.folder / "decisions", server.folder / "talk"
        with out.open("w") as stdout, talk.open("w") as stderr:
            process = subprocess.Popen(command, env=server.env, stdout=stdout, stderr=stderr)

        def hear(n: int) -> None:
            """Speak until there are n more decisions."""
            n += out.read_text().count("\n")
            while process.poll() is None and out.read_text().count("\n") < n:
                server.play(voice, 16_000)

        try:
            hear(2)
            server.kill()
            while process.poll() is None and "has delivered nothing" not in talk.read_text():
                time.sleep(0.1)
            server.start()
            hear(2)
            process.send_signal(signal.SIGINT)
            process.wait(HANG_S)
        finally:
            process.kill()
            process.wait()
        decisions = [json.loads(line) for line in out.read_text().splitlines()]
        assert process.returncode == 0, talk.read_text()
        assert talk.read_text().count("delivers again") == 1
    times_s = [decision["time_s"] for decision in decisions]
    assert len(times_s) >= 4
    assert times_s == sorted(set(times_s))
    assert any(decision["level_dbfs"] > -40 for decision in decisions)
