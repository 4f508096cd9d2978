"""Streaming forms of the shipped models, to test with."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from support import MODELS

from emopi.device.contract import attach, read


def streaming_model(folder: Path, name: str) -> Path:
    """A shipped model in streaming form; skips where LiteRT's schema, which cuts it, is absent."""
    pytest.importorskip("ai_edge_litert", reason="without LiteRT no streaming form can be made")
    from emopi.convert.streaming import streaming_form

    flatbuffer, contract = read(MODELS / f"{name}.tflite")
    small, stages = streaming_form(flatbuffer)
    path = folder / f"{name}-streaming.tflite"
    path.write_bytes(attach(small, dataclasses.replace(contract, streaming=stages)))
    return path
