"""How a streaming form is cut out of a whole-window flatbuffer."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from support import MODELS

from emopi.convert.operators import FUSED_LSTM, graphs, operators
from emopi.convert.streaming import streaming_form
from emopi.device.contract import HEAD, read
from emopi.device.errors import ConversionError

schema = pytest.importorskip(
    "ai_edge_litert.schema_py_generated", reason="tflite-runtime has no schema to read models with"
)


def shipped(name: str) -> bytes:
    return read(MODELS / f"{name}.tflite")[0]


def unpacked(flatbuffer: bytes) -> Any:
    return schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(flatbuffer, 0))


@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_functions(precision: str) -> None:
    small, stages = streaming_form(shipped(f"lstm-{precision}"))
    model = unpacked(small)
    keys = [signature.signatureKey.decode() for signature in model.signatureDefs]
    assert keys == [*(stage.signature for stage in stages), HEAD]
    for number, signature in enumerate(model.signatureDefs):
        assert signature.subgraphIndex == number
        assert [one.name for one in signature.inputs] == [b"rows"]
        assert [one.name for one in signature.outputs] == [b"row"]
        (given,) = model.subgraphs[number].outputs
        assert math.prod(model.subgraphs[number].tensors[given].shape[:-1]) == 1  # one row
    names = [[one.name for one in graph if one.name != "RESHAPE"] for graph in graphs(small)]
    assert names[-2:] == [[FUSED_LSTM, FUSED_LSTM], ["FULLY_CONNECTED"]]
    assert all(one[0] == "CONV_2D" for one in names[:-2])


def test_stages_are_those_of_the_convolutions() -> None:
    """Taken, step and padding from the weights and strides, by TensorFlow's own rule."""
    flatbuffer = shipped("lstm-float32")
    graph = unpacked(flatbuffer).subgraphs[0]
    _, stages = streaming_form(flatbuffer)
    convolutions = [one for one in operators(flatbuffer) if one.name == "CONV_2D"]
    assert len(stages) == len(convolutions) + 1
    rows = 300
    for stage, operator in zip(stages, convolutions, strict=False):
        assert graph.tensors[operator.inputs[0]].shape[2] == rows
        kernel = graph.tensors[operator.inputs[1]].shape[2]
        given = graph.tensors[operator.outputs[0]].shape[2]
        stride = round(rows / given)
        assert stage.before + rows + stage.after >= (given - 1) * stride + kernel
        assert 0 <= stage.after - stage.before <= 1
        rows = (stage.before + rows + stage.after - stage.taken) // stage.step + 1
        assert rows == given // (stage.step // stride)
    assert (stages[-1].taken, stages[-1].step) == (1, 1)
    assert (stages[-1].before, stages[-1].after) == (0, 0)


@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_weights_and_scales_are_the_same(precision: str) -> None:
    whole = unpacked(shipped(f"lstm-{precision}"))
    small = unpacked(streaming_form(shipped(f"lstm-{precision}"))[0])

    def constants(model: Any) -> set[tuple[Any, ...]]:
        return {
            (tensor.name, bytes(data), *scales(tensor))
            for graph in model.subgraphs
            for tensor in graph.tensors
            if (data := model.buffers[tensor.buffer].data) is not None
            and len(data) > 64  # not a shape
        }

    def scales(tensor: Any) -> tuple[bytes, ...]:
        its = tensor.quantization
        return () if its is None or its.scale is None else (np.asarray(its.scale).tobytes(),)

    assert len(constants(whole)) > 15
    assert constants(small) == constants(whole)
    assert len(shipped(f"lstm-{precision}")) * 1.05 > len(
        streaming_form(shipped(f"lstm-{precision}"))[0]
    )


def test_weights_lie_at_multiples_of_16_bytes() -> None:
    small, _ = streaming_form(shipped("lstm-int8"))
    heavy = [b.data for b in unpacked(small).buffers if b.data is not None and len(b.data) > 500]
    assert len(heavy) > 10
    for data in heavy:
        assert small.index(np.asarray(data, np.uint8).tobytes()) % 16 == 0


def test_same_model_same_bytes() -> None:
    assert streaming_form(shipped("lstm-int8")) == streaming_form(shipped("lstm-int8"))


@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_what_cannot_stream(precision: str) -> None:
    with pytest.raises(ConversionError, match="this network has no streaming form: it is not one"):
        streaming_form(shipped(f"cnn-{precision}"))
    small, _ = streaming_form(shipped(f"lstm-{precision}"))
    with pytest.raises(ConversionError, match="no mean over time with a dense layer behind it"):
        streaming_form(small)
