"""What Raspberry Pis execute for a window: instructions of the network, counted under emulation.

`benchmarks/instructions` counts them for the shipped models and commits them beside this file. A
count is a graph's, whatever its weights, so it holds for every model with the same operators on
tensors of the same shapes and types. They are not times: see benchmarks/README.md.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

from emopi.convert.operators import operator_name, schema_module

COMMITTED = "instructions.json"
"""The counts, in this folder."""


def counted(flatbuffer: bytes) -> dict[str, int] | None:
    """Instructions of one inference by core, such as "cortex-a72"; None if none were counted.

    Raises `ModelError` where LiteRT, whose schema this reads, is not installed.
    """
    committed, digest = _committed(), graph_digest(flatbuffer)
    name = next((k for k, graph in committed["graphs"].items() if graph == digest), None)
    if name is None:
        return None
    return {core: stages["network"] for core, stages in committed["counts"][name].items()}


def counted_cores() -> tuple[str, ...]:
    """The cores that were counted on."""
    return tuple(_committed()["boards"])


def boards(core: str) -> str:
    """The Raspberry Pis that have a core that was counted on, such as "Zero 2 W, 3 B"."""
    return ", ".join(_committed()["boards"][core])


def ratios(b: Mapping[str, int] | None, a: Mapping[str, int] | None) -> dict[str, float] | None:
    """Instructions of b over those of a by core; None where either was not counted."""
    return {core: b[core] / a[core] for core in a} if a and b else None


def graph_digest(flatbuffer: bytes) -> str:
    """SHA-256 over the main graph's operators and their tensors' types, shapes, numbers of scales.

    Weights and scales are not in it. Raises as `counted` does.
    """
    schema = schema_module()
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(flatbuffer, 0))
    graph = model.subgraphs[0]
    facts = [
        [
            operator_name(code := model.operatorCodes[operator.opcodeIndex]),
            code.version,
            [_kind(graph.tensors[k]) for k in (*operator.inputs, *operator.outputs) if k >= 0],
        ]
        for operator in graph.operators
    ]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def _kind(tensor: Any) -> list[Any]:
    scales = tensor.quantization.scale if tensor.quantization else None
    shape = [] if tensor.shape is None else [int(size) for size in tensor.shape]
    return [int(tensor.type), shape, 0 if scales is None else len(scales)]


@functools.cache
def _committed() -> dict[str, Any]:
    content = (files("emopi.convert.comparison") / COMMITTED).read_text()
    fields: dict[str, Any] = json.loads(content)
    return fields
