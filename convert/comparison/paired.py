"""What one model says against another on the same clips, and how sure that is. Pure."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emopi.device.errors import SpecError
from emopi.train.evaluation import scores
from emopi.train.evaluation.scores import Ints, Reals, intervals_json, none_for_nan
from emopi.train.evaluation.summary import Outcome

Bools = NDArray[np.bool_]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Paired:
    """Model b against model a: a change is b's figure minus a's, all clips together."""

    n: int
    """Clips."""
    speakers: int
    uar_change: float
    accuracy_change: float
    intervals: dict[str, tuple[float, float]]
    """95 % paired bootstrap intervals over speakers of uar_change and accuracy_change."""
    only_a_right: int
    """Clips that a alone has right."""
    only_b_right: int
    mcnemar_p: float
    """Exact McNemar test that both are right equally often, two-sided. It takes clips for
    independent, which those of one speaker are not: the intervals are the better judge."""
    agreement: float
    """Share of the clips with the same label."""
    mean_probability_change: float
    """Mean over clips and labels of the absolute change."""
    max_probability_change: float
    recall_change: dict[str, float]
    """Of each label that has clips."""
    ece_change: float
    """Of the expected calibration error: less is better."""
    confusion_change: Ints
    """(labels, labels) counts of b minus those of a."""
    changed: tuple[int, ...]
    """Places, in the outcomes one after the other, of the clips with another label."""

    def to_json(self) -> dict[str, Any]:
        """The fields by name, of JSON types; `changed` as the number of such clips."""
        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return fields | {
            "ece_change": none_for_nan(self.ece_change),
            "intervals": intervals_json(self.intervals),
            "confusion_change": self.confusion_change.tolist(),
            "changed": len(self.changed),
        }


def paired(a: Sequence[Outcome], b: Sequence[Outcome]) -> Paired:
    """Outcome by outcome of the same clips; several, such as folds, are taken together.

    Raises `SpecError` if there is none, or if clips, their labels or the models' labels differ.
    """
    _check_alike(a, b)
    labels = a[0].labels
    truth: Ints = np.array([k for outcome in a for k in outcome.truth])
    of_a, of_b = _answers(a), _answers(b)
    speakers = [speaker for outcome in a for speaker in outcome.speakers]
    a_right, b_right = of_a == truth, of_b == truth
    only_a, only_b = int(np.sum(a_right & ~b_right)), int(np.sum(b_right & ~a_right))
    p_a, p_b = _probabilities(a), _probabilities(b)
    recalls = scores.recalls(truth, of_b, len(labels)) - scores.recalls(truth, of_a, len(labels))
    return Paired(
        n=len(truth),
        speakers=len(set(speakers)),
        uar_change=float(np.nanmean(recalls)),
        accuracy_change=float(np.mean(b_right) - np.mean(a_right)),
        intervals=_intervals(speakers, truth, a_right, b_right),
        only_a_right=only_a,
        only_b_right=only_b,
        mcnemar_p=mcnemar(only_a, only_b),
        agreement=float(np.mean(of_a == of_b)),
        mean_probability_change=float(np.abs(p_b - p_a).mean()),
        max_probability_change=float(np.abs(p_b - p_a).max()),
        recall_change={
            label: change
            for label, change in zip(labels, recalls.tolist(), strict=True)
            if not math.isnan(change)
        },
        ece_change=scores.expected_calibration_error(p_b.max(axis=1), b_right)
        - scores.expected_calibration_error(p_a.max(axis=1), a_right),
        confusion_change=scores.confusion(truth, of_b, len(labels))
        - scores.confusion(truth, of_a, len(labels)),
        changed=tuple(np.flatnonzero(of_a != of_b).tolist()),
    )


def mcnemar(only_a: int, only_b: int) -> float:
    """p-value of McNemar's exact test (1947) for clips that one model alone has right.

    Two-sided: the binomial test of one half, which is symmetric, so twice the smaller tail. In
    exact integers, and so without SciPy, which a Raspberry Pi has not.
    """
    n = only_a + only_b
    tail = sum(math.comb(n, k) for k in range(min(only_a, only_b) + 1))
    return min(1.0, float(2 * tail / 2**n))


def _intervals(
    speakers: Sequence[str], truth: Ints, a_right: Bools, b_right: Bools
) -> dict[str, tuple[float, float]]:
    """What `scores.speaker_interval` gives for both changes, from counts of each speaker's clips.

    Every drawing of speakers counts for a and b alike. (speakers, labels) counts make 2000
    drawings one matrix product each.
    """
    nothing = float("nan"), float("nan")
    names, who = np.unique(speakers, return_inverse=True)
    if len(names) < 2:
        return {"uar_change": nothing, "accuracy_change": nothing}
    rng = np.random.default_rng(0)
    drawn = rng.integers(len(names), size=(scores.RESAMPLES, len(names)))
    times = np.stack([np.bincount(row, minlength=len(names)) for row in drawn])
    clips, gained = np.zeros((2, len(names), truth.max() + 1), np.int64)
    np.add.at(clips, (who, truth), 1)
    np.add.at(gained, (who, truth), b_right.astype(np.int64) - a_right)
    clips, gained = times @ clips, times @ gained
    with np.errstate(invalid="ignore"):  # a label that nobody drawn has
        changes = {
            "uar_change": np.nanmean(gained / clips, axis=1),
            "accuracy_change": gained.sum(axis=1) / clips.sum(axis=1),
        }
    bounds = {name: np.quantile(values, (0.025, 0.975)) for name, values in changes.items()}
    return {name: (float(low), float(high)) for name, (low, high) in bounds.items()}


def _check_alike(a: Sequence[Outcome], b: Sequence[Outcome]) -> None:
    if not a or len(a) != len(b):
        raise SpecError(f"{len(a)} outcomes against {len(b)}; expected as many, one or more")
    for one, other in zip(a, b, strict=True):
        for name in ("labels", "clip_ids", "truth"):
            if getattr(one, name) != getattr(other, name):
                raise SpecError(
                    f"{one.network}-{one.precision} and {other.network}-{other.precision} of "
                    f"{one.protocol} {one.fold} have different {name}; expected the same"
                )


def _answers(outcomes: Sequence[Outcome]) -> Ints:
    return np.array([k for outcome in outcomes for k in outcome.answers])


def _probabilities(outcomes: Sequence[Outcome]) -> Reals:
    """(clips, labels)."""
    return np.array([clip for outcome in outcomes for clip in outcome.probabilities])
