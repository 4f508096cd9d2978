"""What a run of the benchmarks is asked for."""

from __future__ import annotations

import dataclasses
from typing import Any


@dataclasses.dataclass(frozen=True, slots=True)
class Order:
    """Passed as JSON to the processes in which a section measures."""

    corpus: str | None = None
    """Folder of RAVDESS; None for the bundled recording, which is synthesized speech."""
    quick: bool = False
    """A trial: a few rounds of everything, for figures that nobody should quote."""

    def to_json(self) -> dict[str, Any]:
        """The fields by name."""
        return dataclasses.asdict(self)

    def times(self, full: int, quick: int) -> int:
        """How often, by whether this is a trial."""
        return quick if self.quick else full
