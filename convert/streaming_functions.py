"""Functions of a flatbuffer, each a graph of its own and the signature to call it, built of parts
of the flatbuffer's whole graph. See `emopi.convert.streaming`."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from emopi.convert.operators import FUSED_LSTM, operator_name, schema_module
from emopi.device.contract import ROW

VALID = 1
"""Padding, as the schema numbers it: none."""

ALONG_TIME = ("CONV_2D", "MAX_POOL_2D", "ADD", FUSED_LSTM)
"""Operators that go along the frames."""


def add_function(
    model: Any,
    name: str,
    operators: Sequence[Any],
    origins: Mapping[int, int],
    names: Mapping[int, str],
    rows: int = 1,
) -> None:
    """Add a function that computes by some operators of the whole graph what their last one gives.

    `origins` says of each tensor that is computed in which one it is before reshaping. The function
    takes those that it does not compute itself, `rows` points in time of each, by their `names`.
    """
    function = _Function(model, name)
    here: dict[int, int] = {}
    lengths: dict[int, int] = {}
    for operator in operators:
        inputs = {}
        for tensor in map(int, operator.inputs):
            if (origin := origins.get(tensor)) is not None:
                length = lengths.setdefault(origin, rows)
                shape = function.shape(operator, tensor, length)
                if origin not in here:
                    here[origin] = function.taken(tensor, shape, names[origin])
                inputs[tensor] = function.reshaped(here[origin], shape)
        given = int(operator.outputs[0])
        lengths[given] = function.rows_given(operator, length)
        shape = function.shape(operator, given, lengths[given])
        here[given] = function.operator(operator, inputs, shape)
    function.finish(here[given])


def time_axis(shape: Sequence[int]) -> int:
    """Of a tensor (views, time, channels), (1, views, time, channels) or (1, time, 1, channels).

    There must be more points in time than views.
    """
    return max(range(len(shape) - 1), key=lambda axis: shape[axis])


def pooling_over_time(operator: Any, shape: Sequence[int]) -> tuple[int, int]:
    """How many points max pooling goes over, and its step; 0 if it is not of time alone."""
    options = operator.builtinOptions
    height, width = int(options.filterHeight), int(options.filterWidth)
    if time_axis(shape) == 1:
        return (height if width == 1 else 0), int(options.strideH)
    return (width if height == 1 else 0), int(options.strideW)


class _Function:
    """A graph under construction, of parts of the whole one."""

    def __init__(self, model: Any, name: str) -> None:
        schema = schema_module()
        self._model = model
        self._whole = model.subgraphs[0]
        self._known: dict[int, int] = {-1: -1}
        """Weights of the whole graph and where they are here."""
        self._graph = schema.SubGraphT()
        self._graph.name = name
        self._graph.tensors = []
        self._graph.operators = []
        self._signature = schema.SignatureDefT()
        self._signature.signatureKey = name
        self._signature.inputs = []

    def taken(self, index: int, shape: Sequence[int], name: str) -> int:
        """One of the whole graph's tensors, of another shape, as what goes in."""
        made = self._tensor(index, shape)
        self._signature.inputs.append(_named(name, made))
        return made

    def reshaped(self, at: int, shape: Sequence[int]) -> int:
        """The tensor `at` in another shape, by an operator of its own if it needs one."""
        given = self._graph.tensors[at]
        if list(given.shape) == list(shape):
            return at
        operator = copy.copy(self._first("RESHAPE"))
        operator.inputs = [at, self._shape_constant(shape)]
        made = copy.copy(given)
        made.name = made.name + b"/rows"
        made.shape = np.array(shape, np.int32)
        operator.outputs = [self._add(made)]
        self._graph.operators.append(operator)
        return int(operator.outputs[0])

    def operator(self, original: Any, inputs: Mapping[int, int], shape: Sequence[int]) -> int:
        """A copy of an operator that computes `shape` without padding.

        `inputs` says where here are those of its tensors that are computed; the rest are weights.
        """
        made = copy.copy(original)
        made.builtinOptions = copy.copy(original.builtinOptions)
        if hasattr(made.builtinOptions, "padding"):
            made.builtinOptions.padding = VALID
        made.inputs = [
            inputs[index] if index in inputs else self._weights(index)
            for index in map(int, original.inputs)
        ]
        if original.intermediates is not None:
            made.intermediates = [self._weights(index) for index in original.intermediates]
        made.outputs = [self._tensor(original.outputs[0], shape)]
        self._graph.operators.append(made)
        return int(made.outputs[0])

    def shape(self, operator: Any, tensor: int, rows: int) -> list[int]:
        """Of an operator's input or output where it has `rows` points in time."""
        shape = [int(size) for size in self._whole.tensors[tensor].shape]
        if self._name(operator) in ALONG_TIME:
            shape[time_axis(shape)] = rows
        return shape

    def rows_given(self, operator: Any, rows: int) -> int:
        """What an operator without padding makes of `rows`."""
        options = operator.builtinOptions
        if self._name(operator) == "CONV_2D":
            kernel = int(self._whole.tensors[operator.inputs[1]].shape[2])
            return (rows - kernel) // int(options.strideW) + 1
        if self._name(operator) == "MAX_POOL_2D":
            size, step = pooling_over_time(operator, self._whole.tensors[operator.inputs[0]].shape)
            return (rows - size) // step + 1
        return rows

    def finish(self, given: int) -> None:
        """Make it a function of the model, with the tensor `given` coming out."""
        self._signature.outputs = [_named(ROW, given)]
        self._signature.subgraphIndex = len(self._model.subgraphs)
        self._graph.inputs = [one.tensorIndex for one in self._signature.inputs]
        self._graph.outputs = [given]
        self._model.subgraphs.append(self._graph)
        self._model.signatureDefs.append(self._signature)

    def _tensor(self, index: int, shape: Sequence[int]) -> int:
        made = copy.copy(self._whole.tensors[index])
        made.shape = np.array(shape, np.int32)
        return self._add(made)

    def _weights(self, index: int) -> int:
        """A constant, state or scale of the whole graph here, with what unpacks it."""
        index = int(index)
        if index not in self._known:
            for operator in self._whole.operators:
                if index in operator.outputs:  # half-precision weights are unpacked
                    unpacks = copy.copy(operator)
                    unpacks.inputs = [self._weights(i) for i in operator.inputs]
                    unpacks.outputs = [self._add(copy.copy(self._whole.tensors[index]))]
                    self._graph.operators.append(unpacks)
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
        return next(o for o in self._whole.operators if self._name(o) == name)

    def _name(self, operator: Any) -> str:
        return operator_name(self._model.operatorCodes[operator.opcodeIndex])

    def _add(self, tensor: Any) -> int:
        self._graph.tensors.append(tensor)
        return len(self._graph.tensors) - 1


def packed(model: Any) -> bytes:
    """The bytes of a flatbuffer."""
    import flatbuffers

    class Aligned(flatbuffers.Builder):  # type: ignore[misc]
        """Every vector at a multiple of 16 bytes, as the schema asks for weights."""

        def StartVector(self, size: int, n: int, alignment: int) -> Any:
            return super().StartVector(size, n, max(alignment, 16))

    builder = Aligned(1 << 20)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def _named(name: str, tensor: int) -> Any:
    made = schema_module().TensorMapT()
    made.name, made.tensorIndex = name, tensor
    return made
