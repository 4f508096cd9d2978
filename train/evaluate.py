"""Score a model file on the test clips of a protocol, through the device's own pipeline."""

from __future__ import annotations

import csv
import dataclasses
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emopi.device.audio import FileSource
from emopi.device.classifier import Classifier
from emopi.device.contract import Contract, Score
from emopi.device.decision import Decision
from emopi.device.errors import ModelError
from emopi.device.pipeline import classify
from emopi.train.corpora import Ravdess, Utterance
from emopi.train.progress import track
from emopi.train.run_record import write_atomically
from emopi.train.splits import load_protocol, split


@dataclasses.dataclass(frozen=True, slots=True)
class Evaluation:
    """What a model said of each clip, and what that adds up to."""

    contract: Contract
    protocol: str
    fold: str
    utterances: tuple[Utterance, ...]
    decisions: tuple[Decision, ...]
    """One an utterance."""

    @property
    def confusion(self) -> NDArray[np.int64]:
        """(labels, labels) counts: row the clip's label, column the model's."""
        labels = self.contract.labels
        counts = np.zeros((len(labels), len(labels)), np.int64)
        for utterance, decision in zip(self.utterances, self.decisions, strict=True):
            if decision.label in labels:  # "no speech" is in no column, so it counts as wrong
                counts[labels.index(utterance.label), labels.index(decision.label)] += 1
        return counts

    @property
    def recall(self) -> dict[str, float]:
        """Share of each label's clips that was right; labels without clips are left out."""
        clips = [utterance.label for utterance in self.utterances]
        right = np.diag(self.confusion)
        return {
            label: float(right[k]) / clips.count(label)
            for k, label in enumerate(self.contract.labels)
            if label in clips
        }

    @property
    def score(self) -> Score:
        """Accuracy and unweighted average recall."""
        return Score(
            protocol=self.protocol,
            fold=self.fold,
            n=len(self.utterances),
            accuracy=float(np.diag(self.confusion).sum()) / len(self.utterances),
            uar=float(np.mean(list(self.recall.values()))),
        )

    def to_json(self) -> dict[str, Any]:
        """What `emopi evaluate --json` prints."""
        score = self.score
        return {
            "network": self.contract.network,
            "precision": self.contract.precision,
            "model": self.contract.model_id,
            "protocol": self.protocol,
            "fold": self.fold,
            "accuracy": score.accuracy,
            "uar": score.uar,
            "n": score.n,
            "labels": list(self.contract.labels),
            "recall": self.recall,
            "confusion": self.confusion.tolist(),
        }


def evaluate(
    model: Path,
    corpus: Path,
    protocol: str,
    fold: str | None = None,
    *,
    allow_seen: bool = False,
) -> Evaluation:
    """Classify every test clip of a fold with `model`, as `emopi classify` would.

    Without `fold`, the one that the model was trained on. Raises `ModelError` if the model has
    seen test clips in its training, unless `allow_seen`.
    """
    classifier = Classifier(model)
    training = classifier.contract.training
    if fold is None and training.get("protocol") == protocol:
        fold = training.get("fold")
    chosen = load_protocol(protocol).fold(fold)
    seen = chosen.test & training_clips(classifier.contract)
    if seen and not allow_seen:
        raise ModelError(
            f"{model} was trained on {len(seen)} of the {len(chosen.test)} test clips of "
            f"{protocol} {chosen.name}, so a figure on them would say nothing of new clips; it "
            f"was made for {training.get('protocol')} {training.get('fold')}. "
            "--allow-seen prints it all the same"
        )
    utterances = split(Ravdess.read(corpus), chosen).test
    return Evaluation(
        classifier.contract,
        protocol,
        chosen.name,
        utterances,
        tuple(track(classify_all(classifier, utterances), len(utterances), "clips")),
    )


def classify_all(classifier: Classifier, utterances: Sequence[Utterance]) -> Iterator[Decision]:
    """One decision an utterance, in order."""
    rate_hz = classifier.contract.frontend.sample_rate_hz
    for utterance in utterances:
        yield classify(FileSource(utterance.path, rate_hz), classifier)


def training_clips(contract: Contract) -> frozenset[str]:
    """The published clips that a model's training or validation side held."""
    training = contract.training
    if training.get("corpus") != Ravdess.name:
        return frozenset()
    if not {"protocol", "fold"} <= set(training):
        raise ModelError(
            f"the contract of {contract.model_id} does not say on which protocol and fold it was "
            "trained, so its test clips are unknown; convert anew"
        )
    fold = load_protocol(training["protocol"]).fold(training["fold"])
    return frozenset(Ravdess.published()) - fold.test


def write_clips(result: Evaluation, path: Path) -> None:
    """Write one CSV row a clip: id, its label, the model's, the probability of each label."""
    text = io.StringIO()
    writer = csv.writer(text)
    labels = result.contract.labels
    writer.writerow(["clip", "label", "decision", *labels])
    for utterance, decision in zip(result.utterances, result.decisions, strict=True):
        probabilities = [f"{decision.probabilities[label]:.6f}" for label in labels]
        writer.writerow([utterance.clip_id, utterance.label, decision.label, *probabilities])
    write_atomically(path, text.getvalue().encode())
