"""Accuracy against cost: our networks and published small ones on the same folds."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.suite import accuracy_run
from benchmarks.suite.charts import points
from benchmarks.suite.literature import NETWORKS
from benchmarks.suite.literature_run import FOUND, PROTOCOL
from benchmarks.suite.order import Order
from benchmarks.suite.tables import Found, short, spread, table
from emopi.device.process import answers
from emopi.train.scores import uar

TITLE = "Accuracy against cost"
PACKAGES: tuple[str, ...] = ("numpy", "ai-edge-litert", "tensorflow")

ABOUT = """UAR on the five folds of `upm-5`, voices not trained on: mean and deviation over folds,
from [models/results](../models/results) for ours (the device pipeline), from
`python -m benchmarks.suite.literature_run NETWORK FOLD --corpus RAVDESS` for the published ones
([literature.py](suite/literature.py)), which trains them on our features with our recipe, so that
nothing but the network differs. Cost: one window in LiteRT, one thread, all in turns; that of
published networks needs no training. What they reached in their papers was on other features and
splits: see there."""

MISSING = "not yet run"
RESULTS = Path(__file__).parents[2] / "models" / "results"
"""In the repository; a package has none."""


def measure(order: Order) -> dict[str, Any]:
    """Costs are measured; scores are read from what trainings have left."""
    costs: dict[str, Any] = next(answers(accuracy_run.__name__, {"rounds": order.times(200, 5)}))
    scores = {**_ours(RESULTS), **_published(FOUND)}
    return {"costs": costs, "scores": scores}


def _ours(results: Path) -> dict[str, list[float]]:
    """UAR of each fold, by network and precision; none where the results are not at hand."""
    found: dict[str, list[float]] = {}
    for path in sorted((results / PROTOCOL).glob("*-fold*.json")):
        for precision, one in json.loads(path.read_text())["outcomes"].items():
            truth, answers_ = (np.array(one[key]) for key in ("truth", "answers"))
            score = uar(truth, answers_, len(one["labels"]))
            found.setdefault(f"{one['network']}-{precision}", []).append(score)
    return found


def _published(folder: Path) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}
    for path in sorted(folder.glob("*-fold*.json")):
        one = json.loads(path.read_text())
        found.setdefault(f"{one['network']}-float32", []).append(one["uar"])
    return found


def page(found: Found) -> str:
    """A row a network and precision, by multiplications."""
    rows = []
    for name, cost in sorted(found["costs"].items(), key=lambda one: one[1]["macs"]):
        rows.append([
            name, _score(found["scores"].get(name, [])), f"{cost['macs'] / 1e6:.1f}",
            f"{cost['bytes'] / 1e3:.0f}", spread(cost["times_ms"]),
        ])  # fmt: skip
    return "\n\n".join([ABOUT, table(["network", "UAR, %", "M MACs", "KB", "ms a window"], rows)])


def _score(folds: Iterable[float]) -> str:
    percent = [100 * fold for fold in folds]
    if not percent:
        return MISSING
    shown = short(statistics.mean(percent))
    if len(percent) == 1:
        return f"{shown} (1 fold)"
    return f"{shown} ± {statistics.stdev(percent):.1f} ({len(percent)} folds)"


def draw(found: Found, folder: Path) -> list[Path]:
    """UAR over multiplications, of what has a score."""
    path = folder / "accuracy.png"
    shown = {
        ("" if name.startswith(tuple(NETWORKS)) else "emopi ") + name: (
            found["costs"][name]["macs"] / 1e6,
            100 * statistics.mean(folds),
        )
        for name, folds in found["scores"].items()
        if name in found["costs"]
    }
    points(path, "UAR on unheard voices (upm-5)", ("million MACs a window", "UAR, %"), shown)
    return [path]
