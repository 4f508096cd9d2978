"""Reads a TFLite flatbuffer back: which operators, on tensors of which types, for which layers.

Needs LiteRT alone, no TensorFlow.
"""

from __future__ import annotations

import dataclasses
import functools
import re
from collections import Counter
from typing import Any

from emopi.device.errors import ConversionError, ModelError
from emopi.device.precision import Precision

FUSED_LSTM = "UNIDIRECTIONAL_SEQUENCE_LSTM"

WORK = {"CONV_2D": "Conv2D", "FULLY_CONNECTED": "MatMul", "ADD": "add"}
"""What an operator does, in the names of tensors: "cnn/re_lu/Relu;cnn/conv2d/Conv2D" is
what the converter calls the output of a convolution with all that it has fused into it."""

WEIGHTED = frozenset({"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", FUSED_LSTM})
"""Operators that have weights."""

LAYER_NAMES = {FUSED_LSTM: "lstm"}
"""Of operators whose tensors do not tell."""


ALLOWED: dict[Precision, frozenset[str]] = {
    "float32": frozenset({"FLOAT32"}),
    "float16": frozenset({"FLOAT32", "FLOAT16"}),
    "dynamic-int8": frozenset({"FLOAT32", "INT8"}),
    # int16: the cell state of an LSTM
    "int8": frozenset({"INT8", "INT16"}),
    "int16x8": frozenset({"INT8", "INT16"}),
}
"""Types that a model of each precision may have, besides those of biases and shapes."""

BIASES_AND_SHAPES = frozenset({"INT32", "INT64"})

OLD_RUNTIME = "tflite-runtime 2.14"
"""The last one for 32-bit ARM."""

OLD_RUNTIME_KNOWS = {
    "ADD": 5, "AVERAGE_POOL_2D": 3, "CONCATENATION": 4, "CONV_2D": 7, "DEPTHWISE_CONV_2D": 7,
    "DEQUANTIZE": 5, "EXPAND_DIMS": 1, "FULLY_CONNECTED": 10, "LOGISTIC": 3, "MAXIMUM": 4,
    "MAX_POOL_2D": 3, "MEAN": 3, "MUL": 7, "PAD": 4, "PADV2": 4, "QUANTIZE": 3, "REDUCE_MAX": 3,
    "RELU": 3, "RESHAPE": 1, "SLICE": 6, "SOFTMAX": 3, "SQUEEZE": 2, "STRIDED_SLICE": 8, "SUB": 5,
    "SUM": 2, "TANH": 3, "TRANSPOSE": 6, FUSED_LSTM: 4,
}  # fmt: skip
"""The highest version of each operator that `OLD_RUNTIME` loads, tried out one by one."""


@dataclasses.dataclass(frozen=True, slots=True)
class Operator:
    """One operator of a graph."""

    name: str
    """As the schema has it, such as "CONV_2D"; for custom ones (Flex) their own name."""
    version: int
    """Each runtime knows an operator up to some version."""
    types: tuple[str, ...]
    """Types of its inputs and outputs, such as ("INT32", "INT8"), sorted. The fused LSTM's inner
    tensors are not among them: they are empty and only carry scales."""
    layer: str
    """The Keras layer that it computes, such as "conv2d_3"."""
    inputs: tuple[int, ...]
    """Tensors by index, weights among them; those that are left out are not."""
    outputs: tuple[int, ...]


def operators(flatbuffer: bytes) -> list[Operator]:
    """Every operator of the main graph, in order of execution; raises as `graphs` does."""
    return graphs(flatbuffer)[0]


def graphs(flatbuffer: bytes) -> list[list[Operator]]:
    """The operators of every graph, the main one first, in order of execution.

    Raises `ModelError` where LiteRT, whose schema this reads, is not installed.
    """
    schema = schema_module()
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(flatbuffer, 0))
    return [_operators(model, graph) for graph in model.subgraphs]


