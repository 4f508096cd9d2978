"""What a network costs wherever it runs: the multiply-accumulates (MACs) in a flatbuffer."""

from __future__ import annotations

import math
from typing import Any

from emopi.convert.operators import FUSED_LSTM, operator_name, schema_module


def multiplications(flatbuffer: bytes) -> dict[str, int]:
    """Multiply-accumulates of each function of a flatbuffer, once through, by its name.

    A graph that is no function of a name counts as "main".
    """
    schema = schema_module()
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(flatbuffer, 0))
    names = {one.subgraphIndex: one.signatureKey.decode() for one in model.signatureDefs or []}
    return {
        names.get(number, "main"): sum(
            _of(operator_name(model.operatorCodes[one.opcodeIndex]), graph.tensors, one)
            for one in graph.operators
        )
        for number, graph in enumerate(model.subgraphs)
    }


def _of(name: str, tensors: Any, operator: Any) -> int:
    """Of one operator: weights times the points in time at which they are used."""
    if name not in ("CONV_2D", "FULLY_CONNECTED", FUSED_LSTM):
        return 0
    points = math.prod(int(size) for size in tensors[operator.outputs[0]].shape[:-1])
    weights = [tensors[index] for index in operator.inputs[1:] if index >= 0]
    matrices = [one.shape for one in weights if len(one.shape) > 1 and not one.isVariable]
    return points * sum(math.prod(int(size) for size in shape) for shape in matrices)
