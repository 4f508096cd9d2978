"""The values of the settings file: from TOML to what a field wants, and back."""

from __future__ import annotations

import json
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Union


def fits(value: object, hint: Any) -> bool:
    """Whether a value of TOML is of a field's type."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:
        return any(type(value) is type(one) and value == one for one in arguments)
    if origin in (Union, types.UnionType):
        return any(fits(value, one) for one in arguments)
    if origin is tuple:
        return isinstance(value, list) and all(fits(one, arguments[0]) for one in value)
    if origin is not None and issubclass(origin, Mapping):
        return isinstance(value, dict) and all(fits(one, arguments[1]) for one in value.values())
    if hint is Path:
        return isinstance(value, str) and value != ""
    return type(value) in ((int, float) if hint is float else (hint,))


def convert(value: Any, hint: Any) -> Any:
    """A value that fits, as the field wants it."""
    if hint is float or hint is Path:
        return hint(value)
    return tuple(value) if typing.get_origin(hint) is tuple else value


def describe(hint: Any) -> str:
    """A field's type, in words."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:
        return "one of " + ", ".join(map(toml, arguments))
    if origin in (Union, types.UnionType):
        return " or ".join(describe(one) for one in arguments if one is not type(None))
    if origin is tuple:
        return f"a list, each {describe(arguments[0])}"
    if origin is not None and issubclass(origin, Mapping):
        return f"a table, each value {describe(arguments[1])}"
    words = {bool: "true or false", int: "an integer", float: "a number", Path: "a path"}
    return words.get(hint, "a text")


def toml(value: object) -> str:
    """A value as TOML writes it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(toml, value))}]"
    if isinstance(value, Mapping):
        pairs = (f"{json.dumps(key, ensure_ascii=False)} = {toml(v)}" for key, v in value.items())
        return f"{{ {', '.join(pairs)} }}" if value else "{}"
    if isinstance(value, int | float):
        return repr(value)
    return json.dumps(str(value), ensure_ascii=False)
