"""What a few seconds of raw sound say of a microphone: level, noise, clipping, offset. Pure."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emopi.device.frontend import Floats

FRAME_S = 0.05
NOISE_PERCENTILE = 10
"""Of the frames' levels: the quiet between words."""

FULL_SCALE = 0.999
"""A sample beyond is at the converter's limit."""

QUIET_DBFS = -200.0
"""Said of digital silence, whose level has no logarithm."""


@dataclasses.dataclass(frozen=True, slots=True)
class ChannelReport:
    """One channel; levels without DC, a full-scale square wave being 0 dBFS."""

    level_dbfs: float
    """RMS of it all."""
    peak_dbfs: float
    """Of the loudest sample, DC included."""
    noise_dbfs: float
    """RMS of the quiet frames: noise floor, or speech without a pause."""
    clipped: float
    """Share of samples at full scale, 0 to 1."""
    dc: float
    """Mean, full scale ±1."""
    dead: bool
    """All samples are the same."""

    @classmethod
    def of(cls, samples: Floats, rate_hz: int) -> ChannelReport:
        """The report on (n,) samples, full scale ±1, of at least one frame of `FRAME_S`."""
        mean = float(samples.mean(dtype=np.float64))
        frame = max(1, round(FRAME_S * rate_hz))
        frames = samples[: len(samples) // frame * frame].reshape(-1, frame)
        return cls(
            level_dbfs=_dbfs(samples.var(dtype=np.float64)),
            peak_dbfs=_dbfs(np.square(np.abs(samples).max(), dtype=np.float64)),
            noise_dbfs=_dbfs(np.percentile(frames.var(axis=1, dtype=np.float64), NOISE_PERCENTILE)),
            clipped=float(np.mean(np.abs(samples) >= FULL_SCALE)),
            dc=mean,
            dead=bool((samples == samples[0]).all()),
        )

    def to_json(self) -> dict[str, Any]:
        """The fields by name, rounded to what they are worth."""
        return {
            "level_dbfs": round(self.level_dbfs, 1),
            "peak_dbfs": round(self.peak_dbfs, 1),
            "noise_dbfs": round(self.noise_dbfs, 1),
            "clipped": round(self.clipped, 6),
            "dc": round(self.dc, 6),
            "dead": self.dead,
        }


def in_low_bits(samples: Floats) -> bool:
    """Whether int32 words hold 24-bit samples in their low bits, by all that can be seen.

    `samples` is what `decode` made of them without `low_bits`. Certain where the sign is cut off;
    else words that never use the high byte while a true 24-bit converter leaves the low one
    empty. Very quiet sound that was computed in 32 bits looks the same.
    """
    words = samples.astype(np.float64) * 2.0**31
    used = np.abs(words).max(initial=0)
    if used >= 2**24 or not (words % 256).any():
        return False
    unsigned = words.min() >= 0 and used >= 2**23
    return bool(unsigned or used < 2**23)


def _dbfs(power: NDArray[np.float64] | np.floating[Any] | float) -> float:
    return 10 * math.log10(float(power)) if power > 0 else QUIET_DBFS
