"""What a few seconds of raw sound say of a microphone."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from support import speech

from emopi.device.doctor.sound_check import ChannelReport, in_low_bits
from emopi.device.sources.conditioning import decode

RATE_HZ = 48_000


def noise(seconds: float, rms: float) -> NDArray[np.float32]:
    rng = np.random.default_rng(1)
    return (rms * rng.standard_normal(round(seconds * RATE_HZ))).astype(np.float32)


def test_a_tone_between_noise() -> None:
    samples = noise(3, 1e-3)
    tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(RATE_HZ) / RATE_HZ).astype(np.float32)
    samples[RATE_HZ : 2 * RATE_HZ] += tone
    report = ChannelReport.of(samples + np.float32(0.05), RATE_HZ)
    assert report.level_dbfs == pytest.approx(20 * np.log10(0.5 / 2**0.5 / 3**0.5), abs=0.1)
    assert report.noise_dbfs == pytest.approx(-60, abs=1)
    assert report.peak_dbfs == pytest.approx(20 * np.log10(0.55), abs=0.1)
    assert report.dc == pytest.approx(0.05, abs=1e-3)
    assert (report.clipped, report.dead) == (0.0, False)


def test_clipping_is_a_share_of_the_samples() -> None:
    samples = noise(1, 0.01)
    samples[:4_800] = 1.0
    samples[4_800:7_200] = -1.0
    assert ChannelReport.of(samples, RATE_HZ).clipped == pytest.approx(0.15)


@pytest.mark.parametrize("value", [0.0, -0.25])
def test_a_dead_channel(value: float) -> None:
    report = ChannelReport.of(np.full(RATE_HZ, value, np.float32), RATE_HZ)
    assert report.dead
    assert report.level_dbfs == report.noise_dbfs == -200
    assert report.dc == value


def test_json_is_rounded() -> None:
    fields = ChannelReport.of(noise(1, 0.123456), RATE_HZ).to_json()
    assert fields["level_dbfs"] == round(fields["level_dbfs"], 1)
    assert set(fields) == {"level_dbfs", "peak_dbfs", "noise_dbfs", "clipped", "dc", "dead"}


def as_words(words: NDArray[np.int64]) -> NDArray[np.float32]:
    return decode(words.astype("<i4").tobytes(), "int32", 1)[:, 0]


VOICE = np.rint(speech(0.5) * 2**23).astype(np.int64)
"""24 bits."""


def test_24_bits_in_low_bits_are_seen() -> None:
    assert in_low_bits(as_words(VOICE))
    assert in_low_bits(as_words(VOICE & 0xFF_FFFF))  # the sign cut off


@pytest.mark.parametrize(
    "words",
    [
        VOICE << 8,  # as it should be
        VOICE << 8 >> 7 << 8,  # quiet
        VOICE << 8 | 0x5A,  # 32 bits, all of them used
        np.zeros(100, np.int64),
    ],
    ids=["high bits", "quiet", "32 bits", "silence"],
)
def test_other_words_are_not(words: NDArray[np.int64]) -> None:
    assert not in_low_bits(as_words(words))
