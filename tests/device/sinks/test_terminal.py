"""What a person sees on a terminal, and a pipe gets."""

from __future__ import annotations

import dataclasses
import io
import json

import pytest
from telling import decision

from emopi.device.decision import NO_SPEECH, UNSURE
from emopi.device.sinks.jsonlines import JsonLines
from emopi.device.sinks.terminal import CAVEAT, Lines, LiveView, view
from emopi.device.sources.notice import Notice, NoticeKind

rich_console = pytest.importorskip(
    "rich.console", reason="rich is not installed (pip install 'emopi[live]')"
)
LOST = Notice(NoticeKind.LOST, "the microphone is gone")
BACK = Notice(NoticeKind.BACK, "it is back")


def drawn(shown: object) -> str:
    console = rich_console.Console(file=io.StringIO(), width=100)
    console.print(shown)
    return str(console.file.getvalue())


def test_a_json_line_a_decision_and_nothing_else() -> None:
    stream = io.StringIO()
    sink = JsonLines(stream)
    sink.show(decision(0))
    sink.notice(LOST)
    sink.show(decision(1, UNSURE, 0.3))
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert lines == [decision(0).to_json(), decision(1, UNSURE, 0.3).to_json()]


def test_a_line_of_text_a_decision() -> None:
    stream = io.StringIO()
    sink = Lines(stream)
    sink.show(decision(0))
    sink.notice(LOST)
    sink.show(decision(1, NO_SPEECH))
    first, second = stream.getvalue().splitlines()
    assert first.split() == ["3.0", "s", "happy", "65.0%", "-30.0", "dBFS", "1.2", "ms"]
    assert second.split()[2:5] == ["no", "speech", "0.0%"]


def test_the_view_says_what_is_likely_and_how_far_to_believe_it() -> None:
    text = drawn(view(decision(0), "a microphone"))
    assert "happy   65%" in text
    assert CAVEAT in text
    assert "█" in text


def test_the_view_of_an_unsure_sensor() -> None:
    one = decision(0, "sad", 0.31)
    unsure = drawn(view(dataclasses.replace(one, label=UNSURE), "a microphone"))
    assert "unsure   sad? 31%" in unsure


def test_trouble_stands_there_until_it_is_over() -> None:
    console = rich_console.Console(file=io.StringIO(), force_terminal=True, width=100)

    def new() -> str:
        text = str(console.file.getvalue())
        console.file.truncate(console.file.seek(0))
        return text

    with LiveView(console, "a microphone") as live:
        assert "listening to a microphone" in new()
        live.show(decision(0))
        assert LOST.text not in new()
        live.notice(LOST)
        assert LOST.text in new()
        live.show(decision(1))
        assert LOST.text in new()
        live.notice(BACK)
        assert LOST.text not in new()
