"""How a running sensor is spoken to: stop, read the settings anew, keep the recording."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterable, Iterator
from types import FrameType, TracebackType
from typing import Any, Self, TypeVar

Item = TypeVar("Item")

STOPS = (signal.SIGTERM, signal.SIGINT)
PATIENCE_S, CLOSING_S = 1.0, 0.7
"""How long after a stop signal what is being done may last, and then each thing that is closed.

Together less than the 2 s in which a sensor has ended.
"""


class Stopped(BaseException):
    """Raised where the program waits, so that it waits no longer."""


class Signals:
    """SIGTERM and SIGINT (Ctrl-C) stop, SIGHUP reloads, SIGUSR1 keeps what was recorded.

    A context manager for the main thread, which turns the signals into flags for its time. A stop
    interrupts nothing but waiting for audio, so that what was decided is shown; what takes longer
    than `PATIENCE_S` from then, such as a pipe that nobody reads, is interrupted as well.
    """

    def __init__(self) -> None:
        self.stopped = False
        self.reload = False
        self.keep = False
        self._waiting = False
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        handlers = dict.fromkeys(STOPS, self._stop) | {
            signal.SIGHUP: self._reload,
            signal.SIGUSR1: self._keep,
            signal.SIGALRM: self._interrupt,
        }
        self._before = {number: signal.signal(number, call) for number, call in handlers.items()}
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.let_finish()
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def until_stopped(self, items: Iterable[Item]) -> Iterator[Item]:
        """The items, until there are no more or a stop signal comes; waiting for one ends then."""
        source = iter(items)
        with contextlib.suppress(Stopped):
            while True:
                try:
                    self._waiting = True
                    if self.stopped:
                        return
                    item = next(source)
                except StopIteration:
                    return
                finally:
                    self._waiting = False
                yield item

    def let_finish(self) -> None:
        """From here on nothing is interrupted any more, however long it takes."""
        signal.setitimer(signal.ITIMER_REAL, 0)

    def _stop(self, _number: int, _frame: FrameType | None) -> None:
        if not self.stopped:
            signal.setitimer(signal.ITIMER_REAL, PATIENCE_S, CLOSING_S)
        self.stopped = True
        if self._waiting:
            self._waiting = False
            raise Stopped

    def _interrupt(self, _number: int, _frame: FrameType | None) -> None:
        raise Stopped

    def _reload(self, _number: int, _frame: FrameType | None) -> None:
        self.reload = True

    def _keep(self, _number: int, _frame: FrameType | None) -> None:
        self.keep = True
