"""Score a model file on the test clips of a protocol, through the device's own pipeline."""

from __future__ import annotations

import csv
import dataclasses
import io
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from emopi.device.classifier import Classifier
from emopi.device.contract import Contract, Score
from emopi.device.decision import Decision
from emopi.device.errors import ModelError, SpecError
from emopi.device.files import write_atomically
from emopi.device.pipeline import classify
from emopi.device.progress import track
from emopi.device.sources.audio import ArraySource, AudioSource, FileSource, read_clip
from emopi.train.corpora import Utterance, ids_hash, read_corpora, readers_named
from emopi.train.evaluation.conditions import Alter
from emopi.train.evaluation.scores import Ints, intervals_json
from emopi.train.evaluation.summary import NO_ANSWER, Outcome
from emopi.train.splits import ALL, RULES, Fold, load_protocol, split


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """What a model said of each clip, and what that adds up to."""

    contract: Contract
    protocol: str
    fold: str
    utterances: tuple[Utterance, ...]
    decisions: tuple[Decision, ...]
    """One an utterance."""

    @cached_property
    def outcome(self) -> Outcome:
        """What all figures are drawn from, apart from model file and paths."""
        labels = self.contract.labels
        index = {label: k for k, label in enumerate(labels)}
        return Outcome(
            network=self.contract.network,
            precision=self.contract.precision,
            protocol=self.protocol,
            fold=self.fold,
            seed=self.contract.training.get("recipe", {}).get("seed"),
            labels=labels,
            clip_ids=tuple(utterance.clip_id for utterance in self.utterances),
            speakers=tuple(utterance.speaker for utterance in self.utterances),
            truth=tuple(index[utterance.label] for utterance in self.utterances),
            answers=tuple(index.get(decision.label, NO_ANSWER) for decision in self.decisions),
            probabilities=tuple(
                tuple(decision.probabilities[label] for label in labels)
                for decision in self.decisions
            ),
        )

    @property
    def truth(self) -> Ints:
        """(n,) index of each clip's label."""
        return np.array(self.outcome.truth)

    @property
    def answer(self) -> Ints:
        """(n,) index of the model's label; -1, so always wrong, where it heard no speech."""
        return np.array(self.outcome.answers)

    @property
    def confusion(self) -> Ints:
        """(labels, labels) counts: row the clip's label, column the model's."""
        return self.outcome.confusion

    @property
    def recall(self) -> dict[str, float]:
        """Share of each label's clips that was right; labels without clips are left out."""
        return self.outcome.recall

    @property
    def score(self) -> Score:
        """Accuracy and unweighted average recall."""
        figures = self.outcome.figures
        return Score(self.protocol, self.fold, len(self.utterances), figures.accuracy, figures.uar)

    @property
    def intervals(self) -> dict[str, tuple[float, float]]:
        """95 % bootstrap intervals over speakers of accuracy and UAR; NaN of one speaker."""
        return self.outcome.intervals

    @property
    def calibration_error(self) -> float:
        """Expected calibration error of the decisions' confidence."""
        return self.outcome.figures.ece

    def to_json(self) -> dict[str, Any]:
        """What `emopi evaluate --json` prints."""
        figures = self.outcome.figures
        return {
            "network": self.contract.network,
            "precision": self.contract.precision,
            "model": self.contract.model_id,
            "protocol": self.protocol,
            "fold": self.fold,
            "seed": self.outcome.seed,
            "accuracy": figures.accuracy,
            "uar": figures.uar,
            "intervals": intervals_json(self.intervals),
            "macro_f1": figures.macro_f1,
            "ece": figures.ece,
            "n": len(self.utterances),
            "labels": list(self.contract.labels),
            "recall": self.recall,
            "confusion": self.confusion.tolist(),
        }


def evaluate(
    model: Path,
    corpus: Path | Sequence[Path],
    protocol: str,
    fold: str | None = None,
    *,
    allow_seen: bool = False,
    alter: Alter | None = None,
) -> Evaluation:
    """Classify every test clip of a fold with `model`, as `emopi classify` would.

    Without `fold`, the one that the model was trained on. `alter` is the condition under which
    the clips are heard (`conditions.condition`). Raises `ModelError` if the model has
    seen test clips in its training, unless `allow_seen`, and `SpecError` if there are none.
    """
    classifier = Classifier(model)
    utterances = read_corpora(corpus).utterances
    chosen, clips = unseen_clips(
        model, classifier.contract, utterances, protocol, fold, allow_seen=allow_seen
    )
    return Evaluation(
        classifier.contract,
        protocol,
        chosen.name,
        clips,
        tuple(track(classify_all(classifier, clips, alter), len(clips), "clips")),
    )


def unseen_clips(
    model: Path,
    contract: Contract,
    utterances: Sequence[Utterance],
    protocol: str,
    fold: str | None = None,
    *,
    allow_seen: bool = False,
) -> tuple[Fold, tuple[Utterance, ...]]:
    """The fold to evaluate a model on, and its test clips among `utterances`.

    Without `fold`, the one that the model was trained on. Raises as `evaluate` does.
    """
    training = contract.training
    if fold is None and training.get("protocol") == protocol:
        fold = training.get("fold")
    chosen = load_protocol(protocol, utterances).fold(fold)
    if not chosen.test:
        raise SpecError(
            f"protocol {protocol} has no test clips, all are for training; choose one that has"
        )
    clips = split(utterances, chosen).test
    if unknown := sorted({clip.label for clip in clips} - set(contract.labels)):
        raise ModelError(f"{model} does not know the label {unknown[0]!r}, which test clips have")
    seen = chosen.test & training_clips(contract, utterances)
    if seen and not allow_seen:
        made_for = f"made for {training.get('protocol')} {training.get('fold')}"
        if training.get("protocol") == ALL:
            made_for = "made to be used, with nothing held out"
        raise ModelError(
            f"{model} was trained on {len(seen)} of the {len(chosen.test)} test clips of "
            f"{protocol} {chosen.name}, so a figure on them would say nothing of new clips; it "
            f"was {made_for}. --allow-seen prints it all the same"
        )
    return chosen, clips


def classify_all(
    classifier: Classifier, utterances: Sequence[Utterance], alter: Alter | None = None
) -> Iterator[Decision]:
    """One decision an utterance, in order; `alter` is the condition under which it is heard."""
    rate_hz = classifier.contract.frontend.sample_rate_hz
    for utterance in utterances:
        source: AudioSource = FileSource(utterance.path, rate_hz)
        if alter:
            heard = alter(read_clip(utterance.path, rate_hz), utterance.clip_id)
            source = ArraySource(heard, rate_hz)
        yield classify(source, classifier)


def training_clips(contract: Contract, utterances: Sequence[Utterance]) -> frozenset[str]:
    """Ids of those `utterances` that the model's training or validation side held.

    A protocol by rule can be computed again only from the very clips of the training. If
    `utterances` has others of the same corpora, every one of those counts as held.
    """
    training = contract.training
    corpora = {reader.name for reader in readers_named(str(training.get("corpus")))}
    known = [utterance for utterance in utterances if utterance.corpus in corpora]
    if not known:
        return frozenset()
    if not {"protocol", "fold"} <= set(training):
        raise ModelError(
            f"the contract of {contract.model_id} does not say on which protocol and fold it was "
            "trained, so its test clips are unknown; convert anew"
        )
    held = frozenset(utterance.clip_id for utterance in known)
    if training["protocol"] in RULES and ids_hash(known) != training.get("clip_ids_sha256"):
        return held
    return held - load_protocol(training["protocol"], known).fold(training["fold"]).test


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
