"""Quantization-aware fine-tuning: some more epochs with int8's rounding, before conversion."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from emopi.device.errors import RunError
from emopi.device.frontend import Floats, FrontendSpec
from emopi.device.normalization import Normalization
from emopi.train.augment import FeatureAugmentation, Perturbation
from emopi.train.corpora import Corpora, Utterance
from emopi.train.dataset import WindowSampler, features
from emopi.train.progress import TrainingProgress
from emopi.train.run_record import RunRecord


@dataclasses.dataclass(frozen=True, slots=True)
class FineTuning:
    """How a trained network is fine-tuned."""

    epochs: int
    cache: Path
    """For features, as that of a training."""
    learning_rate: float = 1e-4
    """At the start; it falls to 0 as a cosine."""

    def to_json(self) -> dict[str, Any]:
        """What a contract says of it."""
        return {"epochs": self.epochs, "learning_rate": self.learning_rate}


def fine_tune_run(
    model: Any,
    record: RunRecord,
    corpora: Corpora,
    side: Sequence[Utterance],
    windows: Floats,
    how: FineTuning,
) -> None:
    """Fine-tune the Keras 3 `model` of a run, in place, on the run's training side `side`.

    `windows` are as for `fine_tune`. Shows on stderr how far it is. Raises `RunError` for a run
    whose augmentation is not known, `CorpusError` where clips or cache cannot be read or kept.
    """
    sampler = _sampler(record, corpora, side, how.cache)
    smoothing = record.recipe["label_smoothing"]
    with TrainingProgress(how.epochs) as progress:
        fine_tune(model, sampler, windows, how, label_smoothing=smoothing, watch=progress.show)


def fine_tune(
    model: Any,
    sampler: WindowSampler,
    windows: Floats,
    how: FineTuning,
    *,
    label_smoothing: float,
    watch: Callable[[dict[str, float]], None] = lambda _: None,
) -> None:
    """Train a Keras 3 `model` on, in place, while it computes as its int8 form would.

    `windows` are (n, window_frames, n_mfcc) normalized windows that the ranges are taken from;
    `watch` is told of each epoch. Batch normalization stays as it is. The same seed gives the same
    weights, as far as TensorFlow's own arithmetic repeats. Interrupted, `model` is as it was.
    """
    import keras

    from emopi.convert.rounding import copy_weights, with_rounding

    keras.utils.set_random_seed(sampler.seed)
    rounding = with_rounding(model, windows)
    step = _training_step(
        rounding,
        keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=label_smoothing),
        keras.optimizers.Adam(
            keras.optimizers.schedules.CosineDecay(how.learning_rate, how.epochs * sampler.steps),
            clipnorm=1.0,
        ),
    )
    for epoch in range(how.epochs):
        totals = {"loss": 0.0, "accuracy": 0.0}
        for batch, labels in sampler.epoch(epoch):
            for key, value in zip(totals, step(batch, labels), strict=True):
                totals[key] += float(value) * len(batch) / len(sampler.indices)
        watch({"epoch": epoch + 1} | totals)
    copy_weights(rounding, model)


def _sampler(
    record: RunRecord, corpora: Corpora, side: Sequence[Utterance], cache: Path
) -> WindowSampler:
    """Batches of the clips `side`, as the run's training drew them."""
    recipe = record.recipe
    spec = FrontendSpec.from_json(recipe["frontend"])
    perturbation = _recorded(Perturbation, record, "perturbation")
    sha256 = record.corpus["sha256"]
    data = features(corpora.utterances, sha256, spec, perturbation, cache=cache)
    ids = {utterance.clip_id for utterance in side}
    return WindowSampler(
        data=data,
        indices=tuple(k for k, clip_id in enumerate(data.clip_ids) if clip_id in ids),
        spec=spec,
        normalization=Normalization.from_json(record.normalization),
        window_frames=recipe["window_frames"],
        augmentation=_recorded(FeatureAugmentation, record, "augmentation"),
        batch=recipe["batch"],
        seed=recipe["seed"],
    )


def _recorded(kind: Callable[..., Any], record: RunRecord, name: str) -> Any:
    """The part `name` of a run's recipe, which is a `kind`; `RunError` if it is none today."""
    try:
        fields = record.recipe[name].items()
        return kind(**{k: tuple(v) if isinstance(v, list) else v for k, v in fields})
    except (KeyError, AttributeError, TypeError) as error:
        raise RunError(
            f"the run was trained by another version of emopi: its {name} is not known "
            f"({error}). Train it anew, or convert it without --fine-tune"
        ) from None


def _training_step(
    model: Any, loss: Any, optimizer: Any
) -> Callable[[Floats, Floats], tuple[Any, Any]]:
    """One step of the optimizer, with gradients at the rounded weights; gives loss and accuracy."""
    import keras
    import tensorflow as tf

    from emopi.convert.rounding import round_weights

    variables = {variable.path: variable for variable in model.variables}
    trained = model.trainable_variables
    optimizer.build(trained)

    def step(windows: Any, labels: Any) -> tuple[Any, Any]:
        exact = {}
        for layer in model.layers:
            for path, rounded in round_weights(layer).items():
                exact[path] = tf.identity(variables[path].value)
                variables[path].assign(rounded)
        with tf.GradientTape() as tape:
            logits = model(windows, training=True)
            value = loss(labels, logits)
        gradients = tape.gradient(value, [variable.value for variable in trained])
        for path, weights in exact.items():
            variables[path].assign(weights)
        optimizer.apply(gradients, trained)
        return value, tf.reduce_mean(keras.metrics.categorical_accuracy(labels, logits))

    compiled = tf.function(step, autograph=False, reduce_retracing=True)
    return lambda windows, labels: compiled(tf.constant(windows), tf.constant(labels))
