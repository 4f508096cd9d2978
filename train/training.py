"""The loop over epochs: optimizer, history, checkpoints, and going on from one."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from emopi.device.errors import RunError
from emopi.device.frontend import Floats
from emopi.train.augment import rng_for
from emopi.train.backend import load_model
from emopi.train.corpora import LABELS
from emopi.train.dataset import WindowSampler
from emopi.train.recipe import Recipe
from emopi.train.run_record import RECORD, History, RunRecord
from emopi.train.topology import build

CHECKPOINT = "checkpoint.keras"
MODEL = "model.keras"
SAVE_EVERY_S = 15.0


class Answering(Protocol):
    """What a training needs of a teacher."""

    model: Any
    """What answers: a Keras model."""

    def to_json(self) -> dict[str, Any]:
        """At least the `share` and `temperature` of `TaughtLoss`."""

    def logits(self, windows: Floats) -> Floats:
        """(batch, labels) for (batch, window_frames, n_mfcc)."""


class Training:
    """The loop over epochs, and what is kept on disk meanwhile."""

    def __init__(
        self,
        recipe: Recipe,
        record: RunRecord,
        sampler: WindowSampler,
        validation: tuple[Floats, NDArray[np.int64]] | None,
        out: Path,
        watch: Callable[[dict[str, float]], None],
        teacher: Answering | None = None,
    ) -> None:
        self.recipe = recipe
        self.record = record
        self.sampler = sampler
        self.validation = validation
        self.out = out
        self.watch = watch
        self.teacher = teacher
        self.model: Any = None
        self.done = 0
        self.history = History()

    def start(self) -> None:
        """Build the network, as far as a checkpoint has brought it."""
        self.model = self._resumed_model()
        # the checkpoint and the history are two files: the model's own step count decides
        self.done = int(self.model.optimizer.iterations) // self.sampler.steps
        self.history = History(History.read(self.out).epochs[: self.done])

    def run(self) -> RunRecord:
        """Train to the last epoch, if there is one left."""
        if self.record.finished:
            return self.record
        self.start()
        started = saved = time.monotonic()
        seconds = self.record.seconds
        try:
            while self.done < self.recipe.epochs:
                self._epoch()
                now = time.monotonic()
                if now - saved > SAVE_EVERY_S:
                    self.save(seconds + now - started)
                    saved = now
        except KeyboardInterrupt:
            # the model may be amid an epoch: only the last checkpoint is whole
            raise RunError(
                f"interrupted; {self.out} keeps all but the last seconds. "
                "Go on with the same command and --resume"
            ) from None
        return self.finish(seconds + time.monotonic() - started)

    def finish(self, seconds: float) -> RunRecord:
        """Keep the model and how it came about, no longer the checkpoint."""
        save_model(self._finished_model(), self.out / MODEL)
        self.history.write(self.out)
        self.record = dataclasses.replace(
            self.record, finished=True, epochs_done=self.done, seconds=round(seconds, 1)
        )
        self.record.write(self.out)
        (self.out / CHECKPOINT).unlink(missing_ok=True)
        return self.record

    def _epoch(self) -> None:
        started = time.monotonic()
        self._reseed()
        totals = {"loss": 0.0, "accuracy": 0.0}
        for windows, labels in self.sampler.epoch(self.done):
            targets = self._targets(windows, labels)
            result = self.model.train_on_batch(windows, targets, return_dict=True)
            for key in totals:  # of this batch alone
                totals[key] += float(result[key]) * len(windows) / len(self.sampler.indices)
        if self.validation and self.validates(self.done + 1):
            windows, classes = self.validation
            logits = self.model.predict(windows, batch_size=256, verbose=0)
            totals["validation_accuracy"] = float(np.mean(np.argmax(logits, axis=1) == classes))
        self.count(totals, time.monotonic() - started)

    def validates(self, epoch: int) -> bool:
        """Whether the validation clips are looked at after that epoch, counted from 1."""
        return epoch % 10 == 0 or epoch == self.recipe.epochs

    def count(self, measured: dict[str, float], seconds: float) -> None:
        """Another epoch is done."""
        self.done += 1
        entry: dict[str, float] = {"epoch": self.done}
        entry |= {key: round(value, 4) for key, value in measured.items()}
        entry["seconds"] = round(seconds, 2)
        self.history.epochs.append(entry)
        self.watch(entry)

    def _targets(self, windows: Floats, labels: Floats) -> Floats:
        """One-hot labels, beside them the teacher's logits if there is one."""
        if not self.teacher:
            return labels
        return np.concatenate([labels, self.teacher.logits(windows)], axis=1)

    def save(self, seconds: float) -> None:
        """Keep a checkpoint to go on from."""
        self.history.write(self.out)
        save_model(self.model, self.out / CHECKPOINT)
        self.record = dataclasses.replace(
            self.record, epochs_done=self.done, seconds=round(seconds, 1)
        )
        self.record.write(self.out)

    def _reseed(self) -> None:
        """Let dropout depend on seed and epoch alone; Keras does not save where it stands."""
        for index, layer in enumerate(self.model.layers):
            generator = getattr(layer, "seed_generator", None)
            if generator is not None:
                generator.state.assign(self.dropout_seed(index))

    def dropout_seed(self, layer: int) -> NDArray[np.uint32]:
        """(2,) where the random numbers of that layer start in the present epoch."""
        rng = rng_for("dropout", self.recipe.seed, self.done, layer)
        return rng.integers(1 << 31, size=2).astype(np.uint32)

    def _resumed_model(self) -> Any:
        """The model as it is at the start, or as it was at the checkpoint if there is one."""
        model = self._new_model()
        if (self.out / CHECKPOINT).exists():
            saved = _load_checkpoint(self.out / CHECKPOINT)
            model.set_weights(saved.get_weights())
            model.optimizer.build(model.trainable_variables)
            variables = zip(model.optimizer.variables, saved.optimizer.variables, strict=True)
            for variable, value in variables:
                variable.assign(value)
        return model

    def _new_model(self) -> Any:
        import keras

        from emopi.train.taught_loss import accuracy

        recipe = self.recipe
        keras.utils.set_random_seed(recipe.seed)
        model = build(
            recipe.network,
            keras,
            window_frames=recipe.window_frames,
            n_mfcc=recipe.frontend.n_mfcc,
            n_labels=len(LABELS),
        )
        steps = recipe.epochs * self.sampler.steps
        warm_up = max(1, steps // 20)
        optimizer = keras.optimizers.AdamW(
            keras.optimizers.schedules.CosineDecay(
                0.0,
                steps - warm_up,
                warmup_target=recipe.learning_rate,
                warmup_steps=warm_up,
            ),
            weight_decay=recipe.weight_decay,
            clipnorm=1.0,
        )
        optimizer.exclude_from_weight_decay(var_names=["bias", "beta", "gamma"])
        model.compile(
            optimizer=optimizer,
            loss=self.loss(),
            metrics=[accuracy],
            jit_compile=keras.backend.backend() == "jax",  # TensorFlow's XLA gains nothing here
        )
        return model

    def _finished_model(self) -> Any:
        """The network with the views that its recipe gives it, without the optimizer."""
        import keras

        from emopi.train.views import with_views

        recipe = self.recipe
        if recipe.views == (1.0,):
            return keras.Model(self.model.input, self.model.output, name=self.model.name)
        return with_views(
            self.model, recipe.network, recipe.views, recipe.frontend, self.sampler.normalization
        )

    def loss(self) -> Any:
        """What the network pays: of labels, or of labels beside a teacher's logits."""
        import keras

        from emopi.train.taught_loss import TaughtLoss

        smoothing = self.recipe.label_smoothing
        if not self.teacher:
            return keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=smoothing)
        teaching = self.teacher.to_json()
        return TaughtLoss(teaching["share"], teaching["temperature"], smoothing)


def run_hash(run: Path) -> str:
    """SHA-256 of a run folder's record and model, one after the other."""
    return hashlib.sha256((run / RECORD).read_bytes() + (run / MODEL).read_bytes()).hexdigest()


def save_model(model: Any, path: Path) -> None:
    """Write a Keras model so that `path` holds the old one or the new one, never a part."""
    unfinished = path.with_name(f".{path.stem}-unfinished.keras")
    model.save(unfinished)
    with unfinished.open("rb") as file:
        os.fsync(file.fileno())
    unfinished.replace(path)


def _load_checkpoint(path: Path) -> Any:
    try:
        return load_model(path)
    except (ValueError, OSError, KeyError, zipfile.BadZipFile):
        raise RunError(
            f"{path} is damaged; delete it, and --resume starts again from the first epoch"
        ) from None
