"""Where decisions go: one file a sink."""

from __future__ import annotations

from abc import ABC, abstractmethod
from types import TracebackType
from typing import Self

from emopi.device.decision import Decision


class Sink(ABC):
    """Takes decisions, in order. A context manager, for sinks that have something to close."""

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
