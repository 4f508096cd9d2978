"""Figures as the cells of a report's tables, and the tables: Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from emopi.convert.reproduction.findings import Heard
from emopi.train.evaluation.summary import ModelSummary


def image(figures: Mapping[str, str], name: str, title: str) -> str:
    return f"![{title}]({figures[name]})" if name in figures else ""


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def name_of(model: ModelSummary) -> str:
    return f"{model.network}-{model.precision}"


def percent(share: float | None) -> str:
    """In percent with one decimal; a dash for what there is not."""
    return "–" if share is None or share != share else f"{100 * share:.1f}"


def mean(model: ModelSummary | None, figure: str) -> str:
    """Mean over folds with its standard deviation, if there are two or more."""
    if model is None:
        return "–"
    std = getattr(model.std, figure)
    spread = f" ± {percent(std)}" if std == std else ""
    return percent(getattr(model.mean, figure)) + spread


def span(bounds: tuple[float, float]) -> str:
    return "–" if bounds[0] != bounds[0] else f"{percent(bounds[0])} to {percent(bounds[1])}"


def change(heard: Heard | None) -> str:
    if heard is None:
        return "–"
    now = heard.under.mean.uar
    return f"{percent(now)} ({100 * (now - heard.clean.mean.uar):+.1f})"


def ranged(values: Iterable[float]) -> str:
    found = sorted(set(values))
    return f"{found[0]:g}" if len(found) == 1 else f"{found[0]:g} to {found[-1]:g}"


def distinct(values: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(values))


def plural(noun: str, values: Sequence[str]) -> str:
    return f"{noun}{'s' * (len(values) > 1)} {', '.join(values)}"
