"""Several sinks as one, none of which stops another."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

from emopi.device.decision import Decision
from emopi.device.sinks import Report, Sink
from emopi.device.sources.notice import Notice


class Sinks(Sink):
    """Gives every decision to every sink, in their order.

    What a sink raises is reported once, and once when it works again; it stops neither the others
    nor the listening. A pipe whose reader has gone gets nothing more; when that was the last sink,
    `BrokenPipeError` comes out, for there is nobody left to listen for.
    """

    name = "sinks"

    def __init__(self, sinks: Sequence[Sink], report: Report) -> None:
        self._sinks = list(sinks)
        self._report = report
        self._failing: set[int] = set()
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Self:
        """Open every sink; if one needs a person, close those before it and raise `SinkError`."""
        with contextlib.ExitStack() as stack:
            for sink in self._sinks:
                sink.__enter__()
                stack.callback(self._close, sink)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close every sink, whatever the closing of another raises."""
        self._stack.close()

    def show(self, decision: Decision) -> None:
        """Give it to every sink."""
        self._each(lambda sink: sink.show(decision))

    def notice(self, notice: Notice) -> None:
        """Give it to every sink."""
        self._each(lambda sink: sink.notice(notice))

    def _close(self, sink: Sink) -> None:
        try:
            sink.__exit__(None, None, None)
        except Exception as error:  # the others are to be closed as well
            self._report(f"{sink.name}: {error or type(error).__name__}")

    def _each(self, give: Callable[[Sink], None]) -> None:
        for sink in tuple(self._sinks):
            try:
                give(sink)
            except BrokenPipeError:
                self._sinks.remove(sink)
                if not self._sinks:
                    raise
                self._report(f"{sink.name}: its reader has gone; the other sinks go on")
            except Exception as error:  # whatever it is, it is this sink's alone
                if id(sink) not in self._failing:
                    self._failing.add(id(sink))
                    self._report(
                        f"{sink.name}: {error or type(error).__name__}; the sensor goes on"
                    )
            else:
                if id(sink) in self._failing:
                    self._failing.remove(id(sink))
                    self._report(f"{sink.name}: works again")
