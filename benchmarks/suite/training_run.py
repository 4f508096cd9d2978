"""Pieces of a training, each in a process of its own: see `training.py`.

python -m benchmarks.suite.training_run ORDER
"""

from __future__ import annotations

import dataclasses
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.suite.memory import anonymous_mb, memory, peak_mb
from benchmarks.training import epoch_s, features_s
from emopi.device.process import serve
from emopi.train.augment import Perturbation
from emopi.train.backend import import_tensorflow
from emopi.train.corpora import LABELS, Utterance, corpus_hash, read_corpora
from emopi.train.dataset import WindowSampler, features, statistics
from emopi.train.recipe import Recipe, default_recipe
from emopi.train.splits import load_protocol, split

PLAIN = Perturbation(copies=0)
RATE_HZ, WINDOW_S = 16_000, 3.0


def run(fields: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """One object: what the piece `what` found."""
    pieces: dict[str, Callable[..., dict[str, Any]]] = {
        "features": _features, "epochs": _epochs, "otherwise": _otherwise, "growth": _growth,
    }  # fmt: skip
    order = dict(fields)
    yield pieces[order.pop("what")](**order)


def _features(corpus: str, clips: int, jobs: int, copies: int) -> dict[str, Any]:
    """Extraction of every n-th clip into an empty cache."""
    chosen = some(read_corpora(Path(corpus)).utterances, clips)
    return {"clips": len(chosen), "seconds": features_s(chosen, Perturbation(copies=copies), jobs)}


def some(utterances: Sequence[Utterance], n: int) -> tuple[Utterance, ...]:
    """At most `n`, spread over all."""
    return tuple(utterances[:: max(1, -(-len(utterances) // n))])


def _epochs(corpus: str, network: str, epochs: int, jobs: int) -> dict[str, Any]:
    """`emopi train` for a few epochs; one augmented copy of each clip: more cost an epoch none."""
    import_tensorflow("this benchmark", jobs=jobs)
    recipe = dataclasses.replace(_recipe(network), perturbation=Perturbation(copies=1))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        told = epoch_s(recipe, Path(corpus), folder / "run", folder / "cache", epochs, jobs)
    return {"seconds": told, "recipe_epochs": recipe.epochs, "peak_mb": peak_mb()}


def _recipe(network: str) -> Recipe:
    return default_recipe(network, epochs=None, batch=64, seed=0)


def _otherwise(corpus: str, network: str, epochs: int, clips: int, jobs: int) -> dict[str, Any]:
    """The same network on tf.data, which reads each clip with librosa in every epoch."""
    import_tensorflow("this benchmark", jobs=jobs)
    import keras
    import tensorflow as tf

    from emopi.train.topology import build

    utterances = read_corpora(Path(corpus)).utterances
    fold = load_protocol("upm-5", utterances).fold("fold1")
    training = some(split(utterances, fold).train, clips)
    recipe = _recipe(network)
    shape = (recipe.window_frames, recipe.frontend.n_mfcc)
    paths = tf.constant([str(one.path) for one in training])
    classes = tf.constant([LABELS.index(one.label) for one in training])

    def load(path: Any, label: Any) -> tuple[Any, Any]:
        mfccs = tf.numpy_function(_librosa_window, [path, shape[0]], tf.float32)
        return tf.ensure_shape(mfccs, shape), label

    data = (
        tf.data.Dataset.from_tensor_slices((paths, classes))
        .shuffle(len(training), seed=0)
        .map(load, num_parallel_calls=tf.data.AUTOTUNE)
        .batch(recipe.batch)
        .prefetch(tf.data.AUTOTUNE)
    )
    model = build(network, keras, window_frames=shape[0], n_mfcc=shape[1], n_labels=len(LABELS))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer="adam", loss=loss, jit_compile=False)
    told = _Stopwatch()
    model.fit(data, epochs=1 + epochs, verbose=0, callbacks=[told.callback(keras)])
    return {"seconds": told.seconds[1:], "clips": len(training), "peak_mb": peak_mb()}


class _Stopwatch:
    """Seconds of every epoch."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self._started_s = 0.0

    def callback(self, keras: Any) -> Any:
        """For `fit`."""
        return keras.callbacks.LambdaCallback(
            on_epoch_begin=lambda *_: setattr(self, "_started_s", time.perf_counter()),
            on_epoch_end=lambda *_: self.seconds.append(time.perf_counter() - self._started_s),
        )


def _librosa_window(path: bytes, n_frames: int) -> Any:
    """(n_frames, 40) of a file, as a person would take them."""
    import librosa

    samples, _ = librosa.load(path.decode(), sr=RATE_HZ, duration=WINDOW_S + 0.5)
    samples = librosa.util.fix_length(samples, size=round(WINDOW_S * RATE_HZ))
    frames = librosa.feature.mfcc(
        y=samples, sr=RATE_HZ, n_mfcc=40, n_mels=40, n_fft=512, win_length=400, hop_length=160
    )
    return frames.T[:n_frames].astype(np.float32)


def _growth(corpus: str, clips: int, times: int, jobs: int) -> dict[str, Any]:
    """Features of a corpus `times` as large, its statistics, and an epoch's windows drawn of it."""
    utterances = [
        dataclasses.replace(one, clip_id=f"{one.clip_id}x{number}")
        for number in range(times)
        for one in some(read_corpora(Path(corpus)).utterances, clips)
    ]
    recipe = _recipe("cnn")
    before_mb = anonymous_mb()
    with tempfile.TemporaryDirectory() as folder:
        started_s = time.perf_counter()
        data = features(
            utterances, corpus_hash(utterances), recipe.frontend, PLAIN, cache=Path(folder),
            jobs=jobs,
        )  # fmt: skip
        seconds = time.perf_counter() - started_s
        indices = tuple(range(len(utterances)))
        sampler = WindowSampler(
            data, indices, recipe.frontend,
            statistics(data, indices, recipe.frontend, recipe.window_frames),
            recipe.window_frames, recipe.augmentation, recipe.batch, seed=0,
        )  # fmt: skip
        most_mb = 0.0
        for _ in sampler.epoch(0):
            most_mb = max(most_mb, anonymous_mb())
        return {
            "clips": len(utterances),
            "seconds": seconds,
            "features_mb": data.frames.nbytes / 2**20,
            "before_mb": before_mb,
            "anonymous_mb": most_mb,
            "rss_mb": memory()["rss_mb"],
            "peak_mb": peak_mb(),
        }


if __name__ == "__main__":
    sys.exit(serve(run))
