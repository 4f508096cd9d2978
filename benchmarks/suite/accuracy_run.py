"""Cost of published networks beside ours: see `accuracy.py`.

python -m benchmarks.suite.accuracy_run ORDER
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.suite.literature import macs
from benchmarks.suite.literature_run import NETWORKS
from benchmarks.suite.making import shipped
from benchmarks.suite.timing import Call, Spread, interleaved
from emopi.convert.arithmetic import multiplications
from emopi.device.classifier import load
from emopi.device.contract import read
from emopi.device.process import serve
from emopi.device.quiet import quiet_stderr
from emopi.train.backend import import_tensorflow

FRAMES, WIDTH, N_LABELS = 300, 40, 8


def run(fields: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Bytes, parameters, multiplications and times of every network, by name and precision."""
    costs, flatbuffers = {}, {}
    for name, path in shipped().items():
        flatbuffers[name], _ = read(path)
        macs_of = multiplications(flatbuffers[name])
        costs[name] = {"bytes": len(flatbuffers[name]), "macs": sum(macs_of.values())}
    import_tensorflow("this benchmark")
    for name in NETWORKS:
        flatbuffer, facts = untrained(name)
        flatbuffers[f"{name}-float32"] = flatbuffer
        costs[f"{name}-float32"] = facts | {"bytes": len(flatbuffer)}
    calls = {name: _call(name, flatbuffer) for name, flatbuffer in flatbuffers.items()}
    taken = interleaved(calls, fields["rounds"])
    for name, times in taken.items():
        costs[name]["times_ms"] = Spread.of(times).to_json()
    yield costs


def untrained(name: str) -> tuple[bytes, dict[str, int]]:
    """A network that is not shipped as a float32 flatbuffer, untrained, and its size.

    By way of tf_keras with a batch of one where it has an LSTM, which else would become a loop.
    """
    import tensorflow as tf

    if name == "res-lstm":
        import tf_keras as keras
    else:
        import keras
    model = NETWORKS[name](keras, FRAMES, WIDTH, N_LABELS)
    facts = {"parameters": model.count_params(), "macs": macs(model)}
    traced = tf.function(lambda mfcc: model(mfcc, training=False)).get_concrete_function(
        tf.TensorSpec((1, FRAMES, WIDTH), tf.float32)
    )
    with quiet_stderr(), tempfile.TemporaryDirectory() as folder:
        if name == "res-lstm":
            tf.saved_model.save(model, folder, signatures=traced)
            converter = tf.lite.TFLiteConverter.from_saved_model(folder)
        else:
            path = Path(folder) / "model"
            model.export(path, verbose=False)
            converter = tf.lite.TFLiteConverter.from_saved_model(str(path))
        flatbuffer: bytes = converter.convert()
    return flatbuffer, facts


def _call(name: str, flatbuffer: bytes) -> Call:
    _, interpreter = load(name, flatbuffer, 1)
    taken = interpreter.get_input_details()[0]
    if taken["shape"][0] != 1 or -1 in taken["shape_signature"]:
        interpreter.resize_tensor_input(taken["index"], (1, *taken["shape"][1:]))
        interpreter.allocate_tensors()
    zeros = np.zeros((1, *taken["shape"][1:]), taken["dtype"])

    def invoke(_: int) -> None:
        interpreter.reset_all_variables()
        interpreter.set_tensor(taken["index"], zeros)
        interpreter.invoke()

    return invoke


if __name__ == "__main__":
    sys.exit(serve(run))
