"""Accuracy against cost: our networks and published small ones on the same folds."""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.suite import accuracy_run
from benchmarks.suite.charts import points
from benchmarks.suite.literature_run import FOUND, PROTOCOL
from benchmarks.suite.order import Order
from benchmarks.suite.tables import Found, short, spread, table
from emopi.device.process import answers
from emopi.train.evaluation.scores import uar

TITLE = "Accuracy against cost"
PACKAGES: tuple[str, ...] = ("numpy", "ai-edge-litert", "tensorflow")

ABOUT = """UAR on the five folds of `upm-5`, voices not trained on: mean and deviation over folds,
from [models/results](../models/results) for ours (the device pipeline), from
`python -m benchmarks.suite.literature_run NETWORK FOLD --corpus RAVDESS` for the published ones
([literature.py](suite/literature.py)), which trains them on our features with our recipe, so that
nothing but the network differs (one seed). The second figure is the mean difference to cnn-int8 on
the folds that were run, which are not equally hard. cnn-whole, cnn-half and cnn-quarter
([smaller.py](suite/smaller.py)) are our cnn with that share of its channels and one view, not
shipped, trained and scored as the published ones. Cost: one window in LiteRT, one thread, all in
turns; it needs no training. What the published ones reached in their papers was on other features
and splits: see there."""

MISSING = "not yet run"
YARDSTICK = "cnn-int8"
OURS = ("cnn", "lstm")
"""What the names of our networks begin with."""

RESULTS = Path(__file__).parents[2] / "models" / "results"
"""In the repository; a package has none."""


def measure(order: Order) -> dict[str, Any]:
    """Costs are measured; scores are read from what trainings have left."""
    costs: dict[str, Any] = next(answers(accuracy_run.__name__, {"rounds": order.times(200, 5)}))
    scores = {**_ours(RESULTS), **_published(FOUND)}
    return {"costs": costs, "scores": scores}


def _ours(results: Path) -> dict[str, dict[str, float]]:
    """UAR by network and precision, then by fold; none where the results are not at hand."""
    found: dict[str, dict[str, float]] = {}
    for path in sorted((results / PROTOCOL).glob("*-fold*.json")):
        for precision, one in json.loads(path.read_text())["outcomes"].items():
            truth, answers_ = (np.array(one[key]) for key in ("truth", "answers"))
            score = uar(truth, answers_, len(one["labels"]))
            found.setdefault(f"{one['network']}-{precision}", {})[one["fold"]] = score
    return found


def _published(folder: Path) -> dict[str, dict[str, float]]:
    found: dict[str, dict[str, float]] = {}
    for path in sorted(folder.glob("*-fold*.json")):
        one = json.loads(path.read_text())
        found.setdefault(f"{one['network']}-float32", {})[one["fold"]] = one["uar"]
    return found


def margins(found: Found) -> dict[str, float]:
    """Points of UAR that each network with a score has over `YARDSTICK` on the folds it has run."""
    scores = {name: one for name, one in found["scores"].items() if name in found["costs"]}
    yard = scores.get(YARDSTICK, {})
    return {
        name: 100 * statistics.mean(one[fold] - yard[fold] for fold in one if fold in yard)
        for name, one in scores.items()
        if set(one) & set(yard)
    }


def front(found: Found) -> list[str]:
    """Networks that none surpasses with as few multiplications, by `margins`, cheapest first."""
    reached = margins(found)
    cost = {name: found["costs"][name]["macs"] for name in reached}
    kept: list[str] = []
    for name in sorted(reached, key=lambda name: (cost[name], -reached[name])):
        if not kept or reached[name] > reached[kept[-1]]:
            kept.append(name)
    return kept


def page(found: Found) -> str:
    """A row a network and precision, by multiplications."""
    over = margins(found)
    rows = []
    for name, cost in sorted(found["costs"].items(), key=lambda one: one[1]["macs"]):
        rows.append([
            name, _score(list(found["scores"].get(name, {}).values())),
            f"{over[name]:+.1f}" if name in over else "",
            f"{cost['macs'] / 1e6:.1f}", f"{cost['bytes'] / 1e3:.0f}", spread(cost["times_ms"]),
        ])  # fmt: skip
    heads = ["network", "UAR, %", f"over {YARDSTICK} there", "M MACs", "KB", "ms a window"]
    parts = [ABOUT, table(heads, rows)]
    if over:
        parts.append(f"None surpasses with as few multiplications: {', '.join(front(found))}.")
    return "\n\n".join(parts)


def _score(folds: Sequence[float]) -> str:
    percent = [100 * fold for fold in folds]
    if not percent:
        return MISSING
    shown = short(statistics.mean(percent))
    if len(percent) == 1:
        return f"{shown} (1 fold)"
    return f"{shown} ± {statistics.stdev(percent):.1f} ({len(percent)} folds)"


def draw(found: Found, folder: Path) -> list[Path]:
    """`margins` over multiplications; of ours in int8 where there is that."""
    path = folder / "accuracy.png"
    over = margins(found)
    shown = {
        ("emopi " if name.startswith(OURS) else "") + name: (
            found["costs"][name]["macs"] / 1e6,
            margin,
        )
        for name, margin in over.items()
        if name.endswith("int8") or name.replace("float32", "int8") not in over
    }
    y_name = f"UAR, points over {YARDSTICK} on the same folds"
    points(path, "Unheard voices (upm-5)", ("million MACs a window", y_name), shown)
    return [path]
