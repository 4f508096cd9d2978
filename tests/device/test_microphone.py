"""The microphone: with a fake PyAudio for what cannot be provoked, then against a sound server."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from emopi.device import microphone
from emopi.device.errors import MicrophoneError, MissingExtraError
from emopi.device.microphone import InputDevice, Microphone, choose
from tests.device.pulse import PulseServer, pulse_server, why_not

BUILT_IN = InputDevice(0, "Built-in: ALC (hw:0,0)", channels=2, rate_hz=48_000, is_default=False)
USB = InputDevice(2, "USB Microphone: Audio (hw:1,0)", channels=1, rate_hz=44_100, is_default=True)
SERVER = InputDevice(3, "pulse", channels=32, rate_hz=16_000, is_default=False)
PLUGIN = InputDevice(4, "pulse usb", channels=32, rate_hz=16_000, is_default=False)
DEVICES = [BUILT_IN, USB, SERVER, PLUGIN]

HANG_S = 60
"""Time after which a process that should have ended is taken to hang."""


# Choosing a device


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (None, USB),
        ("0", BUILT_IN),
        ("2", USB),
        ("USB Microphone: Audio (hw:1,0)", USB),
        ("usb micro", USB),
        ("hw:0", BUILT_IN),
        ("pulse", SERVER),  # the exact name, although it is part of another
        ("Pulse U", PLUGIN),
    ],
)
def test_choose(wanted: str | None, found: InputDevice) -> None:
    assert choose(DEVICES, wanted) == found


def test_choose_takes_the_first_where_none_is_the_default() -> None:
    assert choose([BUILT_IN, SERVER], None) == BUILT_IN


LISTING = "0: Built-in: ALC (hw:0,0); 2: USB Microphone: Audio (hw:1,0); 3: pulse; 4: pulse usb"


@pytest.mark.parametrize(
    ("wanted", "problem"),
    [
        ("1", "no microphone matches '1'"),  # an output has this index
        ("99", "no microphone matches '99'"),
        ("-1", "no microphone matches '-1'"),
        ("bluetooth", "no microphone matches 'bluetooth'"),
        ("usb", "2 microphones match 'usb'"),
        ("PULSE", "2 microphones match 'PULSE'"),
    ],
)
def test_choose_lists_the_devices(wanted: str, problem: str) -> None:
    with pytest.raises(MicrophoneError) as caught:
        choose(DEVICES, wanted)
    assert str(caught.value) == f"{problem}; give the number or name of one of: {LISTING}"


@pytest.mark.parametrize("wanted", [None, "0", "usb"])
def test_choose_without_devices(wanted: str | None) -> None:
    with pytest.raises(MicrophoneError, match=r"no microphone was found.*arecord -l.*--source"):
        choose([], wanted)


# A fake PyAudio: the callback in the test's hands

OVERFLOW = 2


class FakePyAudio:
    """PyAudio as the microphone sees it: module, PortAudio and stream in one."""

    paInt16, paContinue, paInputOverflow = 8, 0, OVERFLOW

    def __init__(self) -> None:
        self.devices = DEVICES
        self.opened: dict[str, Any] = {}
        self.terminated = 0
        self.start_error: OSError | None = None
        self.open_error: OSError | None = None
        self.hang = threading.Event()
        self.hang.set()

    def PyAudio(self) -> FakePyAudio:
        if self.start_error:
            raise self.start_error
        return self

    def get_default_input_device_info(self) -> dict[str, Any]:
        for device in self.devices:
            if device.is_default:
                return self.get_device_info_by_index(device.index)
        raise OSError("No Default Input Device Available")

    def get_device_count(self) -> int:
        return 5 if self.devices else 0

    def get_device_info_by_index(self, index: int) -> dict[str, Any]:
        output = InputDevice(index, "HDMI", channels=0, rate_hz=48_000, is_default=False)
        device = next((d for d in self.devices if d.index == index), output)
        return {
            "index": index,
            "name": device.name,
            "maxInputChannels": device.channels,
            "defaultSampleRate": float(device.rate_hz),
        }

    def open(self, **settings: Any) -> None:
        if self.open_error:
            raise self.open_error
        self.opened = settings

    def terminate(self) -> None:
        self.hang.wait()
        self.terminated += 1

    def deliver(self, *values: int, status: int = 0) -> None:
        """Hand over a block of such frames, each value in all channels."""
        block = np.repeat(np.asarray(values, np.int16), self.opened["channels"])
        answer = self.opened["stream_callback"](block.tobytes(), len(values), {}, status)
        assert answer == (None, self.paContinue)


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakePyAudio:
    fake = FakePyAudio()
    monkeypatch.setitem(sys.modules, "pyaudio", fake)
    return fake


def read(blocks: Iterator[Any], n: int) -> list[tuple[list[float], int]]:
    """The next n blocks as (samples as int16, overflows)."""
    taken = [next(blocks) for _ in range(n)]
    return [((block.samples * 32768).tolist(), block.overflows) for block in taken]


def test_input_devices(fake: FakePyAudio) -> None:
    assert microphone.input_devices() == DEVICES
    assert fake.terminated == 1


def test_opens_the_device_as_it_is(fake: FakePyAudio) -> None:
    source = Microphone("usb micro", 16_000, block_s=0.1)
    assert (source.name, source.sample_rate_hz) == (USB.name, 16_000)
    settings = {key: value for key, value in fake.opened.items() if key != "stream_callback"}
    assert settings == {
        "format": fake.paInt16,
        "channels": 1,
        "rate": 44_100,
        "input": True,
        "input_device_index": 2,
        "frames_per_buffer": 4_410,
    }


def test_records_the_mean_of_two_channels_of_a_device_that_claims_many(fake: FakePyAudio) -> None:
    source = Microphone("pulse", 16_000)
    assert fake.opened["channels"] == 2
    frames = np.array([[1000, 0], [-3000, 1000], [32767, 32767]], np.int16)
    fake.opened["stream_callback"](frames.tobytes(), 3, {}, 0)
    block = next(source.blocks())
    assert block.samples.dtype == np.float32
    np.testing.assert_array_equal(block.samples * 32768, [500, -1000, 32767])


def test_counts_what_portaudio_lost_at_its_place(fake: FakePyAudio) -> None:
    source = Microphone("pulse", 16_000)
    fake.deliver(1, 2)
    fake.deliver(3, 4)
    fake.deliver(7, 8, status=OVERFLOW)
    fake.deliver(9, 10)
    expected = [([1.0, 2.0], 0), ([3.0, 4.0], 0), ([7.0, 8.0], 1), ([9.0, 10.0], 0)]
    assert read(source.blocks(), 4) == expected


def test_a_slow_reader_loses_the_oldest_blocks_and_is_told(fake: FakePyAudio) -> None:
    source = Microphone("pulse", 16_000, block_s=0.05, buffer_s=0.15)
    blocks = source.blocks()
    fake.deliver(0)
    assert read(blocks, 1) == [([0.0], 0)]
    for value in range(1, 10):
        fake.deliver(value, status=OVERFLOW if value == 5 else 0)
    assert read(blocks, 3) == [([7.0], 7), ([8.0], 0), ([9.0], 0)]  # six blocks and the overflow
    fake.deliver(10)
    assert read(blocks, 1) == [([10.0], 0)]


def test_losses_are_counted_once_when_reading_goes_on_anew(fake: FakePyAudio) -> None:
    source = Microphone("pulse", 16_000)
    for value in range(3):
        fake.deliver(value)
    assert read(source.blocks(), 2) == [([0.0], 0), ([1.0], 0)]
    assert read(source.blocks(), 1) == [([2.0], 0)]


def test_a_device_that_stops_delivering(fake: FakePyAudio, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(microphone, "SILENT_S", 0.25)
    source = Microphone("pulse", 16_000)
    fake.deliver(1)
    blocks = source.blocks()
    next(blocks)
    with pytest.raises(MicrophoneError) as caught:
        next(blocks)
    assert str(caught.value) == (
        "the microphone 'pulse' has delivered nothing for 0.25 s; "
        "is it still plugged in, and the sound server running?"
    )


def test_close_ends_a_reader_that_waits(fake: FakePyAudio) -> None:
    source = Microphone("pulse", 16_000)
    fake.deliver(1)
    blocks = source.blocks()
    next(blocks)
    closing = threading.Timer(0.2, source.close)
    closing.start()
    assert list(blocks) == []
    closing.join()
    source.close()
    assert fake.terminated == 1
    assert list(source.blocks()) == []


def test_close_gives_up_on_a_server_that_hangs(
    fake: FakePyAudio, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(microphone, "CLOSE_S", 0.1)
    source = Microphone("pulse", 16_000)
    fake.hang.clear()
    source.close()
    assert fake.terminated == 0
    fake.hang.set()  # lets its thread end


def test_a_device_that_cannot_be_opened(fake: FakePyAudio) -> None:
    fake.open_error = OSError(-9985, "Device unavailable")
    with pytest.raises(MicrophoneError) as caught:
        Microphone("hw:0", 16_000)
    assert str(caught.value) == (
        "the microphone 'Built-in: ALC (hw:0,0)' cannot be opened at 48000 Hz with 2 channels "
        "([Errno -9985] Device unavailable); is it plugged in, and does no other program use it? "
        "Name another one with: emopi listen --source mic:NAME"
    )
    assert fake.terminated == 1


def test_an_index_out_of_range_is_never_opened(fake: FakePyAudio) -> None:
    with pytest.raises(MicrophoneError, match="no microphone matches '99'"):
        Microphone("99", 16_000)
    assert not fake.opened
    assert fake.terminated == 1


def test_portaudio_that_cannot_start(fake: FakePyAudio) -> None:
    fake.start_error = OSError(-9999, "Unanticipated host error")
    with pytest.raises(MicrophoneError, match=r"PortAudio cannot start \(.*\); .* arecord -l"):
        Microphone(None, 16_000)


def test_no_devices(fake: FakePyAudio) -> None:
    fake.devices = []
    assert microphone.input_devices() == []
    with pytest.raises(MicrophoneError, match="no microphone was found"):
        Microphone(None, 16_000)


def test_without_pyaudio(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyaudio", None)
    for use in (lambda: Microphone(None, 16_000), microphone.input_devices):
        with pytest.raises(MissingExtraError) as caught:
            use()
        assert str(caught.value).startswith("the microphone needs PyAudio (")
        assert str(caught.value).endswith("Install it with: pip install 'emopi[mic]'")


# A sound server and the real PyAudio, in a process of its own

needs_server = pytest.mark.skipif(bool(why_not()), reason=f"no sound server: {why_not()}")

CAPTURE = """
import dataclasses, json, select, sys, time
import numpy as np
from emopi.device import microphone

