"""Decisions of one contender, in a process of its own: see `decision.py`.

python -m benchmarks.suite.decision_run ORDER
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.suite.contenders import CONTENDERS, RATE_HZ
from benchmarks.suite.memory import memory, peak_mb
from emopi.device.frontend import Floats
from emopi.device.process import serve

HOP_S = 0.5
WARM_UP = 8
"""Half seconds that do not count: a window has to fill first."""

MOST_S, LEAST = 10.0, 20
"""Seconds after which a slow contender stops, and its least decisions."""


def run(fields: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """One object: milliseconds of every decision, and memory after the last."""
    started_s = time.perf_counter()
    hear = CONTENDERS[fields["contender"]]()
    hops = _hops(Path(fields["speech"]))
    for _ in range(WARM_UP):
        hear(next(hops))
    ready_s = time.perf_counter() - started_s
    times_ms, said = [], []
    until_s = time.monotonic() + MOST_S
    for number in range(WARM_UP, WARM_UP + fields["decisions"]):
        if number >= WARM_UP + LEAST and time.monotonic() > until_s:
            break
        hop = next(hops)
        started_ns = time.perf_counter_ns()
        said.append(hear(hop))
        times_ms.append((time.perf_counter_ns() - started_ns) / 1e6)
    held = memory()
    yield {
        "times_ms": times_ms,
        "ready_s": ready_s,
        "said": sum(one is not None for one in said),
        "peak_mb": peak_mb(),
        **held,
    }


def _hops(speech: Path) -> Iterator[Floats]:
    """The samples of a file of float32, half a second at a time, over and over.

    Read as they are needed: memory is to be the contender's, not its test audio's.
    """
    n = round(HOP_S * RATE_HZ)
    while True:
        with speech.open("rb") as file:
            while len(hop := np.fromfile(file, np.float32, n)) == n:
                yield hop


if __name__ == "__main__":
    sys.exit(serve(run))
