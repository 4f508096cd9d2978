"""Slow sinks have a thread of their own: bounded, patient with trouble, never waited for."""

from __future__ import annotations

import threading

import pytest
from telling import PATIENCE_S, Clock, decision, wait_until

from emopi.device.errors import SinkError
from emopi.device.sinks import background
from emopi.device.sinks.background import Background, Recorder
from emopi.device.sinks.record import Record
from emopi.device.sources.notice import Notice, NoticeKind


class Slow(Recorder):
    """Waits for `go` before each record; raises what is in `errors` first."""

    name = "slow"

    def __init__(self, *errors: Exception, opening: Exception | None = None) -> None:
        self.errors = list(errors)
        self.opening = opening
        self.go = threading.Event()
        self.written: list[Record] = []
        self.closed = False

    def open(self) -> None:
        if error := self.opening:
            self.opening = None
            raise error

    def write(self, record: Record) -> None:
        assert self.go.wait(PATIENCE_S)
        if self.errors:
            raise self.errors.pop(0)
        self.written.append(record)

    def close(self) -> None:
        self.closed = True


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "FIRST_RETRY_S", 0.01)


def numbers(recorder: Slow) -> list[int]:
    return [round((one.what.time_s - 3) * 2) for one in recorder.written]


def test_all_are_written_in_order_with_the_time_they_came() -> None:
    recorder = Slow()
    with Background(recorder, pytest.fail, now=Clock()) as sink:
        for number in range(100):
            sink.show(decision(number))  # while the recorder stands still
        recorder.go.set()
    assert numbers(recorder) == list(range(100))
    times = [one.time_ms for one in recorder.written]
    assert times == [times[0] + 500 * number for number in range(100)]
    assert recorder.closed


def test_a_full_queue_loses_and_says_how_much() -> None:
    recorder, told = Slow(), list[str]()
    with Background(recorder, told.append, limit=10) as sink:
        for number in range(30):
            sink.show(decision(number))
        wait_until(lambda: told, "the report of a full queue")
        recorder.go.set()
        wait_until(lambda: len(recorder.written) >= 10, "the queue's records")
        sink.show(decision(30))
    lost = 31 - len(recorder.written)
    assert 19 <= lost <= 20  # one may be in the recorder's hands
    assert numbers(recorder) == [*range(30 - lost), 30]
    assert told == [
        "slow: is too slow, its queue is full; records are lost",
        f"slow: keeps up again; {lost} records were lost",
    ]


def test_a_patient_sink_loses_nothing() -> None:
    recorder = Slow()
    recorder.go.set()
    with Background(recorder, pytest.fail, limit=1, patience_s=PATIENCE_S) as sink:
        for number in range(200):
            sink.show(decision(number))
    assert numbers(recorder) == list(range(200))


def test_trouble_delays_but_does_not_lose() -> None:
    recorder, told = Slow(OSError("no room"), OSError("still none")), list[str]()
    recorder.go.set()
    with Background(recorder, told.append) as sink:
        for number in range(5):
            sink.show(decision(number))
        wait_until(lambda: len(recorder.written) == 5, "all five")
    assert numbers(recorder) == [0, 1, 2, 3, 4]
    assert told == ["slow: no room; trying again", "slow: works again"]


def test_what_is_lost_at_the_end_is_counted() -> None:
    recorder, told = Slow(*[OSError("no room")] * 100), list[str]()
    recorder.go.set()
    with Background(recorder, told.append) as sink:
        for number in range(4):
            sink.show(decision(number))
        wait_until(lambda: told, "the report of the trouble")
    assert told == ["slow: no room; trying again", "slow: 4 records were lost"]
    assert recorder.closed


def test_what_a_person_must_change_ends_it_before_it_begins() -> None:
    recorder = Slow(opening=SinkError("no such folder"))
    with pytest.raises(SinkError, match="no such folder"):
        Background(recorder, pytest.fail).__enter__()
    assert recorder.closed


def test_what_may_pass_is_waited_for() -> None:
    recorder, told = Slow(opening=OSError("disk full")), list[str]()
    recorder.go.set()
    with Background(recorder, told.append) as sink:
        sink.show(decision(0))
        wait_until(lambda: recorder.written, "the record")
    assert told == ["slow: disk full; trying again", "slow: works again"]


def test_notices_come_in_their_place() -> None:
    recorder = Slow()
    recorder.go.set()
    lost = Notice(NoticeKind.LOST, "unplugged")
    with Background(recorder, pytest.fail, now=Clock()) as sink:
        sink.show(decision(0))
        sink.notice(lost)
    assert [one.what for one in recorder.written] == [decision(0), lost]
    assert recorder.written[1].to_json() == {
        "time": "2026-11-03T12:00:01.000Z",
        "notice": "lost",
        "text": "unplugged",
    }
