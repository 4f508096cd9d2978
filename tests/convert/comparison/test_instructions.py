"""Counted instructions find the models that they hold for."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from damage import damaged
from support import MODELS

from emopi.convert.comparison.instructions import (
    boards,
    counted,
    counted_cores,
    graph_digest,
    ratios,
)
from emopi.device.contract import read

schema = pytest.importorskip(
    "ai_edge_litert.schema_py_generated", reason="tflite-runtime has no schema to read models with"
)


PRECISIONS = ("float32", "int8")


def shipped(name: str) -> bytes:
    return read(MODELS / f"{name}.tflite")[0]


@pytest.mark.parametrize("network", ["cnn", "lstm"])
def test_every_shipped_model_is_counted(network: str) -> None:
    """Where this fails, the networks have changed: python -m benchmarks.instructions --update."""
    exact, int8 = (counted(shipped(f"{network}-{precision}")) for precision in ("float32", "int8"))
    assert exact is not None
    assert int8 is not None
    assert tuple(exact) == tuple(int8) == counted_cores()
    shares = ratios(int8, exact)
    assert shares == {core: int8[core] / exact[core] for core in exact}
    assert all(share < 1 for share in shares.values())


def test_weights_do_not_matter_and_shapes_do() -> None:
    flatbuffer = shipped("cnn-int8")
    assert graph_digest(damaged(flatbuffer, 0)) == graph_digest(flatbuffer)
    assert counted(reshaped(flatbuffer)) is None
    names = [f"{network}-{precision}" for network in ("cnn", "lstm") for precision in PRECISIONS]
    assert len({graph_digest(shipped(name)) for name in names}) == len(names)


def reshaped(flatbuffer: bytes) -> bytes:
    """The same with another number of labels."""
    import flatbuffers

    model: Any = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(flatbuffer, 0))
    output = model.subgraphs[0].tensors[model.subgraphs[0].outputs[0]]
    output.shape = np.array([1, 9], np.int32)
    builder = flatbuffers.Builder(1 << 20)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def test_nothing_to_set_against() -> None:
    assert ratios(None, {"cortex-a72": 1}) is None
    assert ratios({"cortex-a72": 1}, None) is None


def test_boards() -> None:
    assert boards("cortex-a76") == "5"
