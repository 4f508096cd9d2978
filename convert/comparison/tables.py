"""A comparison as tables of text, for the terminal, the page and spreadsheets alike. Pure."""

from __future__ import annotations

import csv
import dataclasses
import io
import math
from collections.abc import Mapping, Sequence
from typing import Any

from emopi.convert.comparison.comparison import Compared, Comparison, Pair
from emopi.convert.comparison.instructions import boards, counted_cores
from emopi.convert.comparison.layers import Inside
from emopi.convert.comparison.verdict import points, points_span
from emopi.train.evaluation.scores import intervals_json

COUNTED = (
    " Instructions of the network on a Raspberry Pi were counted under emulation, for graphs like "
    "the shipped ones: less is faster, but they are not times."
)

NOTHING = "-"
"""For a figure that a model has not."""


@dataclasses.dataclass(frozen=True, slots=True)
class Table:
    """Cells of text; the first column names the row."""

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""
    """What a reader must know to read it rightly."""


def accuracy_table(comparison: Comparison) -> Table:
    """What each model says of the clips."""
    return _by_column(
        "What they say",
        [model.name for model in comparison.models],
        [_accuracy(model) for model in comparison.models],
        "95 %: bootstrap over speakers. UAR: mean over the emotions of the share that was right. "
        "Calibration error: how far confidence is from accuracy, less is better.",
    )


def cost_table(comparison: Comparison) -> Table:
    """What each model costs."""
    return _by_column(
        "What they cost",
        [model.name for model in comparison.models],
        [_cost(model) for model in comparison.models],
        _cost_note(comparison),
    )


def pair_table(pairs: Sequence[Pair], title: str) -> Table:
    """Each pair's differences, the pairs in columns."""
    return _by_column(
        title,
        [pair.b.name for pair in pairs],
        [{"against": pair.a.name} | _differences(pair) for pair in pairs],
        "UAR and accuracy in points, 95 % by a paired bootstrap over speakers. McNemar's exact "
        "test takes clips for independent, which those of a speaker are not.",
    )


def recall_table(comparison: Comparison) -> Table:
    """Recall of each emotion, and its change."""
    pairs = {pair.b.name: pair for pair in comparison.told}
    rows = tuple(
        (label, *(_recall(model, label, pairs.get(model.name)) for model in comparison.models))
        for label in comparison.models[0].outcome.recall
    )
    return Table(
        "Recall of each emotion",
        ("emotion", *(model.name for model in comparison.models)),
        rows,
        "In brackets the change in points, against the model that the table of differences names.",
    )


def noise_table(inside: Inside, most: int | None = None) -> Table:
    """The layers that lose most by themselves first; at most `most` of them, by default all."""
    layers = sorted(inside.noise, key=lambda layer: -layer.loss_db)[:most]
    return Table(
        f"Where {inside.name} loses against {inside.float_name}",
        ("layer", "operator", "signal to noise, dB", "it was given, dB", "loss, dB"),
        tuple(
            (x.name, x.operator, f"{x.sqnr_db:.1f}", f"{x.given_db:.1f}", f"{x.loss_db:.1f}")
            for x in layers
        ),
        "Power of the float output over that of the difference; 6 dB is a bit. Loss is what the "
        "layer adds to what it was given.",
    )


def spreadsheet(comparison: Comparison) -> str:
    """CSV: a row a model, each but the first with its changes against another."""
    text = io.StringIO()
    writer = csv.writer(text)
    rows = [_flat(comparison.models[0], None)]
    rows += [_flat(pair.b, pair) for pair in comparison.told]
    writer.writerow(rows[-1])
    writer.writerows([row.get(name, "") for name in rows[-1]] for row in rows)
    return text.getvalue()


def _by_column(
    title: str, names: Sequence[str], columns: Sequence[dict[str, str]], note: str
) -> Table:
    """Models side by side, one figure a row: narrow enough for a terminal or a phone.

    Without the rows that tell nothing of any.
    """
    rows = [(figure, *(column[figure] for column in columns)) for figure in columns[0]]
    told = tuple(row for row in rows if set(row[1:]) != {NOTHING})
    return Table(title, ("", *names), told, note)


def _accuracy(model: Compared) -> dict[str, str]:
    figures, intervals = model.outcome.figures, model.outcome.intervals
    return {
        "UAR": f"{figures.uar:.1%}",
        "UAR, 95 %": _span(intervals["uar"]),
        "accuracy": f"{figures.accuracy:.1%}",
        "accuracy, 95 %": _span(intervals["accuracy"]),
        "macro F1": f"{figures.macro_f1:.1%}",
        "calibration error": f"{figures.ece:.1%}",
    }


