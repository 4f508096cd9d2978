"""What lies between two models on the same clips, against other ways to compute it."""

from __future__ import annotations

import dataclasses
import itertools
import json
import math

import numpy as np
import pytest
from comparison_mock import compared

from emopi.convert.comparison.paired import mcnemar, paired
from emopi.device.errors import SpecError
from emopi.train.evaluation import scores
from emopi.train.evaluation.summary import Outcome

A = compared("cnn-float32", wrong=[3, 5, 9, 77, 130]).outcome
B = compared("cnn-int8", wrong=[3, 6, 9, 10, 11, 12, 77, 200], sure=0.8).outcome


def of(labels: int, truth: list[int], a: list[int]) -> Outcome:
    """An outcome of three speakers that is sure of its answers."""
    n = len(truth)
    return dataclasses.replace(
        A,
        labels=A.labels[:labels],
        clip_ids=tuple(map(str, range(n))),
        speakers=tuple(str(k % 3) for k in range(n)),
        truth=tuple(truth),
        answers=tuple(a),
        probabilities=tuple(map(tuple, np.eye(labels)[a].tolist())),
    )


class TestMcNemar:
    def test_is_the_exact_binomial_test(self) -> None:
        stats = pytest.importorskip("scipy.stats", reason="the reference is not installed")
        counts = (0, 1, 2, 3, 5, 8, 13, 40, 41, 300)
        for only_a, only_b in itertools.product(counts, counts[1:]):
            expected = stats.binomtest(only_a, only_a + only_b).pvalue
            assert mcnemar(only_a, only_b) == pytest.approx(expected, rel=1e-9)

    def test_by_hand(self) -> None:
        assert mcnemar(0, 0) == mcnemar(1, 1) == mcnemar(2, 1) == 1.0
        assert mcnemar(0, 5) == 2 / 32
        assert mcnemar(1, 5) == 2 * (1 + 6) / 64

    def test_thousands_of_clips(self) -> None:
        assert 0 < mcnemar(1000, 1200) < 1e-4


class TestFigures:
    def test_counts(self) -> None:
        found = paired([A], [B])
        assert (found.n, found.speakers) == (240, 12)
        assert (found.only_a_right, found.only_b_right) == (5, 2)
        assert found.changed == (5, 6, 10, 11, 12, 130, 200)
        assert found.agreement == 1 - 7 / 240
        assert found.mcnemar_p == mcnemar(5, 2)
        assert found.accuracy_change == pytest.approx(-3 / 240)

    def test_against_the_figures_of_each(self) -> None:
        found = paired([A], [B])
        assert found.uar_change == pytest.approx(B.figures.uar - A.figures.uar)
        assert found.accuracy_change == pytest.approx(B.figures.accuracy - A.figures.accuracy)
        assert found.ece_change == pytest.approx(B.figures.ece - A.figures.ece)
        np.testing.assert_array_equal(found.confusion_change, B.confusion - A.confusion)
        for label, change in found.recall_change.items():
            assert change == pytest.approx(B.recall[label] - A.recall[label])
        p_a, p_b = np.array(A.probabilities), np.array(B.probabilities)
        assert found.mean_probability_change == pytest.approx(np.abs(p_b - p_a).mean())
        assert found.max_probability_change == pytest.approx(np.abs(p_b - p_a).max())

    def test_the_other_way_round(self) -> None:
        there, back = paired([A], [B]), paired([B], [A])
        for name in ("uar_change", "accuracy_change", "ece_change"):
            assert getattr(back, name) == pytest.approx(-getattr(there, name))
        for name, (low, high) in there.intervals.items():
            assert back.intervals[name] == pytest.approx((-high, -low))
        assert back.mcnemar_p == there.mcnemar_p
        assert back.agreement == there.agreement

    def test_against_itself(self) -> None:
        found = paired([A], [A])
        assert (found.uar_change, found.agreement, found.mcnemar_p) == (0, 1, 1)
        assert found.intervals == {"uar_change": (0, 0), "accuracy_change": (0, 0)}
        assert found.changed == ()
        assert not found.confusion_change.any()

    def test_labels_without_clips_have_no_recall(self) -> None:
        found = paired([of(3, [0, 0, 1], [0, 1, 1])], [of(3, [0, 0, 1], [0, 0, 1])])
        assert found.recall_change == pytest.approx(
            dict(zip(A.labels[:2], (0.5, 0.0), strict=True))
        )

    def test_no_speech_is_wrong_and_agrees_with_itself(self) -> None:
        silent = dataclasses.replace(A, answers=(-1, *A.answers[1:]))
        found = paired([silent], [silent])
        assert (found.agreement, found.only_a_right) == (1, 0)
        assert paired([A], [silent]).only_a_right == 1

    def test_folds_are_taken_together(self) -> None:
        first, second = (dataclasses.replace(A, fold=fold) for fold in ("fold1", "fold2"))
        found = paired([first, second], [dataclasses.replace(B, fold="fold1"), second])
        assert found.n == 480
        assert found.accuracy_change == pytest.approx(-3 / 480)
        assert found.agreement == 1 - 7 / 480

    def test_json(self) -> None:
        found = json.loads(json.dumps(paired([A], [B]).to_json(), allow_nan=False))
        assert found["changed"] == 7
        assert set(found["intervals"]) == {"uar_change", "accuracy_change"}
        assert np.shape(found["confusion_change"]) == (8, 8)


