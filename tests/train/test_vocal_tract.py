"""Stretching the mel axis: what it is, and that it makes one voice of another."""

from __future__ import annotations

import numpy as np
import pytest

from emopi.device.frontend import Floats, FrontendSpec, extract
from emopi.train.vocal_tract import stretch

SPEC = FrontendSpec(energy_floor=1e-10)


def vowel(factor: float) -> Floats:
    """A second of noise through formants, all of them `factor` times those of a man's /a/."""
    spectrum = np.fft.rfft(np.random.default_rng(0).standard_normal(16_000))
    hz = np.fft.rfftfreq(16_000, 1 / 16_000)
    peaks_hz = np.array([700, 1200, 2500, 3500])[:, None] * factor
    envelope = 1e-3 + np.exp(-0.5 * ((hz - peaks_hz) / (150 * factor)) ** 2).sum(axis=0)
    return np.asarray(0.1 * np.fft.irfft(spectrum * envelope), np.float32)


def test_a_factor_of_one_changes_nothing() -> None:
    np.testing.assert_allclose(stretch(1.0, SPEC), np.eye(SPEC.n_mfcc), atol=1e-12)


@pytest.mark.parametrize("factor", [0.88, 1.12])
def test_makes_the_voice_of_another_vocal_tract(factor: float) -> None:
    mean, other = (extract(vowel(f), SPEC).mean(axis=0) for f in (1.0, factor))
    mean, other = mean[1:14], other[1:14]  # the envelope; noise has no pitch
    stretched = (extract(vowel(1.0), SPEC).mean(axis=0) @ stretch(factor, SPEC))[1:14]
    assert np.linalg.norm(stretched - other) < 0.25 * np.linalg.norm(mean - other)


@pytest.mark.parametrize("factor", [0.8, 0.93, 1.2])
@pytest.mark.parametrize("n_mfcc", [40, 20])
def test_leaves_the_level_alone(factor: float, n_mfcc: int) -> None:
    """A gain adds the same to every band: to c0, and to nothing else."""
    louder = np.zeros(n_mfcc)
    louder[0] = 3.0
    spec = FrontendSpec(energy_floor=1e-10, n_mfcc=n_mfcc)
    np.testing.assert_allclose(louder @ stretch(factor, spec), louder, atol=1e-5)
