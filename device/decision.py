"""From the probabilities of single windows to what the sensor says. Pure: no clock, no device."""

from __future__ import annotations

import dataclasses
import math
from collections import deque
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emopi.device.frontend import Floats

NO_SPEECH = "no speech"
"""The label of a window in which nothing is loud enough to be speech."""


@dataclasses.dataclass(frozen=True, slots=True)
class Decision:
    """What the sensor says at one moment."""

    time_s: float
    """End of the newest window on the sample clock: seconds of audio since the source began."""
    label: str
    """The likeliest emotion, or `NO_SPEECH`."""
    confidence: float
    """Probability of `label`, 0 to 1; 0 where there is no speech."""
    probabilities: dict[str, float]
    """One an emotion, in the model's order; all 0 where there is no speech."""
    level_dbfs: float
    """Of the newest half second (the hop): RMS without DC, a full-scale square wave being 0."""
    latency_ms: float
    """Computing time from the window's last samples to this decision."""
    overflows: int
    """How often the source has lost samples since it began."""
    model: str
    """`Contract.model_id`."""

    def to_json(self) -> dict[str, Any]:
        """The fields by name, rounded to what they are worth."""
        return dataclasses.asdict(self) | {
            "time_s": round(self.time_s, 3),
            "confidence": round(self.confidence, 4),
            "probabilities": {k: round(p, 4) for k, p in self.probabilities.items()},
            "level_dbfs": round(self.level_dbfs, 1),
            "latency_ms": round(self.latency_ms, 2),
        }


class Smoother:
    """Mean of the windows of the last `memory_s` seconds, each weighted with its power.

    Windows that catch only a word's tail count little, so the answer holds through a pause.
    """

    def __init__(self, memory_s: float) -> None:
        self._memory_s = memory_s
        self._windows: deque[tuple[float, float, NDArray[np.floating[Any]]]] = deque()

    def push(self, time_s: float, power: float, probabilities: Floats) -> Floats:
        """Take in the window that ends at `time_s`; return the (labels,) mean, which sums to 1."""
        self._windows.append((time_s, max(power, 1e-20), probabilities))
        while self._windows[0][0] <= time_s - self._memory_s:
            self._windows.popleft()
        weights = np.array([power for _, power, _ in self._windows])
        mean = (weights / weights.sum()) @ np.stack([p for _, _, p in self._windows])
        if math.isinf(self._memory_s):  # nothing will be forgotten: keep the sum alone
            self._windows = deque([(time_s, float(weights.sum()), mean)])
        return np.asarray(mean, np.float32)

    def reset(self) -> None:
        """Forget all windows."""
        self._windows.clear()
