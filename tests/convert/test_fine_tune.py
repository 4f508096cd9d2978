"""Training with int8's rounding: what is rounded, that it learns, what an interruption leaves."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from emopi.convert.fine_tune import FineTuning, fine_tune
from emopi.device.frontend import Floats
from emopi.device.normalization import Normalization
from emopi.train.augment import FeatureAugmentation
from emopi.train.dataset import FeatureSet, WindowSampler
from emopi.train.recipe import Recipe

pytest.importorskip("tensorflow", reason="training needs TensorFlow")

FRAMES, MFCCS = 32, 40


def network(kind: str, seed: int = 0) -> Any:
    import keras

    from emopi.train.topology import build

    keras.utils.set_random_seed(seed)
    return build(kind, keras, window_frames=FRAMES, n_mfcc=MFCCS, n_labels=8)


def windows(n: int = 12, seed: int = 0) -> Floats:
    return np.random.default_rng(seed).normal(size=(n, FRAMES, MFCCS)).astype(np.float32)


TUNING = FineTuning(epochs=5, cache=Path(), learning_rate=3e-3)
WIDE = 20 * windows()
"""For the ranges of a network that is to learn: those of an untrained one leave it no room."""


def sure_network(kind: str) -> Any:
    """Untrained, but with logits as far apart as those of a trained one."""
    model = network(kind)
    logits = model.get_layer("logits")
    kernel, bias = logits.get_weights()
    logits.set_weights([10 * kernel, bias])
    return model


class TestRounded:
    def test_values_are_on_a_grid_that_has_zero(self) -> None:
        from emopi.convert.rounding import Rounded

        values = np.linspace(-3, 9, 1000, dtype=np.float32)
        found = np.array(Rounded(-1.0, 4.0)(values))
        step = 5 / 255
        np.testing.assert_allclose(found / step, np.rint(found / step), atol=1e-3)
        inside = np.abs(values - 1.5) < 2.4
        assert np.abs(found - values)[inside].max() <= step / 2 + 1e-5
        assert found.max() - found.min() == pytest.approx(5, abs=1e-3)
        assert float(np.array(Rounded(-1.0, 4.0)(np.zeros(1, np.float32)))[0]) == 0
        assert len(np.unique(found)) == 256

    def test_a_range_without_zero_is_widened(self) -> None:
        from emopi.convert.rounding import Rounded

        assert float(np.array(Rounded(2.0, 3.0)(np.zeros(1, np.float32)))[0]) == 0

    def test_gradients_pass_inside_the_range_alone(self) -> None:
        import tensorflow as tf

        from emopi.convert.rounding import Rounded

        values = tf.constant([-2.0, -0.5, 0.3, 3.9, 5.0])
        with tf.GradientTape() as tape:
            tape.watch(values)
            total = tf.reduce_sum(Rounded(-1.0, 4.0)(values))
        assert tape.gradient(total, values).numpy().tolist() == [0, 1, 1, 1, 0]


class TestWeights:
    def test_one_scale_a_channel_or_gate(self) -> None:
        from emopi.convert.rounding import round_weights

        for kind in ("cnn", "lstm"):
            model = network(kind)
            rounded: dict[str, Any] = {}
            for layer in model.layers:
                rounded |= round_weights(layer)
            exact = {v.path: np.array(v) for v in model.trainable_variables}
            assert set(rounded) == {path for path in exact if path.endswith("kernel")}
            for path, tensor in rounded.items():
                shape = (len(tensor), 4, -1) if "lstm_cell" in path else tensor.shape
                axis = 1 if "lstm_cell" in path else -1
                both = (exact[path], np.array(tensor))
                parts = (np.moveaxis(values.reshape(shape), axis, 0) for values in both)
                for before, after in zip(*parts, strict=True):
                    step = np.abs(before).max() / 127
                    np.testing.assert_allclose(after, np.rint(before / step) * step, atol=1e-6)
                assert not np.array_equal(exact[path], rounded[path])


@pytest.mark.parametrize("kind", ["cnn", "lstm"])
class TestModel:
    def test_what_is_rounded(self, kind: str) -> None:
        from emopi.convert.rounding import Rounded, with_rounding

        model = network(kind)
        copy = with_rounding(model, windows())
        names = [layer.name for layer in copy.layers if not isinstance(layer, Rounded)]
        assert sorted(names) == sorted(layer.name for layer in model.layers)
        rounders = sum(isinstance(layer, Rounded) for layer in copy.layers)
        # the input, and what TFLite stores: see the operators of a converted model
        assert rounders == {"cnn": 1 + 14, "lstm": 1 + 11}[kind]
        expected, found = (np.array(one(windows())) for one in (model, copy))
        noise = np.square(found - expected).sum() / np.square(expected).sum()
        assert 15 < -10 * np.log10(noise) < 60

    def test_it_learns_with_rounding(self, kind: str) -> None:
        from emopi.convert.rounding import with_rounding

        model, told = learnt(kind)
        assert [entry["epoch"] for entry in told] == [1, 2, 3, 4, 5]
        assert told[-1]["loss"] < 0.6 * told[0]["loss"]
        assert told[0]["accuracy"] < 0.5 < told[-1]["accuracy"]
        before = sure_network(kind)
        for variable, old in zip(model.variables, before.variables, strict=True):
            if "moving" in variable.path:
                np.testing.assert_array_equal(variable, old)
            elif variable.path.endswith("kernel"):
                assert not np.array_equal(variable, old)
        batch, labels = next(sampler().epoch(9))
        for one in (model, with_rounding(model, WIDE)):
            right = np.argmax(one(batch), axis=1) == labels.argmax(axis=1)
            assert right.mean() > 0.5


def test_the_same_seed_learns_the_same_and_an_interruption_changes_nothing() -> None:
    model, again = sure_network("cnn"), []
    weights = model.get_weights()

    def stop(entry: dict[str, float]) -> None:
        again.append(entry)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fine_tune(model, sampler(), WIDE, TUNING, label_smoothing=0.0, watch=stop)
    assert again == [pytest.approx(learnt("cnn")[1][0], rel=1e-3)]
    for before, after in zip(weights, model.get_weights(), strict=True):
        np.testing.assert_array_equal(before, after)


@functools.cache
def learnt(kind: str) -> tuple[Any, list[dict[str, float]]]:
    """A network after fine-tuning, and what was told of each epoch."""
    model, told = sure_network(kind), []
    fine_tune(model, sampler(), WIDE, TUNING, label_smoothing=0.0, watch=told.append)
    return model, told


def sampler() -> WindowSampler:
    """Clips whose emotion is the coefficient that stands out."""
    labels = ("neutral", "calm", "happy", "sad", "angry", "fearful", "disgust", "surprised")
    rng = np.random.default_rng(0)
    n = 192
    frames = rng.normal(size=(n, 40, MFCCS)).astype(np.float32)
    for k in range(n):
        frames[k, :, 3 * (k % 8) + 1] += 5
    starts = 40 * np.arange(n)[:, None]
    data = FeatureSet(
        clip_ids=tuple(f"clip{k}" for k in range(n)),
        labels=tuple(labels[k % 8] for k in range(n)),
        starts=starts,
        lengths=np.full((n, 1), 40),
        frames=frames.reshape(-1, MFCCS),
    )
    return WindowSampler(
        data=data,
        indices=tuple(range(n)),
        spec=Recipe("cnn").frontend,
        normalization=Normalization((0.0,) * MFCCS, (50.0,) + (1.0,) * (MFCCS - 1), 50.0),
        window_frames=FRAMES,
        augmentation=FeatureAugmentation(),
        batch=16,
        seed=0,
    )
