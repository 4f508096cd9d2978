"""How fast models are on this machine: what `emopi bench` measures, and what it comes to.

Each model is measured in fresh processes of its own, in turn with the others, so that loading and
memory owe nothing to what ran before, and a busy moment does not fall on one model alone. How far
the processes differ is how far a figure can be trusted.
"""

from __future__ import annotations

import dataclasses
import functools
import statistics
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emopi.device.bench.run import Order
from emopi.device.board import BoardState
from emopi.device.board_span import was_throttled
from emopi.device.contract import Contract
from emopi.device.decision import DecisionSettings
from emopi.device.errors import SpecError
from emopi.device.gate import Detector, GateSettings
from emopi.device.latency import Percentiles

STAGES = {
    "frontend": "front end",
    "detector": "speech detector",
    "model": "network",
    "total": "whole hop",
}
"""What is told of a decision, in the order of the signal, and what a person calls it."""


MOST_RUNS = 20
"""Of a model; with so many, any difference shows."""
CROWDED = 0.2
"""Share of the time that others took of a single thread, from which on a machine is busy."""


@dataclasses.dataclass(frozen=True, slots=True)
class BenchSettings:
    """How to measure. Immutable; raises `SpecError` for a value out of range."""

    hop_s: float = 0.5
    """Seconds from one decision to the next, 0.05 to 60."""
    detector: Detector = "auto"
    """As in `GateSettings`."""
    threads: int = 1
    """Of the interpreter, 1 to 64."""
    runs: int = 5
    """Fresh processes for each model, 1 to 20."""
    decisions: int = 60
    """That count in each of them, 1 to 100000."""
    paced_s: float = 10.0
    """For how long each model then decides at the pace of a microphone, 0 to 86400 seconds."""
    minutes: float = 0.0
    """For how long each model then decides without a break, 0 to 1440."""

    def __post_init__(self) -> None:
        """Check every field against its range."""
        DecisionSettings(hop_s=self.hop_s)
        GateSettings(detector=self.detector)
        limits = {
            "threads": (1, 64),
            "runs": (1, MOST_RUNS),
            "decisions": (1, 100_000),
            "paced_s": (0, 86_400),
            "minutes": (0, 1440),
        }
        for name, (low, high) in limits.items():
            if not low <= (value := getattr(self, name)) <= high:
                raise SpecError(f"{name} is {value}; expected {low} to {high}")

    def order(self, model: Path) -> Order:
        """What one process is to do, of several."""
        return Order(str(model), self.hop_s, self.detector, self.threads, self.decisions)


@dataclasses.dataclass(frozen=True, eq=False, slots=True)
class Slice:
    """Decisions, one after the other, and the machine right after them."""

    seconds: float
    passed_ms: dict[str, NDArray[np.float32]]
    """One time a decision for each of `STAGES` that there is, and for "interpreter" and "speech",
    the innermost part of "model" and "detector"."""
    cpu_ms: NDArray[np.float32]
    """CPU time of each whole decision, of all threads."""
    board: BoardState
    rss_mb: float
    """MiB that the process holds, all of it: Python, libraries, recording, model."""

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Slice:
        """What `bench_run.measure` told of a slice."""
        passed_ms = {stage: np.array(ms, np.float32) for stage, ms in fields["passed_ms"].items()}
        return cls(
            fields["seconds"], passed_ms, np.array(fields["cpu_ms"], np.float32),
            BoardState.from_json(fields["board"]), fields["rss_mb"],
        )  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Run:
    """One fresh process, or several of them together, slice after slice."""

    load_ms: float
    """From the path to a model that is ready, its file in the system's cache."""
    detector: str
    """Which was used, "none" if none was."""
    first_ms: Mapping[str, float]
    """Of the first decision, as `Slice.passed_ms`; it has a whole window to take in."""
    arithmetic_ms: float
    """Of FFT and mel product alone, of the frames of a hop."""
    slices: tuple[Slice, ...]

    @functools.cached_property
    def passed_ms(self) -> dict[str, NDArray[np.float32]]:
        """Of all slices."""
        every = [one.passed_ms for one in self.slices]
        return {stage: np.concatenate([ms[stage] for ms in every]) for stage in every[0]}

    @functools.cached_property
    def stages(self) -> dict[str, Percentiles]:
        """Of the warm decisions, by the stages that there are."""
        return {
            stage: Percentiles.of(self.passed_ms[stage].tolist())
            for stage in STAGES if stage in self.passed_ms
        }  # fmt: skip

    @functools.cached_property
    def cpu_ms(self) -> float:
        """CPU time of a whole decision, mean."""
        return float(np.concatenate([one.cpu_ms for one in self.slices]).mean())

    @property
    def total_ms(self) -> float:
        """Time of a whole decision, mean."""
        return float(self.passed_ms["total"].mean())

    @property
    def rss_mb(self) -> float:
        """At the end."""
        return self.slices[-1].rss_mb

    @property
    def python_share(self) -> float:
        """Share of a decision that is neither FFT, mel product, interpreter nor detector's network.

        Between 0 and 1, of medians.
        """
        passed = self.passed_ms
        left_ms = np.median(passed["total"] - passed["interpreter"] - passed.get("speech", 0))
        return max(0.0, float((left_ms - self.arithmetic_ms) / np.median(passed["total"])))

    def late(self, hop_s: float) -> int:
        """How many decisions took longer than there is until the next."""
        return int(np.count_nonzero(self.passed_ms["total"] > 1000 * hop_s))

    def to_json(self) -> dict[str, float]:
        """Medians and memory, by which runs are set against those of another day."""
        medians = {f"{stage}_ms": found.p50_ms for stage, found in self.stages.items()}
        figures = {"load_ms": self.load_ms, **medians, "rss_mb": self.rss_mb}
        return {name: round(value, 4) for name, value in figures.items()}


