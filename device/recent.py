"""The newest rows of a stream, side by side in memory that is there already."""

from __future__ import annotations

import numpy as np

from emopi.device.frontend import Floats


class Recent:
    """Keeps the newest `most` rows, which must be above 0.

    Rows are appended, and moved to the front only when the memory, a quarter more than what is
    kept, is full: to concatenate anew at every turn takes several times as long.
    """

    def __init__(self, most: int, *row: int) -> None:
        """`row` is the shape of one: none for single samples."""
        self._most = most
        self._memory: Floats = np.empty((most + most // 4, *row), np.float32)
        self._end = 0

    def __len__(self) -> int:
        return min(self._end, self._most)

    @property
    def rows(self) -> Floats:
        """(n, ...) the newest, oldest first: a view, which holds until the next `push`."""
        return self._memory[self._end - len(self) : self._end]

    def push(self, new: Floats) -> None:
        """Append rows; what is no longer among the newest is forgotten."""
        new = new[-self._most :]
        if self._end + len(new) > len(self._memory):
            kept = self.rows[len(self) + len(new) - self._most :]
            self._memory[: len(kept)] = kept
            self._end = len(kept)
        self._memory[self._end : self._end + len(new)] = new
        self._end += len(new)

    def clear(self) -> None:
        """Forget all rows."""
        self._end = 0
