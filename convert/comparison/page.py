"""`emopi compare --html`: a comparison as one page that needs nothing but itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.resources import files
from importlib.util import find_spec
from typing import Any

import numpy as np

from emopi.convert.comparison.comparison import Comparison, Pair
from emopi.convert.comparison.layers import Inside
from emopi.convert.comparison.tables import (
    accuracy_table,
    cost_table,
    noise_table,
    pair_table,
    recall_table,
)
from emopi.convert.comparison.text import headline
from emopi.convert.comparison.verdict import MARGIN, Verdict
from emopi.device.errors import MissingExtraError
from emopi.train.evaluation.scores import Ints
from emopi.train.splits import description

PACKAGES = ("jinja2", "matplotlib")


def check_extra() -> None:
    """Raise `MissingExtraError` if a package that pages need is not installed."""
    for package in PACKAGES:
        if not find_spec(package):
            raise MissingExtraError("emopi compare --html", "report", package)


def render_page(comparison: Comparison, verdict: Verdict, inside: Sequence[Inside]) -> str:
    """The whole page. The same comparison gives the same page."""
    import jinja2

    here = files("emopi.convert.comparison")
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    template = environment.from_string((here / "page.html.jinja").read_text(encoding="utf-8"))
    return template.render(
        title=_title(comparison),
        headline=headline(comparison).splitlines(),
        description=description(comparison.protocol),
        verdict=verdict,
        style=(here / "page.css").read_text(encoding="utf-8"),
        labels=comparison.labels,
        noise=[noise_table(one) for one in inside if one.noise],
        machine=comparison.machine,
        margin=f"{100 * MARGIN:.0f}",
        **_tables(comparison),
        **_charts(comparison, inside),
        confusions=[
            {"name": model.name, "rows": _confusion(model.outcome.confusion)}
            for model in comparison.models
        ],
        differences=[_difference(pair) for pair in comparison.told],
        changed=[
            {"a": pair.a.name, "b": pair.b.name, "clips": pair.changed_clips}
            for pair in comparison.told
        ],
    )


def _title(comparison: Comparison) -> str:
    names = [model.name for model in comparison.models]
    if len(names) == 2:
        return f"{names[1]} against {names[0]}"
    return f"{', '.join(names[:-1])} and {names[-1]}"


def _tables(comparison: Comparison) -> Mapping[str, Any]:
    return {
        "accuracy": accuracy_table(comparison),
        "cost": cost_table(comparison),
        "pairs": pair_table(comparison.told, "What lies between them"),
        "recall": recall_table(comparison),
    }


def _charts(comparison: Comparison, inside: Sequence[Inside]) -> Mapping[str, Any]:
    """Lists of charts by section."""
    from emopi.convert.comparison import charts, layer_charts

    place = {model.name: k for k, model in enumerate(comparison.models)}
    ranges = []
    for group in _alike(inside):
        places = [place[one.name] for one in group]
        ranges += [layer_charts.draw_ranges(group, places, w) for w in ("weights", "outputs")]
    return {
        "uar_charts": [charts.draw_uar(comparison), charts.draw_changes(comparison)],
        "recall_charts": [
            charts.draw_recalls(pair, (place[pair.a.name], place[pair.b.name]))
            for pair in comparison.told
        ],
        "reliability_charts": [
            charts.draw_reliability(model, k) for k, model in enumerate(comparison.models)
        ],
        "latency_charts": [charts.draw_stages(comparison), charts.draw_latency(comparison)],
        "noise_charts": [
            layer_charts.draw_noise(one, place[one.name]) for one in inside if one.noise
        ],
        "range_charts": ranges,
    }


def _alike(inside: Sequence[Inside]) -> list[list[Inside]]:
    """Models in groups of one training with the same layers, the float32 model first."""
    groups: dict[tuple[str, ...], list[Inside]] = {}
    for one in sorted(inside, key=lambda one: one.float_name is not None):
        layers = (layer.operator for layer in one.ranges)
        groups.setdefault((one.float_name or one.name, *layers), []).append(one)
    return list(groups.values())


def _confusion(counts: Ints) -> list[list[dict[str, Any]]]:
    """Cells with their count and their share of the row."""
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    return [
        [{"count": int(n), "share": round(float(s), 3)} for n, s in zip(*row, strict=True)]
        for row in zip(counts, shares, strict=True)
    ]


def _difference(pair: Pair) -> dict[str, Any]:
    """Cells with their change, and whether it is for the better."""
    change = pair.says.confusion_change
    most = max(int(np.abs(change).max()), 1)
    rows = [
        [
            {"change": int(n), "share": round(abs(int(n)) / most, 3),
             "better": bool((n > 0) == (row == column))}
            for column, n in enumerate(cells)
        ]
        for row, cells in enumerate(change)
    ]  # fmt: skip
    return {"a": pair.a.name, "b": pair.b.name, "rows": rows, "same": not change.any()}
