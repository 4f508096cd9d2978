"""Figures of what models say and how long they take. Data in, inline SVG out."""

from __future__ import annotations

from typing import Any

import numpy as np

from emopi.convert.comparison.canvas import (
    FAINT,
    TEXT,
    Chart,
    canvas,
    colour,
    marker,
    named_rows,
    percent,
)
from emopi.convert.comparison.comparison import Compared, Comparison, Pair
from emopi.convert.comparison.verdict import MARGIN, points, points_span
from emopi.train.evaluation.scores import CALIBRATION_BINS


def draw_uar(comparison: Comparison) -> Chart:
    """Each model's UAR with its interval."""
    models = comparison.models
    with canvas(len(models)) as (figure, drawn):
        axes = named_rows(figure, [model.name for model in models])
        for row, model in enumerate(models):
            _dot(axes, row, model.outcome.figures.uar, model.outcome.intervals["uar"], row)
        axes.set_xlabel("UAR")
        percent(axes.xaxis)
    told = "; ".join(f"{m.name} {m.outcome.figures.uar:.1%}" for m in models)
    return drawn("UAR of each model: " + told, "UAR with its 95 % interval over speakers.")


def draw_changes(comparison: Comparison) -> Chart:
    """What each model's UAR changes by, with its interval."""
    pairs = comparison.told
    order = [model.name for model in comparison.models]
    with canvas(len(pairs) + 0.4) as (figure, drawn):
        axes = named_rows(figure, [f"{pair.b.name}\n− {pair.a.name}" for pair in pairs])
        axes.axvspan(-MARGIN, MARGIN, color=FAINT, alpha=0.3, linewidth=0)
        axes.axvline(0, color=TEXT, linewidth=1)
        for row, pair in enumerate(pairs):
            says = pair.says
            _dot(axes, row, says.uar_change, says.intervals["uar_change"],
                 order.index(pair.b.name))  # fmt: skip
        axes.set_xlabel("change of UAR, points")
        axes.xaxis.set_major_formatter(lambda x, _: f"{100 * x:+.0f}")
        reach = max(MARGIN * 1.5, *(abs(x) * 1.1 for x in axes.get_xlim()))
        axes.set_xlim(-reach, reach)
    told = "; ".join(
        f"{p.b.name} against {p.a.name} {points(p.says.uar_change)} points, 95 % "
        f"{points_span(p.says.intervals['uar_change'])}"
        for p in pairs
    )
    return drawn(
        "Change of UAR: " + told,
        "Change of UAR with its paired 95 % interval. An interval that covers 0 shows no "
        f"difference; the band is ±{100 * MARGIN:.0f} points.",
    )


def draw_reliability(model: Compared, place: int) -> Chart:
    """Accuracy of the answers against their confidence, in the bins of the calibration error."""
    outcome = model.outcome
    confidence = np.array([max(clip) for clip in outcome.probabilities])
    right = np.equal(outcome.truth, outcome.answers)
    bins = np.clip(np.ceil(confidence * CALIBRATION_BINS) - 1, 0, CALIBRATION_BINS - 1).astype(int)
    filled = np.flatnonzero(np.bincount(bins, minlength=CALIBRATION_BINS))
    counts = np.bincount(bins, minlength=CALIBRATION_BINS)[filled]
    said = np.array([confidence[bins == k].mean() for k in filled])
    were = np.array([right[bins == k].mean() for k in filled])
    with canvas(9) as (figure, drawn):
        axes = figure.subplots()
        axes.plot([0, 1], [0, 1], color=TEXT, linewidth=1, linestyle="--")
        axes.vlines(said, said, were, color=colour(place), linewidth=1.2, alpha=0.6)
        axes.scatter(said, were, s=8 + 170 * counts / counts.max(), color=colour(place), alpha=0.85,
                     marker=marker(place), linewidths=0, clip_on=False)  # fmt: skip
        axes.set(xlim=(0, 1.03), ylim=(0, 1.03), xlabel="confidence", ylabel="share that was right")
        axes.set_aspect("equal")
        axes.set_title(f"{model.name}: calibration error {outcome.figures.ece:.1%}")
        percent(axes.xaxis)
        percent(axes.yaxis)
    told = "; ".join(
        f"of {n} clips at confidence {c:.0%}, {w:.0%} right"
        for n, c, w in zip(counts, said, were, strict=True)
    )
    surer = (said * counts).sum() > (were * counts).sum()
    return drawn(
        f"Reliability of {model.name}: {told}",
        f"{model.name} is on average {'surer' if surer else 'less sure'} than it is right.",
    )


