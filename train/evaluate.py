"""Score a model file on the test clips of a protocol, through the device's own pipeline."""

from __future__ import annotations

import csv
import dataclasses
import io
from collections.abc import Callable, Iterator, Sequence
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
from emopi.train import scores
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
    def truth(self) -> NDArray[np.int64]:
        """(n,) index of each clip's label."""
        labels = self.contract.labels
        return np.array([labels.index(utterance.label) for utterance in self.utterances])

    @property
    def answer(self) -> NDArray[np.int64]:
        """(n,) index of the model's label; -1, so always wrong, where it heard no speech."""
        index = {label: k for k, label in enumerate(self.contract.labels)}
        return np.array([index.get(decision.label, -1) for decision in self.decisions])

    @property
    def confusion(self) -> NDArray[np.int64]:
        """(labels, labels) counts: row the clip's label, column the model's."""
        return scores.confusion(self.truth, self.answer, len(self.contract.labels))

    @property
    def recall(self) -> dict[str, float]:
        """Share of each label's clips that was right; labels without clips are left out."""
        found = scores.recalls(self.truth, self.answer, len(self.contract.labels))
        pairs = zip(self.contract.labels, found.tolist(), strict=True)
        return {label: share for label, share in pairs if share == share}

    @property
    def score(self) -> Score:
        """Accuracy and unweighted average recall."""
        truth, answer = self.truth, self.answer
        return Score(
            protocol=self.protocol,
            fold=self.fold,
            n=len(truth),
            accuracy=scores.accuracy(truth, answer),
            uar=scores.uar(truth, answer, len(self.contract.labels)),
        )

    @property
    def intervals(self) -> dict[str, tuple[float, float]]:
        """95 % bootstrap intervals over speakers of accuracy and UAR."""
        truth, answer, n_labels = self.truth, self.answer, len(self.contract.labels)
        speakers = [utterance.speaker for utterance in self.utterances]
        statistics: dict[str, Callable[[NDArray[np.int64]], float]] = {
            "accuracy": lambda clips: scores.accuracy(truth[clips], answer[clips]),
            "uar": lambda clips: scores.uar(truth[clips], answer[clips], n_labels),
        }
        return {
            name: scores.speaker_interval(speakers, statistic)
            for name, statistic in statistics.items()
        }

    @property
    def calibration_error(self) -> float:
        """Expected calibration error of the decisions' confidence."""
        confidence = np.array([decision.confidence for decision in self.decisions])
        return scores.expected_calibration_error(confidence, self.truth == self.answer)

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
            "intervals": {name: list(bounds) for name, bounds in self.intervals.items()},
            "macro_f1": scores.macro_f1(self.truth, self.answer, len(self.contract.labels)),
            "ece": self.calibration_error,
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
