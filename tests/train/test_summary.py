"""Figures over folds and seeds, against hand-worked examples."""

from __future__ import annotations

import json
import math
import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emopi.device.errors import SpecError
from emopi.train.evaluation.summary import DIGITS, NO_ANSWER, Outcome, summarize

LABELS = ("sad", "happy", "angry")


def outcome(
    truth: str,
    answers: str,
    *,
    fold: str = "fold1",
    seed: int | None = 0,
    network: str = "cnn",
    precision: str = "int8",
    protocol: str = "upm-5",
    speakers: str | None = None,
    confidence: float = 0.6,
    labels: tuple[str, ...] = LABELS,
) -> Outcome:
    """One digit a clip: "0012" is two sad, one happy, one angry; "-" no speech."""
    given_answers = [NO_ANSWER if c == "-" else int(c) for c in answers]
    rest = (1 - confidence) / (len(labels) - 1)
    return Outcome(
        network=network,
        precision=precision,
        protocol=protocol,
        fold=fold,
        seed=seed,
        labels=labels,
        clip_ids=tuple(f"{fold}-{k}" for k in range(len(truth))),
        speakers=tuple(speakers or [f"{fold}{k % 2}" for k in range(len(truth))]),
        truth=tuple(map(int, truth)),
        answers=tuple(given_answers),
        probabilities=tuple(
            tuple(0.0 if a < 0 else confidence if a == k else rest for k in range(len(labels)))
            for a in given_answers
        ),
    )


class TestOutcome:
    def test_figures(self) -> None:
        one = outcome("0001", "0011")
        assert one.figures.accuracy == 0.75
        assert one.figures.uar == pytest.approx((2 / 3 + 1) / 2)
        # F1 of sad 2*2/(3+2), of happy 2*1/(1+2); angry has no clip
        assert one.figures.macro_f1 == pytest.approx((0.8 + 2 / 3) / 2)
        assert one.figures.ece == pytest.approx(0.15)
        assert one.recall == {"sad": pytest.approx(2 / 3), "happy": 1.0}
        assert one.confusion.tolist() == [[2, 1, 0], [0, 1, 0], [0, 0, 0]]

    def test_no_speech_is_wrong(self) -> None:
        one = outcome("00", "0-")
        assert one.figures.accuracy == 0.5
        assert one.confusion.sum() == 1
        assert one.probabilities[1] == (0, 0, 0)

    def test_json_gives_the_same_outcome(self) -> None:
        one = outcome("0012", "01-2", confidence=1 / 3 + 1e-7)
        text = json.dumps(one.to_json(), allow_nan=False)
        again = Outcome.from_json(json.loads(text))
        assert again == one
        assert again.figures == one.figures
        assert again.intervals == one.intervals
        assert pickle.loads(pickle.dumps(one)) == one  # it travels between processes

    def test_rounded_in_memory_too(self) -> None:
        one = outcome("0", "0", confidence=0.123456)
        assert one.probabilities[0][0] == 0.1235
        assert DIGITS == 4

    def test_a_near_tie_keeps_its_answer(self) -> None:
        """Rounding makes the two alike, and the largest alone would name the first."""
        fields = outcome("1", "1").to_json() | {"probabilities": [[0.40001, 0.40004, 0.19995]]}
        one = Outcome.from_json(fields)
        assert one.probabilities[0][0] == one.probabilities[0][1]
        assert one.figures.accuracy == 1

    def test_numpy_is_taken(self) -> None:
        plain = outcome("012", "011")
        fields = plain.to_json()
        for name in ("truth", "answers"):
            fields[name] = np.array(fields[name])
        fields["probabilities"] = np.array(fields["probabilities"], np.float32)
        assert Outcome(**fields) == plain
        json.dumps(Outcome(**fields).to_json())

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"truth": [0]}, "truth has 1 entries for 2 clips"),
            ({"speakers": []}, "speakers has 0 entries for 2 clips"),
            ({"answers": [0, 3]}, "answers has an index outside -1 to 2"),
            ({"truth": [-1, 0]}, "truth has an index outside 0 to 2"),
            ({"probabilities": [[1, 0], [1, 0]]}, "probabilities are not 3 a clip"),
            ({"truth": ["a", 0]}, "not an outcome"),
            ({"probabilities": None}, "not an outcome"),
            ({"extra": 1}, "unknown field 'extra' in Outcome"),
        ],
    )
    def test_refused(self, change: dict[str, Any], message: str) -> None:
        with pytest.raises(SpecError, match=message):
            Outcome.from_json(outcome("01", "01").to_json() | change)

    def test_nothing_is_refused(self) -> None:
        with pytest.raises(SpecError, match="an outcome of no clip"):
            outcome("", "")
        fields = outcome("01", "01").to_json()
        del fields["fold"]
        with pytest.raises(SpecError, match="field 'fold' is missing in Outcome"):
            Outcome.from_json(fields)

    def test_one_speaker_has_no_interval(self) -> None:
        one = outcome("0011", "0010", speakers="aaaa")
        assert all(math.isnan(bound) for bounds in one.intervals.values() for bound in bounds)
        (model,) = summarize([one]).to_json()["models"]
        assert model["intervals"] == {"accuracy": [None, None], "uar": [None, None]}


