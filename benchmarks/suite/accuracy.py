"""Accuracy against cost: our networks and published small ones on the same folds."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable, Sequence
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
nothing but the network differs; the second figure is on the folds that all have run. cnn-half and
cnn-quarter ([smaller.py](suite/smaller.py)) are our cnn with that share of its channels and one
view, not shipped, trained and scored as the published ones. Cost: one window in LiteRT, one thread,
all in turns; it needs no training. What the published ones reached in their papers was on other
features and splits: see there."""

MISSING = "not yet run"
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


def shared_folds(found: Found) -> list[str]:
    """Those on which every network has a score that has any."""
    sets = [set(folds) for name, folds in found["scores"].items() if name in found["costs"]]
    return sorted(set.intersection(*sets)) if sets else []


def front(found: Found) -> list[str]:
    """Networks that none beats on the shared folds with as few multiplications, cheapest first."""
    folds = shared_folds(found)
    names = [name for name in found["scores"] if name in found["costs"] and folds]
    reached = {name: _mean(found["scores"][name], folds) for name in names}
    cost = {name: found["costs"][name]["macs"] for name in names}
    kept = [
        name
        for name in names
        if not any(
            (cost[other], -reached[other]) < (cost[name], -reached[name])
            and reached[other] >= reached[name]
            for other in names
        )
    ]
    return sorted(kept, key=lambda name: cost[name])


def page(found: Found) -> str:
    """A row a network and precision, by multiplications."""
    folds = shared_folds(found)
    rows = []
    for name, cost in sorted(found["costs"].items(), key=lambda one: one[1]["macs"]):
        scores = found["scores"].get(name, {})
        rows.append([
            name, _score(list(scores.values())),
            f"{_mean(scores, folds):.1f}" if scores and folds else "",
            f"{cost['macs'] / 1e6:.1f}", f"{cost['bytes'] / 1e3:.0f}", spread(cost["times_ms"]),
        ])  # fmt: skip
    heads = ["network", "UAR, %", f"on {', '.join(folds) or 'shared folds'}"]
    heads += ["M MACs", "KB", "ms a window"]
    parts = [ABOUT, table(heads, rows)]
    if folds:
        parts.append(
            "None reaches more on these folds with as few multiplications as: "
            f"{', '.join(front(found))}."
        )
    return "\n\n".join(parts)


def _mean(scores: dict[str, float], folds: Iterable[str]) -> float:
    """In percent."""
    return 100 * statistics.mean(scores[fold] for fold in folds)


def _score(folds: Sequence[float]) -> str:
    percent = [100 * fold for fold in folds]
    if not percent:
        return MISSING
    shown = short(statistics.mean(percent))
    if len(percent) == 1:
        return f"{shown} (1 fold)"
    return f"{shown} ± {statistics.stdev(percent):.1f} ({len(percent)} folds)"


def draw(found: Found, folder: Path) -> list[Path]:
    """UAR on the shared folds over multiplications, of what has a score."""
    path = folder / "accuracy.png"
    folds = shared_folds(found)
    shown = {
        ("" if name.startswith(tuple(NETWORKS)) else "emopi ") + name: (
            found["costs"][name]["macs"] / 1e6,
            _mean(scores, folds),
        )
        for name, scores in found["scores"].items()
        if name in found["costs"] and folds
    }
    title = f"UAR on unheard voices (upm-5: {', '.join(folds)})"
    points(path, title, ("million MACs a window", "UAR, %"), shown)
    return [path]
