"""Which clips fix the ranges: balanced, of the training side, and frozen for RAVDESS."""

from __future__ import annotations

import json
from collections import Counter
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
from support import RAVDESS_16K, needs_16k

from emopi.convert.calibration import CLIPS, choose_clips, clip_levels
from emopi.convert.frozen_calibration import calibration, frozen_clips, write_frozen
from emopi.train.corpora import LABELS, Ravdess, Utterance
from emopi.train.run_record import RunRecord
from emopi.train.splits import ALL, frozen_names, load_protocol

FOLDS = [
    (protocol, fold)
    for protocol in (*frozen_names(), ALL)
    for fold in load_protocol(protocol).folds
]


def utterances(n: int, speakers: int = 5) -> list[Utterance]:
    return [
        Utterance(f"clip{k:03}", f"{k % speakers}", LABELS[k // speakers % 8], Path())
        for k in range(n)
    ]


def counts(chosen: tuple[Utterance, ...], attribute: str) -> Counter[str]:
    return Counter(getattr(utterance, attribute) for utterance in chosen)


def spread(numbers: Counter[str]) -> int:
    return max(numbers.values()) - min(numbers.values())


class TestChoice:
    def test_balanced_over_emotion_loudness_and_speaker(self) -> None:
        side = utterances(480)
        rng = np.random.default_rng(0)
        levels = {u.clip_id: float(rng.normal(-30, 8)) for u in side}
        chosen = choose_clips(side, levels, 120)
        assert counts(chosen, "label") == Counter(dict.fromkeys(LABELS, 15))
        assert spread(counts(chosen, "speaker")) <= 2
        low, high = np.quantile(list(levels.values()), [1 / 3, 2 / 3])
        thirds = Counter(
            int(levels[u.clip_id] > low) + int(levels[u.clip_id] > high) for u in chosen
        )
        assert thirds == {0: 40, 1: 40, 2: 40}

    def test_loudness_is_balanced_even_if_an_emotion_is_always_loud(self) -> None:
        side = utterances(480)
        levels = {u.clip_id: -10.0 if u.label in ("angry", "happy") else -40.0 for u in side}
        levels = {clip_id: level + k / 1000 for k, (clip_id, level) in enumerate(levels.items())}
        chosen = choose_clips(side, levels, 96)
        assert spread(counts(chosen, "label")) == 0
        ranked = sorted(levels, key=levels.__getitem__)
        thirds = Counter(3 * ranked.index(u.clip_id) // 480 for u in chosen)
        assert thirds == {0: 32, 1: 32, 2: 32}

    def test_depends_on_clips_and_levels_alone(self) -> None:
        side = utterances(100)
        levels = {u.clip_id: -float(k % 37) for k, u in enumerate(side)}
        chosen = choose_clips(side, levels, 40)
        assert chosen == choose_clips(side[::-1], levels, 40)
        assert chosen == tuple(sorted(chosen))
        louder = {clip_id: level + 20 for clip_id, level in levels.items()}
        assert chosen == choose_clips(side, louder, 40)
        assert chosen != choose_clips(side, {u.clip_id: 0.0 for u in side}, 40)

    def test_few_clips(self) -> None:
        side = utterances(7)
        assert choose_clips(side) == tuple(side)
        assert choose_clips((), {}) == ()

    def test_without_levels(self) -> None:
        chosen = choose_clips(utterances(480), n=80)
        assert spread(counts(chosen, "label")) == 0
        assert spread(counts(chosen, "speaker")) <= 2


def test_level_is_power_without_dc(tmp_path: Path) -> None:
    t = np.arange(16_000) / 16_000
    sine = 0.5 * np.sin(2 * np.pi * 100 * t)
    side = []
    for name, samples in (("sine", sine), ("shifted", sine + 0.25), ("silence", 0 * t)):
        sf.write(tmp_path / f"{name}.wav", samples, 16_000, subtype="FLOAT")
        side.append(Utterance(name, "a", "calm", tmp_path / f"{name}.wav"))
    levels = clip_levels(side, 16_000)
    assert levels["sine"] == pytest.approx(10 * np.log10(0.125), abs=1e-3)
    assert levels["shifted"] == pytest.approx(levels["sine"], abs=1e-3)
    assert levels["silence"] == pytest.approx(-200)


class TestFrozen:
    @pytest.mark.parametrize("protocol", sorted({protocol for protocol, _ in FOLDS}))
    def test_no_test_clip_and_balanced(self, protocol: str) -> None:
        published = set(Ravdess.published())
        for fold in load_protocol(protocol).folds:
            frozen = frozen_clips(protocol, fold.name)
            assert frozen is not None
            assert len(frozen) == CLIPS
            assert frozen <= published - fold.test - fold.validation
            emotions = Counter(clip_id[6:8] for clip_id in frozen)
            assert set(emotions.values()) == {24}
            assert spread(Counter(clip_id[-2:] for clip_id in frozen)) <= 2

    def test_no_more_than_there_are_folds(self) -> None:
        folder = files("emopi.convert") / "calibration_clips"
        found = [
            (content["name"], fold)
            for path in folder.iterdir()
            for content in [json.loads(path.read_text())]
            for fold in content["folds"]
        ]
        assert sorted(found) == sorted((protocol, fold.name) for protocol, fold in FOLDS)

    @needs_16k
    def test_is_what_the_function_gives(self, tmp_path: Path) -> None:
        write_frozen(tmp_path, RAVDESS_16K)
        folder = Path(str(files("emopi.convert"))) / "calibration_clips"
        names = sorted(path.name for path in folder.iterdir())
        assert sorted(path.name for path in tmp_path.iterdir()) == names
        for name in names:
            assert (tmp_path / name).read_text() == (folder / name).read_text()


def record(protocol: str, fold: str, validation_share: float = 0.0) -> RunRecord:
    return RunRecord("cnn", protocol, fold, validation_share, {}, {}, {}, "", None, {}, "")


class TestUse:
    """Of the frozen clips, on all names of RAVDESS."""

    def test_whole_ravdess(self, tiny_corpus: Path) -> None:
        every = Ravdess.read(tiny_corpus)
        found = calibration(record("upm-5", "fold2"), every, every, 16_000)
        assert {clip.clip_id for clip in found.clips} == frozen_clips("upm-5", "fold2")
        assert found.why == "frozen for upm-5 fold2"

    @pytest.mark.parametrize(
        ("its", "missing"),
        [
            (record("speakers-5", "fold2"), 0),  # by rule
            (record("upm-5", "fold2", validation_share=0.1), 0),
            (record("upm-5", "fold2"), 1),
        ],
    )
    def test_else_they_are_chosen(self, tiny_corpus: Path, its: RunRecord, missing: int) -> None:
        some = Ravdess.read(tiny_corpus)[missing:]
        found = calibration(its, some, some, 16_000)
        assert found.why == "balanced over emotion, loudness and speaker"
        assert len(found.clips) == CLIPS
        assert {clip.clip_id for clip in found.clips} != frozen_clips("upm-5", "fold2")
        assert set(found.clips) <= set(some)
