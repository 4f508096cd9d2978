"""What a sensor that listens all day survives, and what is lost then: one scenario a command.

    python benchmarks/endurance.py day [--hours 24] [--detector auto]
    python benchmarks/endurance.py server [--times 20]    # needs pulseaudio, PyAudio
    python benchmarks/endurance.py starved [--seconds 40] # the same
    python benchmarks/endurance.py disk                   # root, for a small file system
    python benchmarks/endurance.py clock                  # needs faketime
    python benchmarks/endurance.py broker [--hours 1]     # needs mosquitto, paho-mqtt

Each prints a row of a table in Markdown: what was done, what was heard, what was lost. A decision
is lost if audio was heard and the decision that is due on it has not come out; audio that the
machine never got is named apart.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import json
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import click
import numpy as np
import soundfile as sf

from emopi.device.audio import AudioBlock, AudioSource, read_clip
from emopi.device.board import resident_mb
from emopi.device.classifier import Classifier
from emopi.device.commands import resolve_model
from emopi.device.config import SINKS, Settings, part_class
from emopi.device.gate import GateSettings
from emopi.device.notice import Tell
from emopi.device.pipeline import Pipeline
from emopi.device.recording import Recording
from emopi.device.sensor import Sensor
from emopi.device.signals import Signals
from emopi.device.sinks import Sink
from emopi.device.sinks.group import Sinks
from emopi.device.sinks.jsonlines import JsonLines
from emopi.device.sinks.registry import make_sinks
from emopi.device.watchdog import Manager, Watchdog

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.device.pulse import PulseServer, pulse_server, why_not

RATE_HZ = 16_000
HOP_S = 0.5
PATIENCE_S = 120.0
"""After which a scenario is given up."""


@click.group()
def endurance() -> None:
    """Run one scenario and print its row."""


def say(text: str) -> None:
    """Not part of the table."""
    click.echo(text, err=True)


def row(*cells: object) -> None:
    click.echo("| " + " | ".join(map(str, cells)) + " |")


def some_speech(seconds: float = 24.0) -> np.ndarray[Any, np.dtype[np.float32]]:
    """The bundled voice, then as much silence; again and again."""
    voice = read_clip(Path(str(files("emopi.models"))) / "example.wav", RATE_HZ)
    return np.resize(np.concatenate([voice, np.zeros_like(voice)]), round(seconds * RATE_HZ))


# --- a day -------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class State:
    """Of this process."""

    rss_mb: float
    threads: int
    files: int

    @classmethod
    def now(cls) -> State:
        return cls(
            resident_mb()[0], threading.active_count(), len(list(Path("/proc/self/fd").iterdir()))
        )

    def __str__(self) -> str:
        return f"{self.rss_mb:.1f} MiB, {self.threads} threads, {self.files} files"


class Days:
    """Audio without end, as fast as it is taken; notes the state of the process at some hours."""

    name = "days of audio"
    sample_rate_hz = RATE_HZ

    def __init__(self, hours: float, notes: dict[float, State | None]) -> None:
        self._blocks = round(hours * 36_000)
        self._notes = notes

    def blocks(self) -> Iterator[AudioBlock]:
        """A tenth of a second each."""
        audio = some_speech()
        starts = itertools.cycle(range(0, len(audio), RATE_HZ // 10))
        for number, start in zip(range(self._blocks), starts, strict=False):
            if number / 36_000 in self._notes:
                self._notes[number / 36_000] = State.now()
                click.echo(f"{number / 36_000:g} h: {State.now()}", err=True)
            yield AudioBlock(audio[start : start + RATE_HZ // 10])

    def close(self) -> None:
        """Nothing is open."""


@dataclasses.dataclass(frozen=True)
class Parts:
    """A sensor with all sinks that write files, and one on stdout that goes nowhere."""

    source_given: AudioSource
    detector: Any
    folder: Path
    null: Any

    def settings(self) -> Settings:
        kinds = {name: part_class(where) for name, where in SINKS.items() if name in FILES}
        sinks = {name: kind(file=self.folder / name) for name, kind in kinds.items()}
        return dataclasses.replace(Settings.default(), sinks=sinks)

    def pipeline(self, settings: Settings) -> Pipeline:
        gate = dataclasses.replace(settings["gate"], detector=self.detector)
        return Pipeline(Classifier(resolve_model("cnn-int8")), settings["decision"], gate=gate)

    def source(self, _settings: Settings, _rate_hz: int, _tell: Tell) -> AudioSource:
        return self.source_given

    def sinks(self, settings: Settings, _source: str) -> Sink:
        files = make_sinks(settings.sinks, say, patience_s=PATIENCE_S)
        return Sinks([JsonLines(self.null), *files], say)

    def recording(self, _rate_hz: int) -> Recording | None:
        return None


FILES = ("log", "history")
NOTED_H = (0.0, 0.1, 1.0, 2.0, 3.0, 6.0, 12.0)


@endurance.command()
@click.option("--hours", default=24.0, show_default=True)
@click.option("--detector", default="auto", show_default=True)
def day(hours: float, detector: str) -> None:
    """A day of audio, faster than it sounds: do memory, threads or open files grow?"""
    GateSettings(detector=detector)  # type: ignore[arg-type]
    notes: dict[float, State | None] = dict.fromkeys(
        [0.0, 0.1, 1.0, 2.0, 3.0, 6.0, 12.0, hours - 0.01]
    )
    with tempfile.TemporaryDirectory() as folder, Path(os.devnull).open("w") as null:
        parts = Parts(Days(hours, notes), detector, Path(folder), null)
        started_s, cpu_s = time.monotonic(), time.process_time()
        with (
            Signals() as signals,
            Sensor(parts, signals, Watchdog(Manager(None)), say) as sensor,
        ):
            sensor.run()
        cpu_s, took_s = time.process_time() - cpu_s, time.monotonic() - started_s
        kept = sum(1 for file in Path(folder).glob("log*") for _ in file.open())
    due = 1 + int((hours * 3600 - 3.015) / HOP_S) + 1
    row(
        "hours",
        "detector",
        "after 0.1 h",
        "after 1 h",
        "at the end",
        "log lines",
        "due",
        "CPU s",
        "s",
    )
    row(
        f"{hours:g}", detector, notes[0.1], notes.get(1.0), notes[hours - 0.01], kept, due,
        f"{cpu_s:.0f}", f"{took_s:.0f}",
    )  # fmt: skip


# --- a process that is disturbed ------------------------------------------------------------------


class Listening:
    """`emopi listen` in a process of its own; what it has said so far can be looked at."""

    def __init__(self, folder: Path, *arguments: object, **environment: str) -> None:
        self._stdout, self._stderr = folder / "stdout", folder / "stderr"
        command = [sys.executable, "-m", "emopi.device.cli", "listen", "--json"]
        with self._stdout.open("w") as stdout, self._stderr.open("w") as stderr:
            self.process = subprocess.Popen(
                [*command, *map(str, arguments)],
                stdout=stdout,
                stderr=stderr,
                env=os.environ | environment,
            )

    @property
    def decisions(self) -> list[dict[str, Any]]:
        """In order; without a line that is being written."""
        lines = self._stdout.read_text().rpartition("\n")[0].splitlines()
        return [json.loads(line) for line in lines]

    @property
    def said(self) -> str:
        """What is on stderr."""
        return self._stderr.read_text()

    def wait(self, what: str, come: Callable[[], bool]) -> None:
        """Until that has come; gives up when the process ends or after `PATIENCE_S`."""
        deadline = time.monotonic() + PATIENCE_S
        while not come():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise click.ClickException(f"waited in vain for {what}; it said: {self.said}")
            time.sleep(0.1)

    def wait_for_more(self, n: int = 3) -> None:
        """Until so many decisions more have come."""
        before = len(self.decisions)
        self.wait(f"{n} more decisions", lambda: len(self.decisions) >= before + n)

    def wait_for_said(self, text: str, times: int = 1) -> None:
        """Until it has been said so often."""
        self.wait(text, lambda: self.said.count(text) >= times)

    def stop(self) -> float:
        """Seconds from SIGTERM to the end."""
        self.process.send_signal(signal.SIGTERM)
        started_s = time.monotonic()
        if self.process.wait(PATIENCE_S):
            raise click.ClickException(f"it failed: {self.said}")
        return time.monotonic() - started_s


@contextlib.contextmanager
def listening(*arguments: object, **environment: str) -> Iterator[Listening]:
    """A process that listens; gone at the end."""
    with tempfile.TemporaryDirectory() as folder:
        found = Listening(Path(folder), *arguments, **environment)
        try:
            yield found
        finally:
            found.process.kill()
            found.process.wait()


@contextlib.contextmanager
def clip(seconds: float) -> Iterator[Path]:
    """A file with that much speech and silence."""
    with tempfile.TemporaryDirectory() as folder:
        sf.write(Path(folder) / "clip.flac", some_speech(seconds), RATE_HZ)
        yield Path(folder) / "clip.flac"


def gaps(decisions: list[dict[str, Any]]) -> list[float]:
    """Seconds of the sample clock between decisions that follow each other, if not the hop."""
    times_s = [decision["time_s"] for decision in decisions]
    steps = (later - earlier for earlier, later in itertools.pairwise(times_s))
    return [round(step, 3) for step in steps if abs(step - HOP_S) > 0.01]


@contextlib.contextmanager
def sound() -> Iterator[PulseServer]:
    """A sound server with a microphone."""
    if missing := why_not():
        raise click.ClickException(missing)
    with pulse_server() as server:
        yield server


@endurance.command()
@click.option("--times", default=20, show_default=True)
def server(times: int) -> None:
    """The sound server dies and comes back, again and again."""
    with sound() as pulse, listening(**pulse.env) as sensor:
        sensor.wait_for_more()
        started_s, first_s = time.monotonic(), sensor.decisions[-1]["time_s"]
        for number in range(times):
            pulse.kill()
            time.sleep(1)
            pulse.start()
            sensor.wait_for_said("delivers again", number + 1)
            sensor.wait_for_more()
        heard_s = sensor.decisions[-1]["time_s"] - first_s
        away_s = time.monotonic() - started_s - heard_s
        ended_s = sensor.stop()
        unexplained = len(gaps(sensor.decisions)) - times
        row("deaths", "decisions", "audio heard, s", "missed, s", "decisions lost", "end, s")
        row(times, len(sensor.decisions), f"{heard_s:.0f}", f"{away_s:.0f}", unexplained,
            f"{ended_s:.1f}")  # fmt: skip
        say(sensor.said)


@endurance.command()
@click.option("--seconds", default=40.0, show_default=True)
@click.option("--lost-after", "lost_after_s", default=60.0, show_default=True)
def starved(seconds: float, lost_after_s: float) -> None:
    """The process gets no processor at all for a while, then the whole backlog at once.

    A device that delivers nothing for --lost-after seconds counts as lost and is opened anew; with
    more than the pause the backlog comes, and what does not fit into the buffer overflows.
    """
    with tempfile.TemporaryDirectory() as name:
        settings = Path(name) / "emopi.toml"
        settings.write_text(f"[source]\nlost_after_s = {lost_after_s}\n")
        _starved(settings, seconds)


def _starved(settings: Path, seconds: float) -> None:
    with sound() as pulse, listening("--config", settings, **pulse.env) as sensor:
        sensor.wait_for_more()
        started_s, first_s = time.monotonic(), sensor.decisions[-1]["time_s"]
        sensor.process.send_signal(signal.SIGSTOP)
        time.sleep(seconds)
        sensor.process.send_signal(signal.SIGCONT)
        # a backlog that does not fit, or a device that counts as lost: either is said
        sensor.wait(
            "a loss being said",
            lambda: sensor.decisions[-1]["overflows"] > 0 or "delivers again" in sensor.said,
        )
        sensor.wait_for_more(10)
        heard_s = sensor.decisions[-1]["time_s"] - first_s
        missed_s = time.monotonic() - started_s - heard_s
        sensor.stop()
        decisions = sensor.decisions
        returns, overflows = sensor.said.count("delivers again"), decisions[-1]["overflows"]
        lost = len(gaps(decisions)) - returns
        row("stopped, s", "decisions", "overflows", "returns", "missed, s", "decisions lost")
        row(f"{seconds:g}", len(decisions), overflows, returns, f"{missed_s:.0f}", lost)
        say(sensor.said)


@endurance.command()
def disk() -> None:
    """The disk of log and history is full for a while."""
    with tempfile.TemporaryDirectory() as name, clip(600) as file:
        folder = Path(name)
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", name], check=True)
        try:
            _disk(folder, file)
        finally:
            subprocess.run(["umount", "-l", name], check=True)


def _disk(folder: Path, file: Path) -> None:
    settings = folder / "emopi.toml"
    settings.write_text(
        f'[source]\nname = "{file}"\n[decision]\nhop_s = {HOP_S}\n'
        f'[sinks.log]\nfile = "{folder / "log"}"\n'
        f'[sinks.history]\nfile = "{folder / "history"}"\ncommit_every_s = 1.0\n'
    )
    with listening("--config", settings) as sensor:
        sensor.wait_for_more(10)
        filler = folder / "filler"
        with contextlib.suppress(OSError), filler.open("wb", buffering=0) as full:
            while full.write(b"x" * 512):
                pass
        sensor.wait_for_said("log:")
        sensor.wait_for_said("history:")
        sensor.wait_for_more(40)
        during = len(sensor.decisions)
        filler.unlink()
        sensor.wait_for_said("log:", 2)
        sensor.wait_for_said("history:", 2)
        sensor.wait_for_more(5)
        sensor.stop()
        said = [decision["time_s"] for decision in sensor.decisions]
        logged = [json.loads(line)["time_s"] for line in (folder / "log").open()]
        with contextlib.closing(sqlite3.connect(folder / "history")) as database:
            (kept,) = database.execute("SELECT count(*) FROM decisions").fetchone()
        row("decisions", "of these while full", "missing in log", "missing in history")
        row(len(said), f"about {during - 10}", len(set(said) - set(logged)), len(said) - kept)
        say(sensor.said)


FAKETIME = "faketime/libfaketimeMT.so.1"


@endurance.command()
def clock() -> None:
    """The clock of the day jumps back by a day, then forward by two."""
    libraries = list(Path("/usr/lib").glob(f"*/{FAKETIME}"))
    if not libraries:
        raise click.ClickException("faketime is not installed (apt install faketime)")
    with tempfile.TemporaryDirectory() as name, clip(60) as file:
        offset, log = Path(name) / "offset", Path(name) / "log"
        settings = Path(name) / "emopi.toml"
        settings.write_text(f'[source]\nname = "{file}"\n[sinks.log]\nfile = "{log}"\n')
        offset.write_text("+0")
        environment = {
            "LD_PRELOAD": str(libraries[0]),
            "FAKETIME_TIMESTAMP_FILE": str(offset),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }
        # not in real time: faketime breaks the sleeping of Python
        with listening("--fast", "--config", settings, **environment) as sensor:
            sensor.wait_for_more(5)
            offset.write_text("-1d")
            sensor.wait_for_more(5)
            offset.write_text("+1d")
            sensor.process.wait()
            jumped = sensor.decisions
        with listening("--fast", "--source", file) as plain:
            plain.process.wait()
            expected = plain.decisions
        days = [json.loads(line)["time"][:10] for line in log.open()]
        for decision in (*jumped, *expected):
            del decision["latency_ms"]
        same = sum(one == other for one, other in zip(jumped, expected, strict=True))
        row("decisions", "the same as without jumps", "logged", "days in the log")
        row(len(jumped), same, len(days), len(set(days)))


# --- a broker that is away ------------------------------------------------------------------------


@contextlib.contextmanager
def broker(folder: Path, port: int) -> Iterator[None]:
    """Mosquitto on loopback. It knows its subscriber again after a death, and keeps for it what
    comes before that is there: what is missing at the end has not come from the sensor."""
    settings = folder / "mosquitto.conf"
    settings.write_text(
        f"listener {port} 127.0.0.1\nallow_anonymous true\nmax_queued_messages 0\nuser root\n"
        f"persistence true\npersistence_location {folder}/\n"
        "autosave_on_changes true\nautosave_interval 10\n"
    )
    process = subprocess.Popen(
        ["mosquitto", "-c", str(settings)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        yield
    finally:
        process.kill()
        process.wait()


class Subscriber:
    """A client that notes the time of each decision; connects by itself, again and again."""

    def __init__(self, port: int) -> None:
        from paho.mqtt.client import Client
        from paho.mqtt.enums import CallbackAPIVersion

        self.port = port
        self.heard: list[float] = []
        self.subscribed = threading.Event()
        client = Client(CallbackAPIVersion.VERSION2, client_id="subscriber", clean_session=False)
        client.on_connect = lambda *_: client.subscribe("emopi/endurance/decisions", qos=1)
        client.on_subscribe = lambda *_: self.subscribed.set()
        client.on_message = self._note
        client.reconnect_delay_set(1, 1)
        client.connect_async("127.0.0.1", port)
        client.loop_start()
        self.close = client.loop_stop

    def _note(self, _client: object, _data: object, message: Any) -> None:
        decision = json.loads(message.payload)
        if decision["model"].startswith("cnn-int8"):  # not of the run that only flushes
            self.heard.append(decision["time_s"])


@endurance.command(name="broker")
@click.option("--hours", default=1.0, show_default=True, help="Of audio, for which it is away.")
@click.option("--port", default=18830, show_default=True)
def broker_away(hours: float, port: int) -> None:
    """The MQTT broker dies and is away for an hour of audio."""
    with tempfile.TemporaryDirectory() as name, clip(hours * 3600 + 300) as file:
        folder = Path(name)
        settings = folder / "emopi.toml"
        settings.write_text(
            f'[source]\nname = "{file}"\n[gate]\ndetector = "none"\n[sinks.mqtt]\n'
            f'host = "127.0.0.1"\nport = {port}\nid = "endurance"\n'
            f'queue_file = "{folder / "queue"}"\n'
        )
        with contextlib.ExitStack() as first:
            first.enter_context(broker(folder, port))
            client = Subscriber(port)
            if not client.subscribed.wait(PATIENCE_S):
                raise click.ClickException("the broker has taken no subscriber")
            with listening("--fast", "--config", settings) as sensor:
                sensor.wait("decisions at the broker", lambda: len(client.heard) > 100)
                first.close()
                _broker_away(sensor, client, settings, round(hours * 7200))


def _broker_away(sensor: Listening, client: Subscriber, settings: Path, due: int) -> None:
    """From the broker's death on: it is back after so many decisions."""
    died = len(sensor.decisions)
    while sensor.process.poll() is None and len(sensor.decisions) < died + due:
        time.sleep(1)
    back = len(sensor.decisions)
    with broker(settings.parent, client.port):
        sensor.process.wait()
        say(sensor.said)
        made = [decision["time_s"] for decision in sensor.decisions]
        _flush(settings, client.heard, set(made))
    client.close()
    heard = set(client.heard)
    row("decisions", "while away", "received", "twice", "lost")
    row(len(made), back - died, len(heard), len(client.heard) - len(heard), len(set(made) - heard))


def _flush(settings: Path, heard: list[float], expected: set[float]) -> None:
    """Let the next start deliver what the end has left in the queue on disk."""
    with listening("--config", settings, "--model", "cnn-float32") as sensor:
        before, deadline = 0, time.monotonic() + PATIENCE_S
        while expected - set(heard) and time.monotonic() < deadline:
            if len(heard) > before:
                before, deadline = len(heard), time.monotonic() + PATIENCE_S
            time.sleep(0.5)
        say(sensor.said)


if __name__ == "__main__":
    endurance()
