"""Progress bars on a terminal, and silence where there is none."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib.util import find_spec
from types import TracebackType
from typing import Any, Self, TypeVar

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


class Bar:
    """A context with a bar on stderr, which begins where it is first drawn and `shows_bars`.

    `columns` gives those of rich's `Progress`; it is called when rich is known to be there.
    """

    def __init__(self, total: int, columns: Callable[[], Sequence[Any]]) -> None:
        self._total = total
        self._columns = columns
        self._progress: Any = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._progress:
            self._progress.stop()

    def draw(self, completed: int, text: str) -> bool:
        """Show both, or return False where no bar is shown."""
        if not shows_bars():
            return False
        if not self._progress:
            from rich.console import Console
            from rich.progress import Progress

            self._progress = Progress(*self._columns(), console=Console(stderr=True))
            self._progress.start()
            self._progress.add_task(text, total=self._total)
        self._progress.update(0, completed=completed, description=text)
        return True

    def print(self, text: str) -> bool:
        """Write a line above the bar, or return False where none is shown."""
        if self._progress:
            self._progress.console.print(text, highlight=False, markup=False)
        return self._progress is not None
