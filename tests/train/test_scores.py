"""Figures of merit against hand-worked examples."""

from __future__ import annotations

import numpy as np
import pytest

from emopi.train.evaluation.scores import (
    accuracy,
    confusion,
    expected_calibration_error,
    macro_f1,
    recalls,
    speaker_interval,
    uar,
)

TRUTH = np.array([0, 0, 0, 0, 1, 1, 2])
ANSWER = np.array([0, 0, 0, 1, 1, 2, -1])  # -1: no speech


def test_confusion() -> None:
    assert confusion(TRUTH, ANSWER, 4).tolist() == [
        [3, 1, 0, 0],
        [0, 1, 1, 0],
        [0, 0, 0, 0],
        [0, 0, 0, 0],
    ]


def test_accuracy_and_uar() -> None:
    assert accuracy(TRUTH, ANSWER) == pytest.approx(4 / 7)
    np.testing.assert_allclose(recalls(TRUTH, ANSWER, 4), [0.75, 0.5, 0, np.nan])
    assert uar(TRUTH, ANSWER, 4) == pytest.approx((0.75 + 0.5 + 0) / 3)


def test_macro_f1() -> None:
    # F1 of 0: 2*3/(4+3); of 1: 2*1/(2+2); of 2: 0; label 3 has no clip
    assert macro_f1(TRUTH, ANSWER, 4) == pytest.approx((6 / 7 + 0.5 + 0) / 3)


def test_nothing_is_not_a_number() -> None:
    none = np.array([], np.int64)
    assert np.isnan(accuracy(none, none))
    assert np.isnan(uar(none, none, 2))
    assert np.isnan(macro_f1(none, none, 2))
    assert np.isnan(expected_calibration_error(np.array([]), np.array([], bool)))


def test_calibration_error() -> None:
    sure = np.full(10, 0.95)
    assert expected_calibration_error(sure, np.ones(10, bool)) == pytest.approx(0.05)
    assert expected_calibration_error(sure, np.zeros(10, bool)) == pytest.approx(0.95)
    # right and wrong of one bin are set off against each other, of two bins they are not
    one_bin = np.array([0.55, 0.55]), np.array([True, False])
    two_bins = np.array([0.95, 0.25]), np.array([False, True])
    assert expected_calibration_error(*one_bin) == pytest.approx(0.05)
    assert expected_calibration_error(*two_bins) == pytest.approx((0.95 + 0.75) / 2)
    assert expected_calibration_error(np.array([0.0, 1.0]), np.array([False, True])) == 0


def test_interval_draws_whole_speakers() -> None:
    speakers = ["a"] * 50 + ["b"] * 50
    right = np.array([1.0] * 50 + [0.0] * 50)
    low, high = speaker_interval(speakers, lambda clips: float(right[clips].mean()))
    assert (low, high) == (0.0, 1.0)  # as if there were two observations, not a hundred
    drawn = []
    speaker_interval(speakers, lambda clips: float(drawn.append(len(clips)) or 0), resamples=20)
    assert set(drawn) == {100}


def test_interval_of_many_speakers_is_that_of_the_mean() -> None:
    rng = np.random.default_rng(1)
    values = rng.normal(size=400)
    speakers = [f"{k:03}" for k in range(400)]
    low, high = speaker_interval(speakers, lambda clips: float(values[clips].mean()))
    half = 1.96 * values.std() / 20
    assert low == pytest.approx(values.mean() - half, abs=0.02)
    assert high == pytest.approx(values.mean() + half, abs=0.02)


def test_interval_repeats() -> None:
    def first(clips: np.ndarray) -> float:
        return float(clips[0])

    assert speaker_interval(list("abcdef"), first) == speaker_interval(list("abcdef"), first)
