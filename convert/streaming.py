"""The streaming form of a model, cut out of its whole-window flatbuffer: same weights and scales.

It is a flatbuffer of several small graphs, each of them a function (a TFLite signature) that
computes one row of what the whole graph computes for a window: a convolution or a sum, with the
pooling behind it, or the LSTMs, which keep their state. Each takes a few rows of one or two others,
so residual blocks are possible. What is behind the mean and maximum over time is one function more,
the head. The device moves the functions along the frames: `emopi.device.streaming`. Needs LiteRT
alone, no TensorFlow.
"""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from typing import Any

import numpy as np

from emopi.convert.operators import FUSED_LSTM, operator_name, schema_module
from emopi.convert.streaming_functions import (
    VALID,
    add_function,
    packed,
    pooling_over_time,
    time_axis,
)
from emopi.device.contract import FRAMES, HEAD, Stage
from emopi.device.errors import ConversionError

SAME_ROWS = ("RESHAPE", "TRANSPOSE")
"""Operators that leave what belongs to a point in time as it is. Of transpositions: the one that
puts the views before the time."""

POOLINGS = {"MEAN": "mean", "REDUCE_MAX": "max", "MAX_POOL_2D": "max"}
"""Operators over all points in time, and what the head calls what they give."""


@dataclasses.dataclass(slots=True)
class _Piece:
    """Operators of the whole graph, one behind the other, that become one function."""

    operators: list[Any]
    taken: int = 1
    """Rows that it needs for one, of each of what it is computed from."""
    step: int = 1
    before: int = 0
    after: int = 0

    @property
    def given(self) -> int:
        """The tensor that it computes."""
        return int(self.operators[-1].outputs[0])


def streaming_form(flatbuffer: bytes) -> tuple[bytes, tuple[Stage, ...]]:
    """The flatbuffer of a model's streaming form, and its stages.

    Raises `ConversionError` for a network that is more than convolutions over time, sums of them,
    max pooling and LSTMs, of one or several views of the frames, then mean or maximum over time,
    and whatever behind that.
    """
    schema = schema_module()
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(flatbuffer, 0))
    whole = _Whole(model)
    model.signatureDefs = []
    stages = []
    names = {int(model.subgraphs[0].inputs[0]): FRAMES}
    for number, piece in enumerate(whole.pieces):
        name = f"streaming_{number}"
        add_function(model, name, piece.operators, whole.origins, names, piece.taken)
        names[piece.given] = name
        stages.append(Stage(name, piece.taken, piece.step, piece.before, piece.after))
    add_function(model, HEAD, whole.head, whole.origins, whole.pooled)
    del model.subgraphs[0]
    for signature in model.signatureDefs:
        signature.subgraphIndex -= 1
    return packed(model), tuple(stages)


