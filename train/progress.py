"""Progress bars on a terminal, and silence where there is none."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from typing import Any

from emopi.device.progress import Bar, shows_bars
from emopi.train.corpora import LABELS

EVIDENCE_EPOCH, EVIDENCE_ACCURACY = 10, 0.2
"""Training accuracy that a sound training has passed by that epoch."""


class TrainingProgress(Bar):
    """A bar over epochs on a terminal; elsewhere a line at every tenth epoch. All on stderr."""

    def __init__(self, epochs: int) -> None:
        super().__init__(epochs, _epoch_columns)

    def show(self, entry: dict[str, float]) -> None:
        """Show the epoch of that history entry."""
        epoch = int(entry["epoch"])
        text = f"loss {entry['loss']:.3f}  training accuracy {entry['accuracy']:.1%}"
        if "validation_accuracy" in entry:
            text += f"  validation {entry['validation_accuracy']:.1%}"
        if epoch == EVIDENCE_EPOCH and entry["accuracy"] < EVIDENCE_ACCURACY:
            text += f"  NOT LEARNING YET (chance: {1 / len(LABELS):.1%}); are the labels right?"
        if not self.draw(epoch, text) and (epoch % 10 == 0 or epoch in (1, self._total)):
            print(f"epoch {epoch}/{self._total}  {text}", file=sys.stderr, flush=True)


def _epoch_columns() -> tuple[Any, ...]:
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn

    return (
        TextColumn("epoch"),
        MofNCompleteColumn(),
        BarColumn(),
        TextColumn("{task.description}"),
        TimeRemainingColumn(),
    )


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
