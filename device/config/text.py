"""The settings as a file to start from: every key with its default and a comment."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import itertools
import textwrap
from typing import Any

from emopi.device.config import settings as config
from emopi.device.config.settings import Settings, part_class
from emopi.device.config.values import toml


def render(settings: Settings) -> str:
    """The settings as TOML that `read_settings` reads, every key with its comment.

    Sinks that are not wanted stand there as comments.
    """
    tables = [_table(table, type(part), part) for table, part in settings.parts.items()]
    for name, where in config.SINKS.items():
        text = _table(f"sinks.{name}", part_class(where), settings.sinks.get(name))
        tables.append(text if name in settings.sinks else textwrap.indent(text, "# "))
    return "\n".join(tables)


def _table(name: str, kind: type[Any], part: Any) -> str:
    """The table of a part; of its defaults where `part` is None."""
    comments = _field_docs(kind)
    lines = [*_comment(inspect.getdoc(kind) or ""), f"[{name}]"]
    for field in dataclasses.fields(kind):
        lines += _comment(comments.get(field.name, ""))
        value = getattr(part, field.name) if part else _default(field)
        known = value is not None and value is not dataclasses.MISSING
        lines.append(f"{field.name} = {toml(value)}" if known else f"# {field.name} =")
    return "\n".join(lines) + "\n"


def _comment(text: str) -> list[str]:
    """The first paragraph, behind number signs."""
    paragraph = inspect.cleandoc(text).split("\n\n")[0]
    return [f"# {line}".rstrip() for line in paragraph.splitlines()]


def _default(field: dataclasses.Field[Any]) -> Any:
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return field.default


def _field_docs(kind: type[Any]) -> dict[str, str]:
    """The text under each field of a dataclass, from its source; none where there is no source."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(kind)))
    except OSError:
        return {}
    body = tree.body[0].body if isinstance(tree.body[0], ast.ClassDef) else []
    return {
        field.target.id: text.value.value
        for field, text in itertools.pairwise(body)
        if isinstance(field, ast.AnnAssign)
        and isinstance(field.target, ast.Name)
        and isinstance(text, ast.Expr)
        and isinstance(text.value, ast.Constant)
        and isinstance(text.value.value, str)
    }
