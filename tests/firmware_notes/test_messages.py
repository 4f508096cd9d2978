"""Every message that troubleshooting quotes is one that emopi prints."""

from __future__ import annotations

import ast
import functools
import re

import pytest
from support import ROOT

NOTES = ROOT / "firmware_notes"
if not NOTES.is_dir():
    pytest.skip("firmware_notes is not in this copy", allow_module_level=True)

INSERTED = "\0"
"""In a template: where emopi puts in what it found."""

OF_OTHERS = ("pip: ", "works in ", "always the same")
"""First cells that are not emopi's words."""


@functools.cache
def templates() -> tuple[str, ...]:
    """Every string of the device's code, f-strings with `INSERTED` for each field."""
    return tuple(
        text
        for path in sorted((ROOT / "device").rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        if (text := _template(node))
    )


def _template(node: ast.AST) -> str:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return re.sub(r"\{\}", INSERTED, node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(
            str(part.value) if isinstance(part, ast.Constant) else INSERTED for part in node.values
        )
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return _template(node.left) + _template(node.right)
    return ""


def is_printed(message: str) -> bool:
    """Whether its words, "..." standing for anything, are in one template in their order."""
    pieces = [re.escape(piece.strip()) for piece in message.split("...") if piece.strip()]
    pattern = re.compile(".*?".join(pieces), re.S)
    inserted = re.compile(rf"^{INSERTED}*$")
    return any(pattern.search(text) and not inserted.match(text) for text in templates())


def quoted() -> list[str]:
    """Messages in the first column of the tables of troubleshooting, wiring and system."""
    found = []
    for name in ("troubleshooting.md", "wiring.md", "system.md"):
        says = False
        for line in (NOTES / name).read_text().splitlines():
            cells = [cell.strip() for cell in line.strip("|").split("|")]
            if not line.startswith("|"):
                says = False
            elif "says" in cells[0]:
                says = True
            elif says and not cells[0].startswith(OF_OTHERS):
                found += re.findall(r"`([^`]+)`", cells[0])
    return found


@pytest.mark.parametrize("message", quoted())
def test_message_is_printed(message: str) -> None:
    assert is_printed(message), f"no string of device/ has {message!r}"


def test_there_are_messages() -> None:
    assert len(quoted()) > 40


@pytest.mark.parametrize(
    "message", ["no microphone was there", "the broker ... is happy", "found was"]
)
def test_what_is_not_printed_is_found(message: str) -> None:
    assert not is_printed(message)


def test_inserted_parts_may_stand_for_anything() -> None:
    assert is_printed("the microphone ... cannot be opened at ...")
