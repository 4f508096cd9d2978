"""Listening conditions: what they do to samples, and that they repeat."""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
import pytest
import soundfile
from support import MODELS, SHARED, run_emopi, speech

from emopi.device.errors import CorpusError, SpecError
from emopi.train.evaluation.conditions import (
    CONDITIONS,
    NARROW,
    REVERB,
    condition,
    noises,
    room_responses,
)
from emopi.train.evaluation.evaluate import evaluate

RATE_HZ = 16_000
NOISE = SHARED / "noise_esc10"


@pytest.fixture(scope="module")
def noise(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two recordings of noise, one of them at another rate, and a text file."""
    folder = tmp_path_factory.mktemp("noise")
    rng = np.random.default_rng(0)
    (folder / "rain").mkdir()
    soundfile.write(folder / "rain" / "a.ogg", 0.1 * rng.standard_normal(44_100), 44_100)
    soundfile.write(folder / "b.wav", 0.01 * rng.standard_normal(RATE_HZ), RATE_HZ)
    (folder / "readme.txt").write_text("not audio")
    return folder


@pytest.mark.parametrize("name", CONDITIONS)
def test_alters_and_repeats(name: str, noise: Path) -> None:
    """Every condition changes the samples, the same way each time, and keeps their type."""
    clean = speech(2.0)
    before = clean.copy()
    alter = condition(name, RATE_HZ, noise)
    heard = alter(clean, "one")
    assert heard.dtype == np.float32
    assert abs(len(heard) - len(clean)) <= 2
    assert not np.allclose(heard[: len(clean)], clean[: len(heard)], atol=1e-5)
    np.testing.assert_array_equal(heard, condition(name, RATE_HZ, noise)(clean, "one"))
    np.testing.assert_array_equal(clean, before)


@pytest.mark.parametrize("snr_db", [20, 10, 5])
def test_noise_has_its_ratio(snr_db: int, noise: Path) -> None:
    """The power of what was added lies that far below the clip's."""
    clean = speech(2.0)
    added = condition(f"noise {snr_db} dB", RATE_HZ, noise)(clean, "one") - clean
    ratio_db = 10 * np.log10(np.mean(clean**2) / np.mean(added**2))
    assert ratio_db == pytest.approx(snr_db, abs=0.1)


def test_noise_differs_between_clips_alone(noise: Path) -> None:
    """Another clip gets another stretch; another ratio the same stretch at another level."""
    clean = speech(2.0)
    alter = condition("noise 10 dB", RATE_HZ, noise)
    one, other = (alter(clean, name) - clean for name in ("one", "other"))
    assert abs(np.corrcoef(one, other)[0, 1]) < 0.2
    louder = condition("noise 5 dB", RATE_HZ, noise)(clean, "one") - clean
    assert np.corrcoef(one, louder)[0, 1] > 0.999


def test_gain_clips_at_full_scale_and_rounds_to_16_bits() -> None:
    """As a converter does: nothing beyond ±1, and every value a multiple of 1/32768."""
    loud = condition("gain +10 dB", RATE_HZ)(np.float32([0.01, 0.5, -0.9]), "one")
    assert loud[0] == pytest.approx(0.01 * 10**0.5, abs=1 / 32768)
    assert loud[1] == pytest.approx(1, abs=1e-4)
    assert loud[2] == -1
    assert np.array_equal(loud * 32768, np.rint(loud * 32768))


def test_narrow_band_leaves_what_is_below_4_khz() -> None:
    """A tone of 1 kHz stays, one of 6 kHz goes."""
    t = np.arange(RATE_HZ, dtype=np.float32) / RATE_HZ
    alter = condition(NARROW, RATE_HZ)
    for tone_hz, share in ((1_000, 1.0), (6_000, 0.0)):
        tone = np.sin(2 * np.pi * tone_hz * t).astype(np.float32)
        assert np.std(alter(tone, "one")) / np.std(tone) == pytest.approx(share, abs=0.02)


def test_rooms_begin_with_the_direct_sound_and_decay() -> None:
    """Energy 1; most of it early, and some of it late: a room, not a click."""
    for response in room_responses(3, RATE_HZ, "a test's"):
        assert np.sum(np.square(response)) == pytest.approx(1, abs=1e-4)
        assert np.argmax(np.abs(response)) == 0
        late = np.sum(np.square(response[RATE_HZ // 20 :]))
        assert 0.005 < late < 0.6


def test_reverberation_fills_pauses() -> None:
    """After a burst ends the room goes on sounding."""
    burst = np.zeros(RATE_HZ, np.float32)
    burst[:4_000] = speech(0.25)
    heard = condition(REVERB, RATE_HZ)(burst, "one")
    assert np.abs(heard[4_400:8_000]).max() > 1e-4


def test_refuses_other_names_and_folders_without_noise(tmp_path: Path) -> None:
    """What was found, what was expected."""
    with pytest.raises(SpecError, match="no condition 'underwater'; expected one of: gain -20 dB"):
        condition("underwater", RATE_HZ)
    with pytest.raises(CorpusError, match="holds no recording of noise"):
        condition("noise 10 dB", RATE_HZ, tmp_path)
    with pytest.raises(CorpusError, match="no folder holds no recording"):
        condition("noise 10 dB", RATE_HZ)
    soundfile.write(tmp_path / "silent.wav", np.zeros(RATE_HZ), RATE_HZ)
    with pytest.raises(CorpusError, match="digital silence"):
        noises(tmp_path, RATE_HZ)


def test_evaluation_hears_through_a_condition(tiny_corpus: Path) -> None:
    """What is altered to silence is never right; the clip's id comes with its samples."""
    heard: list[str] = []

    def silence(samples: np.ndarray, clip_id: str) -> np.ndarray:
        heard.append(clip_id)
        return np.zeros_like(samples)

    model = MODELS / "cnn-int8.tflite"
    fold = functools.partial(evaluate, model, tiny_corpus, "paper-80-20", "seed0", allow_seen=True)
    found = fold(alter=silence)
    assert found.outcome.figures.accuracy == 0
    assert tuple(heard) == found.outcome.clip_ids
    assert fold().outcome.figures.accuracy > 0


def test_command_line_refuses_conditions_it_does_not_know(tiny_corpus: Path) -> None:
    """Before any clip is read."""
    for option, message in (
        ("underwater", "no condition 'underwater'"),
        ("noise 10 dB", "no folder holds no recording of noise"),
    ):
        done = run_emopi("evaluate", "cnn-int8", "--corpus", tiny_corpus, "--condition", option)
        assert done.returncode == 1
        assert message in done.stderr
    done = run_emopi("evaluate", "cnn-int8", "--corpus", tiny_corpus, "--noise", tiny_corpus)
    assert done.returncode == 2
    assert "--noise needs a --condition" in done.stderr


@pytest.mark.skipif(not NOISE.is_dir(), reason="ESC-10 is not beside the checkout (../shared)")
def test_reads_real_recordings() -> None:
    """The 240 recordings of ESC-10, cut to where they sound."""
    recordings = noises(NOISE, RATE_HZ)
    assert len(recordings) == 240
    assert {len(samples) for samples in recordings} <= set(range(16_000, 120_000))
