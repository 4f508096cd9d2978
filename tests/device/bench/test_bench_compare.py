"""`emopi bench --compare`: a verdict that knows the spread, and files that are no report."""

from __future__ import annotations

import copy
import dataclasses
import itertools
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from emopi.device.bench.compare import (
    Change,
    changes,
    differences,
    ratio_interval,
    read_earlier,
)
from emopi.device.bench.measured import Bench, BenchSettings, Run
from emopi.device.bench.report import to_json
from emopi.device.bench.text import render
from emopi.device.errors import ComparisonError
from tests.device.bench.test_bench import COOL, HOT, a_bench, a_run, a_slice


def runs(*medians_ms: float) -> list[Run]:
    return [a_run(a_slice([ms] * 3)) for ms in medians_ms]


OLD = a_bench(*runs(1.0, 1.02, 1.04, 0.98, 0.96))


def written(folder: Path, fields: Any) -> Path:
    path = folder / "old.json"
    path.write_text(json.dumps(fields))
    return path


def against(now: Bench, old: Bench, folder: Path) -> dict[str, str]:
    earlier = read_earlier(written(folder, to_json(old)), now.settings, ["cnn-int8"])
    found = changes(now, now.models[0], earlier)
    assert found
    return {change.figure: change.verdict for change in found}


# Intervals


@pytest.mark.parametrize(
    ("n_now", "n_then", "critical"),
    [(4, 4, 0), (5, 5, 2), (5, 8, 6), (8, 8, 13), (10, 10, 23), (20, 20, 127), (3, 5, 0)],
)
def test_interval_has_the_ranks_of_published_tables(n_now: int, n_then: int, critical: int) -> None:
    """Critical values of U, two-sided 5 %, as tables of the Mann-Whitney test have them."""
    now = [2.0**k for k in range(n_now)]
    then = [3.0**k for k in range(n_then)]
    ratios = sorted(a / b for a, b in itertools.product(now, then))
    ratio, interval = ratio_interval(now, then)
    assert ratio == pytest.approx(float(np.median(ratios)))
    assert interval == pytest.approx((ratios[critical], ratios[-1 - critical]))


@pytest.mark.parametrize("few", [(1, 1), (1, 20), (2, 5), (3, 3)])
def test_too_few_runs(few: tuple[int, int]) -> None:
    ratio, interval = ratio_interval([2.0] * few[0], [1.0] * few[1])
    assert (ratio, interval) == (2.0, None)
    assert Change("total_ms", ratio, interval).verdict == "too few runs"


def test_the_same_is_rarely_called_different() -> None:
    rng = np.random.default_rng(0)
    wrong = 0
    for now, then in rng.lognormal(0, 0.2, (1000, 2, 5)):
        _, interval = ratio_interval(now.tolist(), then.tolist())
        assert interval
        wrong += not interval[0] <= 1 <= interval[1]
    assert wrong <= 50


def test_a_real_difference_is_seen_through_an_outlier() -> None:
    then = [1.0, 1.01, 0.99, 1.02, 1.0, 0.98, 1.01, 3.0]
    _, interval = ratio_interval([1.2 + k / 100 for k in range(-3, 5)], then)
    assert interval
    assert 1 < interval[0] < 1.2 < interval[1] < 1.25


# Verdicts


@pytest.mark.parametrize(
    ("medians_ms", "verdict"),
    [
        ((1.0, 1.02, 1.04, 0.98, 0.96), "no difference"),
        ((1.3, 1.32, 1.34, 1.28, 1.26), "slower"),
        ((0.5, 0.51, 0.52, 0.49, 0.48), "faster"),
        ((0.8, 1.4, 1.1, 0.9, 1.3), "no difference"),
        ((1.3, 1.32), "too few runs"),
    ],
)
def test_verdicts(medians_ms: tuple[float, ...], verdict: str, tmp_path: Path) -> None:
    found = against(a_bench(*runs(*medians_ms)), OLD, tmp_path)
    assert found["total_ms"] == found["model_ms"] == found["detector_ms"] == verdict
    if len(medians_ms) == 5:
        assert found["load_ms"] == found["rss_mb"] == "no difference"


def test_a_small_difference_does_not_matter() -> None:
    assert Change("total_ms", 1.015, (1.01, 1.02)).verdict == "no difference"
    assert Change("total_ms", 1.03, (1.02, 1.04)).verdict == "slower"
    assert Change("rss_mb", 1.2, (1.1, 1.3)).verdict == "more"
    assert Change("rss_mb", 0.8, (0.7, 0.9), disturbed=True).verdict == "less"


@pytest.mark.parametrize("which", ["now", "then"])
def test_heat_and_others_make_a_difference_unclear(which: str, tmp_path: Path) -> None:
    slower, calm = runs(*[1.5 + k / 100 for k in range(5)]), list(OLD.models[0].runs)
    hot = {"now": {"after": HOT}, "then": {"before": dataclasses.replace(COOL, load=7.0)}}
    now = a_bench(*slower, **hot["now"] if which == "now" else {})
    old = a_bench(*calm, **hot["then"] if which == "then" else {})
    found = against(now, old, tmp_path)
    assert found["total_ms"] == "unclear"
    assert found["rss_mb"] == "no difference"
    earlier = read_earlier(tmp_path / "old.json", now.settings, ["cnn-int8"])
    assert "The machine was busy or throttled in one of the two" in render(now, earlier)


