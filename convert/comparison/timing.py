"""How long models take: in one process, warm, on one thread, taking turns window by window."""

from __future__ import annotations

import dataclasses
import functools
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from emopi.convert.comparison import ROUNDS
from emopi.device.classifier import Classifier
from emopi.device.frontend import Floats, extract
from emopi.device.latency import Percentiles
from emopi.device.process import answers, serve
from emopi.device.progress import track
from emopi.device.sources.audio import read_clip
from emopi.train.evaluation.scores import RESAMPLES

WARM_UP = 10
"""Rounds before the first that counts."""
CLIPS = 16
"""Of which the windows are."""


@dataclasses.dataclass(frozen=True, slots=True)
class Times:
    """One time a round."""

    frontend_ms: tuple[float, ...]
    """From the samples of one whole window to its MFCCs."""
    model_ms: tuple[float, ...]
    """From MFCCs to probabilities: normalize, quantize, infer, softmax."""

    @property
    def total_ms(self) -> tuple[float, ...]:
        """Both together."""
        both = zip(self.frontend_ms, self.model_ms, strict=True)
        return tuple(frontend + model for frontend, model in both)


@dataclasses.dataclass(frozen=True)
class Timing:
    """What one model took; in every round each model had the same window."""

    passed: Times
    """By the clock on the wall: what a person waits for, whatever else the machine does."""
    computing: Times
    """CPU time: the same but on a busy machine, where it is less, and the fairer measure."""

    @functools.cached_property
    def stages(self) -> dict[str, Percentiles]:
        """Of the time that passed, by the names that `emopi bench` has."""
        return {name: Percentiles.of(times) for name, times in _stages(self.passed).items()}

    @functools.cached_property
    def cpu_ms(self) -> dict[str, float]:
        """Median CPU time of each stage."""
        return {name: float(np.median(ms)) for name, ms in _stages(self.computing).items()}

    def to_json(self) -> dict[str, dict[str, float]]:
        """Percentiles and `cpu_ms` by stage."""
        return {
            name: stage.to_json() | {"cpu_ms": round(self.cpu_ms[name], 3)}
            for name, stage in self.stages.items()
        }


def timings(models: Sequence[Path], clips: Sequence[Path], rounds: int = ROUNDS) -> list[Timing]:
    """One a model, over `rounds` windows of (up to `CLIPS`) of the clips."""
    step = -(-len(clips) // CLIPS)
    order = {
        "models": [str(model) for model in models],
        "clips": [str(clip) for clip in clips[::step]],
        "rounds": rounds,
    }
    found = track(answers(__name__, order), rounds, "latency, models taking turns")
    by_model = list(zip(*found, strict=True))
    return [_timing(list(zip(*times, strict=True))) for times in by_model]


def ratio_of_medians(
    b_ms: Sequence[float], a_ms: Sequence[float], *, share: float = 0.95
) -> tuple[float, tuple[float, float]]:
    """Median of b over median of a, and its bootstrap interval (percentile) over rounds."""
    a, b = np.array(a_ms), np.array(b_ms)
    drawn = np.random.default_rng(0).integers(len(a), size=(RESAMPLES, len(a)))
    ratios = np.median(b[drawn], axis=1) / np.median(a[drawn], axis=1)
    low, high = np.quantile(ratios, [(1 - share) / 2, (1 + share) / 2])
    return float(np.median(b) / np.median(a)), (float(low), float(high))


def _stages(times: Times) -> dict[str, tuple[float, ...]]:
    return {"frontend": times.frontend_ms, "model": times.model_ms, "total": times.total_ms}


def _timing(columns: Sequence[tuple[float, ...]]) -> Timing:
    frontend_ms, model_ms, frontend_cpu_ms, model_cpu_ms = columns
    return Timing(Times(frontend_ms, model_ms), Times(frontend_cpu_ms, model_cpu_ms))


def _measure(order: dict[str, Any]) -> Iterator[list[Sequence[float]]]:
    """In the fresh process: a round at a time, what `_time` gives of each model."""
    classifiers = [Classifier(model) for model in order["models"]]
    for number in range(-WARM_UP, order["rounds"]):
        clip = Path(order["clips"][number % len(order["clips"])])
        times: list[Sequence[float]] = [()] * len(classifiers)
        for turn in range(len(classifiers)):
            place = (turn + number) % len(classifiers)  # each is first as often as the others
            times[place] = _time(classifiers[place], clip)
        if number >= 0:
            yield times


def _time(classifier: Classifier, clip: Path) -> Sequence[float]:
    """Milliseconds: front end and model by the clock, then the same in CPU time."""
    contract = classifier.contract
    samples = _window(clip, contract.frontend.sample_rate_hz,
                      contract.frontend.samples_in(contract.window_frames))  # fmt: skip
    started = time.perf_counter_ns(), time.process_time_ns()
    frames = extract(samples, contract.frontend)
    extracted = time.perf_counter_ns(), time.process_time_ns()
    classifier.probabilities(frames)
    answered = time.perf_counter_ns(), time.process_time_ns()
    moments = np.array([started, extracted, answered])
    milliseconds: list[float] = (np.diff(moments, axis=0).T.ravel() / 1e6).tolist()
    return milliseconds


@functools.lru_cache(maxsize=4 * CLIPS)
def _window(clip: Path, rate_hz: int, n_samples: int) -> Floats:
    """The middle of a clip, repeated where it is too short."""
    samples = read_clip(clip, rate_hz)
    start = max(0, len(samples) - n_samples) // 2
    return np.resize(samples[start:], n_samples)


if __name__ == "__main__":
    sys.exit(serve(_measure))
