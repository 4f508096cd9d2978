"""A day of audio, in this process."""

from __future__ import annotations

import dataclasses
import itertools
import os
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from benchmarks.endurance.listening import HOP_S, PATIENCE_S, RATE_HZ, row, say, some_speech
from emopi.device.board import resident_mb
from emopi.device.classifier import Classifier
from emopi.device.config.settings import SINKS, Settings, part_class
from emopi.device.gate import GateSettings
from emopi.device.model_files import resolve_model
from emopi.device.pipeline import Pipeline
from emopi.device.recording import Recording
from emopi.device.sensor import Sensor
from emopi.device.signals import Signals
from emopi.device.sinks import Sink
from emopi.device.sinks.group import Sinks
from emopi.device.sinks.jsonlines import JsonLines
from emopi.device.sinks.registry import make_sinks
from emopi.device.sources.audio import AudioBlock, AudioSource
from emopi.device.sources.notice import Tell
from emopi.device.watchdog import Manager, Watchdog

FILES = ("log", "history")
NOTED_H = (0.0, 0.1, 1.0, 2.0, 3.0, 6.0, 12.0)


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


@click.command()
@click.option("--hours", default=24.0, show_default=True)
@click.option("--detector", default="auto", show_default=True)
def day(hours: float, detector: str) -> None:
    """A day of audio, faster than it sounds: do memory, threads or open files grow?"""
    GateSettings(detector=detector)  # type: ignore[arg-type]
    notes: dict[float, State | None] = dict.fromkeys([*NOTED_H, hours - 0.01])
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
