"""What the tests of several sinks need: decisions without a model, a clock, sinks that fail."""

from __future__ import annotations

import itertools
import re
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest

from emopi.device.decision import NO_SPEECH, Decision
from emopi.device.sinks import Sink
from emopi.device.sinks.background import Recorder
from emopi.device.sinks.record import Record

LABELS = ("neutral", "calm", "happy", "sad", "angry", "fearful", "disgust", "surprised")
MIDDAY = datetime(2026, 11, 3, 12, 0, tzinfo=UTC)
PATIENCE_S = 30.0
"""Until a test gives up; what it waits for takes milliseconds on a quiet machine."""


def decision(number: int = 0, label: str = "happy", confidence: float = 0.65) -> Decision:
    """The decision `number` of a source that decides every half second."""
    rest = (1 - confidence) / (len(LABELS) - 1)
    spoken = label != NO_SPEECH
    return Decision(
        time_s=3 + number / 2,
        label=label,
        confidence=confidence if spoken else 0.0,
        probabilities={
            one: (confidence if one == label else rest) if spoken else 0.0 for one in LABELS
        },
        level_dbfs=-30.0 - number % 7,
        latency_ms=1.25,
        overflows=0,
        model="cnn-int8-test",
    )


class Clock:
    """A `Now` that moves on by half a second at every look."""

    def __init__(self, start: datetime = MIDDAY) -> None:
        self.time = start

    def __call__(self) -> datetime:
        self.time += timedelta(seconds=0.5)
        return self.time


class Kept(Sink):
    """Keeps what it is given; raises `broken` instead, while that is set."""

    name = "kept"

    def __init__(self) -> None:
        self.shown: list[object] = []
        self.broken: Exception | None = None

    def show(self, decision: Decision) -> None:
        if self.broken:
            raise self.broken
        self.shown.append(decision)

    def notice(self, notice: object) -> None:
        self.shown.append(notice)


def wait_until(true: Callable[[], object], what: str) -> None:
    """Return as soon as `true()` is; fail after `PATIENCE_S`."""
    deadline = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < deadline, f"not within {PATIENCE_S:g} s: {what}"
        time.sleep(0.01)


def write_until_it_raises(recorder: Recorder, text: str) -> int:
    """Write decisions 0, 1, ... until an error whose text has `text`; how many were written."""
    written = itertools.count()
    with pytest.raises(Exception, match=re.escape(text)):
        write_for_ever(recorder, written)
    return next(written) - 1


def write_for_ever(recorder: Recorder, numbers: Iterator[int]) -> None:
    """Write decisions of these numbers."""
    for number in numbers:
        recorder.write(Record(MIDDAY, decision(number)))
