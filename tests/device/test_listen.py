"""`emopi listen` as a service manager and a privacy-minded person meet it: a process of its own."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import queue
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
from support import MODELS, run_emopi, speech

from emopi.device.classifier import Classifier
from emopi.device.decision import NO_SPEECH, UNSURE
from tests.device.pulse import pulse_server, why_not

HANG_S = 60
"""Time after which a process that should have ended is taken to hang."""

LABELS = {*Classifier(MODELS / "cnn-int8.tflite").contract.labels, NO_SPEECH, UNSURE}


class Manager:
    """A socket as systemd has it; a thread reads it."""

    def __init__(self, path: Path) -> None:
        self.address = str(path)
        self._messages: queue.Queue[str] = queue.Queue()
        self.told: list[str] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(self.address)
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def wait_for(self, wanted: str) -> str:
        """The next message that holds that text."""
        while True:
            message = self._messages.get(timeout=HANG_S)
            self.told.append(message)
            if wanted in message:
                return message

    def drain(self) -> None:
        """Take what has come already."""
        with contextlib.suppress(queue.Empty):
            while True:
                self.told.append(self._messages.get_nowait())

    def silence_s(self, wanted: str, seconds: float) -> bool:
        """Whether nothing with that text comes for so long."""
        with contextlib.suppress(queue.Empty):
            while True:
                message = self._messages.get(timeout=seconds)
                self.told.append(message)
                if wanted in message:
                    return False
        return True

    def close(self) -> None:
        self._socket.sendto(b"", self.address)
        self._reader.join()
        self._socket.close()

    def _read(self) -> None:
        while message := self._socket.recv(4096).decode():
            self._messages.put(message)


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    with contextlib.closing(Manager(tmp_path / "notify")) as found:
        yield found


@pytest.fixture(scope="module")
def long_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clips") / "long.wav"
    sf.write(path, np.tile(speech(4.0), 30), 16_000)
    return path


@pytest.fixture(scope="module")
def short_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clips") / "short.wav"
    sf.write(path, speech(8.0), 16_000)
    return path


@dataclasses.dataclass
class Listening:
    """A process that listens; what it prints is read at the end."""

    process: subprocess.Popen[str]

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def end(self) -> tuple[str, str]:
        """Its stdout and stderr, after it has ended with status 0."""
        stdout, stderr = self.process.communicate(timeout=HANG_S)
        assert self.process.returncode == 0, stderr
        return stdout, stderr


@contextlib.contextmanager
def listening(*arguments: object, **environment: str) -> Iterator[Listening]:
    process = subprocess.Popen(
        [sys.executable, "-m", "emopi.device.cli", "listen", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | environment,
    )
    try:
        yield Listening(process)
    finally:
        process.kill()
        process.communicate()


def times_s(stdout: str) -> list[float]:
    return [json.loads(line)["time_s"] for line in stdout.splitlines()]


def test_a_service_from_start_to_stop(long_clip: Path, tmp_path: Path, manager: Manager) -> None:
    config = tmp_path / "emopi.toml"
    config.write_text(f'[source]\nname = "{long_clip}"\n')
    with listening(
        "--json", "--config", config,
        NOTIFY_SOCKET=manager.address, WATCHDOG_USEC="400000",
    ) as sensor:  # fmt: skip
        manager.wait_for("READY=1")
        manager.wait_for("WATCHDOG=1")
        manager.wait_for("1 decisions")
        config.write_text("[decision]\nhop_s = 1000\n")
        sensor.send(signal.SIGHUP)
        manager.wait_for("RELOADING=1")
        manager.wait_for("READY=1")
        config.write_text(f'[source]\nname = "{long_clip}"\n[model]\nname = "cnn-float32"\n')
        sensor.send(signal.SIGHUP)
        manager.wait_for("RELOADING=1")
        manager.wait_for("READY=1")
        before = manager.wait_for("WATCHDOG=1").partition(" decisions")[0].split()[-1]
        manager.wait_for(f"{int(before) + 1} decisions")
        sensor.send(signal.SIGTERM)
        manager.wait_for("STOPPING=1")
        stdout, stderr = sensor.end()
    decisions = [json.loads(line) for line in stdout.splitlines()]
    assert {d["model"].rpartition("-")[0] for d in decisions} == {"cnn-int8", "cnn-float32"}
    found_s = times_s(stdout)
    assert found_s == sorted(found_s)
    first, second = stderr.splitlines()
    assert first == (
        f"emopi: the settings stay as they were: {config}, [decision]: hop_s is 1000.0; "
        "expected 0.05 to 60 seconds"
    )
    assert second == "emopi: settings read anew; changed: model"
    told = "\n".join(manager.told) + stderr
    assert not [label for label in LABELS if label in told]


def test_a_stop_signal_while_nobody_reads_the_decisions(long_clip: Path, manager: Manager) -> None:
    with listening(
        "--json", "--fast", "--hop", "0.05", "--source", long_clip,
        NOTIFY_SOCKET=manager.address, WATCHDOG_USEC="1",
    ) as sensor:  # fmt: skip
        manager.wait_for("100 decisions")
        while not manager.silence_s("WATCHDOG", 3.0):  # the pipe is full now
            pass
        sensor.send(signal.SIGTERM)
        manager.wait_for("STOPPING=1")
        sensor.process.wait(HANG_S)  # before anyone reads
        stdout, stderr = sensor.end()
    assert stderr == ""
    whole = stdout.rpartition("\n")[0]
    assert len(times_s(whole)) > 100


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stopped_before_it_has_heard_anything(
    long_clip: Path, manager: Manager, number: signal.Signals
) -> None:
    with listening("--source", long_clip, NOTIFY_SOCKET=manager.address) as sensor:
        manager.wait_for("READY=1")
        sensor.send(number)
        assert sensor.end() == ("", "")


@pytest.mark.skipif(bool(why_not()), reason=f"no sound server: {why_not()}")
def test_a_sound_server_that_hangs_does_not_count_as_life(manager: Manager) -> None:
    with (
        pulse_server() as server,
        listening(
            "--json",
            **server.env | {"NOTIFY_SOCKET": manager.address, "WATCHDOG_USEC": "400000"},
        ) as sensor,
    ):
        manager.wait_for("READY=1")  # of zeros: silence is life
        manager.wait_for("WATCHDOG=1")
        server.hang()
        manager.wait_for("STATUS=the microphone")  # is lost
        manager.drain()
        assert manager.silence_s("WATCHDOG=1", 2.0)
        sensor.send(signal.SIGTERM)
        manager.wait_for("STOPPING=1")
        sensor.end()


def test_record_says_so_and_keeps_the_last_seconds(short_clip: Path, tmp_path: Path) -> None:
    out = tmp_path / "kept.wav"
    done = run_emopi(
        "listen", "--json", "--fast", "--source", short_clip, "--record", out, "--record-seconds", 5
    )
    assert done.returncode == 0, done.stderr
    loud, end = done.stderr.splitlines()
    assert loud.startswith(
        f"emopi: RECORDING: the last 5 s that are heard will be written to {out}"
    )
    assert end == f"emopi: what was heard is in {out}"
    heard, _ = sf.read(short_clip, dtype="int16")
    kept, rate_hz = sf.read(out, dtype="int16")
    assert rate_hz == 16_000
    np.testing.assert_array_equal(kept, heard[-5 * 16_000 :])


def test_record_on_request(long_clip: Path, tmp_path: Path, manager: Manager) -> None:
    folder = tmp_path / "kept"
    folder.mkdir()
    with listening(
        "--source", long_clip, "--record", folder, NOTIFY_SOCKET=manager.address
    ) as sensor:
        manager.wait_for("READY=1")
        sensor.send(signal.SIGUSR1)
        assert sensor.process.stderr
        lines = [sensor.process.stderr.readline() for _ in range(2)]
        assert lines[1].startswith(f"emopi: what was heard is in {folder}/emopi-20")
        sensor.send(signal.SIGTERM)
        sensor.end()
    assert len(list(folder.glob("emopi-*.wav"))) == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--record-seconds", "601"], "record_seconds is 601; expected 1 to 600"),
        (["--record", "/nowhere/at/all.wav"], "No such file or directory"),
    ],
)
def test_record_that_cannot_be(
    short_clip: Path, tmp_path: Path, options: list[str], message: str
) -> None:
    record = ["--record", tmp_path / "a.wav"]
    done = run_emopi("listen", "--fast", "--source", short_clip, *record, *options)
    assert done.returncode == 1
    assert done.stdout == ""
    assert message in done.stderr


AUDIT = """
import os, sys

