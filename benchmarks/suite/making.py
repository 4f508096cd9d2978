"""Models that are made for a benchmark alone: weights by chance, which take the same time.

    python -m benchmarks.suite.making ORDER

TensorFlow is needed to make them, so a process of its own makes them, and nothing that is timed
holds it.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from emopi.convert.precisions import CALIBRATED
from emopi.convert.quantize import converter_of
from emopi.device.contract import Contract, attach, read
from emopi.device.precision import Precision
from emopi.device.process import serve
from emopi.device.quiet import quiet_stderr
from emopi.train.backend import import_tensorflow

ROWS, SIZE = 256, 1024
"""Of the matrix products that stand for what the machine can do."""
PEAK_MACS = ROWS * SIZE * SIZE
VARIANTS: dict[str, tuple[Precision, ...]] = {
    "cnn": ("float16", "dynamic-int8", "int16x8"),
    "lstm": ("float16", "dynamic-int8"),
}
"""Precisions that `emopi convert` makes and `models/` does not ship."""


def run(fields: dict[str, Any]) -> Iterator[dict[str, str]]:
    """Paths by name, in `folder`: of two matrix products, and of `VARIANTS` if they are wanted."""
    import_tensorflow("this benchmark")
    folder = Path(fields["folder"])
    paths = {}
    for precision in ("float32", "int8"):
        paths[f"peak-{precision}"] = folder / f"peak-{precision}.tflite"
        paths[f"peak-{precision}"].write_bytes(_product(precision))
    if fields["variants"]:
        for network, precisions in VARIANTS.items():
            paths |= _variants(network, precisions, folder)
    yield {name: str(path) for name, path in paths.items()}


def shipped() -> dict[str, Path]:
    """The models that emopi brings, by name."""
    folder = Path(str(files("emopi.models")))
    return {path.stem: path for path in sorted(folder.glob("*.tflite"))}


def untrained(contract: Contract) -> Any:
    """A Keras model of a shipped one's shape."""
    import keras

    from emopi.train.recipe import default_recipe
    from emopi.train.topology import build

    recipe = default_recipe(contract.network, epochs=None, batch=1, seed=0)
    return build(
        contract.network, keras, window_frames=contract.window_frames,
        n_mfcc=contract.frontend.n_mfcc, n_labels=len(contract.labels),
        n_views=len(recipe.views),
    )  # fmt: skip


def _product(precision: str) -> bytes:
    """A flatbuffer of nothing but the product of (ROWS, SIZE) with (SIZE, SIZE)."""
    import tensorflow as tf

    rng = np.random.default_rng(0)
    weights = tf.constant(rng.normal(size=(SIZE, SIZE)).astype(np.float32))
    traced = tf.function(lambda rows: tf.matmul(rows, weights)).get_concrete_function(
        tf.TensorSpec((ROWS, SIZE), tf.float32)
    )
    converter = tf.lite.TFLiteConverter.from_concrete_functions([traced])
    if precision == "int8":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: [
            [rng.normal(size=(ROWS, SIZE)).astype(np.float32)]
        ]
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = tf.int8
    with quiet_stderr():
        flatbuffer: bytes = converter.convert()
    return flatbuffer


def _variants(network: str, precisions: tuple[Precision, ...], folder: Path) -> dict[str, Path]:
    _, contract = read(shipped()[f"{network}-float32"])
    rng = np.random.default_rng(0)
    shape = (8, contract.window_frames, contract.frontend.n_mfcc)
    windows = rng.normal(size=shape).astype(np.float32)
    paths = {}
    with converter_of(untrained(contract), network) as to_tflite:
        for precision in precisions:
            calibration = ("chance",) if precision in CALIBRATED else ()
            own = dataclasses.replace(
                contract, precision=precision, scores=(), calibration=calibration
            )
            path = folder / f"{own.name}.tflite"
            path.write_bytes(attach(to_tflite(precision, windows), own))
            paths[own.name] = path
    return paths


if __name__ == "__main__":
    sys.exit(serve(run))
