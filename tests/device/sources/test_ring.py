"""The ring between capture and reader: order, losses at their place, waking."""

from __future__ import annotations

import threading

from hypothesis import given
from hypothesis import strategies as st

from emopi.device.sources.ring import Ring


def drain(ring: Ring[int]) -> list[tuple[int, int]]:
    taken = []
    while (item := ring.take(0)) is not None:
        taken.append(item)
    return taken


def test_keeps_the_newest_and_counts_the_lost() -> None:
    ring: Ring[int] = Ring(3)
    for item in range(10):
        ring.put(item, lost=1 if item == 5 else 0)
    assert drain(ring) == [(7, 8), (8, 0), (9, 0)]  # seven items, and what was lost before 5


def test_a_loss_of_an_item_that_is_kept() -> None:
    ring: Ring[int] = Ring(3)
    for item in range(3):
        ring.put(item, lost=item)
    assert drain(ring) == [(0, 0), (1, 1), (2, 2)]


@given(st.integers(1, 5), st.lists(st.one_of(st.none(), st.integers(0, 3)), max_size=40))
def test_every_item_is_taken_or_counted_in_order(capacity: int, steps: list[int | None]) -> None:
    """None takes; a number puts the next item, with so many lost before it."""
    ring: Ring[int] = Ring(capacity)
    put, lost_before, taken = 0, 0, []
    for step in steps:
        if step is None:
            taken += [item] if (item := ring.take(0)) else []
        else:
            ring.put(put, step)
            put, lost_before = put + 1, lost_before + step
    taken += drain(ring)
    items = [item for item, _ in taken]
    assert items == sorted(set(items))
    assert len(items) + sum(lost for _, lost in taken) == put + lost_before
    assert items[-capacity:] == list(range(put))[-min(capacity, len(items)) :]


def test_a_reader_that_waits_is_woken() -> None:
    ring: Ring[str] = Ring(2)
    putting = threading.Timer(0.1, ring.put, ("sound",))
    putting.start()
    assert ring.take(60) == ("sound", 0)
    closing = threading.Timer(0.1, ring.close)
    closing.start()
    assert ring.take(60) is None
    putting.join()
    closing.join()
