"""From a sound card's bytes to what the model hears: formats, channels, offsets, silence."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from support import MODELS, RAVDESS_16K, SHARED, needs_16k, speech

from emopi.device.classifier import Classifier
from emopi.device.frontend import FrontendSpec, extract
from emopi.device.pipeline import classify
from emopi.device.sources.audio import ArraySource, read_clip
from emopi.device.sources.conditioning import ChannelPicker, DcBlocker, ZeroWatch, decode

RATE_HZ = 16_000
VALUES = np.array([[-(2**23), 2**23 - 1], [-1, 1], [0, 123_456]])
"""(n, channels) of 24 bits."""


# Formats


def packed24(values: NDArray[np.int64]) -> bytes:
    return b"".join(int(value).to_bytes(3, "little", signed=True) for value in values.reshape(-1))


@pytest.mark.parametrize(
    ("sample_format", "raw"),
    [
        ("int24", packed24(VALUES)),
        ("int32", (VALUES << 8).astype("<i4").tobytes()),
        ("float32", (VALUES / 2**23).astype("<f4").tobytes()),
    ],
)
def test_24_bits_are_decoded_exactly(sample_format: str, raw: bytes) -> None:
    samples = decode(raw, sample_format, 2)
    assert samples.dtype == np.float32
    np.testing.assert_array_equal(samples, (VALUES / 2**23).astype(np.float32))


def test_int16_is_decoded_exactly() -> None:
    values = np.arange(-32_768, 32_768, dtype=np.int16)
    samples = decode(values.tobytes(), "int16", 4)
    assert samples.shape == (16_384, 4)
    np.testing.assert_array_equal(samples.reshape(-1) * 32_768, values)


@pytest.mark.parametrize("high_byte", ["sign", "zero"])
def test_24_bits_in_the_low_bits_of_a_word(high_byte: str) -> None:
    words = VALUES & 0xFF_FFFF if high_byte == "zero" else VALUES
    samples = decode(words.astype("<i4").tobytes(), "int32", 2, low_bits=True)
    np.testing.assert_array_equal(samples, (VALUES / 2**23).astype(np.float32))


def test_floats_that_are_not_finite_or_too_large() -> None:
    raw = np.array([np.nan, np.inf, -np.inf, 3.0, -3.0, 0.5], np.float32).tobytes()
    np.testing.assert_array_equal(decode(raw, "float32", 1)[:, 0], [0, 0, 0, 1, -1, 0.5])


# Channels


def stereo(left: float, right: float, seconds: float, seed: int = 0) -> NDArray[np.float32]:
    """Noise of such RMS."""
    noise = np.random.default_rng(seed).standard_normal((round(seconds * RATE_HZ), 2))
    return (noise * (left, right)).astype(np.float32)


def heard(picker: ChannelPicker, samples: NDArray[np.float32], block: int = 800) -> list[int]:
    """The channel that is heard after each block; checks that the samples are that channel's."""
    channels = []
    for start in range(0, len(samples), block):
        piece = samples[start : start + block]
        mono = picker.push(piece)
        np.testing.assert_array_equal(mono, piece[:, picker.current])
        channels.append(picker.current)
    return channels


def test_one_channel_is_taken_as_it_is() -> None:
    samples = speech(0.1)[:, None]
    np.testing.assert_array_equal(ChannelPicker("loudest", RATE_HZ).push(samples), samples[:, 0])


@pytest.mark.parametrize("offset", [0.0, -0.3])
def test_the_live_one_of_two_from_the_first_block(offset: float) -> None:
    samples = stereo(0, 1e-4, 2)
    samples[:, 0] = offset  # an I2S line without a microphone may float
    assert set(heard(ChannelPicker("loudest", RATE_HZ), samples)) == {1}


def test_two_microphones_do_not_take_turns() -> None:
    """One voice that comes nearer to one, then to the other: within 10 dB nothing changes."""
    rng = np.random.default_rng(0)
    samples = np.concatenate([stereo(0.1, 0.09, 2)] + [
        stereo(0.1 * 10 ** (rng.uniform(-4, 4) / 20), 0.1, 0.3, seed) for seed in range(100)
    ])  # fmt: skip
    assert set(heard(ChannelPicker("loudest", RATE_HZ), samples)) == {0}


def test_a_burst_on_the_other_channel_changes_nothing() -> None:
    samples = np.concatenate([stereo(0.1, 0.001, 2), stereo(0.001, 0.9, 0.2), stereo(0.1, 0, 4)])
    assert set(heard(ChannelPicker("loudest", RATE_HZ), samples)) == {0}


def test_a_channel_that_stays_louder_is_taken_once() -> None:
    samples = np.concatenate([stereo(0.01, 0.001, 2), stereo(0.01, 0.2, 8)])
    channels = heard(ChannelPicker("loudest", RATE_HZ), samples)
    assert channels[0] == 0
    assert channels[-1] == 1
    assert channels == sorted(channels)
    switched_s = channels.index(1) * 800 / RATE_HZ
    assert 3.9 < switched_s < 5


def test_a_channel_that_goes_dead_is_left_at_once() -> None:
    samples = np.concatenate([stereo(0.1, 0.001, 2), stereo(0, 0.001, 1)])
    channels = heard(ChannelPicker("loudest", RATE_HZ), samples)
    assert channels == [0] * 40 + [1] * 20


