"""What `emopi bench` measures in a fresh process: one model in the pipeline of `emopi listen`.

    load -> the first decision -> `WARM_UP` more that do not count -> slices of decisions

In place of a microphone it hears the bundled recording, over and over, in a microphone's blocks.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from emopi.device.board import board_state, resident_mb
from emopi.device.classifier import Classifier, find_interpreter
from emopi.device.decision import DecisionSettings
from emopi.device.frontend import FrontendSpec
from emopi.device.gate import Detector, GateSettings
from emopi.device.model_files import shipped
from emopi.device.pipeline import Pipeline
from emopi.device.process import serve
from emopi.device.sources.audio import ArraySource, AudioBlock, read_clip
from emopi.device.sources.capture import BLOCK_S
from emopi.device.spectrum import rfft

WARM_UP = 5
"""Decisions after the first, before those that count."""
MOST_SLICES = 120
"""Of a run of some time; none is shorter than a second."""
REPEATS = 30
"""Of the arithmetic that is timed alone."""

Hop = tuple[float, float]
"""Milliseconds that passed, and milliseconds of CPU time of all threads."""


@dataclasses.dataclass(frozen=True, slots=True)
class Order:
    """What a process is to do."""

    model: str
    """Path of a model file."""
    hop_s: float = 0.5
    detector: Detector = "auto"
    threads: int = 1
    """Of the interpreter."""
    decisions: int = 60
    """In one slice, where no time is given."""
    seconds: float = 0.0
    """For how long to decide, slice by slice; 0 for one slice of `decisions`."""
    paced: bool = False
    """At the pace of a microphone, idle between; else one decision right after the other."""

    @property
    def slices(self) -> int:
        """How many there will be, or less where a decision takes longer than a slice."""
        return max(1, min(MOST_SLICES, math.ceil(self.seconds)))


class Stopwatch:
    """Adds up the time that is spent in chosen methods, by stage."""

    def __init__(self) -> None:
        self._taken_ns: dict[str, int] = {}

    def watch(self, stage: str, owner: Any, method: str) -> None:
        """From now on measure that method of that object."""
        self._taken_ns[stage] = 0
        setattr(owner, method, self._timed(stage, getattr(owner, method)))

    def take_ms(self) -> dict[str, float]:
        """Milliseconds of each stage since the last call."""
        taken = {stage: ns / 1e6 for stage, ns in self._taken_ns.items()}
        self._taken_ns = dict.fromkeys(taken, 0)
        return taken

    def _timed(self, stage: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*arguments: Any) -> Any:
            started_ns = time.perf_counter_ns()
            try:
                return call(*arguments)
            finally:
                self._taken_ns[stage] += time.perf_counter_ns() - started_ns

        return timed


def endless_speech(rate_hz: int) -> Iterator[AudioBlock]:
    """The bundled recording over and over in blocks of `BLOCK_S`."""
    speech = read_clip(shipped("example.wav"), rate_hz)
    source = ArraySource(speech, rate_hz, block_samples=round(BLOCK_S * rate_hz))
    return itertools.cycle(source.blocks())


def at_pace(blocks: Iterable[AudioBlock]) -> Iterator[AudioBlock]:
    """Each block when a microphone would have recorded it."""
    started_s = time.monotonic()
    for number, block in enumerate(blocks, start=1):
        time.sleep(max(0.0, started_s + number * BLOCK_S - time.monotonic()))
        yield block


def hops(pipeline: Pipeline, blocks: Iterable[AudioBlock]) -> Iterator[Hop]:
    """What each decision took, all blocks since the one before included.

    The first has a whole window to take in, those after it a hop.
    """
    passed_ns = cpu_ns = 0
    for block in blocks:
        # the kernel's clock of CPU time outside, as asking it is a chance for others to run
        cpu_started_ns, started_ns = time.process_time_ns(), time.perf_counter_ns()
        decided = list(pipeline.push(block))
        passed_ns += time.perf_counter_ns() - started_ns
        cpu_ns += time.process_time_ns() - cpu_started_ns
        if decided:
            yield passed_ns / 1e6, cpu_ns / 1e6
            passed_ns = cpu_ns = 0


def arithmetic(spec: FrontendSpec, hop_s: float) -> Callable[[], object]:
    """A call that does what no front end in NumPy can do without, for the frames of a hop.

    It is their real FFTs and their product with the mel filters, each at once for all frames, in
    memory that is there already.
    """
    n_frames = max(1, round(hop_s * spec.sample_rate_hz / spec.hop_samples))
    n_bins = spec.n_fft // 2 + 1
    frames = np.ones((n_frames, spec.n_fft), np.float32)
    spectrum = np.empty((n_frames, n_bins), np.complex64)
    power = np.ones((n_frames, n_bins), np.float32)
    filters = np.ones((n_bins, spec.n_mels), np.float32)
    return lambda: (rfft(frames, spectrum), power @ filters)


def arithmetic_ms(spec: FrontendSpec, hop_s: float) -> float:
    """Median time of `arithmetic`."""
    action = arithmetic(spec, hop_s)
    taken_ms = []
    for _ in range(REPEATS):
        started_ns = time.perf_counter_ns()
        action()
        taken_ms.append((time.perf_counter_ns() - started_ns) / 1e6)
    return statistics.median(taken_ms)


def measure(fields: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """For an order as JSON: what starting took, then every slice, as soon as it is done."""
    order = Order(**fields)
    find_interpreter()  # imported before, as in a program that runs for long
    started_s = time.perf_counter()
    classifier = Classifier(order.model, threads=order.threads)
    load_ms = 1000 * (time.perf_counter() - started_s)
    always = GateSettings(detector=order.detector, level_dbfs=-200.0, speech_s=0.0)
    pipeline = Pipeline(classifier, DecisionSettings(hop_s=order.hop_s), gate=always)
    watch = Stopwatch()
    detector = _watch_stages(watch, pipeline)
    blocks = endless_speech(pipeline.sample_rate_hz)
    (first_ms, _), *_ = itertools.islice(_by_stage(pipeline, watch, blocks), 1 + WARM_UP)
    spec = classifier.contract.frontend
    yield {
        "load_ms": load_ms,
        "detector": detector,
        "first_ms": first_ms,
        "arithmetic_ms": arithmetic_ms(spec, order.hop_s),
    }
    blocks = at_pace(blocks) if order.paced else blocks
    yield from _slices(_by_stage(pipeline, watch, blocks), order)


def _watch_stages(watch: Stopwatch, pipeline: Pipeline) -> str:
    """Measure the pipeline's stages; return the name of its speech detector, or "none"."""
    classifier, gate = pipeline._classifier, pipeline._gate
    watch.watch("frontend", pipeline._frontend, "push")
    watch.watch("model", classifier, "probabilities")
    watch.watch("interpreter", classifier._interpreter, "invoke")
    if not (detector := gate._detector):
        return "none"
    watch.watch("detector", gate, "push")
    watch.watch("speech", detector, "speech")
    return type(detector).__name__


