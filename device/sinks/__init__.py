"""Where decisions go: one file a sink. Each has `show(decision)` and is a context manager."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Protocol, Self

from emopi.device.decision import Decision


class Sink(AbstractContextManager["Sink"], Protocol):
    """Takes decisions, in order."""

    def __enter__(self) -> Self:
        """Open what it writes to."""

    def show(self, decision: Decision) -> None:
        """Take one decision; must not block for long."""
