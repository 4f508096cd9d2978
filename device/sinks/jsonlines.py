"""One JSON object a decision, one a line, each written out at once."""

from __future__ import annotations

import json
from types import TracebackType
from typing import Self, TextIO

from emopi.device.decision import Decision


class JsonLines:
    """Writes to a text stream, such as stdout."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Nothing is held back, so nothing is left to write."""

    def show(self, decision: Decision) -> None:
        """Write the decision's line."""
        self._stream.write(json.dumps(decision.to_json()) + "\n")
        self._stream.flush()
