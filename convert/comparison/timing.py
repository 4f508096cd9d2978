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
from emopi.convert.comparison.process import answers, serve
from emopi.device.audio import read_clip
from emopi.device.classifier import Classifier
from emopi.device.frontend import Floats, extract
from emopi.device.latency import Percentiles
from emopi.train.progress import track
from emopi.train.scores import RESAMPLES

WARM_UP = 10
"""Rounds before the first that counts."""
CLIPS = 16
"""Of which the windows are."""


@dataclasses.dataclass(frozen=True)
class Timing:
    """One time a round; in every round each model had the same window."""

    frontend_ms: tuple[float, ...]
    """From the samples of one whole window to its MFCCs."""
    model_ms: tuple[float, ...]
    """From MFCCs to probabilities: normalize, quantize, infer, softmax."""

    @property
    def total_ms(self) -> tuple[float, ...]:
        """Both together."""
        both = zip(self.frontend_ms, self.model_ms, strict=True)
        return tuple(frontend + model for frontend, model in both)

    @functools.cached_property
    def stages(self) -> dict[str, Percentiles]:
        """By the names that `emopi bench` has: frontend, model, total."""
        return {
            "frontend": Percentiles.of(self.frontend_ms),
            "model": Percentiles.of(self.model_ms),
            "total": Percentiles.of(self.total_ms),
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
    return [Timing(*map(tuple, zip(*times, strict=True))) for times in by_model]


def ratio_of_medians(
    b_ms: Sequence[float], a_ms: Sequence[float], *, share: float = 0.95
) -> tuple[float, tuple[float, float]]:
    """Median of b over median of a, and its bootstrap interval (percentile) over rounds."""
    a, b = np.array(a_ms), np.array(b_ms)
    drawn = np.random.default_rng(0).integers(len(a), size=(RESAMPLES, len(a)))
    ratios = np.median(b[drawn], axis=1) / np.median(a[drawn], axis=1)
    low, high = np.quantile(ratios, [(1 - share) / 2, (1 + share) / 2])
    return float(np.median(b) / np.median(a)), (float(low), float(high))


def _measure(order: dict[str, Any]) -> Iterator[list[tuple[float, float]]]:
    """In the fresh process: a round at a time, (front end, model) in milliseconds each model."""
    classifiers = [Classifier(model) for model in order["models"]]
    for number in range(-WARM_UP, order["rounds"]):
        clip = Path(order["clips"][number % len(order["clips"])])
        times = [(0.0, 0.0)] * len(classifiers)
        for turn in range(len(classifiers)):
            place = (turn + number) % len(classifiers)  # each is first as often as the others
            times[place] = _time(classifiers[place], clip)
        if number >= 0:
            yield times


def _time(classifier: Classifier, clip: Path) -> tuple[float, float]:
    contract = classifier.contract
    samples = _window(clip, contract.frontend.sample_rate_hz,
                      contract.frontend.samples_in(contract.window_frames))  # fmt: skip
    started_s = time.perf_counter()
    frames = extract(samples, contract.frontend)
    extracted_s = time.perf_counter()
    classifier.probabilities(frames)
    answered_s = time.perf_counter()
    return 1000 * (extracted_s - started_s), 1000 * (answered_s - extracted_s)


@functools.lru_cache(maxsize=4 * CLIPS)
def _window(clip: Path, rate_hz: int, n_samples: int) -> Floats:
    """The middle of a clip, repeated where it is too short."""
    samples = read_clip(clip, rate_hz)
    start = max(0, len(samples) - n_samples) // 2
    return np.resize(samples[start:], n_samples)


if __name__ == "__main__":
    sys.exit(serve(_measure))