def test_a_fixed_channel_and_the_mean() -> None:
    samples = stereo(0.1, 0.2, 0.1)
    np.testing.assert_array_equal(ChannelPicker(1, RATE_HZ).push(samples), samples[:, 0])
    np.testing.assert_array_equal(ChannelPicker(2, RATE_HZ).push(samples), samples[:, 1])
    mean = ChannelPicker("mean", RATE_HZ).push(samples)
    np.testing.assert_allclose(mean, samples.mean(axis=1), atol=1e-7)


# Offset

CLIP = speech(1.25) + np.float32(0.05)


def test_an_offset_is_gone_in_a_quarter_of_a_second() -> None:
    clip = speech(2.0)
    clean, offset = DcBlocker(RATE_HZ).push(clip), DcBlocker(RATE_HZ).push(clip + 0.3)
    np.testing.assert_allclose(offset, clean, atol=1e-6)  # from the first sample on
    moving = np.where(np.arange(len(clip)) < RATE_HZ, 0, 0.3).astype(np.float32)
    left = DcBlocker(RATE_HZ).push(moving)[RATE_HZ + RATE_HZ // 4 :]
    assert float(np.abs(left).max()) < 0.3 * 0.01


@given(st.lists(st.integers(0, 20_000), max_size=6))
def test_removing_the_offset_does_not_depend_on_the_cuts(cuts: list[int]) -> None:
    clip = CLIP
    blocker = DcBlocker(RATE_HZ)
    pieces = np.split(clip, sorted(min(cut, len(clip)) for cut in cuts))
    joined = np.concatenate([blocker.push(piece) for piece in pieces])
    np.testing.assert_allclose(joined, DcBlocker(RATE_HZ).push(clip), atol=1e-7)


@pytest.mark.parametrize(("frequency_hz", "loss_db"), [(50, 0.02), (200, 0.001), (3000, 0.005)])
def test_what_the_front_end_hears_keeps_its_level(frequency_hz: float, loss_db: float) -> None:
    tone = np.sin(2 * np.pi * frequency_hz * np.arange(2 * RATE_HZ) / RATE_HZ).astype(np.float32)
    kept = DcBlocker(RATE_HZ).push(tone)[RATE_HZ:]
    assert abs(20 * np.log10(kept.std() / tone[RATE_HZ:].std())) < loss_db


def unheard(clip: NDArray[np.float32]) -> NDArray[np.float32]:
    """Change of the MFCCs by the removal, over the spread of each coefficient in the clip."""
    spec = FrontendSpec()
    before, after = extract(clip, spec), extract(DcBlocker(RATE_HZ).push(clip), spec)
    change: NDArray[np.float32] = np.abs(after - before) / before.std(axis=0)
    return change


def test_speech_keeps_its_features() -> None:
    assert float(np.median(unheard(speech(4.0)))) < 0.002


@needs_16k
def test_real_speech_keeps_its_features_and_its_labels() -> None:
    classifier = Classifier(MODELS / "cnn-float32.tflite")
    changes, labels, moved = [], [], []
    for path in sorted(RAVDESS_16K.rglob("*.wav"))[::60]:
        clip = read_clip(path, RATE_HZ)
        changes.append(np.median(unheard(clip)))
        as_it_is, without = (
            classify(ArraySource(samples, RATE_HZ), classifier)
            for samples in (clip, DcBlocker(RATE_HZ).push(clip))
        )
        labels.append(as_it_is.label == without.label)
        moved.append(abs(as_it_is.confidence - without.confidence))
    assert len(labels) == 24, SHARED
    assert max(changes) < 0.02
    assert all(labels)
    assert max(moved) < 0.03


# Digital silence


def found(watch: ZeroWatch, *pieces: NDArray[np.float32]) -> list[bool]:
    answers = (watch.push(piece) for piece in pieces)
    return [answer for answer in answers if answer is not None]


def zeros(seconds: float, value: float = 0) -> list[NDArray[np.float32]]:
    """Blocks of 50 ms."""
    return [np.full(800, value, np.float32)] * round(20 * seconds)


@pytest.mark.parametrize("value", [0.0, -(2**-31), 0.25])
def test_silence_is_found_once_and_its_end(value: float) -> None:
    watch = ZeroWatch(RATE_HZ)
    assert found(watch, *zeros(2.4, value)) == []
    assert found(watch, *zeros(0.1, value)) == [True]
    assert found(watch, *zeros(60, value)) == []
    assert found(watch, speech(0.05)) == [False]
    assert not watch.silent


def test_a_single_different_sample_is_sound() -> None:
    watch = ZeroWatch(RATE_HZ)
    click = np.zeros(800, np.float32)
    click[400] = 1e-6
    assert found(watch, *([*zeros(1), click] * 20)) == []


def test_a_noise_gate_is_told_of_less_and_less() -> None:
    watch = ZeroWatch(RATE_HZ)
    told = [found(watch, *zeros(6), speech(0.05)) for _ in range(10)]
    assert told == [[True, False]] * 2 + [[]] * 8
    assert found(watch, *zeros(12)) == [True]


def test_silence_however_it_is_cut() -> None:
    samples = np.concatenate([speech(0.5), *zeros(3), speech(0.5)])
    for block in (1, 7, 160, 48_000, len(samples)):
        watch = ZeroWatch(RATE_HZ)
        pieces = np.split(samples, range(block, len(samples), block))
        expected = [True, False] if block < len(samples) else []  # told when it has ended already
        assert found(watch, *pieces) == expected
    assert found(ZeroWatch(RATE_HZ), np.empty(0, np.float32)) == []
