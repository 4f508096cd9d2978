"""Times of several things that do the same work, taken so that they can be set against each other.

Every round does each thing once, so that a busy moment of the machine falls on all of them, and
ratios are those of one round. Each is done twice in a row and the second time counts: what ran
before it has left the caches to it.
"""

from __future__ import annotations

import dataclasses
import gc
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

MOST_S, LEAST = 120.0, 10
"""Seconds after which no round begins, once there were so many: a busy machine has no end."""

Call = Callable[[int], object]
"""Does its work; takes the number of the round, from which it chooses its input."""


@dataclasses.dataclass(frozen=True, slots=True)
class Spread:
    """What many times, or ratios, come down to."""

    median: float
    low: float
    """The 10th percentile."""
    high: float
    """The 90th percentile."""
    best: float
    n: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Of one or more values."""
        low, median, high = np.percentile(values, (10, 50, 90)).tolist()
        return cls(median, low, high, float(min(values)), len(values))

    def to_json(self) -> dict[str, Any]:
        """The fields by name, to four significant digits."""
        return {name: _four(value) for name, value in dataclasses.asdict(self).items()}


def _four(value: float) -> float:
    return value if isinstance(value, int) else float(f"{value:.4g}")


def interleaved(calls: Mapping[str, Call], rounds: int) -> dict[str, list[float]]:
    """Milliseconds of each call in every round; who begins changes from round to round.

    A round before the first does not count; after `MOST_S` there are fewer than asked for. The
    garbage collector waits meanwhile.
    """
    names = list(calls)
    taken: dict[str, list[float]] = {name: [] for name in names}
    for name in names:
        calls[name](0)
    gc.collect()
    gc.disable()
    try:
        until_s = time.monotonic() + MOST_S
        for number in range(rounds):
            if number >= LEAST and time.monotonic() > until_s:
                break
            first = number % len(names)
            for name in names[first:] + names[:first]:
                calls[name](number)
                started_ns = time.perf_counter_ns()
                calls[name](number)
                taken[name].append((time.perf_counter_ns() - started_ns) / 1e6)
    finally:
        gc.enable()
    return taken


def ratio(times: Sequence[float], to: Sequence[float]) -> Spread:
    """Of the times of one thing to those of another, round by round."""
    return Spread.of([one / other for one, other in zip(times, to, strict=True)])
