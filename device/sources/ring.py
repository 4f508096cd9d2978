"""A bounded queue between a thread that must never wait and one that may be late."""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import Generic, TypeVar

Item = TypeVar("Item")


class Ring(Generic[Item]):
    """Keeps the newest `capacity` items; what a late reader loses is counted, not raised."""

    def __init__(self, capacity: int) -> None:
        self._capacity = max(1, capacity)
        self._items: deque[tuple[Item, int]] = deque()
        self._changed = threading.Condition()
        self._closed = False

    def put(self, item: Item, lost: int = 0) -> None:
        """Append an item before which `lost` others were lost already; never waits for a reader."""
        with self._changed:
            self._items.append((item, lost))
            if len(self._items) > self._capacity:
                _, lost_before = self._items.popleft()
                oldest, lost_here = self._items[0]
                self._items[0] = oldest, lost_here + lost_before + 1
            self._changed.notify()

    def take(self, timeout_s: float) -> tuple[Item, int] | None:
        """The oldest item and how many were lost before it; None after the timeout or `close`."""
        deadline_s = time.monotonic() + timeout_s
        with self._changed:
            while not self._items and not self._closed:
                left_s = deadline_s - time.monotonic()
                if left_s <= 0 or not self._changed.wait(left_s):
                    break
            return self._items.popleft() if self._items and not self._closed else None

    def close(self) -> None:
        """Wake a reader that waits; there is nothing to take any more."""
        with self._changed:
            self._closed = True
            self._items.clear()
            self._changed.notify_all()
