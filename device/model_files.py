"""Model files by path, or by the name of one that emopi ships."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import emopi.models
from emopi.device.errors import ModelError


def shipped_models() -> dict[str, Path]:
    """Name to file, in alphabetical order."""
    return {path.stem: path for path in sorted(shipped(".").glob("*.tflite"))}


def resolve_model(name: str) -> Path:
    """The path of a model given by path or by the name of a shipped one, such as "cnn-int8"."""
    if Path(name).is_file():
        return Path(name)
    shipped = shipped_models()
    if name in shipped:
        return shipped[name]
    names = ", ".join(shipped)
    raise ModelError(f"{name!r}: no such model file; expected a path, or one of: {names}")


def model_names(models: Sequence[Path]) -> list[str]:
    """What to call each: its file's name without the suffix, or its path if two share that."""
    stems = [path.stem for path in models]
    return [
        stem if stems.count(stem) == 1 else str(path)
        for stem, path in zip(stems, models, strict=True)
    ]


def shipped(name: str) -> Path:
    """Where a file of `models/` lies after any kind of installation."""
    return Path(emopi.models.__path__[0]) / name
