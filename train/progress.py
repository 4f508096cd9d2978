"""Progress bars on a terminal, and silence where there is none."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterable, Iterator
from importlib.util import find_spec
from types import TracebackType
from typing import Any, Self, TypeVar

from emopi.train.corpora import LABELS

T = TypeVar("T")

EVIDENCE_EPOCH, EVIDENCE_ACCURACY = 10, 0.2
"""Training accuracy that a sound training has passed by that epoch."""


def track(items: Iterable[T], total: int, title: str) -> Iterator[T]:
    """Yield `items` and show how far it is, on stderr, if that is a terminal and rich is there."""
    if not (sys.stderr.isatty() and _rich()):
        yield from items
        return
    from rich.console import Console
    from rich.progress import track as rich_track

    yield from rich_track(
        items, description=title, total=total, console=Console(stderr=True), transient=True
    )


class TrainingProgress:
    """A bar over epochs on a terminal; elsewhere a line at every tenth epoch. All on stderr."""

    def __init__(self, epochs: int) -> None:
        self._epochs = epochs
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

    def show(self, entry: dict[str, float]) -> None:
        """Show the epoch of that history entry."""
        epoch = int(entry["epoch"])
        text = f"loss {entry['loss']:.3f}  training accuracy {entry['accuracy']:.1%}"
        if "validation_accuracy" in entry:
            text += f"  validation {entry['validation_accuracy']:.1%}"
        if epoch == EVIDENCE_EPOCH and entry["accuracy"] < EVIDENCE_ACCURACY:
            text += f"  NOT LEARNING YET (chance: {1 / len(LABELS):.1%}); are the labels right?"
        if sys.stderr.isatty() and _rich():
            self._bar(epoch, text)
        elif epoch % 10 == 0 or epoch in (1, self._epochs):
            print(f"epoch {epoch}/{self._epochs}  {text}", file=sys.stderr, flush=True)

    def _bar(self, epoch: int, text: str) -> None:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeRemainingColumn,
        )

        if not self._progress:
            self._progress = Progress(
                TextColumn("epoch"),
                MofNCompleteColumn(),
                BarColumn(),
                TextColumn("{task.description}"),
                TimeRemainingColumn(),
                console=Console(stderr=True),
            )
            self._progress.start()
            self._progress.add_task(text, total=self._epochs)
        self._progress.update(0, completed=epoch, description=text)


@contextlib.contextmanager
def byte_progress(title: str) -> Iterator[Callable[[int, int], None]]:
    """Yield a function of (bytes so far, bytes in all) that shows a bar on a terminal's stderr."""
    if not (sys.stderr.isatty() and _rich()):
        yield lambda _done, _total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    columns = (TextColumn(title), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task(title, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


def _rich() -> bool:
    return find_spec("rich") is not None