class _Whole:
    """The whole graph in pieces."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self._graph = model.subgraphs[0]
        self.pieces: list[_Piece] = []
        """In order; the last is what is pooled over time."""
        self.pooled: dict[int, str] = {}
        """Tensors that a pooling over time gives, with what the head calls them."""
        self.head: list[Any] = []
        """Operators behind that."""
        self.origins = self._origins()
        """Each tensor that is computed, weights apart, with the one that it is in another shape."""
        self._behind: set[int] = set()
        """Tensors that have no time any more."""
        computing = [o for o in self._graph.operators if self._name(o) not in SAME_ROWS]
        self._uses = Counter(tensor for o in computing for tensor in self._sources(o))
        for operator in computing:
            if sources := self._sources(operator):  # those without unpack weights
                self._take(operator, sources)
        if not self.pooled or not self.head:
            raise _impossible("it has no mean or maximum over time with a dense layer behind it")

    def _origins(self) -> dict[int, int]:
        origins = {int(self._graph.inputs[0]): int(self._graph.inputs[0])}
        for operator in self._graph.operators:
            given = [origins[tensor] for tensor in operator.inputs if tensor in origins]
            if given and self._name(operator) == "TRANSPOSE":
                order = self._model.buffers[self._graph.tensors[operator.inputs[1]].buffer].data
                if bytes(order) != np.array([0, 2, 1, 3], "<i4").tobytes():
                    raise _impossible("TRANSPOSE is of something else than views and time")
            for tensor in map(int, operator.outputs if given else ()):
                origins[tensor] = given[0] if self._name(operator) in SAME_ROWS else tensor
        return origins

    def _take(self, operator: Any, sources: list[int]) -> None:
        """Put an operator where it belongs."""
        name = self._name(operator)
        if set(sources) <= self._behind:
            self.head.append(operator)
        elif name in POOLINGS and (name != "MAX_POOL_2D" or self._times(operator) == 1):
            self._pool_time(name, operator, sources)
        elif self._behind:
            raise _impossible(f"{name} comes beside the mean or maximum over time")
        elif piece := self._extended(name, sources):
            piece.operators.append(operator)
            if name == "MAX_POOL_2D":
                self._widen(piece, operator)
        else:
            self.pieces.append(self._piece(name, operator))
        if self.pooled:
            self._behind.add(int(operator.outputs[0]))

    def _extended(self, name: str, sources: list[int]) -> _Piece | None:
        """The piece that may go on with this operator, if nothing else needs what it gives now."""
        for piece in self.pieces:
            if sources == [piece.given] and self._uses[piece.given] == 1:
                last = self._name(piece.operators[-1])
                if name == last == FUSED_LSTM or (name == "MAX_POOL_2D" and last != FUSED_LSTM):
                    return piece
        return None

    def _piece(self, name: str, operator: Any) -> _Piece:
        """A new piece that begins with this operator."""
        piece = _Piece([operator])
        if name == "CONV_2D":
            self._convolve(piece, operator)
        elif name == "MAX_POOL_2D":
            self._widen(piece, operator)
        elif name == "ADD":
            shapes = [self._shape(tensor) for tensor in operator.inputs]
            if shapes[0] != shapes[1]:
                raise _impossible(f"ADD is of the shapes {shapes[0]} and {shapes[1]}")
        elif name != FUSED_LSTM:
            raise _impossible(f"{name} needs the whole window")
        return piece

    def _convolve(self, piece: _Piece, operator: Any) -> None:
        """Let a piece take what a convolution over time needs."""
        options = operator.builtinOptions
        taken = self._shape(operator.inputs[0])
        frames = taken[2]
        _, kernel_height, kernel, _ = self._shape(operator.inputs[1])
        plain = {kernel_height, options.strideH, options.dilationWFactor} == {1}
        if not plain or time_axis(taken) != 2:
            raise _impossible("CONV_2D is not a plain convolution over time")
        step = int(options.strideW)
        # https://www.tensorflow.org/api_docs/python/tf/nn#notes_on_padding_2
        missing = max((math.ceil(frames / step) - 1) * step + kernel - frames, 0)
        if options.padding == VALID:
            missing = 0
        piece.taken, piece.step = kernel, step
        piece.before, piece.after = missing // 2, missing - missing // 2

    def _widen(self, piece: _Piece, operator: Any) -> None:
        """Let a piece take what max pooling over time at its end needs."""
        size, step = pooling_over_time(operator, self._shape(operator.inputs[0]))
        if not size or operator.builtinOptions.padding != VALID:
            raise _impossible("MAX_POOL_2D is not plain pooling over time")
        piece.taken += (size - 1) * piece.step
        piece.step *= step

    def _pool_time(self, name: str, operator: Any, sources: list[int]) -> None:
        given = int(operator.outputs[0])
        if not self.pieces or sources != [self.pieces[-1].given]:
            raise _impossible(f"{name} is not of the last layer before it")
        of_time = name == "MAX_POOL_2D" or self._points(given) == 1
        if not of_time or self._shape(given)[-1] != self._shape(sources[0])[-1]:
            raise _impossible(f"{name} is of something else than time")
        self.pooled[given] = POOLINGS[name]

    def _times(self, pooling: Any) -> int:
        """Points in time that max pooling gives, of each view."""
        axis = time_axis(self._shape(pooling.inputs[0]))
        return self._shape(pooling.outputs[0])[axis]

    def _points(self, tensor: int) -> int:
        return math.prod(self._shape(tensor)[:-1])

    def _sources(self, operator: Any) -> list[int]:
        """The tensors that it computes from, weights apart."""
        return [self.origins[tensor] for tensor in operator.inputs if tensor in self.origins]

    def _name(self, operator: Any) -> str:
        return operator_name(self._model.operatorCodes[operator.opcodeIndex])

    def _shape(self, tensor: int) -> list[int]:
        return [int(size) for size in self._graph.tensors[tensor].shape]


def _impossible(why: str) -> ConversionError:
    return ConversionError(f"this network has no streaming form: {why}. Leave out --streaming")
