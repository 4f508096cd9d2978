"""The streaming form of a model, cut out of its whole-window flatbuffer: same weights and scales.

It is a flatbuffer of several small graphs, each of them a function (a TFLite signature) that
computes one row of what the whole graph computes for a window: a convolution with the pooling
behind it, the LSTMs, which keep their state, the dense layers. The device moves them along the
frames: `emopi.device.streaming`. Needs LiteRT alone, no TensorFlow.
"""

from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from emopi.convert.operators import FUSED_LSTM, operator_name, schema_module
from emopi.device.contract import HEAD, Stage
from emopi.device.errors import ConversionError

SAME, VALID = 0, 1
"""Paddings, as the schema numbers them."""

TIME_AXIS = {"CONV_2D": 2, "MAX_POOL_2D": 1, FUSED_LSTM: 1}
"""Of the input and the output of operators that go along the frames."""


@dataclasses.dataclass(slots=True)
class _Piece:
    """Operators of the whole graph, one behind the other, that become one function."""

    operators: list[Any]
    taken: int = 1
    """Rows that it needs for one."""
    step: int = 1
    before: int = 0
    after: int = 0


def streaming_form(flatbuffer: bytes) -> tuple[bytes, tuple[Stage, ...]]:
    """The flatbuffer of a model's streaming form, and its stages.

    Raises `ConversionError` for a network that is more than convolutions over time with max
    pooling, LSTMs, a mean over time and dense layers, one behind the other.
    """
    schema = schema_module()
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(flatbuffer, 0))
    *pieces, head = _Chain(model).pieces()
    model.signatureDefs = []
    stages = []
    for number, piece in enumerate(pieces):
        name = f"streaming_{number}"
        _add_function(model, piece, name)
        stages.append(Stage(name, piece.taken, piece.step, piece.before, piece.after))
    _add_function(model, head, HEAD)
    del model.subgraphs[0]
    for signature in model.signatureDefs:
        signature.subgraphIndex -= 1
    return _packed(model), tuple(stages)


class _Chain:
    """The whole graph, followed from its input to its output."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self._graph = model.subgraphs[0]
        self._pieces: list[_Piece] = []
        self._averaged = False

    def pieces(self) -> list[_Piece]:
        """Pieces in order, the last of them behind the mean."""
        at = self._graph.inputs[0]
        for operator in self._graph.operators:
            name = operator_name(self._model.operatorCodes[operator.opcodeIndex])
            if name == "DEQUANTIZE" and operator.inputs[0] != at:
                continue  # weights; they come along with what they are for
            if operator.inputs[0] != at or len(operator.outputs) != 1:
                raise _impossible(f"it is not one {name} behind the other")
            self._append(name, operator)
            at = operator.outputs[0]
        if not self._averaged or not self._pieces[-1].operators:
            raise _impossible("it has no mean over time with a dense layer behind it")
        return self._pieces

    def _append(self, name: str, operator: Any) -> None:
        """Put an operator where it belongs."""
        if name == "RESHAPE":
            return  # functions have their own, where they need them
        if name == "MEAN" and not self._averaged and self._pieces:
            self._averaged = True
            self._pieces.append(_Piece([]))
        elif name == "FULLY_CONNECTED" and self._averaged:
            self._pieces[-1].operators.append(operator)
        elif name == "CONV_2D" and not self._averaged:
            self._pieces.append(self._convolution(operator))
        elif name == "MAX_POOL_2D" and self._pieces and not self._averaged:
            self._pool(self._pieces[-1], operator)
        elif name == FUSED_LSTM and not self._averaged:
            if not self._pieces or self._last_name() != FUSED_LSTM:
                self._pieces.append(_Piece([]))
            self._pieces[-1].operators.append(operator)
        else:
            raise _impossible(f"{name} needs the whole window")

    def _last_name(self) -> str:
        last = self._pieces[-1].operators[-1]
        return operator_name(self._model.operatorCodes[last.opcodeIndex])

    def _shape(self, tensor: int) -> list[int]:
        return [int(size) for size in self._graph.tensors[tensor].shape]

    def _convolution(self, operator: Any) -> _Piece:
        """A new piece that begins with a convolution over time."""
        options = operator.builtinOptions
        _, height, frames, _ = self._shape(operator.inputs[0])
        _, kernel_height, kernel, _ = self._shape(operator.inputs[1])
        if (height, kernel_height) != (1, 1) or options.dilationWFactor != 1:
            raise _impossible("CONV_2D is not a plain convolution over time")
        step = options.strideW
        # https://www.tensorflow.org/api_docs/python/tf/nn#notes_on_padding_2
        missing = max((math.ceil(frames / step) - 1) * step + kernel - frames, 0)
        if options.padding == VALID:
            missing = 0
        return _Piece([operator], kernel, step, missing // 2, missing - missing // 2)

    def _pool(self, piece: _Piece, operator: Any) -> None:
        """Let a piece end with pooling over time."""
        options = operator.builtinOptions
        if options.filterWidth != 1 or options.padding != VALID or self._last_name() == FUSED_LSTM:
            raise _impossible("MAX_POOL_2D is not plain pooling over time behind a convolution")
        piece.operators.append(operator)
        piece.taken += (options.filterHeight - 1) * piece.step
        piece.step *= options.strideH


def _add_function(model: Any, piece: _Piece, name: str) -> None:
    """Add a graph that computes one row by a piece's operators, and the signature to call it."""
    schema = schema_module()
    graph = _Function(model, name)
    rows = piece.taken
    first = piece.operators[0]
    at = graph.tensor(first.inputs[0], _shape_for(model, first, first.inputs[0], rows))
    graph.content.inputs = [at]
    for operator in piece.operators:
        at = graph.reshaped(at, _shape_for(model, operator, operator.inputs[0], rows))
        rows = _rows_given(model, operator, rows)
        shape = _shape_for(model, operator, operator.outputs[0], rows)
        at = graph.operator(operator, at, shape)
    graph.content.outputs = [at]
    model.subgraphs.append(graph.content)
    signature = schema.SignatureDefT()
    signature.signatureKey = name
    signature.subgraphIndex = len(model.subgraphs) - 1
    signature.inputs = [_named("rows", graph.content.inputs[0])]
    signature.outputs = [_named("row", at)]
    model.signatureDefs.append(signature)