class TestSummary:
    def test_mean_and_deviation_over_folds(self) -> None:
        folds = [outcome("0011", "0011"), outcome("01", "00", fold="fold2")]
        (model,) = summarize(folds).models
        assert model.mean.accuracy == 0.75  # of folds, not of clips: those are 5 of 6
        assert model.std.accuracy == pytest.approx(np.std([1, 0.5], ddof=1))
        assert model.mean.uar == 0.75
        assert model.mean.macro_f1 == pytest.approx((1 + (2 / 3 + 0) / 2) / 2)
        assert model.mean.ece == pytest.approx((0.4 + 0.1) / 2)
        assert model.std.ece == pytest.approx(np.std([0.4, 0.1], ddof=1))

    def test_clips_together(self) -> None:
        folds = [outcome("0011", "0011"), outcome("01", "00", fold="fold2")]
        (model,) = summarize(folds).models
        assert model.confusion.tolist() == [[3, 0, 0], [1, 2, 0], [0, 0, 0]]
        assert model.recall == {"sad": 1.0, "happy": pytest.approx(2 / 3)}
        assert (model.n, model.folds, model.seeds) == (6, ("fold1", "fold2"), (0,))
        assert model.missing(["fold1", "fold3", "fold2", "fold4"]) == ("fold3", "fold4")

    def test_interval_is_over_the_speakers_of_all_folds(self) -> None:
        """Two folds of one speaker each: alone neither tells anything, together they do."""
        folds = [
            outcome("00", "00", speakers="aa"),
            outcome("00", "11", speakers="bb", fold="fold2"),
        ]
        (model,) = summarize(folds).models
        assert model.intervals["accuracy"] == (0.0, 1.0)
        assert model.mean.accuracy == 0.5

    def test_seeds_are_repetitions(self) -> None:
        runs = [outcome("01", answers, seed=seed) for seed, answers in enumerate(["01", "00"])]
        (model,) = summarize(runs).models
        assert (model.folds, model.seeds, model.n) == (("fold1",), (0, 1), 4)
        assert model.mean.accuracy == 0.75
        content = model.to_json()
        assert (content["folds"], content["seeds"]) == (1, 2)

    def test_models_are_kept_apart(self) -> None:
        summary = summarize(
            outcome("01", "01", network=network, precision=precision, protocol=protocol)
            for network in ("lstm", "cnn")
            for precision in ("int8", "float32")
            for protocol in ("upm-5", "emobox-6")
        )
        found = [(m.network, m.precision, m.protocol) for m in summary.models]
        assert found == sorted(found)
        assert len(found) == 8

    def test_one_fold_has_no_deviation(self) -> None:
        content = summarize([outcome("01", "01")]).to_json()
        assert json.loads(json.dumps(content, allow_nan=False)) == content
        (model,) = content["models"]
        assert model["std"] == dict.fromkeys(("accuracy", "uar", "macro_f1", "ece"))
        assert model["accuracy"] == model["uar"] == 1
        assert list(model) == [
            "network", "precision", "protocol", "accuracy", "uar", "macro_f1", "ece", "std",
            "intervals", "recall", "confusion", "labels", "n", "folds", "seeds",
        ]  # fmt: skip

    def test_the_same_fold_twice_is_refused(self) -> None:
        with pytest.raises(SpecError, match="cnn-int8 has 2 outcomes of upm-5 fold1 with seed 0"):
            summarize([outcome("01", "01"), outcome("01", "10")])

    def test_other_labels_are_refused(self) -> None:
        other = outcome("01", "01", fold="fold2", labels=("happy", "sad", "angry"))
        with pytest.raises(SpecError, match="cnn-int8 has outcomes with different labels"):
            summarize([outcome("01", "01"), other])

    def test_nothing(self) -> None:
        assert summarize([]).to_json() == {"models": []}


@given(st.data())
def test_a_fold_may_be_cut_in_two_where_clips_are_pooled(data: st.DataObject) -> None:
    n = data.draw(st.integers(2, 20))
    digits = st.text("012", min_size=n, max_size=n)
    truth, answers = data.draw(digits), data.draw(digits)
    cut = data.draw(st.integers(1, n - 1))
    (whole,) = summarize([outcome(truth, answers)]).models
    halves = [
        outcome(truth[:cut], answers[:cut], fold="fold1"),
        outcome(truth[cut:], answers[cut:], fold="fold2"),
    ]
    (cut_model,) = summarize(halves).models
    np.testing.assert_array_equal(cut_model.confusion, whole.confusion)
    assert cut_model.recall == whole.recall
    assert cut_model.n == whole.n == n
    weights = [cut / n, 1 - cut / n]
    accuracies = [half.figures.accuracy for half in halves]
    assert np.dot(weights, accuracies) == pytest.approx(whole.mean.accuracy)
