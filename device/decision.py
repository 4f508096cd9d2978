"""From the probabilities of single windows to what the sensor says. Pure: no clock, no device."""

from __future__ import annotations

import dataclasses
import math
from collections import deque
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emopi.device.errors import SpecError
from emopi.device.frontend import Floats

NO_SPEECH = "no speech"
"""The label where there is too little speech to judge."""

UNSURE = "unsure"
"""The label where there is speech, but no emotion is likely enough to be said."""


@dataclasses.dataclass(frozen=True, slots=True)
class DecisionSettings:
    """When a decision is due and what it takes to say an emotion.

    Immutable; raises `SpecError` for a value out of range. Times are those of the sample clock.
    """

    hop_s: float = 0.5
    """Seconds from one decision to the next, 0.05 to 60."""
    window_s: float = 0.0
    """Seconds of audio that one decision looks at, 0.1 to the model's window; 0 for all of that."""
    memory_s: float = 3.0
    """Seconds of windows that are averaged, above 0."""
    min_confidence: float = 0.5
    """Probability below which the answer is "unsure", 0 to 1. At 0.5 three of four emotions that
    were said of strangers' voices were right; at 0 there always is an answer."""
    hysteresis: float = 0.1
    """How much likelier another emotion must be to take the place of the one that was said, and
    how far that may fall below min_confidence, 0 to 1."""
    hold_s: float = 1.0
    """Seconds for which an emotion that was said stays, as long as there is speech, 0 to 60."""

    def __post_init__(self) -> None:
        """Check every field against its range."""
        self._check("hop_s", 0.05, 60, " seconds")
        if self.window_s != 0:
            self._check("window_s", 0.1, 600, " seconds, or 0 for the model's")
        if not isinstance(self.memory_s, int | float) or not self.memory_s > 0:
            raise SpecError(f"memory_s is {self.memory_s!r}; expected a positive number of seconds")
        self._check("min_confidence", 0, 1)
        self._check("hysteresis", 0, 1)
        self._check("hold_s", 0, 60, " seconds")

    def _check(self, name: str, low: float, high: float, unit: str = "") -> None:
        value = getattr(self, name)
        if not isinstance(value, int | float) or not low <= value <= high:
            raise SpecError(f"{name} is {value!r}; expected {low:g} to {high:g}{unit}")


WHOLE_RECORDING = DecisionSettings(
    memory_s=math.inf, min_confidence=0.0, hysteresis=0.0, hold_s=0.0
)
"""One answer for all that was heard, and always one."""


@dataclasses.dataclass(frozen=True, slots=True)
class Decision:
    """What the sensor says at one moment."""

    time_s: float
    """End of the newest window on the sample clock: seconds of audio since the source began."""
    label: str
    """The emotion that is said, `UNSURE` or `NO_SPEECH`."""
    confidence: float
    """Probability of `label`, of the likeliest emotion where that is `UNSURE`; 0 where there is no
    speech."""
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
        return {  # dataclasses.asdict copies all that it holds
            "time_s": round(self.time_s, 3),
            "label": self.label,
            "confidence": round(self.confidence, 4),
            "probabilities": {k: round(p, 4) for k, p in self.probabilities.items()},
            "level_dbfs": round(self.level_dbfs, 1),
            "latency_ms": round(self.latency_ms, 2),
            "overflows": self.overflows,
            "model": self.model,
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
        mean = (weights / weights.sum()) @ np.array([p for _, _, p in self._windows])
        if math.isinf(self._memory_s):  # nothing will be forgotten: keep the sum alone
            self._windows = deque([(time_s, float(weights.sum()), mean)])
        return np.asarray(mean, np.float32)

    def reset(self) -> None:
        """Forget all windows."""
        self._windows.clear()


class Announcer:
    """Which emotion is said: a likely one, and not another one at every turn."""

    def __init__(self, settings: DecisionSettings) -> None:
        self._settings = settings
        self.reset()

    def reset(self) -> None:
        """Nothing has been said."""
        self._said: int | None = None
        self._since_s = 0.0

    def choose(self, time_s: float, probabilities: Floats) -> int | None:
        """Index of the emotion to say at `time_s`; None to be unsure."""
        best = int(np.argmax(probabilities))
        settings = self._settings
        if self._said is not None:
            now = float(probabilities[self._said])
            held = time_s - self._since_s < settings.hold_s
            beaten = best != self._said and probabilities[best] >= now + settings.hysteresis
            faded = now < settings.min_confidence - settings.hysteresis
            if held or not (beaten or faded):
                return self._said
        if probabilities[best] < settings.min_confidence:
            self._said = None
        else:
            self._said, self._since_s = best, time_s
        return self._said
