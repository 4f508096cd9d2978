"""How a streaming form is cut out of a whole-window flatbuffer."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from support import MODELS

from emopi.convert.operators import FUSED_LSTM, graphs
from emopi.convert.streaming import streaming_form
from emopi.convert.streaming_functions import packed
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
        taken = [one.name.decode() for one in signature.inputs]
        known = {"frames", *keys[:number]} if number < len(stages) else {"mean", "max"}
        assert taken
        assert set(taken) <= known
        assert [one.name for one in signature.outputs] == [b"row"]
        (given,) = model.subgraphs[number].outputs
        assert math.prod(model.subgraphs[number].tensors[given].shape[:-1]) == 1  # one row
    names = [[one.name for one in graph if one.name != "RESHAPE"] for graph in graphs(small)]
    assert names[-1][-1] == "FULLY_CONNECTED"
    assert names[-2][-1] == FUSED_LSTM
    assert all(one[0] in ("CONV_2D", "ADD", FUSED_LSTM) for one in names[:-1])


@pytest.mark.parametrize("name", ["lstm-float32", "lstm-int8"])
def test_stages_give_as_many_rows_as_the_whole_graph_has(name: str) -> None:
    flatbuffer = shipped(name)
    whole = unpacked(flatbuffer).subgraphs[0]
    points = {one.name: math.prod(one.shape[:-1]) for one in whole.tensors if len(one.shape) > 1}
    small, stages = streaming_form(flatbuffer)
    model = unpacked(small)
    rows = {"frames": 300}
    for stage, signature, graph in zip(
        stages, model.signatureDefs[:-1], model.subgraphs[:-1], strict=True
    ):
        for taken in signature.inputs:
            padded = stage.before + rows[taken.name.decode()] + stage.after
            n = (padded - stage.taken) // stage.step + 1
            assert n == points[graph.tensors[graph.outputs[0]].name]
        rows[stage.signature] = n
        assert 0 <= stage.after - stage.before <= 1
        if "CONV_2D" not in {one.name for one in graphs(small)[signature.subgraphIndex]}:
            assert stage.before == stage.after == 0


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


@pytest.mark.parametrize(
    ("name", "wanted", "instead", "says"),
    [
        ("lstm-int8", "UNIDIRECTIONAL_SEQUENCE_LSTM", "BIDIRECTIONAL_SEQUENCE_LSTM",
         "BIDIRECTIONAL_SEQUENCE_LSTM needs the whole window"),
        ("lstm-float32", "MEAN", "SUM", "SUM needs the whole window"),
        ("lstm-int8", "CONV_2D", "DEPTHWISE_CONV_2D", "DEPTHWISE_CONV_2D needs the whole window"),
    ],
)  # fmt: skip
def test_what_cannot_stream(name: str, wanted: str, instead: str, says: str) -> None:
    model = unpacked(shipped(name))
    codes = vars(schema.BuiltinOperator)
    for code in model.operatorCodes:
        if code.builtinCode == codes[wanted]:
            code.builtinCode = code.deprecatedBuiltinCode = codes[instead]
    with pytest.raises(ConversionError, match=f"has no streaming form: .*{says}"):
        streaming_form(packed(model))


def test_only_views_and_time_may_be_exchanged() -> None:
    model = unpacked(shipped("cnn-int8"))
    streaming_form(packed(model))
    codes = [code.builtinCode for code in model.operatorCodes]
    transposition = codes.index(schema.BuiltinOperator.TRANSPOSE)
    (graph,) = model.subgraphs
    (operator,) = (one for one in graph.operators if one.opcodeIndex == transposition)
    order = np.array([0, 3, 1, 2], "<i4")
    model.buffers[graph.tensors[operator.inputs[1]].buffer].data = order.view(np.uint8)
    with pytest.raises(ConversionError, match="TRANSPOSE is of something else than views and time"):
        streaming_form(packed(model))


@pytest.mark.parametrize("name", ["lstm-float32", "lstm-int8"])
def test_a_streaming_form_has_none(name: str) -> None:
    small, _ = streaming_form(shipped(name))
    with pytest.raises(ConversionError, match="no mean or maximum over time with a dense layer"):
        streaming_form(small)