def draw_recalls(pair: Pair, places: tuple[int, int]) -> Chart:
    """Recall of each emotion for both models of a pair."""
    a, b = pair.a.outcome.recall, pair.b.outcome.recall
    with canvas(len(a) + 0.6) as (figure, drawn):
        axes = named_rows(figure, list(a))
        for row, label in enumerate(a):
            axes.plot([a[label], b[label]], [row, row], color=FAINT, linewidth=2.5, zorder=1)
        for recall, place, model in ((a, places[0], pair.a), (b, places[1], pair.b)):
            empty = {"markersize": 9, "markerfacecolor": "none"} if model is pair.a else {}
            axes.plot(
                recall.values(), range(len(a)), marker(place), color=colour(place),
                label=model.name, **{"markersize": 5, "markeredgewidth": 1.4} | empty,
            )  # fmt: skip
        axes.set(xlim=(-0.02, 1.02), xlabel="recall")
        percent(axes.xaxis)
        figure.legend(loc="outside upper left", ncols=2)
    told = ", ".join(f"{name} {points(x)}" for name, x in pair.says.recall_change.items())
    return drawn(
        f"Change of recall from {pair.a.name} to {pair.b.name}, points: {told}",
        f"Recall of each emotion, {pair.b.name} (filled) against {pair.a.name}.",
    )


def draw_latency(comparison: Comparison) -> Chart:
    """The distribution of each network's times."""
    with canvas(8.5) as (figure, drawn):
        axes = figure.subplots()
        for place, model in enumerate(comparison.models):
            times = np.sort(model.timing.passed.model_ms)
            shares = np.arange(1, len(times) + 1) / len(times)
            every = max(1, len(times) // 8)
            axes.step(
                times, shares, where="post", color=colour(place), linewidth=1.8,
                marker=marker(place), markevery=(every // 2, every), markersize=5,
                label=model.name,
            )  # fmt: skip
        axes.set_xscale("log")
        axes.set(
            xlabel="network, ms a window", ylabel="share of windows up to that", ylim=(0, 1.02)
        )
        _plain_log(axes.xaxis)
        percent(axes.yaxis)
        figure.legend(loc="outside upper left", ncols=2)
    told = "; ".join(
        f"{m.name} median {s.p50_ms:.2f} ms, p90 {s.p90_ms:.2f}, p99 {s.p99_ms:.2f}"
        for m in comparison.models
        for s in [m.timing.stages["model"]]
    )
    return drawn("Network's time: " + told, "How many windows a network was done with in a time: "
                 "the further left a line, the faster; the steeper, the steadier.")  # fmt: skip


def draw_stages(comparison: Comparison) -> Chart:
    """Median times of front end and network, one behind the other."""
    models = comparison.models
    with canvas(len(models) + 0.6) as (figure, drawn):
        axes = named_rows(figure, [model.name for model in models])
        for row, model in enumerate(models):
            front, network = (model.timing.cpu_ms[stage] for stage in ("frontend", "model"))
            axes.barh(row, front, 0.55, color=FAINT, label=None if row else "front end")
            axes.barh(row, network, 0.55, left=front, color=colour(row))
            axes.text(front + network, row, f" {front + network:.1f}", va="center")
        axes.set_xlabel("median CPU time, ms a window")
        axes.margins(x=0.12)
        figure.legend(loc="outside upper left")
    told = "; ".join(
        f"{m.name} {m.timing.cpu_ms['frontend']:.2f} and {m.timing.cpu_ms['model']:.2f} ms"
        for m in models
    )
    return drawn(
        "Front end and network: " + told,
        "Median CPU time of the front end (grey, the same work for equal front ends) and of the "
        "network (colour).",
    )


def _dot(axes: Any, row: float, value: float, bounds: tuple[float, float], place: int) -> None:
    if bounds[0] == bounds[0]:
        axes.plot(bounds, [row, row], color=colour(place), linewidth=2.4, solid_capstyle="butt")
    axes.plot([value], [row], marker(place), color=colour(place), markersize=7)


def _plain_log(axis: Any) -> None:
    from matplotlib.ticker import LogLocator, NullFormatter

    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axis.set_major_formatter(lambda x, _: f"{x:g}")
    axis.set_minor_formatter(NullFormatter())
