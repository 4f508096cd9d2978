"""Smoothing and the decision object: pure functions of what is pushed."""

from __future__ import annotations

import json
import math

import numpy as np

from emopi.device.decision import Decision, Smoother

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
