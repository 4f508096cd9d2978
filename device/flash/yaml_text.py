"""YAML for cloud-init, written without a YAML library, which a sensor does not need otherwise.

Every text is quoted as JSON quotes it, which YAML 1.2 reads (section 1.3): no SSID becomes a
number, a truth value or the end of a line.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

_NOT_WORDS = frozenset({"yes", "no", "on", "off", "true", "false", "null"})
"""What YAML 1.1, which cloud-init reads, takes for a truth value."""


def dump(value: Mapping[str, Any]) -> str:
    """A mapping of texts, integers, truth values, mappings and lists as block YAML."""
    return "".join(f"{line}\n" for line in _lines(value))


def _lines(value: Any) -> list[str]:
    if isinstance(value, Mapping):
        return [line for key, one in value.items() for line in _entry(f"{_key(key)}:", one)]
    return [line for one in value for line in _entry("-", one)]


def _entry(head: str, value: Any) -> list[str]:
    if isinstance(value, list) and head == "-" and all(isinstance(one, str) for one in value):
        return [f"- [{', '.join(map(_scalar, value))}]"]
    if not isinstance(value, Mapping | list):
        return [f"{head} {_scalar(value)}"]
    body = [f"  {line}" for line in _lines(value)]
    return [f"- {body[0][2:]}", *body[1:]] if head == "-" else [head, *body]


def _key(key: str) -> str:
    is_word = re.fullmatch(r"[a-z][a-z0-9_-]+", key) and key not in _NOT_WORDS
    return key if is_word else _quoted(key)


def _scalar(value: str | int | bool) -> str:
    return _quoted(value) if isinstance(value, str) else json.dumps(value)


def _quoted(text: str) -> str:
    """JSON without pairs of surrogates, which YAML has not, and with nothing unprintable raw."""
    quoted = json.dumps(text, ensure_ascii=False)
    return "".join(c if c.isprintable() else f"\\U{ord(c):08x}" for c in quoted)
