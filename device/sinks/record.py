"""What is kept of a decision or a notice: the same, with the time of day."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime
from typing import Any

from emopi.device.decision import Decision
from emopi.device.sources.notice import Notice


@dataclasses.dataclass(frozen=True, slots=True)
class Record:
    """Something that a sink was told, and when."""

    time: datetime
    """Of day, aware; on a Raspberry Pi without a network it may be wrong."""
    what: Decision | Notice

    @property
    def time_ms(self) -> int:
        """Milliseconds since 1970, UTC."""
        return round(self.time.timestamp() * 1000)

    def to_json(self) -> dict[str, Any]:
        """`time`, then the decision's keys, or `notice` and `text`."""
        if isinstance(self.what, Notice):
            fields: dict[str, Any] = {"notice": str(self.what.kind), "text": self.what.text}
        else:
            fields = self.what.to_json()
        return {"time": to_text(self.time)} | fields


def to_text(time: datetime) -> str:
    """ISO 8601 in UTC to the millisecond, such as "2026-11-03T18:04:05.250Z"."""
    return time.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
