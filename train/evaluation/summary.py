"""What models said of test clips, and what that adds up to over folds and seeds. Pure.

An `Outcome` is one model on one fold, apart from how it came about; `summarize` draws the figures
of several together. Everything that publishes a figure goes through here.
"""

from __future__ import annotations

import dataclasses
import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from emopi.device.errors import SpecError
from emopi.device.frontend import checked_fields
from emopi.train.evaluation import scores
from emopi.train.evaluation.scores import Ints, Reals, intervals_json, none_for_nan

DIGITS = 4
"""To which an `Outcome` keeps probabilities, in memory as in JSON, so that both score the same."""

NO_ANSWER = -1
"""Stands for "no speech" among the answers: always wrong, and in no column of a confusion."""


@dataclasses.dataclass(frozen=True, slots=True)
class Figures:
    """Figures of merit, each 0 to 1; NaN where there is nothing to say."""

    accuracy: float
    uar: float
    macro_f1: float
    ece: float
    """Expected calibration error."""

    def to_json(self) -> dict[str, float | None]:
        """The fields by name, None for NaN."""
        return {name: none_for_nan(value) for name, value in dataclasses.asdict(self).items()}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Outcome:
    """What one model said of the test clips of one fold. All sequences but `labels`: one a clip."""

    network: str
    """Kind of model, such as "cnn"."""
    precision: str
    """Such as "int8"."""
    protocol: str
    fold: str
    seed: int | None
    """Of the training, if it has one."""
    labels: tuple[str, ...]
    clip_ids: tuple[str, ...]
    speakers: tuple[str, ...]
    truth: tuple[int, ...]
    """Index in `labels` of each clip's own label."""
    answers: tuple[int, ...]
    """Index of the model's label, `NO_ANSWER` where it heard no speech."""
    probabilities: tuple[tuple[float, ...], ...]
    """(clips, labels), rounded to `DIGITS`; all 0 where it heard no speech."""

    def __post_init__(self) -> None:
        """Raise `SpecError` for sequences that do not fit together."""
        for name in ("labels", "clip_ids", "speakers"):
            object.__setattr__(self, name, tuple(map(str, getattr(self, name))))
        for name in ("truth", "answers"):
            object.__setattr__(self, name, tuple(map(int, getattr(self, name))))
        rounded = tuple(tuple(round(float(p), DIGITS) for p in clip) for clip in self.probabilities)
        object.__setattr__(self, "probabilities", rounded)
        if not (n := len(self.clip_ids)):
            raise SpecError("an outcome of no clip; expected one or more")
        for name in ("speakers", "truth", "answers", "probabilities"):
            if len(values := getattr(self, name)) != n:
                raise SpecError(f"{name} has {len(values)} entries for {n} clips")
        if any(len(clip) != len(self.labels) for clip in rounded):
            raise SpecError(f"probabilities are not {len(self.labels)} a clip, one a label")
        for name, least in (("truth", 0), ("answers", NO_ANSWER)):
            if not all(least <= k < len(self.labels) for k in getattr(self, name)):
                raise SpecError(f"{name} has an index outside {least} to {len(self.labels) - 1}")

    @property
    def key(self) -> tuple[str, str, str]:
        """What outcomes must share to be averaged: network, precision, protocol."""
        return self.network, self.precision, self.protocol

    @cached_property
    def figures(self) -> Figures:
        """Of this fold alone."""
        return _figures(self)

    @property
    def confusion(self) -> Ints:
        """(labels, labels) counts: row the clip's label, column the model's."""
        return scores.confusion(*_pooled([self]), len(self.labels))

    @property
    def recall(self) -> dict[str, float]:
        """Share of each label's clips that was right; labels without clips are left out."""
        return _recall([self])

    @cached_property
    def intervals(self) -> dict[str, tuple[float, float]]:
        """95 % bootstrap intervals over speakers of accuracy and UAR; NaN of one speaker."""
        return _intervals([self])

    def to_json(self) -> dict[str, Any]:
        """The fields by name, of JSON types."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Outcome:
        """The outcome that `to_json` described; `SpecError` if it is not one."""
        checked = checked_fields(cls, fields)
        try:
            return cls(**checked)
        except (TypeError, ValueError) as error:
            raise SpecError(f"not an outcome: {error}") from None


@dataclasses.dataclass(frozen=True)
class ModelSummary:
    """One network in one precision over the folds (and seeds) of one protocol."""

    outcomes: tuple[Outcome, ...]
    """Same network, precision, protocol and labels; no fold twice with the same seed."""

    @property
    def network(self) -> str:
        """Kind of model, such as "cnn"."""
        return self.outcomes[0].network

    @property
    def precision(self) -> str:
        """Such as "int8"."""
        return self.outcomes[0].precision

    @property
    def protocol(self) -> str:
        """Of all the outcomes."""
        return self.outcomes[0].protocol

    @property
    def labels(self) -> tuple[str, ...]:
        """In the models' order."""
        return self.outcomes[0].labels

    @property
    def folds(self) -> tuple[str, ...]:
        """Those that there are, each once, in the outcomes' order."""
        return tuple(dict.fromkeys(outcome.fold for outcome in self.outcomes))

    @property
    def seeds(self) -> tuple[int | None, ...]:
        """Those that there are, each once, in the outcomes' order."""
        return tuple(dict.fromkeys(outcome.seed for outcome in self.outcomes))

    @property
    def n(self) -> int:
        """Test clips of all outcomes together; a clip counts once a seed."""
        return sum(len(outcome.clip_ids) for outcome in self.outcomes)

    @cached_property
    def mean(self) -> Figures:
        """Over the outcomes, each counting the same however many clips it has."""
        return self._over(np.mean)

    @cached_property
    def std(self) -> Figures:
        """Sample standard deviation over the outcomes; NaN if there is only one."""
        if len(self.outcomes) == 1:
            return Figures(*[float("nan")] * 4)
        return self._over(lambda values: np.std(values, ddof=1))

    @property
    def recall(self) -> dict[str, float]:
        """Share of each label's clips that was right, all clips together."""
        return _recall(self.outcomes)

    @property
    def confusion(self) -> Ints:
        """(labels, labels) counts of all clips together: row the clip's label."""
        total: Ints = np.sum([outcome.confusion for outcome in self.outcomes], axis=0)
        return total

    @cached_property
    def intervals(self) -> dict[str, tuple[float, float]]:
        """95 % bootstrap intervals over speakers of accuracy and UAR of all clips together."""
        return _intervals(self.outcomes)

    def missing(self, folds: Iterable[str]) -> tuple[str, ...]:
        """Those of `folds` (a protocol's) that no outcome has."""
        return tuple(fold for fold in folds if fold not in self.folds)

    def to_json(self) -> dict[str, Any]:
        """Means at the top; NaN as None."""
        return {
            "network": self.network,
            "precision": self.precision,
            "protocol": self.protocol,
            **self.mean.to_json(),
            "std": self.std.to_json(),
            "intervals": intervals_json(self.intervals),
            "recall": self.recall,
            "confusion": self.confusion.tolist(),
            "labels": list(self.labels),
            "n": self.n,
            "folds": len(self.folds),
            "seeds": len(self.seeds),
        }

    def _over(self, statistic: Callable[[list[float]], Any]) -> Figures:
        rows = [dataclasses.astuple(outcome.figures) for outcome in self.outcomes]
        return Figures(*(float(statistic(list(column))) for column in zip(*rows, strict=True)))


