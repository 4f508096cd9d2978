"""Augmentation: bounded, repeatable, and it keeps what it must keep."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from support import speech

from emopi.train.augment import (
    FeatureAugmentation,
    Perturbation,
    augment,
    coloured_noise,
    perturb,
    rng_for,
    room_response,
)

STILL = Perturbation(
    speed=(1.0, 1.0), gain_db=(0.0, 0.0), noisy=0.0, reverberant=0.0, narrow=0.0, bits=24
)
NOTHING = FeatureAugmentation(time_masks=0, channel=0.0)


def test_generator_depends_on_its_parts_alone() -> None:
    assert rng_for("a", 1).random() == rng_for("a", 1).random()
    assert rng_for("a", 1).random() != rng_for("a", 2).random()


def test_nothing_to_change_changes_nothing() -> None:
    samples = speech(1.0)
    np.testing.assert_allclose(perturb(samples, 16_000, STILL, rng_for(0)), samples, atol=1e-6)


@pytest.mark.parametrize("speed", [0.85, 1.15])
def test_speed_changes_length_and_pitch(speed: float) -> None:
    how = dataclasses.replace(STILL, speed=(speed, speed))
    tone = np.sin(2 * np.pi * 1000 * np.arange(16_000) / 16_000).astype(np.float32)
    changed = perturb(tone, 16_000, how, rng_for(0))
    assert abs(len(changed) - 16_000 / speed) <= 1
    peak_hz = np.argmax(np.abs(np.fft.rfft(changed))) * 16_000 / len(changed)
    assert peak_hz == pytest.approx(1000 * speed, abs=2)


def test_gain_and_noise_have_the_stated_size() -> None:
    how = dataclasses.replace(STILL, gain_db=(-20.0, -20.0))
    samples = speech(1.0)
    quiet = perturb(samples, 16_000, how, rng_for(0))
    np.testing.assert_allclose(quiet, samples / 10, atol=1e-6)
    noisy = dataclasses.replace(STILL, snr_db=(10.0, 10.0), noisy=1.0)
    noise = perturb(samples, 16_000, noisy, rng_for(0)) - samples
    assert 10 * np.log10(np.var(samples) / np.mean(noise**2)) == pytest.approx(10, abs=0.1)


def test_a_quiet_copy_has_the_steps_of_its_converter() -> None:
    how = dataclasses.replace(STILL, gain_db=(-40.0, -40.0), bits=16)
    steps = perturb(speech(1.0), 16_000, how, rng_for(0)) * 32768
    np.testing.assert_array_equal(steps, np.rint(steps))
    assert 0 < np.abs(steps).max() < 400


def test_a_loud_copy_is_clipped() -> None:
    how = dataclasses.replace(STILL, gain_db=(40.0, 40.0), bits=16)
    loud = perturb(speech(1.0), 16_000, how, rng_for(0))
    assert loud.min() == -1
    assert loud.max() == pytest.approx(1 - 1 / 32768)


def test_room_begins_with_the_direct_sound_and_dies_away() -> None:
    response = room_response(0.5, 3.0, 16_000, rng_for(0))
    power = np.square(response, dtype=np.float64)
    assert power.sum() == pytest.approx(1, abs=1e-5)
    assert 10 * np.log10(power[0] / power[1:].sum()) == pytest.approx(3, abs=0.01)
    levels_db = 10 * np.log10(power[1:].reshape(8, -1).mean(axis=1))
    assert -np.polyfit(np.arange(8) * 0.5 / 8, levels_db, 1)[0] == pytest.approx(120, rel=0.05)


def test_room_is_heard_after_the_sound_and_not_before() -> None:
    click = np.zeros(16_000, np.float32)
    click[5_000] = 0.5
    how = dataclasses.replace(STILL, decay_s=(0.2, 0.2), direct_db=(0.0, 0.0), reverberant=1.0)
    heard = perturb(click, 16_000, how, rng_for(0))
    assert len(heard) == len(click)
    np.testing.assert_allclose(heard[:5_000], 0, atol=1e-6)
    assert heard[5_000] == pytest.approx(0.5 * np.sqrt(0.5), rel=1e-3)
    assert np.std(heard[5_001:8_200]) > 100 * np.std(heard[8_300:])


def test_narrow_band_ends_where_it_should() -> None:
    noise = 0.1 * coloured_noise(1 << 16, 0.0, rng_for(0))
    how = dataclasses.replace(STILL, cutoff_hz=(4_000.0, 4_000.0), narrow=1.0)
    heard = perturb(noise, 16_000, how, rng_for(0))
    assert abs(len(heard) - len(noise)) <= 2
    power = np.abs(np.fft.rfft(heard)) ** 2
    quarter = len(power) // 4
    assert power[quarter : 2 * quarter - quarter // 2].mean() > 0.8 * power[:quarter].mean()
    assert power[int(2.2 * quarter) :].mean() < 1e-4 * power[:quarter].mean()


@pytest.mark.parametrize(("colour", "slope_db"), [(0.0, 0.0), (1.0, 3.0), (2.0, 6.0)])
def test_noise_has_its_colour(colour: float, slope_db: float) -> None:
    noise = coloured_noise(1 << 16, colour, rng_for(0))
    assert np.mean(noise**2) == pytest.approx(1, abs=0.02)
    power = np.abs(np.fft.rfft(noise)) ** 2
    octaves = [10 * np.log10(power[1 << k : 2 << k].mean()) for k in range(8, 14)]
    assert -np.polyfit(range(6), octaves, 1)[0] == pytest.approx(slope_db, abs=0.5)


def test_feature_augmentation_can_be_off() -> None:
    windows = np.arange(2 * 5 * 3, dtype=np.float32).reshape(2, 5, 3)
    np.testing.assert_array_equal(augment(windows, NOTHING, rng_for(0)), windows)


def test_time_masks_set_whole_frames_to_the_mean() -> None:
    how = FeatureAugmentation(time_masks=2, longest_mask=30, channel=0.0)
    changed = augment(np.ones((200, 300, 4), np.float32), how, rng_for(0))
    masked = (changed == 0).all(axis=2)
    assert ((changed == 0).any(axis=2) == masked).all()
    assert 0 < masked.sum(axis=1).max() <= 60
    assert masked.sum(axis=1).min() < 20


def test_channel_is_constant_over_time() -> None:
    how = FeatureAugmentation(time_masks=0, channel=0.5)
    windows = np.random.default_rng(0).normal(size=(50, 9, 40)).astype(np.float32)
    offset = augment(windows, how, rng_for(0)) - windows
    np.testing.assert_allclose(offset, np.broadcast_to(offset[:, :1], offset.shape), atol=1e-5)
    assert offset.std() == pytest.approx(0.5, rel=0.1)
