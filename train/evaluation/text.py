"""Evaluations as text for a terminal: `emopi evaluate` without `--json`. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from emopi.train.evaluation.evaluate import Evaluation
from emopi.train.evaluation.folder import FolderEvaluation
from emopi.train.evaluation.scores import Ints
from emopi.train.evaluation.summary import ModelSummary

_COLUMNS = (
    ("accuracy", "accuracy"),
    ("uar", "UAR"),
    ("macro_f1", "macro F1"),
    ("ece", "calibration error"),
)


def render_evaluation(result: Evaluation) -> str:
    """One model on one fold."""
    score, intervals = result.score, result.intervals
    return (
        f"{result.contract.model_id} on {score.protocol} {score.fold}: {score.n} test clips\n"
        f"accuracy {score.accuracy:.1%} ({_span(intervals['accuracy'])})   "
        f"UAR {score.uar:.1%} ({_span(intervals['uar'])})   "
        "(95 %, bootstrap over speakers)\n"
        f"calibration error {result.calibration_error:.1%}\n\n"
        + _confusion(result.contract.labels, result.confusion, result.recall)
    )


def render_folder(folder: Path, result: FolderEvaluation) -> str:
    """The models of a folder over their folds: a table of all, then each one's confusion."""
    models = result.summary.models
    parts = [
        f"{folder} on {result.protocol.name}: {len(result.files)} model files, each on its own "
        "fold's test clips",
        _table(models, len(result.protocol.folds)),
        *(f"{name}: no model for {', '.join(folds)}" for name, folds in result.missing.items()),
    ]
    for model in models:
        parts += [
            f"\n{model.network}-{model.precision}, {model.n} clips together",
            _confusion(model.labels, model.confusion, model.recall),
        ]
    return "\n".join(parts)


def _table(models: Sequence[ModelSummary], n_folds: int) -> str:
    """Two rows a model: mean and standard deviation over folds and seeds, then intervals."""
    rows = [["model", "folds", *(title for _, title in _COLUMNS)]]
    for model in models:
        seeds = f" x {len(model.seeds)} seeds" if len(model.seeds) > 1 else ""
        rows.append(
            [f"{model.network}-{model.precision}", f"{len(model.folds)} of {n_folds}{seeds}"]
            + [_spread(getattr(model.mean, k), getattr(model.std, k)) for k, _ in _COLUMNS]
        )
        intervals = model.intervals
        rows.append(
            ["", "95 %"] + [_span(intervals[k]) if k in intervals else "" for k, _ in _COLUMNS]
        )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(f"{cell:<{w}}" for cell, w in zip(row, widths, strict=True)) for row in rows]
    return "\n".join(
        [
            "mean ± standard deviation over the folds; 95 %: bootstrap over the speakers of all "
            "clips together\n",
            *(line.rstrip() for line in lines),
        ]
    )


def _spread(mean: float, std: float) -> str:
    return f"{mean:.1%}" if math.isnan(std) else f"{mean:.1%} ± {100 * std:.1f}"


def _span(bounds: tuple[float, float]) -> str:
    if math.isnan(bounds[0]):
        return "one speaker: no interval"
    return f"{bounds[0]:.1%} to {bounds[1]:.1%}"


def _confusion(labels: Sequence[str], counts: Ints, recall: Mapping[str, float]) -> str:
    """A row a label: how its clips were called, and the share that was right."""
    width = max(map(len, labels))
    cell = max(5, len(str(counts.max())))
    head = " ".join(f"{label[:cell]:>{cell}}" for label in labels)
    lines = [f"{'clip':<{width}} {head}  recall"]
    for label, row in zip(labels, counts, strict=True):
        cells = " ".join(f"{count or '.':>{cell}}" for count in row)
        right = f"{recall[label]:6.1%}" if label in recall else "     -"
        lines.append(f"{label:<{width}} {cells}  {right}")
    return "\n".join(lines)
