"""Reads a TFLite flatbuffer back: which operators, on tensors of which types, for which layers.

Needs LiteRT alone, no TensorFlow.
"""

from __future__ import annotations

import dataclasses
import re
from collections import Counter
from typing import Any

from emopi.device.contract import Precision
from emopi.device.errors import ConversionError, ModelError

FUSED_LSTM = "UNIDIRECTIONAL_SEQUENCE_LSTM"

WORK = {"CONV_2D": "Conv1D", "FULLY_CONNECTED": "MatMul", "ADD": "add"}
"""What an operator does, in the names of tensors: "cnn/re_lu/Relu;cnn/conv1d/Conv1D/Squeeze" is
what the converter calls the output of a convolution with all that it has fused into it."""

LAYER_NAMES = {FUSED_LSTM: "lstm"}
"""Of operators whose tensors do not tell."""


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
    """The Keras layer that it computes, such as "conv1d_3"."""
    inputs: tuple[int, ...]
    """Tensors by index, weights among them; those that are left out are not."""
    outputs: tuple[int, ...]


def operators(flatbuffer: bytes) -> list[Operator]:
    """Every operator of every subgraph, in order of execution.

    Raises `ModelError` where LiteRT, whose schema this reads, is not installed.
    """
    schema = _schema()
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(flatbuffer, 0))
    names = _names(schema.BuiltinOperator)
    types = _names(schema.TensorType)
    found = []
    unnamed: Counter[str] = Counter()
    for graph in model.subgraphs:
        for operator in graph.operators or []:
            code = model.operatorCodes[operator.opcodeIndex]
            builtin = max(code.builtinCode, code.deprecatedBuiltinCode)
            name = code.customCode.decode() if code.customCode else names[builtin]
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


def check_operators(flatbuffer: bytes, network: str, precision: Precision) -> None:
    """Raise `ConversionError` unless a device runs this with TFLite's own operators alone.

    No Flex or other custom operator, no WHILE loop, the fused LSTM in an "lstm", and for int8 no
    operator that touches a float tensor.
    """
    found = operators(flatbuffer)
    names = {operator.name for operator in found}
    if loops := names & {"WHILE", "IF", "CALL_ONCE"}:
        raise ConversionError(f"{network} {precision} has the operator {sorted(loops)[0]}, a loop")
    if custom := sorted(name for name in names if not name.isupper()):
        raise ConversionError(f"{network} {precision} has the custom operator {custom[0]}")
    if network == "lstm" and FUSED_LSTM not in names:
        raise ConversionError(f"{network} {precision} has no fused LSTM, but {sorted(names)}")
    if precision == "int8":
        for operator in found:
            if floats := [kind for kind in operator.types if kind.startswith("FLOAT")]:
                raise ConversionError(
                    f"{network} int8 has a {operator.name} on {floats[0]} tensors; expected none"
                )


def _layer(operator: str, tensors: list[str], n_outputs: int, unnamed: Counter[str]) -> str:
    """The Keras layer that tensors such as "cnn/conv1d/Conv1D/Squeeze" belong to.

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


def _schema() -> Any:
    try:
        from ai_edge_litert import schema_py_generated
    except ImportError:
        raise ModelError(
            "looking into a model needs ai-edge-litert, which is not installed; do it on a 64-bit "
            "machine"
        ) from None
    return schema_py_generated


def _names(constants: Any) -> dict[int, str]:
    return {v: name for name, v in vars(constants).items() if isinstance(v, int)}