class TestIntervals:
    def test_are_those_of_a_bootstrap_clip_by_clip(self) -> None:
        """The slow way: draw speakers, put their clips together, score both models on them."""
        truth, a, b = (np.array(x) for x in (A.truth, A.answers, B.answers))
        uneven = tuple(f"{k * k // 2000}" for k in range(240))
        for speakers in (A.speakers, uneven, tuple("12"[k % 8 > 3] for k in range(240))):
            pair = [dataclasses.replace(o, speakers=speakers) for o in (A, B)]
            found = paired(pair[:1], pair[1:]).intervals
            assert found["uar_change"] == pytest.approx(
                scores.speaker_interval(
                    speakers,
                    lambda k: scores.uar(truth[k], b[k], 8) - scores.uar(truth[k], a[k], 8),
                )
            )
            assert found["accuracy_change"] == pytest.approx(
                scores.speaker_interval(
                    speakers, lambda k: np.mean(b[k] == truth[k]) - np.mean(a[k] == truth[k])
                )
            )

    def test_paired_is_narrower_than_apart(self) -> None:
        """What both find hard does not widen the interval of what lies between them."""
        hard = [k for k in range(240) if A.speakers[k] in ("01", "04")]
        a = compared("cnn-float32", wrong=hard).outcome
        b = compared("cnn-int8", wrong=[*hard, 0, 100]).outcome
        low, high = paired([a], [b]).intervals["accuracy_change"]
        apart = a.intervals["accuracy"]
        assert high - low < 0.2 * (apart[1] - apart[0])

    def test_covers_as_often_as_it_says(self) -> None:
        """Of many draws from a known population, about 95 % of intervals hold the truth."""
        rng = np.random.default_rng(0)
        speakers, clips, covered, draws = 24, 12, 0, 60
        for _ in range(draws):
            harder = rng.normal(0, 0.08, speakers).repeat(clips)
            a_right = rng.random(speakers * clips) < 0.7
            b_right = rng.random(speakers * clips) < 0.65 + harder
            truth = np.zeros(speakers * clips, int)
            names = tuple(str(k // clips) for k in range(speakers * clips))
            pair = [
                dataclasses.replace(of(2, truth.tolist(), (1 - r).tolist()), speakers=names)
                for r in (a_right.astype(int), b_right.astype(int))
            ]
            low, high = paired([pair[0]], [pair[1]]).intervals["accuracy_change"]
            covered += low <= -0.05 <= high
        assert covered / draws >= 0.85

    def test_one_speaker(self) -> None:
        one = dataclasses.replace(A, speakers=("01",) * 240)
        found = paired([one], [dataclasses.replace(B, speakers=("01",) * 240)])
        assert all(math.isnan(bound) for ends in found.intervals.values() for bound in ends)
        assert found.to_json()["intervals"]["uar_change"] == [None, None]


class TestRefusals:
    @pytest.mark.parametrize("name", ["labels", "clip_ids", "truth"])
    def test_what_is_not_alike(self, name: str) -> None:
        other = dataclasses.replace(B, **{name: tuple(reversed(getattr(B, name)))})
        with pytest.raises(SpecError, match=f"cnn-float32 and cnn-int8 .* different {name}"):
            paired([A], [other])

    def test_numbers_of_outcomes(self) -> None:
        with pytest.raises(SpecError, match="0 outcomes against 0"):
            paired([], [])
        with pytest.raises(SpecError, match="1 outcomes against 2"):
            paired([A], [B, B])
