"""Smoothing and the decision object: pure functions of what is pushed."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from emopi.device.decision import Announcer, Decision, DecisionSettings, Smoother
from emopi.device.errors import SpecError

HAPPY = np.array([1.0, 0.0], np.float32)
SAD = np.array([0.0, 1.0], np.float32)


def test_mean_is_weighted_with_power() -> None:
    smoother = Smoother(math.inf)
    np.testing.assert_allclose(smoother.push(3.0, 0.3, HAPPY), [1, 0])
    np.testing.assert_allclose(smoother.push(3.5, 0.1, SAD), [0.75, 0.25], rtol=1e-6)


def test_endless_memory_is_the_mean_over_everything() -> None:
    rng = np.random.default_rng(0)
    smoother = Smoother(math.inf)
    powers, windows = rng.random(500), rng.dirichlet([1, 1, 1], 500).astype(np.float32)
    for k in range(500):
        found = smoother.push(k / 2, powers[k], windows[k])
    np.testing.assert_allclose(found, np.average(windows, axis=0, weights=powers), rtol=1e-5)
    assert len(smoother._windows) == 1


def test_windows_older_than_memory_are_forgotten() -> None:
    smoother = Smoother(1.0)
    smoother.push(3.0, 1.0, HAPPY)
    np.testing.assert_allclose(smoother.push(3.5, 1.0, SAD), [0.5, 0.5])
    np.testing.assert_allclose(smoother.push(4.0, 1.0, SAD), [0, 1])  # 3.0 is 1.0 s old


def test_silent_windows_are_no_division_by_zero() -> None:
    smoother = Smoother(5.0)
    smoother.push(3.0, 0.0, HAPPY)
    np.testing.assert_allclose(smoother.push(3.5, 0.0, SAD), [0.5, 0.5])


def test_reset() -> None:
    smoother = Smoother(math.inf)
    smoother.push(3.0, 1.0, HAPPY)
    smoother.reset()
    np.testing.assert_allclose(smoother.push(3.5, 1.0, SAD), [0, 1])


def test_json_has_what_programs_rely_on() -> None:
    decision = Decision(3.0151, "sad", 0.98765, {"happy": 0.01235, "sad": 0.98765}, -31.26, 1.234,
                        2, "cnn-int8-0123abcd")  # fmt: skip
    assert json.loads(json.dumps(decision.to_json())) == {
        "time_s": 3.015,
        "label": "sad",
        "confidence": 0.9877,
        "probabilities": {"happy": 0.0123, "sad": 0.9877},
        "level_dbfs": -31.3,
        "latency_ms": 1.23,
        "overflows": 2,
        "model": "cnn-int8-0123abcd",
    }


def said(settings: DecisionSettings, *shares: float) -> list[int | None]:
    """What is said every half second of two emotions, of which the first has these shares."""
    announcer = Announcer(settings)
    rows = [np.array([share, 1 - share], np.float32) for share in shares]
    return [announcer.choose(3 + k / 2, row) for k, row in enumerate(rows)]


def test_unsure_below_the_confidence() -> None:
    settings = DecisionSettings(min_confidence=0.7, hysteresis=0, hold_s=0)
    assert said(settings, 0.6, 0.75, 0.65, 0.4, 0.2) == [None, 0, None, None, 1]


def test_without_thresholds_the_likeliest_is_said() -> None:
    settings = DecisionSettings(min_confidence=0, hysteresis=0, hold_s=0)
    assert said(settings, 0.9, 0.4, 0.51, 0.1) == [0, 1, 0, 1]


def test_hysteresis_keeps_what_is_hardly_beaten() -> None:
    settings = DecisionSettings(min_confidence=0.3, hysteresis=0.25, hold_s=0)
    # 0.6 against 0.4 is 0.2 more, 0.65 against 0.35 is 0.3
    assert said(settings, 0.9, 0.4, 0.35, 0.45, 0.6, 0.65) == [0, 0, 1, 1, 1, 0]


def test_hysteresis_keeps_what_has_hardly_faded() -> None:
    settings = DecisionSettings(min_confidence=0.8, hysteresis=0.1, hold_s=0)
    assert said(settings, 0.75, 0.85, 0.75, 0.65, 0.75) == [None, 0, 0, None, None]


def test_hold_is_on_the_sample_clock() -> None:
    settings = DecisionSettings(min_confidence=0.5, hysteresis=0, hold_s=1.0)
    assert said(settings, 0.9, 0.1, 0.1, 0.1, 0.9) == [0, 0, 1, 1, 0]


def test_an_announcer_forgets() -> None:
    announcer = Announcer(DecisionSettings(min_confidence=0.5, hysteresis=0.5, hold_s=60))
    assert announcer.choose(3.0, HAPPY) == 0
    assert announcer.choose(3.5, SAD) == 0
    announcer.reset()
    assert announcer.choose(4.0, SAD) == 1


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"hop_s": 0.01}, "hop_s is 0.01; expected 0.05 to 60 seconds"),
        ({"window_s": 0.05}, "window_s is 0.05; expected 0.1 to 600 seconds, or 0 for the model"),
        ({"memory_s": 0.0}, "memory_s is 0.0; expected a positive number of seconds"),
        ({"memory_s": math.nan}, "memory_s is nan; expected a positive"),
        ({"min_confidence": 1.5}, "min_confidence is 1.5; expected 0 to 1"),
        ({"hysteresis": -0.1}, "hysteresis is -0.1; expected 0 to 1"),
        ({"hold_s": 61}, "hold_s is 61; expected 0 to 60 seconds"),
        ({"hop_s": "a"}, "hop_s is 'a'; expected"),
    ],
)
def test_refuses_settings(settings: dict[str, float], message: str) -> None:
    with pytest.raises(SpecError) as error:
        DecisionSettings(**settings)
    assert message in str(error.value)
