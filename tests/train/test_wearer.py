"""Calibrating to test speakers: no clip is both an example and scored, and it helps."""

from __future__ import annotations

import numpy as np
import pytest

from emopi.train.evaluation.summary import NO_ANSWER, Outcome
from emopi.train.evaluation.wearer import calibrated

LABELS = ("neutral", "happy", "sad")


def an_outcome(n: int = 12, confused: bool = True) -> Outcome:
    """Two speakers, `n` clips a label each; the first one swaps neutral and sad."""
    rng = np.random.default_rng(0)
    speakers, truth, rows = [], [], []
    for speaker in ("01", "02"):
        for label in range(3):
            for _ in range(n):
                heard = {0: 2, 2: 0}.get(label, label) if confused and speaker == "01" else label
                row = rng.dirichlet([1, 1, 1]) * 0.5
                row[heard] += 0.5
                speakers.append(speaker)
                truth.append(label)
                rows.append(tuple(row))
    return Outcome(
        network="cnn",
        precision="int8",
        protocol="upm-5",
        fold="fold1",
        seed=0,
        labels=LABELS,
        clip_ids=tuple(f"clip{k}" for k in range(len(truth))),
        speakers=tuple(speakers),
        truth=tuple(truth),
        answers=tuple(int(np.argmax(row)) for row in rows),
        probabilities=tuple(rows),
    )


@pytest.mark.parametrize("n_examples", [1, 3, 5])
def test_scores_the_other_clips_alone(n_examples: int) -> None:
    """So many fewer of each label and speaker; the same clips before and after."""
    outcome = an_outcome()
    before, after = calibrated(outcome, n_examples, draw=0)
    assert len(before.clip_ids) == len(outcome.clip_ids) - 2 * 3 * n_examples
    assert before.clip_ids == after.clip_ids
    assert before.truth == after.truth
    position = {clip: k for k, clip in enumerate(outcome.clip_ids)}
    for clip, row in zip(before.clip_ids, before.probabilities, strict=True):
        assert row == outcome.probabilities[position[clip]]


def test_learns_a_speakers_ways() -> None:
    """The confused speaker's labels come right; the other's stay so."""
    before, after = calibrated(an_outcome(), 5, draw=1)
    assert before.figures.accuracy < 0.75
    assert after.figures.accuracy > 0.9


def test_ordinary_speech_without_labels_helps() -> None:
    """Half of the neutral clips are taken, no other; the confused speaker's others come right."""
    outcome = an_outcome()
    before, after = calibrated(outcome, 0, draw=0)
    taken = set(outcome.clip_ids) - set(before.clip_ids)
    neutral = {c for c, k in zip(outcome.clip_ids, outcome.truth, strict=True) if k == 0}
    assert taken < neutral
    assert len(taken) == len(neutral) / 2
    assert after.recall["neutral"] > before.recall["neutral"]


def test_speakers_do_not_learn_from_each_other() -> None:
    """One speaker's answers do not depend on whether another is there."""
    outcome = an_outcome()
    together = calibrated(outcome, 3, draw=0)[1]
    second = [k for k, speaker in enumerate(outcome.speakers) if speaker == "02"]
    columns = ("clip_ids", "speakers", "truth", "answers", "probabilities")
    fields = {name: tuple(getattr(outcome, name)[k] for k in second) for name in columns}
    alone = calibrated(
        Outcome(network="cnn", precision="int8", protocol="upm-5", fold="fold1", seed=0,
                labels=LABELS, **fields), 3, draw=0,
    )[1]  # fmt: skip
    rows = dict(zip(together.clip_ids, together.probabilities, strict=True))
    assert [rows[clip] for clip in alone.clip_ids] == list(alone.probabilities)


def test_draws_differ_and_repeat() -> None:
    """Another draw takes other clips; the same one the same, in whatever order they stand."""
    outcome = an_outcome()
    first, second = (set(calibrated(outcome, 3, draw)[0].clip_ids) for draw in (0, 1))
    assert first != second
    assert first == set(calibrated(outcome, 3, 0)[0].clip_ids)


def test_leaves_a_clip_of_each_label_and_no_answers() -> None:
    """A label with one clip gives no example; "no speech" stays wrong."""
    outcome = an_outcome(n=1)
    before, after = calibrated(outcome, 5, draw=0)
    assert before.clip_ids == outcome.clip_ids
    np.testing.assert_allclose(after.probabilities, before.probabilities, atol=2e-4)
    silent = Outcome(
        network="cnn", precision="int8", protocol="upm-5", fold="fold1", seed=0, labels=LABELS,
        clip_ids=("a", "b"), speakers=("01", "01"), truth=(0, 1), answers=(NO_ANSWER, 1),
        probabilities=((0, 0, 0), (0.1, 0.8, 0.1)),
    )  # fmt: skip
    assert calibrated(silent, 1, 0)[1].answers == (NO_ANSWER, 1)
