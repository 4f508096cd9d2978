"""What a person must be told about a source, beside its samples."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from enum import StrEnum


class NoticeKind(StrEnum):
    """What has happened to a source; the values are for programs and do not change."""

    LOST = "lost"
    """The device has stopped delivering; the source tries to get it back."""
    BACK = "back"
    """The device delivers again; the next block is `AudioBlock.fresh`."""
    ZEROS = "zeros"
    """It has given nothing but digital silence for seconds: it is muted, broken or not wired."""
    SOUND_AGAIN = "sound again"
    """The first sample that is not zero after `ZEROS`."""
    OVERFLOW = "overflow"
    """Samples were lost, for the first time since the source was opened or came back."""


@dataclasses.dataclass(frozen=True, slots=True)
class Notice:
    """One thing that has happened, told once."""

    kind: NoticeKind
    text: str
    """What was found and what to do, for a person; without a full stop."""


Tell = Callable[[Notice], None]
"""Takes notices, in the thread that reads the source; must not block for long."""


def tell_nobody(_notice: Notice) -> None:
    """The `Tell` of who does not care."""
