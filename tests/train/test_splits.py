"""Protocols: frozen, complete, and no clip, twin or speaker on two sides."""

from __future__ import annotations

from collections import Counter
from importlib.resources import files
from pathlib import Path

import pytest

from emopi.device.errors import CorpusError, SpecError
from emopi.train.corpora import LABELS, Ravdess, Utterance
from emopi.train.frozen_protocols import write_protocols
from emopi.train.splits import (
    RULES,
    Fold,
    frozen_names,
    hold_out,
    load_protocol,
    protocol_names,
    split,
)

RANDOM = {"paper-80-20": (5, 288), "paper-70-30": (5, 432), "random-10fold": (10, 144)}
UNSEEN = {"upm-5": 5, "emobox-6": 6}
UTTERANCES = tuple(
    Utterance(clip_id, clip_id[-2:], LABELS[int(clip_id[6:8]) - 1], Path(clip_id))
    for clip_id in sorted(Ravdess.published())
)


def speaker(clip_id: str) -> str:
    return clip_id[-2:]


def test_names() -> None:
    assert protocol_names() == sorted([*RANDOM, *UNSEEN, *RULES, "all"])
    assert frozen_names() == sorted([*RANDOM, *UNSEEN])
    with pytest.raises(SpecError, match="no protocol 'paper'; expected one of: all, emobox-6"):
        load_protocol("paper")
    with pytest.raises(SpecError, match="has no fold 'seed9'; expected one of: seed0, seed1"):
        load_protocol("paper-80-20").fold("seed9")
    assert load_protocol("upm-5").fold(None).name == "fold1"


def test_frozen_files_are_what_the_code_writes(tmp_path: Path) -> None:
    write_protocols(tmp_path)
    frozen = Path(str(files("emopi.train") / "protocols"))
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(p.name for p in frozen.iterdir())
    for path in tmp_path.iterdir():
        assert path.read_text() == (frozen / path.name).read_text(), path.name


@pytest.mark.parametrize("name", [*RANDOM, *UNSEEN])
def test_no_clip_or_twin_is_on_two_sides(name: str) -> None:
    published = set(Ravdess.published())
    for fold in load_protocol(name).folds:
        assert fold.test <= published
        assert fold.validation <= published
        assert not fold.test & fold.validation
        for clip_id, twin in Ravdess.identical.items():
            for side in (fold.test, fold.validation):
                assert (clip_id in side) == (twin in side)


@pytest.mark.parametrize("name", RANDOM)
def test_random_protocols_are_stratified(name: str) -> None:
    n_folds, n_test = RANDOM[name]
    folds = load_protocol(name).folds
    assert len(folds) == n_folds
    share = n_test / 1440
    for fold in folds:
        assert abs(len(fold.test) - n_test) <= 1
        counts = Counter(clip_id[6:8] for clip_id in fold.test)
        assert abs(counts.pop("01") - 96 * share) <= 1
        assert all(abs(count - 192 * share) <= 2 for count in counts.values())
        assert {speaker(clip_id) for clip_id in fold.test} == {f"{k:02}" for k in range(1, 25)}
    if name == "random-10fold":
        assert sorted(clip_id for fold in folds for clip_id in fold.test) == sorted(
            Ravdess.published()
        )
    else:
        assert len({fold.test for fold in folds}) == n_folds


@pytest.mark.parametrize("name", UNSEEN)
def test_no_speaker_is_on_two_sides(name: str) -> None:
    folds = load_protocol(name).folds
    assert len(folds) == UNSEEN[name]
    tested: list[str] = []
    for fold in folds:
        sides = split(UTTERANCES, fold)
        speakers = [
            {u.speaker for u in side} for side in (sides.train, sides.validation, sides.test)
        ]
        assert sum(map(len, speakers)) == len(set.union(*speakers)) == 24
        assert len(sides.test) == 60 * len(speakers[2])
        tested += sorted(speakers[2])
    assert sorted(tested) == [f"{k:02}" for k in range(1, 25)]


def test_split_divides_everything() -> None:
    sides = split(UTTERANCES, load_protocol("upm-5").fold("fold3"))
    assert sorted(sides.train + sides.validation + sides.test) == sorted(UTTERANCES)
    assert {u.speaker for u in sides.validation} == {"08", "17"}


def test_split_refuses_an_incomplete_corpus() -> None:
    fold = Fold("mine", frozenset({UTTERANCES[0].clip_id, UTTERANCES[1].clip_id}), frozenset())
    with pytest.raises(CorpusError, match="1 clips of fold mine are not in the corpus, the first"):
        split(UTTERANCES[1:], fold)


def test_hold_out_is_stratified_and_repeatable() -> None:
    held_out = hold_out(UTTERANCES, 0.15, seed=3)
    assert held_out == hold_out(UTTERANCES, 0.15, seed=3)
    assert held_out != hold_out(UTTERANCES, 0.15, seed=4)
    counts = Counter(clip_id[6:8] for clip_id in held_out)
    assert abs(len(held_out) - 216) <= 1
    assert all(abs(counts[f"{k:02}"] - 192 * 0.15) <= 2 for k in range(2, 9))