class _Function:
    """A graph under construction, of parts of the whole one."""

    def __init__(self, model: Any, name: str) -> None:
        self._model = model
        self._whole = model.subgraphs[0]
        self._known: dict[int, int] = {-1: -1}
        """Weights of the whole graph and where they are here."""
        self.content = schema_module().SubGraphT()
        self.content.name = name
        self.content.tensors = []
        self.content.operators = []

    def tensor(self, index: int, shape: Sequence[int]) -> int:
        """A copy of one of the whole graph's tensors, of another shape."""
        made = copy.copy(self._whole.tensors[index])
        made.shape = np.array(shape, np.int32)
        return self._add(made)

    def reshaped(self, at: int, shape: Sequence[int]) -> int:
        """The tensor `at` in another shape, by an operator of its own if it needs one."""
        given = self.content.tensors[at]
        if list(given.shape) == list(shape):
            return at
        operator = copy.copy(self._first("RESHAPE"))
        operator.inputs = [at, self._shape_constant(shape)]
        made = copy.copy(given)
        made.name = made.name + b"/rows"
        made.shape = np.array(shape, np.int32)
        operator.outputs = [self._add(made)]
        self.content.operators.append(operator)
        return int(operator.outputs[0])

    def operator(self, original: Any, at: int, shape: Sequence[int]) -> int:
        """A copy of an operator that computes `shape` from the tensor `at`, without padding."""
        inputs = [at, *(self._weights(index) for index in original.inputs[1:])]
        made = copy.copy(original)
        made.builtinOptions = copy.copy(original.builtinOptions)
        if hasattr(made.builtinOptions, "padding"):
            made.builtinOptions.padding = VALID
        made.inputs = inputs
        if original.intermediates is not None:
            made.intermediates = [self._weights(index) for index in original.intermediates]
        made.outputs = [self.tensor(original.outputs[0], shape)]
        self.content.operators.append(made)
        return int(made.outputs[0])

    def _weights(self, index: int) -> int:
        """A constant, state or scale of the whole graph here, with what unpacks it."""
        index = int(index)
        if index not in self._known:
            for operator in self._whole.operators:
                if index in operator.outputs:  # half-precision weights are unpacked
                    unpacks = copy.copy(operator)
                    unpacks.inputs = [self._weights(i) for i in operator.inputs]
                    unpacks.outputs = [self._add(copy.copy(self._whole.tensors[index]))]
                    self.content.operators.append(unpacks)
                    self._known[index] = int(unpacks.outputs[0])
                    return self._known[index]
            self._known[index] = self._add(copy.copy(self._whole.tensors[index]))
        return self._known[index]

    def _shape_constant(self, shape: Sequence[int]) -> int:
        buffer = schema_module().BufferT()
        buffer.data = np.frombuffer(np.array(shape, "<i4").tobytes(), np.uint8)
        self._model.buffers.append(buffer)
        made = copy.copy(self._whole.tensors[self._first("RESHAPE").inputs[1]])
        made.shape = np.array([len(shape)], np.int32)
        made.buffer = len(self._model.buffers) - 1
        return self._add(made)

    def _first(self, name: str) -> Any:
        codes = self._model.operatorCodes
        return next(o for o in self._whole.operators if operator_name(codes[o.opcodeIndex]) == name)

    def _add(self, tensor: Any) -> int:
        self.content.tensors.append(tensor)
        return len(self.content.tensors) - 1


def _shape_for(model: Any, operator: Any, tensor: int, rows: int) -> list[int]:
    """Shape of an operator's input or output where it has `rows` points in time."""
    name = operator_name(model.operatorCodes[operator.opcodeIndex])
    shape = [int(size) for size in model.subgraphs[0].tensors[tensor].shape]
    if name in TIME_AXIS:
        shape[TIME_AXIS[name]] = rows
    return shape


def _rows_given(model: Any, operator: Any, rows: int) -> int:
    """What an operator without padding makes of `rows`."""
    name = operator_name(model.operatorCodes[operator.opcodeIndex])
    options = operator.builtinOptions
    if name == "CONV_2D":
        kernel = int(model.subgraphs[0].tensors[operator.inputs[1]].shape[2])
        return (rows - kernel) // int(options.strideW) + 1
    if name == "MAX_POOL_2D":
        return (rows - int(options.filterHeight)) // int(options.strideH) + 1
    return rows


def _named(name: str, tensor: int) -> Any:
    made = schema_module().TensorMapT()
    made.name, made.tensorIndex = name, tensor
    return made


def _packed(model: Any) -> bytes:
    import flatbuffers

    class Aligned(flatbuffers.Builder):  # type: ignore[misc]
        """Every vector at a multiple of 16 bytes, as the schema asks for weights."""

        def StartVector(self, size: int, n: int, alignment: int) -> Any:
            return super().StartVector(size, n, max(alignment, 16))

    builder = Aligned(1 << 20)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def _impossible(why: str) -> ConversionError:
    return ConversionError(f"this network has no streaming form: {why}. Leave out --streaming")
