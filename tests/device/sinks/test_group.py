"""One sink's trouble is its own: it stops neither the others nor the listening."""

from __future__ import annotations

import pytest
from telling import Kept, decision

from emopi.device.errors import SinkError
from emopi.device.sinks.group import Sinks
from emopi.device.sources.notice import Notice, NoticeKind


def test_every_sink_gets_everything_in_order() -> None:
    first, second = Kept(), Kept()
    lost = Notice(NoticeKind.LOST, "unplugged")
    with Sinks([first, second], report=pytest.fail) as sinks:
        sinks.show(decision(0))
        sinks.notice(lost)
        sinks.show(decision(1))
    assert first.shown == second.shown == [decision(0), lost, decision(1)]


def test_trouble_is_told_once_and_so_is_its_end() -> None:
    bad, good = Kept(), Kept()
    told: list[str] = []
    with Sinks([bad, good], told.append) as sinks:
        bad.broken = ValueError("burnt out")
        for number in range(3):
            sinks.show(decision(number))
        assert told == ["kept: burnt out; the sensor goes on"]
        bad.broken = None
        sinks.show(decision(3))
        sinks.show(decision(4))
    assert told[1:] == ["kept: works again"]
    assert bad.shown == [decision(3), decision(4)]
    assert good.shown == [decision(number) for number in range(5)]


def test_a_pipe_without_reader_ends_the_listening_only_if_it_was_the_last_sink() -> None:
    piped, other = Kept(), Kept()
    piped.broken = BrokenPipeError()
    told: list[str] = []
    sinks = Sinks([piped, other], told.append)
    sinks.show(decision(0))
    sinks.show(decision(1))
    assert other.shown == [decision(0), decision(1)]
    assert told == ["kept: its reader has gone; the other sinks go on"]
    other.broken = BrokenPipeError()
    with pytest.raises(BrokenPipeError):
        sinks.show(decision(2))


def test_a_sink_that_cannot_open_closes_those_before_it() -> None:
    closed: list[str] = []

    class Opened(Kept):
        def __exit__(self, *_: object) -> None:
            closed.append("opened")

    class Refused(Kept):
        def __enter__(self) -> Refused:
            raise SinkError("no such folder")

    with pytest.raises(SinkError, match="no such folder"):
        Sinks([Opened(), Refused(), Opened()], report=pytest.fail).__enter__()
    assert closed == ["opened"]


def test_all_are_closed_even_if_one_cannot_be() -> None:
    closed: list[str] = []
    told: list[str] = []

    class Good(Kept):
        def __exit__(self, *_: object) -> None:
            closed.append("good")

    class Bad(Kept):
        def __exit__(self, *_: object) -> None:
            raise OSError("gone")

    with Sinks([Good(), Bad(), Good()], told.append):
        pass
    assert closed == ["good", "good"]
    assert told == ["kept: gone"]
