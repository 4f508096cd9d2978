"""The machine over a time: what several looks at it come to."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from emopi.device.board import BoardState

Span = tuple[float, float]
"""The least and the most that was seen."""


@dataclasses.dataclass(frozen=True, slots=True)
class BoardSpan:
    """From a first look to a last one; None for what the machine does not tell."""

    clock_mhz: Span | None
    temperature_c: Span | None
    governors: tuple[str, ...]
    """All that were seen; empty if none was told."""
    throttling: tuple[str, ...] | None
    """Everything that the firmware complained of in that time, in words of `board.THROTTLING`."""

    @classmethod
    def of(cls, states: Sequence[BoardState]) -> BoardSpan:
        """What one or more looks come to."""
        complaints = [state.throttling for state in states if state.throttling is not None]
        return cls(
            _span([state.clock_mhz for state in states]),
            _span([state.temperature_c for state in states]),
            tuple(dict.fromkeys(state.governor for state in states if state.governor)),
            tuple(dict.fromkeys(word for words in complaints for word in words))
            if complaints
            else None,
        )

    @property
    def told(self) -> bool:
        """Whether the machine says anything of its state."""
        return bool(self.clock_mhz or self.temperature_c or self.throttling is not None)

    def to_json(self) -> dict[str, Any]:
        """The fields by name, of JSON types."""
        return dataclasses.asdict(self)

    def describe(self) -> str:
        """In a few words, such as "600 to 1500 MHz (ondemand), 48 to 61 °C, not throttled"."""
        parts = []
        if self.clock_mhz:
            governor = f" ({', '.join(self.governors)})" if self.governors else ""
            parts.append(f"{_range(self.clock_mhz)} MHz{governor}")
        if self.temperature_c:
            parts.append(f"{_range(self.temperature_c)} °C")
        if self.throttling is not None:
            parts.append(", ".join(self.throttling) or "not throttled")
        return ", ".join(parts) or "the machine tells neither clock nor temperature"


def was_throttled(
    before: BoardState, during: Sequence[BoardState], after: BoardState
) -> bool | None:
    """Whether the machine was held back, or on too little power, from `before` to `after`.

    What the firmware remembers counts, if it did not before: a look may miss a short moment. None
    where the machine does not tell.
    """
    looks = [state for state in (*during, after) if state.throttling is not None]
    if not looks:
        return None
    known = before.throttling or ()
    fresh = {word for state in looks for word in state.throttling or ()} - set(known)
    since_boot = before.throttling is not None and any(word.endswith("boot") for word in fresh)
    return since_boot or any(state.throttled_now for state in looks)


def _span(values: Sequence[float | None]) -> Span | None:
    known = [value for value in values if value is not None]
    return (min(known), max(known)) if known else None


def _range(span: Span) -> str:
    low, high = (f"{value:.0f}" for value in span)
    return low if low == high else f"{low} to {high}"