def _recall(model: Compared, label: str, pair: Pair | None) -> str:
    change = f" ({points(pair.says.recall_change[label])})" if pair else ""
    return f"{model.outcome.recall[label]:.1%}{change}"


def _cost(model: Compared) -> dict[str, str]:
    room, stages = model.footprint, model.timing.stages
    cpu = {
        f"{title}, CPU, ms": f"{model.timing.cpu_ms[stage]:.2f}"
        for stage, title in (("frontend", "front end"), ("model", "network"))
    }
    times = {
        f"{title} p{share}, ms": f"{getattr(stages[stage], f'p{share}_ms'):.2f}"
        for stage, title in (("frontend", "front end"), ("model", "network"))
        for share in (50, 90, 99)
    }
    return {
        "file, KB": f"{model.n_bytes / 1024:.0f}",
        "memory it adds, MB": f"{room.model_mb:.1f}",
        "process in all, MB": f"{room.rss_mb:.1f}",
        "arena, KB": f"{room.arena_kb:.0f}",
        "load, ms": f"{room.load_ms:.1f}",
        "first inference, ms": f"{room.first_ms:.1f}",
        **cpu,
        **times,
        **_by_board("instructions, M", model.instructions, 1e-6, 1),
    }


def _differences(pair: Pair) -> dict[str, str]:
    says, (ratio, bounds) = pair.says, pair.latency
    return {
        "UAR": points(says.uar_change),
        "UAR, 95 %": points_span(says.intervals["uar_change"]),
        "accuracy": points(says.accuracy_change),
        "accuracy, 95 %": points_span(says.intervals["accuracy_change"]),
        "right where the other is wrong": f"{says.only_b_right} to {says.only_a_right}",
        "McNemar p": f"{says.mcnemar_p:.2g}",
        "same label": f"{says.agreement:.1%}",
        "probability, mean change": f"{says.mean_probability_change:.4f}",
        "probability, largest change": f"{says.max_probability_change:.3f}",
        "calibration error": points(says.ece_change),
        "file, times": f"{pair.size_ratio:.2f}",
        "network's CPU time, times": f"{ratio:.2f}",
        "network's CPU time, 95 %": f"{bounds[0]:.2f} to {bounds[1]:.2f}",
        **_by_board("instructions, times", pair.instruction_ratio, 1, 2),
    }


def _cost_note(comparison: Comparison) -> str:
    counted = any(model.instructions for model in comparison.models)
    return (
        f"Times: one thread, warm, {comparison.rounds} windows, the models taking turns; the front "
        "end is that of a whole window. CPU: median computing time, to which other work on the "
        "machine does not add; p50 to p99 are of the time that passed. Loading, first inference "
        f"and memory: in fresh processes, memory by {comparison.models[0].footprint.memory_source}."
        " The arena holds the activations without XNNPACK, which plans its own."
    ) + (COUNTED if counted else "")


def _by_board(
    title: str, figures: Mapping[str, float] | None, unit: float, digits: int
) -> dict[str, str]:
    """A row for each core that instructions were counted on; a dash where these were not."""
    return {
        f"Pi {boards(core)}, {title}": f"{unit * figures[core]:.{digits}f}" if figures else NOTHING
        for core in counted_cores()
    }


def _flat(model: Compared, against: Pair | None) -> dict[str, Any]:
    """One row of the spreadsheet; without the columns of changes for the first model."""
    figures = model.outcome.figures
    low, high = intervals_json(model.outcome.intervals)["uar"]
    fields: dict[str, Any] = {
        "model": model.name,
        "file": model.path,
        "network": model.outcome.network,
        "precision": model.outcome.precision,
        **figures.to_json(),
        "uar_low": low,
        "uar_high": high,
        "bytes": model.n_bytes,
        **model.footprint.to_json(),
    }
    for stage, times in model.timing.to_json().items():
        fields |= {f"{stage}_{name}": value for name, value in times.items()}
    if against:
        pair = against.to_json()
        fields |= {"against": against.a.name}
        fields |= {name: pair[name] for name in pair if isinstance(pair[name], int | float)}
        for name, ends in pair["intervals"].items():
            fields |= {f"{name}_low": ends[0], f"{name}_high": ends[1]}
    return fields


def _span(bounds: tuple[float, float]) -> str:
    if math.isnan(bounds[0]):
        return "one speaker"
    return f"{bounds[0]:.1%} to {bounds[1]:.1%}"
