"""What Keras runs on, imported once and without its banner: TensorFlow, or JAX for a GPU."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from emopi.device.errors import MissingExtraError, RunError
from emopi.device.quiet import quiet_stderr


def import_tensorflow(what: str, jobs: int | None = None) -> None:
    """Import TensorFlow and Keras for the command `what`, to use `jobs` cores or all.

    Must come before anything else that imports them. Raises `MissingExtraError` if one is absent.
    """
    for package in ("tensorflow", "tf_keras"):
        if not find_spec(package):
            raise MissingExtraError(what, "train", package)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with quiet_stderr():
        _import_keras(what, "tensorflow")
        import tensorflow as tf
    if jobs:
        tf.config.threading.set_intra_op_parallelism_threads(jobs)
        tf.config.threading.set_inter_op_parallelism_threads(1)


def import_jax(what: str) -> str:
    """Import JAX and Keras for the command `what`; return what JAX computes on, for a person.

    Must come before anything else that imports Keras. Raises `MissingExtraError` if one is absent.
    """
    for package in ("jax", "keras"):
        if not find_spec(package):
            raise MissingExtraError(what, "gpu", package)
    # several processes may share a GPU
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    _import_keras(what, "jax")
    import jax

    return str(jax.devices()[0].device_kind)


def _import_keras(what: str, backend: str) -> None:
    os.environ.setdefault("KERAS_BACKEND", backend)
    import keras

    if keras.backend.backend() != backend:
        raise RunError(
            f"{what} needs Keras on {backend}, but KERAS_BACKEND is {keras.backend.backend()}: "
            "unset it"
        )


def load_model(path: Path) -> Any:
    """A Keras model that a training saved, with its optimizer."""
    import keras

    # register the cell and the loss that a model may be saved with
    import emopi.train.clipped_lstm
    import emopi.train.taught_loss  # noqa: F401

    return keras.models.load_model(path)
