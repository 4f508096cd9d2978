"""Many trainings at once on JAX: each becomes what it would have become alone."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from emopi.train.augment import Perturbation
from emopi.train.dataset import WindowSampler
from emopi.train.feed import SLOTS, Feed
from emopi.train.fit import prepared
from emopi.train.recipe import Recipe
from emopi.train.training import MODEL

pytest.importorskip("jax", reason="training on a GPU needs JAX; on a processor it runs too")

SMALL = Recipe("cnn", epochs=2, window_frames=40, batch=400, perturbation=Perturbation(copies=1))


def sampler(corpus: Path, cache: Path, seed: int) -> WindowSampler:
    recipe = dataclasses.replace(SMALL, seed=seed)
    out = cache / f"run{seed}"
    with prepared(recipe, corpus, "paper-80-20", f"seed{seed}", out, cache=cache) as training:
        return training.sampler


def test_feed_draws_what_each_would_draw_alone(tiny_corpus: Path, tmp_path: Path) -> None:
    samplers = [sampler(tiny_corpus, tmp_path, seed) for seed in (0, 1)]
    feed = Feed(samplers, jobs=2)
    try:
        epochs = 0
        for number, (windows, labels) in enumerate(feed.epochs(1, 2 + SLOTS), 1):
            for member, alone in enumerate(samplers):
                for step, (x, y) in enumerate(alone.epoch(number)):
                    np.testing.assert_array_equal(windows[step, member, : len(x)], x)
                    np.testing.assert_array_equal(labels[step, member, : len(y)], y)
            epochs += 1
        assert epochs == 1 + SLOTS
    finally:
        feed.close()


@pytest.fixture(scope="module")
def found(tiny_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What came of trainings in a process of its own: this one has Keras on TensorFlow."""
    work = tmp_path_factory.mktemp("work")
    on_jax = {"JAX_PLATFORMS": "cpu", "JAX_COMPILATION_CACHE_DIR": str(work / "xla")}
    done = subprocess.run(
        [sys.executable, Path(__file__).with_name("fleet_run.py"), tiny_corpus, work],
        capture_output=True,
        text=True,
        timeout=800,
        env={k: v for k, v in os.environ.items() if k != "KERAS_BACKEND"} | on_jax,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("network", ["cnn", "lstm"])
def test_each_becomes_what_it_becomes_alone(found: dict[str, Any], network: str) -> None:
    """The cnn was interrupted on the way, and resumed; the lstm is taught by it."""
    if network not in found:
        pytest.skip("takes two more minutes: EMOPI_TAUGHT_FLEET=1")
    one = found[network]
    assert one["finished"]
    assert one["files"] == ["history.json", MODEL, "run.json"]
    assert one["loss"][0] == pytest.approx(one["loss"][1], abs=2e-3)
    assert one["difference"] < 0.02 * one["size"]


def test_interrupted_together(found: dict[str, Any]) -> None:
    assert found["interrupted"].startswith("interrupted; the run folders keep")
    assert found["kept"] == [True, True]


def test_different_recipes_are_refused(found: dict[str, Any]) -> None:
    assert found["refused"].startswith("trainings with different recipes cannot go together")
