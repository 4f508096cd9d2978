"""Fit one network on the training side of one fold, to the last epoch, with no look at the test."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emopi.device.errors import RunError
from emopi.device.frontend import Floats, FrontendSpec
from emopi.train.augment import FeatureAugmentation, Perturbation, rng_for
from emopi.train.backend import load_model
from emopi.train.corpora import LABELS, Ravdess, Utterance, corpus_hash
from emopi.train.dataset import WindowSampler, centred, features, statistics
from emopi.train.run_record import History, RunRecord, commit, hardware, versions
from emopi.train.splits import Fold, Split, hold_out, load_protocol, split
from emopi.train.topology import build

CHECKPOINT = "checkpoint.keras"
MODEL = "model.keras"
SAVE_EVERY_S = 15.0


@dataclasses.dataclass(frozen=True, slots=True)
class Recipe:
    """Everything that decides what a training gives, apart from the clips."""

    network: str
    """"cnn" or "lstm"."""
    epochs: int = 200
    batch: int = 64
    learning_rate: float = 2e-3
    """The highest: after a linear warm-up over 5 % of the steps it falls to 0 as a cosine."""
    weight_decay: float = 0.02
    label_smoothing: float = 0.1
    seed: int = 0
    window_frames: int = 300
    frontend: FrontendSpec = dataclasses.field(
        default_factory=lambda: FrontendSpec(energy_floor=1e-10)
    )
    perturbation: Perturbation = dataclasses.field(default_factory=Perturbation)
    augmentation: FeatureAugmentation = dataclasses.field(default_factory=FeatureAugmentation)


EPOCHS = {"cnn": 300, "lstm": 300}


def default_recipe(network: str, *, epochs: int | None, batch: int, seed: int) -> Recipe:
    """The recipe of the shipped models, with what a user may change."""
    return Recipe(network, epochs=epochs or EPOCHS[network], batch=batch, seed=seed)


def fit(
    recipe: Recipe,
    corpus: Path,
    protocol: str,
    fold: str | None,
    out: Path,
    *,
    validation_share: float = 0.0,
    resume: bool = False,
    cache: Path,
    jobs: int | None = None,
    command: str = "",
    watch: Callable[[dict[str, float]], None] = lambda _: None,
) -> RunRecord:
    """Train into the run folder `out` and return its record; `watch` is told of each epoch.

    The model is that of the last epoch. Interrupted (Ctrl-C too), the folder keeps a checkpoint
    from which `resume` goes on to the very model that an undisturbed run would have given, as far
    as TensorFlow's own arithmetic repeats. Raises `RunError` where `out` does not fit.
    """
    utterances = Ravdess.read(corpus)
    chosen = load_protocol(protocol).fold(fold)
    sides = _sides(utterances, chosen, validation_share, recipe.seed)
    _check_folder(out, resume)
    data = features(
        utterances,
        recipe.frontend,
        recipe.perturbation,
        seed=recipe.seed,
        cache=cache,
        jobs=jobs,
    )
    train_side = _indices(utterances, sides.train)
    normalization = statistics(data, train_side, recipe.frontend, recipe.window_frames)
    record = RunRecord(
        network=recipe.network,
        protocol=protocol,
        fold=chosen.name,
        validation_share=validation_share,
        recipe=dataclasses.asdict(recipe),
        corpus={
            "name": Ravdess.name,
            "folder": str(corpus.resolve()),
            "sha256": corpus_hash(utterances),
            "train": len(sides.train),
            "validation": len(sides.validation),
            "test": len(sides.test),
        },
        normalization=normalization.to_json(),
        command=command,
        commit=commit(),
        versions=versions("emopi", "tensorflow", "keras", "numpy", "soundfile", "soxr"),
        hardware=hardware(),
    )
    if resume:
        started = RunRecord.read(out)
        started.must_match(record)
        record = started
    if record.finished:
        return record
    sampler = WindowSampler(
        data=data,
        indices=train_side,
        spec=recipe.frontend,
        normalization=normalization,
        window_frames=recipe.window_frames,
        augmentation=recipe.augmentation,
        batch=recipe.batch,
        seed=recipe.seed,
    )
    validation = None
    if sides.validation:
        where = _indices(utterances, sides.validation)
        windows = centred(data, where, recipe.window_frames, recipe.frontend)
        classes = np.array([LABELS.index(data.labels[k]) for k in where])
        validation = (normalization.apply(windows), classes)
    out.mkdir(parents=True, exist_ok=True)
    record.write(out)
    return _Training(recipe, record, sampler, validation, out, watch).run()


def training_side(utterances: tuple[Utterance, ...], record: RunRecord) -> tuple[Utterance, ...]:
    """The clips that a run was trained on: neither test nor validation."""
    fold = load_protocol(record.protocol).fold(record.fold)
    return _sides(utterances, fold, record.validation_share, record.recipe["seed"]).train


def _sides(
    utterances: tuple[Utterance, ...], fold: Fold, validation_share: float, seed: int
) -> Split:
    """A fold's sides, with a share of the training side moved to validation."""
    sides = split(utterances, fold)
    if not validation_share:
        return sides
    held_out = hold_out(sides.train, validation_share, seed)
    return Split(
        train=tuple(u for u in sides.train if u.clip_id not in held_out),
        validation=sides.validation + tuple(u for u in sides.train if u.clip_id in held_out),
        test=sides.test,
    )