def together(runs: Sequence[Run]) -> Run:
    """All decisions of one or more runs; of what each has but one, the median."""
    return dataclasses.replace(
        runs[0],
        load_ms=statistics.median(run.load_ms for run in runs),
        first_ms={
            stage: statistics.median(run.first_ms[stage] for run in runs)
            for stage in runs[0].first_ms
        },
        arithmetic_ms=statistics.median(run.arithmetic_ms for run in runs),
        slices=tuple(one for run in runs for one in run.slices),
    )


@dataclasses.dataclass
class Measured:
    """One model, as far as it has been measured."""

    name: str
    contract: Contract
    n_bytes: int
    """Of the file."""
    runs: list[Run] = dataclasses.field(default_factory=list)
    """One decision right after the other, a fresh process each."""
    paced: Run | None = None
    """At the pace of a microphone, idle between decisions: with colder caches, a lower clock."""
    sustained: Run | None = None
    """One decision right after the other for a long time."""

    @property
    def every_run(self) -> Run:
        """The short runs together; there must be one."""
        return together(self.runs)

    def slices(self) -> Iterator[Slice]:
        """All that there are."""
        for run in filter(None, (*self.runs, self.paced, self.sustained)):
            yield from run.slices


@dataclasses.dataclass
class Bench:
    """All models on one machine."""

    settings: BenchSettings
    time: str
    """When it began, UTC, in ISO 8601."""
    machine: dict[str, str]
    """Of which the figures are, for a person to read; `name`, `python` and others."""
    models: list[Measured]
    before: BoardState
    after: BoardState
    interrupted: bool = False
    """Whether there was to be more."""

    @property
    def during(self) -> list[BoardState]:
        """The machine after each slice of decisions."""
        return [one.board for model in self.models for one in model.slices()]

    @property
    def throttled(self) -> bool | None:
        """Whether the machine was held back meanwhile; None if it does not tell."""
        return was_throttled(self.before, self.during, self.after)

    @property
    def busy(self) -> bool:
        """Whether other programs wanted so much of the machine that what passed is too long."""
        crowded = self.settings.threads == 1 and self.taken_by_others > CROWDED
        return crowded or self.before.busy or self.after.busy

    @property
    def disturbed(self) -> bool:
        """Whether times depend on more than this program and this machine."""
        return bool(self.throttled) or self.busy

    @property
    def taken_by_others(self) -> float:
        """Share of the time of all decisions in which this program did not compute; of one thread.

        It is never below 0.
        """
        slices = [one for model in self.models for one in model.slices()]
        passed_ms = sum(float(one.passed_ms["total"].sum()) for one in slices)
        return max(0.0, 1 - sum(float(one.cpu_ms.sum()) for one in slices) / passed_ms)