def test_what_else_has_changed_is_said(tmp_path: Path) -> None:
    now = a_bench(*OLD.models[0].runs, threads=2)
    now.machine = OLD.machine | {"numpy": "2.4.6"}
    earlier = read_earlier(written(tmp_path, to_json(OLD)), now.settings, ["cnn-int8"])
    assert differences(now, earlier) == ["numpy none -> 2.4.6", "threads 1 -> 2"]
    assert differences(OLD, earlier) == []
    text = render(now, earlier)
    assert "Against the run of 2026-11-25T10:00:00+00:00: numpy none -> 2.4.6, threads 1" in text
    assert "no difference" in text
    earlier.ids["cnn-int8"] = "cnn-int8-00000000"
    assert differences(OLD, earlier)[0].startswith("model cnn-int8-00000000 -> cnn-int8-")


def test_a_model_that_was_not_measured_then(tmp_path: Path) -> None:
    now = a_bench(*OLD.models[0].runs)
    now.models.append(dataclasses.replace(now.models[0], name="mine"))
    earlier = read_earlier(written(tmp_path, to_json(OLD)), now.settings, ["cnn-int8", "mine"])
    assert changes(now, now.models[1], earlier) is None
    assert "mine was not measured then" in render(now, earlier)
    assert to_json(now, earlier)["models"][1]["against"] is None


def test_several_models_are_read_back(tmp_path: Path) -> None:
    old = a_bench(*OLD.models[0].runs)
    old.models.append(dataclasses.replace(old.models[0], name="mine"))
    earlier = read_earlier(written(tmp_path, to_json(old)), old.settings, ["mine"])
    assert set(earlier.models) == {"cnn-int8", "mine"}


# Files that are something else


def changed(*path: Any, to: Any) -> dict[str, Any]:
    """The report of `OLD`, one value of it replaced."""
    fields: Any = copy.deepcopy(to_json(OLD))
    place = fields
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = to
    return fields  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    "fields",
    [
        None, 7, "text", [], {}, [1, 2], {"models": []},
        changed("time", to=None),
        changed("time", to="\x1b[2J"),
        changed("machine", to=[]),
        changed("machine", "name", to=3),
        changed("machine", "name", to="x" * 1000),
        changed("settings", to={}),
        changed("board", to=None),
        changed("board", to={"throttled": True}),
        changed("name", to=["cnn-int8"]),
        changed("runs", to=[]),
        changed("runs", to={}),
        changed("runs", to="runs"),
        changed("runs", to=[{}] * 21),
        changed("runs", to=to_json(OLD)["runs"] * 5),
        changed("runs", 1, to=None),
        changed("runs", 1, "total_ms", to=0),
        changed("runs", 1, "total_ms", to=-1.0),
        changed("runs", 1, "total_ms", to=True),
        changed("runs", 1, "total_ms", to="1.0"),
        changed("runs", 1, "total_ms", to=math.nan),
        changed("runs", 1, "total_ms", to=math.inf),
        changed("runs", 1, "total_ms", to=1e-300),
        changed("runs", 1, "total_ms", to=10**400),
        changed("runs", 1, to={"total_ms": 1.0}),
        to_json(OLD) | {"models": [to_json(OLD), 3]},
        to_json(OLD) | {"models": {"name": "cnn-int8"}},
    ],
)  # fmt: skip
def test_what_is_no_report(fields: Any, tmp_path: Path) -> None:
    path = written(tmp_path, fields)
    with pytest.raises(
        ComparisonError, match=r"is not what emopi bench --json prints \(.+\); write"
    ):
        read_earlier(path, BenchSettings(), ["cnn-int8"])


@pytest.mark.parametrize(
    "content", [b"", b"{", b"\xff\xfe\x00", b"[" * 100_000, b'{"time": 1' + b"0" * 5000 + b"}"]
)
def test_what_is_no_json(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "old.json"
    path.write_bytes(content)
    with pytest.raises(ComparisonError, match="is not what emopi bench --json prints"):
        read_earlier(path, BenchSettings(), ["cnn-int8"])


@pytest.mark.parametrize("hop_s", [1.0, "0.5", None, math.nan, [0.5], {}])
def test_another_hop(hop_s: Any, tmp_path: Path) -> None:
    path = written(tmp_path, changed("settings", "hop_s", to=hop_s))
    with pytest.raises(ComparisonError, match=r"has a hop of .+ s; expected one of 0\.5 s"):
        read_earlier(path, BenchSettings(), ["cnn-int8"])


def test_other_models_alone(tmp_path: Path) -> None:
    path = written(tmp_path, to_json(OLD))
    with pytest.raises(ComparisonError, match="has cnn-int8, but not mine: name a model that"):
        read_earlier(path, BenchSettings(), ["mine"])