asked = json.loads(sys.argv[1])
inputs = microphone._inputs
microphone._inputs = lambda audio: [
    dataclasses.replace(device, **asked["described"]) for device in inputs(audio)
]
source = microphone.Microphone(asked["device"], asked["sample_rate_hz"], **asked["options"])
blocks = []
try:
    for block in source.blocks():
        blocks.append(block)
        if len(blocks) == 1:
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
)
"""


@dataclasses.dataclass
class Capture:
    """A process that records until `stop`, then has the recording."""

    process: subprocess.Popen[str]
    out: Path

    def stop(self) -> dict[str, NDArray[Any]]:
        _, stderr = self.process.communicate(timeout=HANG_S)  # closes stdin, which stops it
        assert self.process.returncode == 0, stderr
        with np.load(self.out) as recording:
            return dict(recording)

    def failure(self) -> str:
        """What it says on stderr when it fails, as it should; raises if it hangs."""
        self.process.wait(HANG_S)  # not communicate(), which would stop it
        assert self.process.stderr is not None
        stderr = self.process.stderr.read()
        assert self.process.returncode == 1, (self.process.returncode, stderr)
        return stderr


@contextlib.contextmanager
def capture(
    server: PulseServer,
    sample_rate_hz: int = 16_000,
    *,
    described: dict[str, int] | None = None,
    device: str | None = None,
    pause_s: float = 0.0,
    **options: float,
) -> Iterator[Capture]:
    """Record from the server; `described` is what the device says of itself, in place of ALSA's
    32 channels at 44.1 kHz for every server. Ready when the first block has come."""
    out = server.folder / "capture.npz"
    asked = {
        "sample_rate_hz": sample_rate_hz,
        "described": described or {},
        "device": device,
        "pause_s": pause_s,
        "options": options,
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
            assert process.stdout is not None
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
    assert float(spectrum[1000]) == pytest.approx(amplitude / channels, rel=0.1)


@needs_server
def test_a_server_as_alsa_describes_it(server: PulseServer) -> None:
    """32 channels at 44.1 kHz, of a sink of 16 kHz mono."""
    played = (0.25 * 32767 * tone(440, 16_000, 1.5)).astype(np.int16)
    with capture(server, device="mic") as recording:
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
@pytest.mark.parametrize("end", [PulseServer.kill, PulseServer.hang])
def test_a_server_that_is_lost_while_listening(end: Callable[[PulseServer], None]) -> None:
    with pulse_server() as server, capture(server) as recording:
        end(server)
        failure = recording.failure()
    assert "MicrophoneError: the microphone 'default' has delivered nothing for 3 s" in failure


@needs_server
def test_an_index_out_of_range_of_a_real_device(server: PulseServer) -> None:
    with capture(server, device="99") as recording:
        failure = recording.failure()
    assert "MicrophoneError: no microphone matches '99'" in failure
    assert failure.rstrip().endswith("one of: 0: mic; 1: default")


@needs_server
def test_a_server_without_input() -> None:
    with pulse_server(has_input=False) as server, capture(server) as recording:
        failure = recording.failure()
    assert "MicrophoneError: the microphone 'default' cannot be opened at 44100 Hz" in failure


LIST = "from emopi.device.microphone import input_devices; print(input_devices())"


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


# emopi listen

MODEL = Path(str(files("emopi.models"))) / "cnn-int8.tflite"
needs_model = pytest.mark.skipif(not MODEL.exists(), reason=f"{MODEL.name} is not shipped yet")


def voice(rate_hz: int, length_s: float) -> NDArray[np.int16]:
    """Harmonics of a gliding pitch, four syllables a second: loud and not steady, as speech is."""
    time_s = np.arange(round(length_s * rate_hz)) / rate_hz
    phase = 2 * np.pi * (140 * time_s + 8 * np.sin(2 * np.pi * 0.7 * time_s))
    harmonics = np.sum([np.sin(k * phase) / k for k in range(1, 12)], axis=0)
    syllables = 0.5 - 0.5 * np.cos(2 * np.pi * 4 * time_s)
    samples: NDArray[np.int16] = (8_000 * harmonics * syllables).astype(np.int16)
    return samples


@needs_server
@needs_model
def test_listen_to_the_microphone(server: PulseServer) -> None:
    command = [sys.executable, "-m", "emopi.device.cli", "listen", "--source", "mic", "--json"]
    out = server.folder / "decisions"
    with out.open("w") as stdout:
        process = subprocess.Popen(
            command, env=server.env, stdout=stdout, stderr=subprocess.PIPE, text=True
        )
    try:
        while process.poll() is None and out.read_text().count("\n") < 4:
            server.play(voice(16_000, 4), 16_000)
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=HANG_S)
    finally:
        process.kill()
    decisions = [json.loads(line) for line in out.read_text().splitlines()]
    assert process.returncode == 0, stderr
    times_s = [decision["time_s"] for decision in decisions]
    assert len(times_s) >= 4
    assert times_s == sorted(set(times_s))
    assert any(decision["level_dbfs"] > -40 for decision in decisions)
