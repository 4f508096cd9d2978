"""Reads a TFLite flatbuffer back: which operators, on tensors of which types."""

from __future__ import annotations

import dataclasses
from typing import Any

from emopi.device.contract import Precision
from emopi.device.errors import ConversionError


@dataclasses.dataclass(frozen=True, slots=True)
class Operator:
    """One operator of the main graph."""

    name: str
    """As the schema has it, such as "CONV_2D"; for custom ones (Flex) their own name."""
    types: tuple[str, ...]
    """Types of its inputs and outputs, such as ("INT32", "INT8"), sorted. The fused LSTM's inner
    tensors are not among them: they are empty and only carry scales."""


def operators(flatbuffer: bytes) -> list[Operator]:
    """Every operator of every subgraph, in order of execution."""
    from tensorflow.lite.python import schema_py_generated as schema

    model = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(flatbuffer, 0))
    names = _names(schema.BuiltinOperator)
    types = _names(schema.TensorType)
    found = []
    for graph in model.subgraphs:
        for operator in graph.operators or []:
            code = model.operatorCodes[operator.opcodeIndex]
            builtin = max(code.builtinCode, code.deprecatedBuiltinCode)
            touched = [*operator.inputs, *operator.outputs]
            used = {types[graph.tensors[index].type] for index in touched if index >= 0}
            name = code.customCode.decode() if code.customCode else names[builtin]
            found.append(Operator(name, tuple(sorted(used))))
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
    if network == "lstm" and "UNIDIRECTIONAL_SEQUENCE_LSTM" not in names:
        raise ConversionError(f"{network} {precision} has no fused LSTM, but {sorted(names)}")
    if precision == "int8":
        for operator in found:
            if floats := [kind for kind in operator.types if kind.startswith("FLOAT")]:
                raise ConversionError(
                    f"{network} int8 has a {operator.name} on {floats[0]} tensors; expected none"
                )


def _names(constants: Any) -> dict[int, str]:
    return {v: name for name, v in vars(constants).items() if isinstance(v, int)}
