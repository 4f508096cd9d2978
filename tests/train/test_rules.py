"""Protocols that are not frozen: two computed from the clips at hand, and one without a test."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emopi.device.errors import CorpusError, SpecError
from emopi.train.corpora import LABELS, Ravdess, Savee, Utterance, ids_hash
from emopi.train.splits import (
    ALL,
    RANDOM,
    RULES,
    SPEAKERS,
    description,
    hold_out,
    load_protocol,
    protocol_names,
    split,
)

RAVDESS = tuple(
    Utterance(clip_id, clip_id[-2:], LABELS[int(clip_id[6:8]) - 1], Path(clip_id))
    for clip_id in sorted(Ravdess.published())
)


def utterance(clip_id: str, speaker: str, label: str) -> Utterance:
    return Utterance(clip_id, speaker, label, Path(clip_id))


def savee() -> tuple[Utterance, ...]:
    found = []
    for clip_id in Savee.published():
        clip = Savee.clip(Path(f"{clip_id.partition('/')[2]}.wav"))
        assert clip
        assert clip.label
        found.append(utterance(clip_id, f"savee/{clip.speaker}", clip.label))
    return tuple(found)


MIX = tuple(sorted(RAVDESS + savee()))


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("utterances", [RAVDESS, savee(), MIX], ids=["ravdess", "savee", "mix"])
def test_every_clip_is_tested_once(name: str, utterances: tuple[Utterance, ...]) -> None:
    folds = load_protocol(name, utterances).folds
    tested = Counter(clip_id for fold in folds for clip_id in fold.test)
    assert set(tested) == {u.clip_id for u in utterances}
    assert set(tested.values()) == {1}
    assert [fold.name for fold in folds] == [f"fold{k + 1}" for k in range(len(folds))]
    for fold in folds:
        sides = split(utterances, fold)
        assert sides.validation == ()
        assert sorted(sides.train + sides.test) == sorted(utterances)


@pytest.mark.parametrize("name", RULES)
def test_order_does_not_matter(name: str) -> None:
    shuffled = list(MIX)
    random.Random(3).shuffle(shuffled)
    assert load_protocol(name, shuffled) == load_protocol(name, MIX)


def test_folds_of_ravdess_never_change() -> None:
    """A figure that someone published under these names must stay comparable."""
    folds = load_protocol(RANDOM, RAVDESS).folds
    hashes = [ids_hash(u for u in RAVDESS if u.clip_id in fold.test)[:12] for fold in folds]
    assert hashes == [
        "ccc0e8f6d73d", "65ae1c467def", "ff952dd79706", "289d95d6ad26", "d33bb3b4f0e0",
    ]  # fmt: skip
    folds = load_protocol(SPEAKERS, RAVDESS).folds
    assert [sorted({clip_id[-2:] for clip_id in fold.test}) for fold in folds] == [
        ["03", "07", "08", "15", "16"],
        ["02", "09", "10", "11", "22"],
        ["01", "12", "13", "18", "19"],
        ["05", "14", "17", "21", "23"],
        ["04", "06", "20", "24"],
    ]


class TestRandom:
    @pytest.mark.parametrize("utterances", [RAVDESS, MIX], ids=["ravdess", "mix"])
    def test_stratified_by_label_and_corpus(self, utterances: tuple[Utterance, ...]) -> None:
        by_id = {u.clip_id: u for u in utterances}
        folds = load_protocol(RANDOM, utterances).folds
        assert len(folds) == 5
        for key in ("label", "corpus"):
            whole = Counter(getattr(u, key) for u in utterances)
            for fold in folds:
                part = Counter(getattr(by_id[clip_id], key) for clip_id in fold.test)
                # one more for the rounding, one for the twins
                assert all(abs(part[value] - n / 5) <= 2 for value, n in whole.items())

    def test_twins_stay_together(self) -> None:
        for fold in load_protocol(RANDOM, RAVDESS).folds:
            for clip_id, twin in Ravdess.identical.items():
                assert (clip_id in fold.test) == (twin in fold.test)

    def test_too_few_clips(self) -> None:
        four = savee()[:4]
        with pytest.raises(CorpusError, match="4 clips are too few for random-5fold: a fold would"):
            load_protocol(RANDOM, four)


class TestSpeakers:
    @pytest.mark.parametrize("utterances", [RAVDESS, savee(), MIX], ids=["24", "4", "28"])
    def test_no_speaker_is_on_two_sides(self, utterances: tuple[Utterance, ...]) -> None:
        folds = load_protocol(SPEAKERS, utterances).folds
        n_speakers = len({u.speaker for u in utterances})
        assert len(folds) == min(5, n_speakers)
        sizes = []
        for fold in folds:
            sides = split(utterances, fold)
            trained = {u.speaker for u in sides.train}
            tested = {u.speaker for u in sides.test}
            assert trained.isdisjoint(tested)
            sizes.append(len(tested))
        assert sum(sizes) == n_speakers
        assert max(sizes) - min(sizes) <= 1

    def test_speakers_of_one_corpus_are_spread(self) -> None:
        for fold in load_protocol(SPEAKERS, MIX).folds:
            tested = {u.speaker for u in split(MIX, fold).test}
            assert sum(speaker.startswith("savee/") for speaker in tested) <= 1

    def test_one_speaker(self) -> None:
        alone = tuple(u for u in savee() if u.speaker == "savee/DC")
        with pytest.raises(CorpusError, match="expected 2 or more, found 1"):
            load_protocol(SPEAKERS, alone)

    def test_two_speakers(self) -> None:
        two = tuple(u for u in savee() if u.speaker in ("savee/DC", "savee/KL"))
        folds = load_protocol(SPEAKERS, two).folds
        assert [len(fold.test) for fold in folds] == [120, 120]


class TestAll:
    def test_everything_is_for_training(self) -> None:
        protocol = load_protocol(ALL)
        assert protocol == load_protocol(ALL, MIX)
        assert [fold.name for fold in protocol.folds] == ["all"]
        sides = split(MIX, protocol.fold(None))
        assert (sides.train, sides.validation, sides.test) == (MIX, (), ())
        assert len(hold_out(sides.train, 0.1, seed=0)) == 192


def test_a_rule_needs_clips() -> None:
    for name in RULES:
        with pytest.raises(SpecError, match=f"protocol {name} depends on the clips that it"):
            load_protocol(name)


def test_descriptions() -> None:
    for name in protocol_names():
        assert description(name).endswith((".", ")."))
    assert description("upm-5") == load_protocol("upm-5").description
    assert description(RANDOM) == load_protocol(RANDOM, MIX).description
    with pytest.raises(SpecError, match="no protocol 'best'"):
        description("best")


class TestFrozenProtocolsOfMixtures:
    def test_other_corpora_join_the_training_side(self) -> None:
        fold = load_protocol("upm-5", MIX).fold("fold2")
        alone, mixed = split(RAVDESS, fold), split(MIX, fold)
        assert mixed.test == alone.test
        assert mixed.validation == alone.validation
        assert sorted(mixed.train) == sorted(alone.train + savee())

    def test_they_need_ravdess(self) -> None:
        fold = load_protocol("upm-5").fold(None)
        with pytest.raises(
            CorpusError, match=r"of RAVDESS, which is not in the corpus; add it, or"
        ):
            split(savee(), fold)
        with pytest.raises(
            CorpusError, match=r"are not in the corpus, the first 03-01-.* See: emo"
        ):
            split(MIX[100:], fold)


@st.composite
def corpora(draw: st.DrawFn) -> list[Utterance]:
    """Some clips of a few speakers of a few corpora."""
    found = {}
    for _ in range(draw(st.integers(5, 60))):
        corpus = draw(st.sampled_from(["savee", "tess", "emodb"]))
        speaker = f"{corpus}/{draw(st.integers(1, 4))}"
        clip_id = f"{speaker}_{draw(st.integers(0, 10**6))}"
        found[clip_id] = utterance(clip_id, speaker, draw(st.sampled_from(LABELS)))
    return list(found.values())


@given(corpora(), st.sampled_from(RULES))
def test_any_corpora(utterances: list[Utterance], name: str) -> None:
    try:
        folds = load_protocol(name, utterances).folds
    except CorpusError:
        n = len({u.speaker for u in utterances}) if name == SPEAKERS else len(utterances)
        assert n < (2 if name == SPEAKERS else 5)
        return
    assert sorted(i for fold in folds for i in fold.test) == sorted(u.clip_id for u in utterances)
    assert all(fold.test for fold in folds)
    if name == RANDOM:
        sizes = [len(fold.test) for fold in folds]
        assert max(sizes) - min(sizes) <= 1
    for label in LABELS if name == RANDOM else ():
        with_label = {u.clip_id for u in utterances if u.label == label}
        sizes = [len(fold.test & with_label) for fold in folds]
        assert max(sizes) - min(sizes) <= 1
