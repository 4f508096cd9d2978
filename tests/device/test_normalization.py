"""Level made relative, coefficients scaled, short clips padded."""

from __future__ import annotations

import json

import numpy as np
import pytest
from support import speech

from emopi.device.errors import SpecError
from emopi.device.frontend import FrontendSpec, extract
from emopi.device.normalization import (
    Normalization,
    c0_range,
    fit_window,
    relative_level,
    silence,
)

SPEC = FrontendSpec(n_mfcc=4)
NORMALIZATION = Normalization((-20.0, 1.0, 2.0, 3.0), (10.0, 2.0, 4.0, 8.0), 50.0)


def test_formula() -> None:
    window = np.arange(12, dtype=np.float32).reshape(3, 4)
    found = NORMALIZATION.apply(window)
    np.testing.assert_allclose(found[:, 0], [(-8 + 20) / 10, (-4 + 20) / 10, 2])
    np.testing.assert_allclose(found[:, 1], [0, 2, 4])
    np.testing.assert_allclose(found[:, 3], [0, 0.5, 1])
    np.testing.assert_array_equal(window, np.arange(12).reshape(3, 4))


def test_batch_equals_single_windows() -> None:
    batch = np.random.default_rng(0).normal(0, 30, (5, 7, 4)).astype(np.float32)
    found = NORMALIZATION.apply(batch)
    for window, normalized in zip(batch, found, strict=True):
        np.testing.assert_array_equal(NORMALIZATION.apply(window), normalized)


@pytest.mark.parametrize("gain_db", [-30, -6, 12])
def test_gain_does_not_matter(gain_db: float) -> None:
    spec = FrontendSpec()
    frames = extract(speech(3.1), spec)
    louder = extract(speech(3.1) * np.float32(10 ** (gain_db / 20)), spec)
    np.testing.assert_allclose(
        relative_level(louder, c0_range(60, spec)),
        relative_level(frames, c0_range(60, spec)),
        atol=5e-3,
    )


def test_range_bounds_quiet_frames() -> None:
    spec = FrontendSpec()
    widest = c0_range(60, spec)
    assert widest == pytest.approx(np.sqrt(40) * np.log(1e6))
    frames = np.concatenate([silence(3, spec), extract(speech(0.5), spec)])
    relative = relative_level(frames, widest)[:, 0]
    np.testing.assert_allclose(relative[:3], -widest)
    assert relative.max() == 0


def test_short_clip_lies_in_the_middle_of_silence() -> None:
    frames = np.ones((3, 4), np.float32)
    window = fit_window(frames, 8, SPEC)
    quiet = silence(1, SPEC)[0]
    assert window.shape == (8, 4)
    np.testing.assert_array_equal(window[2:5], frames)
    np.testing.assert_array_equal(window[:2], np.stack([quiet] * 2))
    np.testing.assert_array_equal(window[5:], np.stack([quiet] * 3))


def test_round_trip() -> None:
    text = json.dumps(NORMALIZATION.to_json())
    assert Normalization.from_json(json.loads(text)) == NORMALIZATION


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mean": [0.0]}, "1 means but 4 standard deviations"),
        ({"mean": [0.0, 0.0, 0.0, float("nan")]}, "a mean is not a finite number"),
        ({"std": [1.0, 1.0, 1.0, 0.0]}, "a standard deviation is not a positive"),
        ({"c0_range": -1.0}, "c0_range is -1.0; expected above 0"),
        ({"median": 0.0}, "unknown field 'median' in Normalization"),
    ],
)
def test_refuses(change: dict[str, object], message: str) -> None:
    with pytest.raises(SpecError) as error:
        Normalization.from_json(NORMALIZATION.to_json() | change)
    assert message in str(error.value)
