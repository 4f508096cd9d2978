"""The figures of a report, drawn from its findings and from clips of the corpus."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from emopi.convert.reproduction import paper
from emopi.convert.reproduction.findings import Findings
from emopi.device.classifier import Classifier
from emopi.device.errors import ModelError
from emopi.train.corpora import Utterance
from emopi.train.evaluation.figures import (
    Curve,
    draw_accuracies,
    draw_clip,
    draw_confusion,
    draw_curves,
    draw_random_against_unseen,
)
from emopi.train.evaluation.trace import trace
from emopi.train.splits import load_protocol, split


@dataclasses.dataclass(frozen=True, slots=True)
class Illustrations:
    """What has been drawn."""

    paths: dict[str, str]
    """Name to path, relative to the report."""
    heard_by: str = ""
    """Id of the model in the figures of clips."""
    clips: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """Label to the id of the clip that has been drawn for it."""


def draw_findings(findings: Findings, folder: Path) -> dict[str, str]:
    """Everything but the clips, into `folder`: name to path, relative to the folder's own."""
    mark = "quick trial, not a result" if findings.quick else ""
    drawn: dict[str, str] = {}

    def draw(name: str, function: Callable[..., None], *data: object) -> None:
        function(folder / f"{name}.png", *data, mark=mark)
        drawn[name] = f"{folder.name}/{name}.png"

    shown = [m for m in findings.deployed if m.protocol in (*paper.SPLITS, "upm-5")]
    if shown:
        draw("accuracy", draw_accuracies, shown, paper.STATED)
    if findings.has_both_sides:
        draw("random-against-unseen", draw_random_against_unseen, findings.deployed)
    for model in findings.deployed:
        draw(f"confusion-{model.protocol}-{model.network}", draw_confusion, model)
    if curves := _curves(findings):
        draw("curves", draw_curves, curves)
    return drawn


def draw_clips(
    model: Path, utterances: Sequence[Utterance], folder: Path, *, quick: bool
) -> Illustrations:
    """A figure for one clip of each emotion, as the model in the file `model` hears it.

    The clip is the first, by id, among the test clips of the fold that the model was trained for.
    Raises `ModelError` if the model is of no such fold.
    """
    classifier = Classifier(model)
    training = classifier.contract.training
    if not {"protocol", "fold"} <= set(training):
        raise ModelError(f"{model} does not say on which fold it was trained; convert anew")
    fold = load_protocol(training["protocol"]).fold(training["fold"])
    first = {u.label: u for u in reversed(split(utterances, fold).test)}
    for label, utterance in first.items():
        traced = trace(utterance.path, label, classifier)
        draw_clip(folder / f"clip-{label}.png", traced, mark="quick trial" if quick else "")
    return Illustrations(
        {f"clip-{label}": f"{folder.name}/clip-{label}.png" for label in first},
        classifier.contract.model_id,
        {label: utterance.clip_id for label, utterance in first.items()},
    )


def _curves(findings: Findings) -> Mapping[str, Mapping[str, Sequence[Curve]]]:
    """Network to protocol to the histories of its folds."""
    curves: dict[str, dict[str, list[Curve]]] = defaultdict(lambda: defaultdict(list))
    for result in findings.results:
        if result.curve:
            curves[result.network][result.protocol].append(result.curve)
    return curves