@dataclasses.dataclass(frozen=True)
class Summary:
    """Several models, each over its folds."""

    models: tuple[ModelSummary, ...]
    """Sorted by network, precision, protocol."""

    def to_json(self) -> dict[str, Any]:
        """One entry a model."""
        return {"models": [model.to_json() for model in self.models]}


def summarize(outcomes: Iterable[Outcome]) -> Summary:
    """Draw together the outcomes of each network, precision and protocol.

    Raises `SpecError` if two are of the same fold and seed, or if labels differ.
    """
    groups = defaultdict(list)
    for outcome in outcomes:
        groups[outcome.key].append(outcome)
    return Summary(tuple(_model(groups[key]) for key in sorted(groups)))


def _model(outcomes: Sequence[Outcome]) -> ModelSummary:
    name = "-".join(outcomes[0].key[:2])
    (fold, seed), n = Counter((o.fold, o.seed) for o in outcomes).most_common(1)[0]
    if n > 1:
        raise SpecError(
            f"{name} has {n} outcomes of {outcomes[0].protocol} {fold} with seed {seed}; "
            "expected one, since a mean would count its clips twice"
        )
    if len({outcome.labels for outcome in outcomes}) > 1:
        raise SpecError(f"{name} has outcomes with different labels; expected the same everywhere")
    return ModelSummary(tuple(outcomes))


def _pooled(outcomes: Sequence[Outcome]) -> tuple[Ints, Ints]:
    """Truth and answers of all clips, one after the other."""
    truth = [k for outcome in outcomes for k in outcome.truth]
    answers = [k for outcome in outcomes for k in outcome.answers]
    return np.array(truth, np.int64), np.array(answers, np.int64)


def _figures(outcome: Outcome) -> Figures:
    truth, answers = _pooled([outcome])
    n_labels = len(outcome.labels)
    confidence: Reals = np.array([max(clip) for clip in outcome.probabilities], np.float64)
    return Figures(
        accuracy=scores.accuracy(truth, answers),
        uar=scores.uar(truth, answers, n_labels),
        macro_f1=scores.macro_f1(truth, answers, n_labels),
        ece=scores.expected_calibration_error(confidence, truth == answers),
    )


def _recall(outcomes: Sequence[Outcome]) -> dict[str, float]:
    labels = outcomes[0].labels
    found = scores.recalls(*_pooled(outcomes), len(labels))
    pairs = zip(labels, found.tolist(), strict=True)
    return {label: share for label, share in pairs if not math.isnan(share)}


def _intervals(outcomes: Sequence[Outcome]) -> dict[str, tuple[float, float]]:
    truth, answers = _pooled(outcomes)
    n_labels = len(outcomes[0].labels)
    speakers = [speaker for outcome in outcomes for speaker in outcome.speakers]
    statistics: dict[str, Callable[[Ints], float]] = {
        "accuracy": lambda clips: scores.accuracy(truth[clips], answers[clips]),
        "uar": lambda clips: scores.uar(truth[clips], answers[clips], n_labels),
    }
    return {
        name: scores.speaker_interval(speakers, statistic) for name, statistic in statistics.items()
    }
