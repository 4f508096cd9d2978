"""What a list of measured times comes down to."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np


@dataclasses.dataclass(frozen=True, slots=True)
class Percentiles:
    """Of the times of one stage, in milliseconds."""

    p50_ms: float
    p90_ms: float
    p95_ms: float
    p99_ms: float
    max_ms: float

    @classmethod
    def of(cls, times_ms: Sequence[float]) -> Percentiles:
        """The percentiles (linear interpolation) of one or more times."""
        return cls(*np.percentile(times_ms, (50, 90, 95, 99, 100)).tolist())

    def to_json(self) -> dict[str, float]:
        """The fields by name, to a microsecond."""
        return {name: round(value, 3) for name, value in dataclasses.asdict(self).items()}
