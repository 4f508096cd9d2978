"""From a window of MFCCs to what a network takes in: level made relative, coefficients scaled."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

import numpy as np

from emopi.device.errors import SpecError
from emopi.device.frontend import Floats, FrontendSpec, checked_fields, extract


@dataclasses.dataclass(frozen=True, slots=True)
class Normalization:
    """Mean and standard deviation of each coefficient, from training clips only.

    c0, the only coefficient that a gain moves, is first taken relative to the window's loudest
    frame, so that the microphone's gain does not matter.
    """

    mean: tuple[float, ...]
    """One a coefficient, of the values after c0 was made relative."""
    std: tuple[float, ...]
    """Likewise; positive."""
    c0_range: float
    """Frames whose c0 lies further than this below the loudest frame's count as that quiet."""

    def __post_init__(self) -> None:
        """Check lengths and ranges; raise `SpecError` where they are off."""
        object.__setattr__(self, "mean", tuple(self.mean))
        object.__setattr__(self, "std", tuple(self.std))
        if len(self.mean) != len(self.std):
            raise SpecError(f"{len(self.mean)} means but {len(self.std)} standard deviations")
        if not all(isinstance(m, float) and np.isfinite(m) for m in self.mean):
            raise SpecError("a mean is not a finite number")
        if not all(isinstance(s, float) and 0 < s < np.inf for s in self.std):
            raise SpecError("a standard deviation is not a positive, finite number")
        if not isinstance(self.c0_range, float) or not 0 < self.c0_range < 1e4:
            raise SpecError(f"c0_range is {self.c0_range!r}; expected above 0, below 10000")

    def to_json(self) -> dict[str, Any]:
        """The fields by name, of JSON types."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Normalization:
        """The normalization that `to_json` described; `SpecError` if it is not one."""
        return cls(**checked_fields(cls, fields))

    def apply(self, window: Floats) -> Floats:
        """A normalized copy of one window of MFCCs, or of a batch: (..., frames, n_mfcc)."""
        relative = relative_level(window, self.c0_range)
        mean, std = _scale(self, window.shape[-2])
        relative -= mean
        relative /= std
        return relative


@functools.lru_cache(maxsize=8)
def _scale(normalization: Normalization, n_frames: int) -> Floats:
    """(2, n_frames, n_mfcc): mean and deviation, once a frame, which NumPy computes faster with."""
    scale = np.array([normalization.mean, normalization.std], np.float32)
    return np.repeat(scale[:, None], n_frames, axis=1)


def c0_range(range_db: float, spec: FrontendSpec) -> float:
    """How far c0 falls when every mel band falls by `range_db`.

    c0 of the orthonormal DCT-II is the mean of the bands' natural logarithms times sqrt(n_mels).
    """
    return float(range_db * np.log(10) / 10 * np.sqrt(spec.n_mels))


def relative_level(window: Floats, c0_range: float) -> Floats:
    """A copy of (..., frames, n_mfcc) with c0 relative to the loudest frame's: -c0_range to 0."""
    relative = window.copy()
    c0 = relative[..., 0]
    c0 -= c0.max(axis=-1, keepdims=True)
    np.maximum(c0, np.float32(-c0_range), out=c0)
    return relative


def silence(n_frames: int, spec: FrontendSpec) -> Floats:
    """(n_frames, n_mfcc): the features of digital silence."""
    return np.repeat(_silent_frame(spec), n_frames, axis=0)


@functools.lru_cache(maxsize=8)
def _silent_frame(spec: FrontendSpec) -> Floats:
    return extract(np.zeros(spec.frame_samples, np.float32), spec)


def fit_window(frames: Floats, n_frames: int, spec: FrontendSpec) -> Floats:
    """A clip shorter than the window, in its middle, with silence on both sides."""
    missing = n_frames - len(frames)
    before = missing // 2
    return np.concatenate([silence(before, spec), frames, silence(missing - before, spec)])
