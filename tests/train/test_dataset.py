"""The feature cache, the statistics and the batches."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from emopi.device.errors import CorpusError
from emopi.device.frontend import FrontendSpec, extract
from emopi.device.normalization import c0_range, fit_window, relative_level, silence
from emopi.device.sources.audio import read_clip
from emopi.train.augment import FeatureAugmentation, Perturbation
from emopi.train.corpora import LABELS, Ravdess
from emopi.train.dataset import RANGE_DB, WindowSampler, centred, cut, features, statistics

SPEC = FrontendSpec(energy_floor=1e-10)
HOW = Perturbation(copies=2)
NOTHING = FeatureAugmentation(time_masks=0, channel=0.0)


@pytest.fixture(scope="module")
def utterances(tiny_corpus: Path) -> tuple:
    return Ravdess.read(tiny_corpus)[::60]


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def data(utterances: tuple, cache: Path):
    return features(utterances, "hash", SPEC, HOW, cache=cache, jobs=2)


def test_copy_0_is_what_the_device_computes(data, utterances: tuple) -> None:
    assert len(data.clip_ids) == 24
    assert data.lengths.shape == (24, 3)
    for k, utterance in enumerate(utterances):
        expected = extract(read_clip(utterance.path, 16_000), SPEC)
        np.testing.assert_array_equal(data.clip(k), expected)
        assert data.labels[k] == utterance.label


def test_augmented_copies_differ(data) -> None:
    for k in range(24):
        assert len(data.clip(k, 1)) != len(data.clip(k, 2)) or not np.array_equal(
            data.clip(k, 1), data.clip(k, 2)
        )


def test_cache_is_used_and_does_not_depend_on_jobs(
    data, utterances: tuple, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = features(utterances, "hash", SPEC, HOW, cache=tmp_path, jobs=1)
    np.testing.assert_array_equal(alone.frames, data.frames)
    monkeypatch.setattr("emopi.train.dataset._extract_all", None)  # would fail if called
    features(utterances, "hash", SPEC, HOW, cache=cache)


@pytest.mark.parametrize("damage", ["truncated", "zeroed", "missing", "index"])
def test_damaged_cache_is_extracted_again(
    data, utterances: tuple, tmp_path: Path, damage: str
) -> None:
    features(utterances, "hash", SPEC, HOW, cache=tmp_path, jobs=1)
    (frames,) = tmp_path.rglob("frames.f32")
    content = frames.read_bytes()
    if damage == "truncated":
        frames.write_bytes(content[:-4])
    elif damage == "zeroed":
        frames.write_bytes(bytes(len(content)))
    elif damage == "missing":
        frames.unlink()
    else:
        (frames.parent / "index.json").write_text("{")
    again = features(utterances, "hash", SPEC, HOW, cache=tmp_path, jobs=1)
    np.testing.assert_array_equal(again.frames, data.frames)


def test_cache_that_cannot_be_written(utterances: tuple, tmp_path: Path) -> None:
    (tmp_path / "cache").touch()
    with pytest.raises(CorpusError, match=r"cannot be kept in .* choose another folder with --cac"):
        features(utterances, "hash", SPEC, HOW, cache=tmp_path / "cache", jobs=1)


@pytest.mark.usefixtures("data")
def test_cache_is_not_used_for_anything_else(utterances: tuple, cache: Path) -> None:
    before = set((cache / "features").iterdir())
    assert len(before) == 1
    features(utterances, "hash", dataclasses.replace(SPEC, n_mfcc=13), HOW, cache=cache, jobs=1)
    features(utterances, "hash", SPEC, dataclasses.replace(HOW, noisy=0.0), cache=cache, jobs=1)
    features(utterances[1:], "other", SPEC, HOW, cache=cache, jobs=1)
    assert len(set((cache / "features").iterdir())) == 4


def test_unreadable_clip_is_named_and_leaves_nothing(tmp_path: Path, utterances: tuple) -> None:
    bad = tmp_path / f"{utterances[0].clip_id}.wav"
    bad.write_text("no sound")
    broken = (dataclasses.replace(utterances[0], path=bad), *utterances[1:3])
    with pytest.raises(CorpusError, match=r"is not an audio file .* See: emopi dataset check DIR"):
        features(broken, "hash", SPEC, HOW, cache=tmp_path / "cache", jobs=1)
    assert list((tmp_path / "cache" / "features").iterdir()) == []


def test_statistics_are_of_the_given_clips_alone(data) -> None:
    chosen = (0, 5, 7)
    frames = np.concatenate(
        [
            relative_level(fit_window(data.clip(k), 300, SPEC), c0_range(RANGE_DB, SPEC))
            for k in chosen
        ]
    ).astype(np.float64)
    found = statistics(data, chosen, SPEC, 300)
    np.testing.assert_allclose(found.mean, frames.mean(axis=0), rtol=1e-5, atol=1e-4)
    np.testing.assert_allclose(found.std, frames.std(axis=0), rtol=1e-4)
    assert statistics(data, (0, 5), SPEC, 300) != found


def test_cut_fills_with_silence() -> None:
    frames = np.arange(10 * 40, dtype=np.float32).reshape(10, 40)
    quiet = silence(1, SPEC)[0]
    found = cut(frames, -2, 14, SPEC)
    np.testing.assert_array_equal(found[2:12], frames)
    np.testing.assert_array_equal(found[[0, 1, 12, 13]], np.stack([quiet] * 4))
    np.testing.assert_array_equal(cut(frames, 3, 4, SPEC), frames[3:7])
    np.testing.assert_array_equal(cut(frames, 8, 4, SPEC)[:2], frames[8:])


def test_batches(data) -> None:
    indices = (1, 3, 5, 8, 13)
    normalization = statistics(data, indices, SPEC, 300)
    sampler = WindowSampler(data, indices, SPEC, normalization, 300, NOTHING, batch=2, seed=0)
    assert sampler.steps == 3
    batches = list(sampler.epoch(0))
    assert [windows.shape for windows, _ in batches] == [(2, 300, 40), (2, 300, 40), (1, 300, 40)]
    labels = np.concatenate([labels for _, labels in batches])
    found = sorted(LABELS[k] for k in labels.argmax(axis=1))
    assert found == sorted(data.labels[k] for k in indices)
    again = list(sampler.epoch(0))
    np.testing.assert_array_equal(again[0][0], batches[0][0])
    other = list(sampler.epoch(1))
    assert not np.array_equal(other[0][0], batches[0][0])


def test_centred(data) -> None:
    windows = centred(data, (2, 4), 20, SPEC)
    clip = data.clip(4)
    start = (len(clip) - 20) // 2
    np.testing.assert_array_equal(windows[1], clip[start : start + 20])
