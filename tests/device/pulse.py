"""A private PulseAudio server with a null sink: a microphone that a test can speak into.

What is played to the sink, its monitor records, in real time. PyAudio reaches it through ALSA's
pulse plugin, which `ALSA_CONFIG_PATH` sets up; ALSA reads that once a process and PortAudio can
hang or crash its process, so the code under test runs in a process of its own, with `env`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import wave
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

START_S = 20.0
"""Generous: a machine under load starts the server in half a second."""

ABANDONED_S = 60
"""The server ends by itself this long after its last client, should a test run be killed."""

ASOUND_CONF = """
pcm.mic {{ type pulse server "{server}" hint {{ show on description "a fake microphone" }} }}
ctl.mic {{ type pulse server "{server}" }}
pcm.!default {{ type pulse server "{server}" }}
ctl.!default {{ type pulse server "{server}" }}
"""
SINK = """
load-module module-null-sink sink_name=fake rate={rate_hz} channels={channels} {more}
set-default-sink fake
set-default-source fake.monitor
"""
# without norewinds the first samples come after two seconds
SINK_OPTIONS = "format=s16le norewinds=1"
SOCKET = "load-module module-native-protocol-unix socket={folder}/native auth-anonymous=1\n"


@dataclasses.dataclass
class PulseServer:
    """A running server; `env` is the environment for a process that records from it."""

    process: subprocess.Popen[bytes]
    folder: Path
    env: dict[str, str]

    def play(self, samples: NDArray[np.int16], rate_hz: int) -> None:
        """Play (n,) or (n, channels) int16 to the sink; returns when all of it has sounded."""
        clip = self.folder / "clip.wav"
        with wave.open(str(clip), "wb") as file:
            file.setnchannels(1 if samples.ndim == 1 else samples.shape[1])
            file.setsampwidth(2)
            file.setframerate(rate_hz)
            file.writeframes(samples.astype("<i2").tobytes())
        # a long latency: the player may be late by so much before there is a gap
        command = ["paplay", "--latency-msec=500", str(clip)]
        subprocess.run(command, env=self.env, check=True, timeout=60 + len(samples) / rate_hz)

    def kill(self) -> None:
        """End it as a crash would."""
        self.process.kill()
        self.process.wait()

    def start(self) -> None:
        """Start it again after `kill`, at the same address."""
        self.process = _start(self.folder, self.env)
        _wait_for(self.folder / "native", self.process)

    def hang(self) -> None:
        """Stop it without closing its connections."""
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """Let it go on after `hang`."""
        self.process.send_signal(signal.SIGCONT)


def why_not() -> str | None:
    """What is missing here for `pulse_server` and PyAudio; None if nothing is."""
    for program in ("pulseaudio", "paplay"):
        if not shutil.which(program):
            return f"{program} is not installed (apt install pulseaudio pulseaudio-utils)"
    folders = [Path(os.environ.get("ALSA_PLUGIN_DIR", "/nowhere"))]
    folders += [*Path("/usr").glob("lib*/alsa-lib"), *Path("/usr/lib").glob("*/alsa-lib")]
    if not any((folder / "libasound_module_pcm_pulse.so").exists() for folder in folders):
        return "ALSA's pulse plugin is not installed (apt install libasound2-plugins)"
    if importlib.util.find_spec("pyaudio") is None:
        return "PyAudio is not installed (pip install 'emopi[mic]')"
    return None


@contextlib.contextmanager
def pulse_server(
    rate_hz: int = 16_000, channels: int = 1, *, has_input: bool = True
) -> Iterator[PulseServer]:
    """A server whose sink has that rate and those channels, or one without any input.

    It is gone at the end, whatever happened to it. Check `why_not` first.
    """
    # not pytest's tmp_path: the path of a socket has at most 107 characters
    with tempfile.TemporaryDirectory(prefix="emopi-") as name:
        folder = Path(name)
        env = _write_settings(
            folder, SINK.format(rate_hz=rate_hz, channels=channels, more=SINK_OPTIONS), has_input
        )
        server = PulseServer(_start(folder, env), folder, env)
        try:
            _wait_for(folder / "native", server.process)
            yield server
        finally:
            server.kill()  # ends a stopped one too


def _write_settings(folder: Path, sink: str, has_input: bool) -> dict[str, str]:
    # the socket comes last, so that the sink is there as soon as one can connect
    script = (sink if has_input else "") + SOCKET.format(folder=folder)
    (folder / "default.pa").write_text(script)
    server = f"unix:{folder}/native"
    (folder / "asound.conf").write_text(ASOUND_CONF.format(server=server))
    return os.environ | {
        "HOME": str(folder),
        "PULSE_RUNTIME_PATH": str(folder / "run"),
        "PULSE_SERVER": server,
        "ALSA_CONFIG_PATH": str(folder / "asound.conf"),
    }


def _start(folder: Path, env: dict[str, str]) -> subprocess.Popen[bytes]:
    command = ["pulseaudio", "-n", "-F", str(folder / "default.pa"), "--daemonize=no"]
    command += [f"--exit-idle-time={ABANDONED_S}", "--use-pid-file=no", "--log-target=stderr"]
    with (folder / "log").open("wb") as log:
        return subprocess.Popen(command, env=env, stdin=subprocess.DEVNULL, stderr=log)


def _wait_for(path: Path, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_S
    while process.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))
            return
        time.sleep(0.05)
    log = (path.parent / "log").read_text(errors="replace")
    raise RuntimeError(f"the sound server has not started in {START_S:g} s:\n{log}")
