"""Figures of merit for decisions about labelled clips, and how far they can be trusted. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Reals = NDArray[np.float64]

RESAMPLES = 2000
CALIBRATION_BINS = 15


def confusion(truth: Ints, answer: Ints, n_labels: int) -> Ints:
    """(n_labels, n_labels) counts, row the truth, column the answer; an answer of -1 is in none."""
    counts = np.zeros((n_labels, n_labels), np.int64)
    given = answer >= 0
    np.add.at(counts, (truth[given], answer[given]), 1)
    return counts


def accuracy(truth: Ints, answer: Ints) -> float:
    """Share of the answers that is right (weighted accuracy, WA); NaN of nothing."""
    return float(np.mean(truth == answer)) if len(truth) else float("nan")


def recalls(truth: Ints, answer: Ints, n_labels: int) -> Reals:
    """(n_labels,) share of each label's clips that is right; NaN where a label has no clip."""
    clips = np.bincount(truth, minlength=n_labels)
    right = np.bincount(truth[truth == answer], minlength=n_labels)
    found: Reals = np.divide(right, clips, out=np.full(n_labels, np.nan), where=clips > 0)
    return found


def uar(truth: Ints, answer: Ints, n_labels: int) -> float:
    """Unweighted average recall, over the labels that have clips (Schuller et al. 2009)."""
    found = recalls(truth, answer, n_labels)
    return float(np.mean(found[~np.isnan(found)])) if len(truth) else float("nan")


def macro_f1(truth: Ints, answer: Ints, n_labels: int) -> float:
    """Mean over the labels that have clips of 2 TP / (2 TP + FP + FN)."""
    counts = confusion(truth, answer, n_labels)
    right = np.diag(counts)
    present = np.bincount(truth, minlength=n_labels)
    either = present + counts.sum(axis=0)
    f1 = 2 * right[present > 0] / either[present > 0]
    return float(np.mean(f1)) if len(f1) else float("nan")


def expected_calibration_error(confidence: Reals, right: NDArray[np.bool_]) -> float:
    """Mean over clips of |accuracy - confidence| of their bin (Guo et al. 2017, eq. 3).

    15 bins of equal width over 0 to 1; each belongs to the bin that its confidence closes.
    """
    bins = np.clip(np.ceil(confidence * CALIBRATION_BINS).astype(int) - 1, 0, CALIBRATION_BINS - 1)
    gap = np.bincount(bins, right - confidence, CALIBRATION_BINS)
    return float(np.abs(gap).sum() / len(confidence)) if len(confidence) else float("nan")


def speaker_interval(
    speakers: Sequence[str],
    statistic: Callable[[Ints], float],
    *,
    share: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> tuple[float, float]:
    """Bootstrap interval (percentile) of `statistic` over speakers (Efron and Tibshirani 1993).

    Clips of one speaker are alike, so whole speakers are drawn with replacement: `statistic` gets
    the indices of all clips of those drawn. With few speakers the interval is too narrow; of fewer
    than two it says nothing, and both bounds are NaN.
    """
    rng = np.random.default_rng(seed)
    names = sorted(set(speakers))
    if len(names) < 2:
        return float("nan"), float("nan")
    of = np.array(speakers)
    clips = [np.flatnonzero(of == name) for name in names]
    values = [
        statistic(np.concatenate([clips[k] for k in rng.integers(len(names), size=len(names))]))
        for _ in range(resamples)
    ]
    low, high = np.quantile(values, [(1 - share) / 2, (1 + share) / 2])
    return float(low), float(high)


def none_for_nan(value: float) -> float | None:
    """JSON has no NaN."""
    return None if math.isnan(value) else value


def intervals_json(
    intervals: Mapping[str, tuple[float, float]],
) -> dict[str, list[float | None]]:
    """Intervals as JSON types."""
    return {name: [none_for_nan(bound) for bound in ends] for name, ends in intervals.items()}
