"""The newest rows: the same as if all had been kept, however they come."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emopi.device.recent import Recent


@given(st.integers(1, 9), st.lists(st.integers(0, 20)), st.sampled_from([(), (3,)]))
def test_is_the_end_of_everything(most: int, lengths: list[int], row: tuple[int, ...]) -> None:
    recent = Recent(most, *row)
    everything = np.empty((0, *row), np.float32)
    for length in lengths:
        start = everything.size
        new = np.arange(start, start + length * np.prod(row, dtype=int), dtype=np.float32)
        recent.push(new.reshape(length, *row))
        everything = np.concatenate([everything, new.reshape(length, *row)])
        assert len(recent) == min(len(everything), most)
        np.testing.assert_array_equal(recent.rows, everything[-most:])


@pytest.mark.parametrize("n", [1, 5, 100])
def test_is_empty_after_clear(n: int) -> None:
    recent = Recent(5)
    recent.push(np.ones(n, np.float32))
    recent.clear()
    assert len(recent) == len(recent.rows) == 0
    recent.push(np.array([2.0], np.float32))
    assert recent.rows.tolist() == [2.0]
