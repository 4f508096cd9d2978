"""Where decisions go: one file a sink.

terminal.py, jsonlines.py   on stdout
log.py, history.py          files: lines of JSON, SQLite
mqtt.py, led.py, web.py     a broker, a lamp, a page
group.py, background.py     what keeps a sink from stopping or slowing the others
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from datetime import UTC, datetime
from types import TracebackType
from typing import ClassVar, Self

from emopi.device.decision import Decision
from emopi.device.sources.notice import Notice

Report = Callable[[str], None]
"""Takes a line for the person in charge: what a sink has met and what it does about it."""

Now = Callable[[], datetime]
"""The time of day, in UTC."""


def utc_now() -> datetime:
    """The `Now` of a machine whose clock is set."""
    return datetime.now(UTC)


class Sink(ABC):
    """Takes decisions, in order. A context manager, for sinks that have something to close.

    Entering raises `SinkError` for what a person must change. What `show` and `notice` raise is
    reported once and the next decision is offered all the same: see `group.Sinks`.
    """

    name: ClassVar[str] = "sink"
    """What messages call it: the NAME of its table [sinks.NAME], if it has one."""

    def __enter__(self) -> Self:
        return self

    def __exit__(  # noqa: B027 - most sinks have nothing to close
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close what it writes to, if that is the sink's own."""

    @abstractmethod
    def show(self, decision: Decision) -> None:
        """Take one decision; must not block for long."""

    def notice(self, notice: Notice) -> None:  # noqa: B027 - most sinks show decisions alone
        """Take what a person must be told about the source; must not block for long."""