opened = []

def audit(event, arguments):
    if event == "open":
        path, mode, flags = arguments
        writes = flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_APPEND)
        if writes and path != os.devnull and not isinstance(path, int):  # one that is open
            opened.append(f"open {path!r} {flags:#o}")
    elif event in ("socket.__new__", "socket.connect", "socket.bind", "socket.sendto",
                   "socket.getaddrinfo", "subprocess.Popen", "os.rename", "os.mkdir",
                   "tempfile.mkstemp", "sqlite3.connect"):
        opened.append(event)

sys.addaudithook(audit)
from emopi.device.cli import main
try:
    main()
finally:
    print(opened, file=sys.stderr)
"""


def test_nothing_is_stored_or_sent_by_default(short_clip: Path) -> None:
    """As far as Python knows; the next test asks the kernel."""
    arguments = ["listen", "--json", "--fast", "--source", str(short_clip)]
    done = subprocess.run(
        [sys.executable, "-B", "-c", AUDIT, *arguments],
        capture_output=True, text=True, timeout=HANG_S, check=True,
    )  # fmt: skip
    assert len(done.stdout.splitlines()) == 11
    assert done.stderr == "[]\n"


WATCHED = (
    "openat,openat2,open,creat,socket,connect,bind,sendto,rename,renameat,renameat2,link,linkat,"
    "mkdir,mkdirat,mknod,mknodat,memfd_create,shmget,process_vm_writev"
)


def strace(folder: Path, *arguments: object, lines: int = 100, **environment: str) -> list[str]:
    """The files that `emopi listen` opens for writing and the sockets that it has.

    It listens to the end, or until so many lines of its output have been read.
    """
    logs = folder / "strace"
    logs.mkdir()
    command = [
        "strace", "-ff", "-qq", "-o", logs / "of", "-e", "signal=none", "-e", f"trace={WATCHED}",
        "sh", "-c", f'"$@" | head -n {lines}', "sh",
        sys.executable, "-B", "-m", "emopi.device.cli", "listen", *map(str, arguments),
    ]  # fmt: skip
    done = subprocess.run(
        command, stdout=subprocess.PIPE, timeout=HANG_S * 2, check=True,
        stderr=subprocess.DEVNULL, env=os.environ | environment,
    )  # fmt: skip
    assert done.stdout.splitlines()
    found = []
    for call in "".join(log.read_text() for log in logs.iterdir()).splitlines():
        reads = "O_RDONLY" in call or "O_PATH" in call or '"/dev/null"' in call
        if not (call.startswith(("open", "creat")) and reads):
            found.append(call)
    return found


def can_strace() -> bool:
    if not shutil.which("strace"):
        return False
    done = subprocess.run(["strace", "-o", os.devnull, "true"], capture_output=True, check=False)
    return done.returncode == 0


@pytest.mark.skipif(not can_strace(), reason="strace is not installed, or not allowed here")
def test_nothing_is_stored_or_sent_by_default_says_the_kernel(
    short_clip: Path, tmp_path: Path
) -> None:
    (tmp_path / "kept").mkdir()
    assert strace(tmp_path, "--fast", "--source", short_clip) == []
    kept = strace(
        tmp_path / "kept", "--fast", "--source", short_clip, "--record", tmp_path / "a.wav"
    )
    assert [call for call in kept if ".a.wav-" in call]  # so the watching works


def of_the_sound_system(call: str) -> bool:
    """Whether a call is of those that PortAudio's libraries make to find and open a device."""
    return (
        " = -1 " in call
        or "/dev/shm/jack" in call  # PortAudio asks for a JACK server
        or call.startswith(("socket(AF_UNIX", 'memfd_create("pulseaudio"'))
        or (call.startswith("sendto(") and "NULL, 0)" in call)  # over what it has connected
    )


@pytest.mark.skipif(not can_strace(), reason="strace is not installed, or not allowed here")
@pytest.mark.skipif(bool(why_not()), reason=f"no sound server: {why_not()}")
def test_a_microphone_is_heard_and_nothing_else_is_opened(tmp_path: Path) -> None:
    with pulse_server(48_000, 2) as server:
        found = strace(tmp_path, "--json", lines=3, **server.env)
        native = f'sun_path="{server.folder}/native"'
    left = [call for call in found if not of_the_sound_system(call)]
    assert left
    assert [call for call in left if not (call.startswith("connect(") and native in call)] == []
