"""Progress bars on a terminal, and silence where there is none."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any, Self

from emopi.device.progress import shows_bars
from emopi.train.corpora import LABELS

EVIDENCE_EPOCH, EVIDENCE_ACCURACY = 10, 0.2
"""Training accuracy that a sound training has passed by that epoch."""


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
        if shows_bars():
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
    if not shows_bars():
        yield lambda _done, _total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    columns = (TextColumn(title), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task(title, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)
