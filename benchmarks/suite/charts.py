"""Figures: horizontal bars with their spread, and lines. Data in, PNG out."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from emopi.train.evaluation.figures import BLUE, GREY, ORANGE, WIDTH_IN, figure_page

ROW_IN = 0.33


def bars(
    path: Path,
    title: str,
    unit: str,
    found: Mapping[str, Mapping[str, Any]],
    *,
    apart: Collection[str] = (),
    log: bool = True,
) -> None:
    """A bar for each of `found`, from `Spread.to_json`: ours blue, floors grey, others orange."""
    names = list(found)
    medians = [found[name]["median"] for name in names]
    errors = [
        [one["median"] - one["low"] for one in found.values()],
        [one["high"] - one["median"] for one in found.values()],
    ]
    with figure_page(path, WIDTH_IN, 1.0 + ROW_IN * len(names)) as figure:
        axes = figure.subplots()
        axes.barh(names, medians, xerr=errors, color=[_colour(n, apart) for n in names],
                  error_kw={"elinewidth": 0.8, "capsize": 2})  # fmt: skip
        axes.invert_yaxis()
        if log:
            axes.set_xscale("log")
        for row, median in enumerate(medians):
            axes.annotate(f" {median:.3g}", (found[names[row]]["high"], row), va="center")
        axes.margins(x=0.12)
        axes.set_xlabel(f"{unit}: median, 10th to 90th percentile")
        axes.set_title(title)


def lines(
    path: Path,
    title: str,
    axes_names: tuple[str, str],
    found: Mapping[str, Sequence[tuple[float, float]]],
) -> None:
    """A line of points for each of `found`."""
    with figure_page(path, WIDTH_IN, 3.6) as figure:
        axes = figure.subplots()
        for name, points in found.items():
            axes.plot(*zip(*points, strict=True), marker="o", label=name)
        axes.set_xlabel(axes_names[0])
        axes.set_ylabel(axes_names[1])
        axes.set_ylim(bottom=0)
        axes.set_title(title)
        axes.legend()


def points(
    path: Path, title: str, axes_names: tuple[str, str], found: Mapping[str, tuple[float, float]]
) -> None:
    """A named point for each of `found`, "emopi " left out where the colour says it; x is
    logarithmic."""
    from matplotlib.lines import Line2D
    from matplotlib.ticker import LogLocator

    with figure_page(path, WIDTH_IN, 3.6) as figure:
        axes = figure.subplots()
        for name, (x, y) in found.items():
            axes.scatter([x], [y], color=_colour(name, ()))
            axes.annotate(f"  {name.removeprefix('emopi ')}", (x, y), va="center")
        whose = {"emopi": BLUE, "published, trained alike": ORANGE}
        dots = [Line2D([], [], color=c, marker="o", ls="", label=n) for n, c in whose.items()]
        axes.legend(handles=dots, loc="lower right", frameon=False)
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter("{x:g}")
        axes.xaxis.set_minor_formatter("")
        axes.margins(x=0.3, y=0.2)
        axes.set_xlabel(axes_names[0])
        axes.set_ylabel(axes_names[1])
        axes.set_title(title)


def _colour(name: str, apart: Collection[str]) -> str:
    if name in apart:
        return GREY
    return BLUE if name.startswith("emopi") else ORANGE