def check_operators(flatbuffer: bytes, network: str, precision: Precision) -> None:
    """Raise `ConversionError` unless this is what `precision` says, in TFLite's own operators.

    No Flex or other custom operator, no loop, the fused LSTM in an "lstm", no tensor of a type
    that the precision does not have (so for int8 no operator that touches a float), and weights
    of the type that it is named for.
    """
    what = f"{network} {precision}"
    found = [operator for graph in graphs(flatbuffer) for operator in graph]
    names = {operator.name for operator in found}
    if loops := names & {"WHILE", "IF", "CALL_ONCE"}:
        raise ConversionError(f"{what} has the operator {sorted(loops)[0]}, a loop")
    if custom := sorted(name for name in names if not name.isupper()):
        raise ConversionError(f"{what} has the custom operator {custom[0]}")
    if network == "lstm" and FUSED_LSTM not in names:
        raise ConversionError(f"{what} has no fused LSTM, but {sorted(names)}")
    for operator in found:
        if strange := set(operator.types) - ALLOWED[precision] - BIASES_AND_SHAPES:
            raise ConversionError(
                f"{what} has a {operator.name} on {min(strange)} tensors; expected none"
            )
    _check_weights(found, what, precision)


def _check_weights(found: list[Operator], what: str, precision: Precision) -> None:
    """Raise `ConversionError` unless layers with weights are of the type that they should be."""
    weighted = [operator for operator in found if operator.name in WEIGHTED]
    if precision == "float16":
        if not any("FLOAT16" in operator.types for operator in found):
            raise ConversionError(f"{what} has no FLOAT16 weights")
    elif precision == "dynamic-int8":
        # small weights stay float
        if not any("INT8" in operator.types for operator in weighted):
            raise ConversionError(f"{what} has no INT8 weights")
    elif precision != "float32":
        between = {"int8": "INT8", "int16x8": "INT16"}[precision]
        for operator in weighted:
            if missing := {"INT8", between} - set(operator.types):
                raise ConversionError(
                    f"{what} has a {operator.name} without {min(missing)} tensors: "
                    f"{', '.join(operator.types)}"
                )


def too_new(flatbuffer: bytes) -> str | None:
    """The first operator that `OLD_RUNTIME` cannot load, with its version; None if it loads all.

    Operators that emopi's networks have never had count as such.
    """
    for graph in graphs(flatbuffer):
        for operator in graph:
            if operator.version > OLD_RUNTIME_KNOWS.get(operator.name, 0):
                return f"{operator.name} version {operator.version}"
    return None


def _operators(model: Any, graph: Any) -> list[Operator]:
    schema = schema_module()
    types = names_in(schema.TensorType)
    found = []
    unnamed: Counter[str] = Counter()
    for operator in graph.operators or []:
        code = model.operatorCodes[operator.opcodeIndex]
        name = operator_name(code)
        inputs, outputs = (
            tuple(int(index) for index in indices if index >= 0)
            for indices in (operator.inputs, operator.outputs)
        )
        tensors = [graph.tensors[index] for index in (*outputs, *inputs)]
        # behind the values that go in come the weights
        named = [graph.tensors[index].name.decode() for index in (*outputs, *inputs[1:])]
        found.append(
            Operator(
                name=name,
                version=code.version,
                types=tuple(sorted({types[tensor.type] for tensor in tensors})),
                layer=_layer(name, named, len(outputs), unnamed),
                inputs=inputs,
                outputs=outputs,
            )
        )
    return found


def _layer(operator: str, tensors: list[str], n_outputs: int, unnamed: Counter[str]) -> str:
    """The Keras layer that tensors such as "cnn/conv2d/Conv2D" belong to.

    Where they do not tell, a name as Keras would give it: counted in `unnamed`.
    """
    own = WORK.get(operator)
    for tensor in tensors if own else tensors[:n_outputs]:
        for part in tensor.split(";"):
            if match := re.match(rf"[^/]+/([^/]+)/{own or '.+'}", part):
                return match[1]
    base = LAYER_NAMES.get(operator, operator.lower())
    unnamed[base] += 1
    return base if unnamed[base] == 1 else f"{base}_{unnamed[base] - 1}"


def operator_name(code: Any) -> str:
    """As the schema has it; for a custom operator its own."""
    builtin = max(code.builtinCode, code.deprecatedBuiltinCode)
    if code.customCode:
        return str(code.customCode.decode())
    return names_in(schema_module().BuiltinOperator)[builtin]


def schema_module() -> Any:
    """LiteRT's classes for what is in a flatbuffer; `ModelError` where it is not installed."""
    try:
        from ai_edge_litert import schema_py_generated
    except ImportError:
        raise ModelError(
            "looking into a model needs ai-edge-litert, which is not installed; do it on a 64-bit "
            "machine"
        ) from None
    return schema_py_generated


@functools.cache
def names_in(constants: Any) -> dict[int, str]:
    """The names of a class of constants by their values."""
    return {v: name for name, v in vars(constants).items() if isinstance(v, int)}
