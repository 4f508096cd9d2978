"""This run against an earlier one: faster, slower, or no difference beyond what runs differ by."""

from __future__ import annotations

import dataclasses
import functools
import json
import math
import reprlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from emopi.device.bench.measured import MOST_RUNS, Bench, BenchSettings, Measured
from emopi.device.errors import ComparisonError

FIGURES = {
    "total_ms": "whole hop",
    "frontend_ms": "front end",
    "detector_ms": "speech detector",
    "model_ms": "network",
    "load_ms": "loading",
    "rss_mb": "memory",
}
"""Of each run, what is compared; a run without a detector has none of its time."""
LEVEL = 0.05
"""How often, at most, two runs of the same would be called different by their spread alone."""
MATTERS = 0.02
"""A smaller change is no difference: clock and heat of another day can do that."""

Figures = dict[str, list[float]]
"""Of one model by the names of `FIGURES`: one value a fresh process."""


@dataclasses.dataclass(frozen=True, slots=True)
class Earlier:
    """What a file of `emopi bench --json` says."""

    time: str
    machine: dict[str, str]
    settings: dict[str, Any]
    """hop_s, threads, detector."""
    disturbed: bool
    """As `Bench.disturbed`."""
    models: dict[str, Figures]
    """By name."""
    ids: dict[str, str]
    """What the names stood for: `Contract.model_id`."""


@dataclasses.dataclass(frozen=True, slots=True)
class Change:
    """One figure, now against then."""

    figure: str
    """Of `FIGURES`."""
    ratio: float
    """Now over then: the median of all ratios of a run of now to one of then."""
    interval: tuple[float, float] | None
    """Of the ratio, 95 % or more; None of too few runs."""
    disturbed: bool = False
    """Whether one of the runs was, so that a difference of times proves nothing."""

    @property
    def verdict(self) -> str:
        """ "faster", "slower", "less", "more", "no difference", "unclear" or "too few runs"."""
        if not self.interval:
            return "too few runs"
        low, high = self.interval
        if low <= 1 <= high or abs(self.ratio - 1) < MATTERS:
            return "no difference"
        if self.figure == "rss_mb":
            return "more" if self.ratio > 1 else "less"
        if self.disturbed:
            return "unclear"
        return "slower" if self.ratio > 1 else "faster"

    def to_json(self) -> dict[str, Any]:
        """Ratio, interval and verdict."""
        ends = [round(end, 4) for end in self.interval] if self.interval else None
        return {"ratio": round(self.ratio, 4), "interval": ends, "verdict": self.verdict}


def changes(now: Bench, model: Measured, then: Earlier) -> list[Change] | None:
    """Of one of its models, in the order of `FIGURES`; None if it was not measured then."""
    if model.name not in then.models:
        return None
    runs, old = [run.to_json() for run in model.runs], then.models[model.name]
    disturbed = now.disturbed or then.disturbed
    return [
        Change(name, *ratio_interval([run[name] for run in runs], old[name]), disturbed)
        for name in FIGURES
        if name in old and all(name in run for run in runs)
    ]


def differences(now: Bench, then: Earlier) -> list[str]:
    """What was not the same then, beside the program: "numpy 1.26.4 -> 2.4.6" and so on."""
    settings = {"threads": now.settings.threads, "detector": now.settings.detector}
    pairs: list[tuple[str, Any, Any]] = [
        (name, then.machine.get(name), now.machine.get(name)) for name in then.machine | now.machine
    ]
    pairs += [(name, reprlib.repr(then.settings[name]), repr(x)) for name, x in settings.items()]
    pairs += [
        ("model", then.ids[model.name], model.contract.model_id)
        for model in now.models if model.name in then.ids
    ]  # fmt: skip
    return [f"{name} {old or 'none'} -> {new or 'none'}" for name, old, new in pairs if old != new]


def ratio_interval(
    now: Sequence[float], then: Sequence[float]
) -> tuple[float, tuple[float, float] | None]:
    """Median of all ratios of one of `now` to one of `then`, and an interval of at least 95 %.

    The interval assumes nothing of how runs are spread: it has the ratios that the Mann-Whitney
    test at `LEVEL` does not reject, which are those between two order statistics (M. Hollander,
    D. Wolfe, E. Chicken, Nonparametric Statistical Methods, 3rd ed., 2014, section 4.3). None
    where there are too few runs for that: 3 and 3, say.
    """
    ratios = np.sort(np.divide.outer(np.array(now), np.array(then)), axis=None)
    rank, likely = 0, 0.0
    orders = math.comb(len(now) + len(then), len(now))
    while (likely := likely + _orders(len(now), len(then), rank) / orders) <= LEVEL / 2:
        rank += 1
    interval = (float(ratios[rank - 1]), float(ratios[-rank])) if rank else None
    return float(np.median(ratios)), interval


@functools.cache
def _orders(m: int, n: int, u: int) -> int:
    """In how many orders of m and n values just u of the m * n pairs are the wrong way round."""
    if u < 0:
        return 0
    if not m or not n:
        return u == 0
    return _orders(m - 1, n, u - n) + _orders(m, n - 1, u)


def read_earlier(path: Path, settings: BenchSettings, names: Sequence[str]) -> Earlier:
    """The run that a file holds; of the models that are measured now, one at least.

    Raises `ComparisonError` if it is not what `emopi bench --json` prints, of another hop, or of
    other models alone.
    """
    try:
        earlier = _parse(json.loads(path.read_bytes()))
    except OSError as error:
        raise ComparisonError(f"{path} cannot be read: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ComparisonError(
            f"{path} is not what emopi bench --json prints ({_what(error)}); write one with: "
            "emopi bench --json > old.json"
        ) from None
    if earlier.settings["hop_s"] != settings.hop_s:
        raise ComparisonError(
            f"{path} has a hop of {reprlib.repr(earlier.settings['hop_s'])} s; expected one of "
            f"{settings.hop_s:g} s, as this run has: give the same --hop"
        )
    if not set(names) & set(earlier.models):
        raise ComparisonError(
            f"{path} has {', '.join(earlier.models)}, but not {', '.join(names)}: name a model "
            "that it has"
        )
    return earlier


def _parse(fields: Mapping[str, Any]) -> Earlier:
    models, board = fields.get("models", [fields]), fields["board"]
    if not models:
        raise ValueError("it has no models")
    return Earlier(
        _text(fields["time"]),
        {_text(name): _text(value) for name, value in fields["machine"].items()},
        {name: fields["settings"][name] for name in ("hop_s", "threads", "detector")},
        True in (board["throttled"], board["busy"]),
        {_text(model["name"]): _figures(model["runs"]) for model in models},
        {model["name"]: _text(model["model"]) for model in models},
    )


def _figures(runs: Sequence[Mapping[str, Any]]) -> Figures:
    if not 1 <= len(runs) <= MOST_RUNS:
        raise ValueError(f"{len(runs)} runs; expected 1 to {MOST_RUNS}")
    wanted = [name for name in FIGURES if name != "detector_ms" or name in runs[0]]
    return {name: [_positive(name, run[name]) for run in runs] for name in wanted}


def _positive(name: str, value: Any) -> float:
    if type(value) not in (int, float) or not 1e-6 <= value <= 1e9:
        raise ValueError(f"{name} is {reprlib.repr(value)}; expected a number above 0")
    return float(value)


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value.isprintable() or len(value) > 200:
        raise ValueError(f"{reprlib.repr(value)} where a short text was expected")
    return value


def _what(error: Exception) -> str:
    return f"{error} is missing" if isinstance(error, KeyError) else str(error)
