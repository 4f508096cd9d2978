"""One JSON object a decision, one a line, each written out at once."""

from __future__ import annotations

import json
from typing import TextIO

from emopi.device.decision import Decision
from emopi.device.sinks import Sink


class JsonLines(Sink):
    """Writes to a text stream, such as stdout. Notices are for people: they are not here."""

    name = "stdout"

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def show(self, decision: Decision) -> None:
        """Write the decision's line."""
        self._stream.write(json.dumps(decision.to_json(), allow_nan=False) + "\n")
        self._stream.flush()
