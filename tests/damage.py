"""Model files with a layer that is broken on purpose."""

from __future__ import annotations

from typing import Any

import numpy as np

HEAVY = ("CONV_2D", "FULLY_CONNECTED", "UNIDIRECTIONAL_SEQUENCE_LSTM")


def damaged(flatbuffer: bytes, number: int) -> bytes:
    """`flatbuffer` with the weights of one of its layers that have weights reversed, by bytes."""
    from ai_edge_litert import schema_py_generated as schema

    from emopi.convert.operators import operators

    model: Any = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(flatbuffer, 0))
    (graph,) = model.subgraphs
    operator = [one for one in operators(flatbuffer) if one.name in HEAVY][number]
    for index in operator.inputs[1:]:
        tensor = graph.tensors[index]
        weights = model.buffers[tensor.buffer].data
        if weights is not None and len(tensor.shape) > 1:
            content = np.asarray(weights, np.uint8).tobytes()
            assert flatbuffer.count(content) == 1
            flatbuffer = flatbuffer.replace(content, content[::-1])
    return flatbuffer