def _by_stage(
    pipeline: Pipeline, watch: Stopwatch, blocks: Iterable[AudioBlock]
) -> Iterator[tuple[dict[str, float], float]]:
    """Of each decision the milliseconds by stage, and its CPU time."""
    for passed_ms, cpu_ms in hops(pipeline, blocks):
        yield watch.take_ms() | {"total": passed_ms}, cpu_ms


def _slices(
    taken: Iterator[tuple[dict[str, float], float]], order: Order
) -> Iterator[dict[str, Any]]:
    if not order.seconds:
        yield _slice(itertools.islice(taken, order.decisions))
        return
    end_s = time.monotonic() + order.seconds
    while (now_s := time.monotonic()) < end_s:
        yield _slice(_until(min(end_s, now_s + order.seconds / order.slices), taken))


def _until(end_s: float, items: Iterator[Any]) -> Iterator[Any]:
    """The items up to that time, at least one."""
    for item in items:
        yield item
        if time.monotonic() >= end_s:
            return


def _slice(taken: Iterable[tuple[dict[str, float], float]]) -> dict[str, Any]:
    """All the decisions' times, and the machine right after them."""
    started_s = time.monotonic()
    passed_ms, cpu_ms = zip(*taken, strict=True)
    return {
        "seconds": time.monotonic() - started_s,
        "passed_ms": {stage: [round(ms[stage], 4) for ms in passed_ms] for stage in passed_ms[0]},
        "cpu_ms": [round(ms, 4) for ms in cpu_ms],
        "board": board_state().to_json(),
        "rss_mb": resident_mb()[0],
    }


if __name__ == "__main__":
    sys.exit(serve(measure))