class _Training:
    """The loop over epochs, and what is kept on disk meanwhile."""

    def __init__(
        self,
        recipe: Recipe,
        record: RunRecord,
        sampler: WindowSampler,
        validation: tuple[Floats, NDArray[np.int64]] | None,
        out: Path,
        watch: Callable[[dict[str, float]], None],
    ) -> None:
        self.recipe = recipe
        self.record = record
        self.sampler = sampler
        self.validation = validation
        self.out = out
        self.watch = watch
        self.model = self._resumed_model()
        # the checkpoint and the history are two files: the model's own step count decides
        self.done = int(self.model.optimizer.iterations) // sampler.steps
        self.history = History(History.read(out).epochs[: self.done])

    def run(self) -> RunRecord:
        """Train to the last epoch."""
        started = saved = time.monotonic()
        seconds = self.record.seconds
        try:
            while self.done < self.recipe.epochs:
                self._epoch()
                now = time.monotonic()
                if now - saved > SAVE_EVERY_S:
                    self._save(seconds + now - started)
                    saved = now
        except KeyboardInterrupt:
            # the model may be amid an epoch: only the last checkpoint is whole
            raise RunError(
                f"interrupted; {self.out} keeps all but the last seconds. "
                "Go on with the same command and --resume"
            ) from None
        seconds += time.monotonic() - started
        save_model(self.model, self.out / MODEL)
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
            result = self.model.train_on_batch(windows, labels, return_dict=True)
            for key in totals:  # of this batch alone
                totals[key] += float(result[key]) * len(windows) / len(self.sampler.indices)
        self.done += 1
        entry: dict[str, float] = {"epoch": self.done}
        entry |= {key: round(value, 4) for key, value in totals.items()}
        if self.validation and (self.done % 10 == 0 or self.done == self.recipe.epochs):
            windows, classes = self.validation
            logits = self.model.predict(windows, batch_size=256, verbose=0)
            right = np.argmax(logits, axis=1) == classes
            entry["validation_accuracy"] = round(float(np.mean(right)), 4)
        entry["seconds"] = round(time.monotonic() - started, 2)
        self.history.epochs.append(entry)
        self.watch(entry)

    def _save(self, seconds: float) -> None:
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
                rng = rng_for("dropout", self.recipe.seed, self.done, index)
                generator.state.assign(rng.integers(1 << 31, size=2).astype(np.uint32))

    def _resumed_model(self) -> Any:
        """The model as it is at the start, or as it was at the checkpoint if there is one."""
        model = self._new_model()
        if (self.out / CHECKPOINT).exists():
            saved = load_model(self.out / CHECKPOINT)
            model.set_weights(saved.get_weights())
            model.optimizer.build(model.trainable_variables)
            variables = zip(model.optimizer.variables, saved.optimizer.variables, strict=True)
            for variable, value in variables:
                variable.assign(value)
        return model

    def _new_model(self) -> Any:
        import keras

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
            loss=keras.losses.CategoricalCrossentropy(
                from_logits=True, label_smoothing=recipe.label_smoothing
            ),
            metrics=[keras.metrics.CategoricalAccuracy(name="accuracy")],
            jit_compile=False,
        )
        return model


def save_model(model: Any, path: Path) -> None:
    """Write a Keras model so that `path` holds the old one or the new one, never a part."""
    unfinished = path.with_name(f".{path.stem}-unfinished.keras")
    model.save(unfinished)
    unfinished.replace(path)


def _check_folder(out: Path, resume: bool) -> None:
    if resume:
        RunRecord.read(out)
    elif out.exists() and any(out.iterdir()):
        raise RunError(
            f"{out} exists and is not empty; add --resume to go on with the run in it, "
            "or choose another --out"
        )


def _indices(utterances: tuple[Utterance, ...], side: tuple[Utterance, ...]) -> tuple[int, ...]:
    """Where the clips of one side stand among all."""
    wanted = {u.clip_id for u in side}
    return tuple(k for k, u in enumerate(utterances) if u.clip_id in wanted)
