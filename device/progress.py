"""Progress bars on a terminal, and silence where there is none."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from importlib.util import find_spec
from typing import TypeVar

T = TypeVar("T")


def shows_bars() -> bool:
    """Whether stderr is a terminal, and rich is there to draw on it."""
    return sys.stderr.isatty() and find_spec("rich") is not None


def track(items: Iterable[T], total: int, title: str) -> Iterator[T]:
    """Yield `items` and show how far it is, on stderr, where that `shows_bars`."""
    if not shows_bars():
        yield from items
        return
    from rich.console import Console
    from rich.progress import track as rich_track

    yield from rich_track(
        items, description=title, total=total, console=Console(stderr=True), transient=True
    )
