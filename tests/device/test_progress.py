"""Progress bars: on a terminal, and nowhere else."""

from __future__ import annotations

import contextlib
import io
from typing import Any

import pytest

from emopi.device.progress import Bar, track

pytest.importorskip("rich")

SHOW_CURSOR = "\x1b[?25h"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def columns() -> tuple[Any, ...]:
    from rich.progress import MofNCompleteColumn, TextColumn

    return MofNCompleteColumn(), TextColumn("{task.description}")


def a_terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """In the place of stderr: no fixture, as pytest puts its own there after those."""
    monkeypatch.setenv("TERM", "xterm")
    screen = Terminal()
    monkeypatch.setattr("sys.stderr", screen)
    return screen


def test_a_bar_begins_where_it_is_drawn_first_and_gives_the_cursor_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    terminal = a_terminal(monkeypatch)
    with Bar(4, columns) as bar:
        assert terminal.getvalue() == ""
        assert not bar.print("before")
        assert bar.draw(1, "first")
        assert bar.draw(3, "third")
        assert bar.print("[b]a line above[/b]")
    shown = terminal.getvalue()
    assert "[b]a line above[/b]" in shown  # no markup
    assert "3/4" in shown
    assert "third" in shown
    assert shown.endswith(SHOW_CURSOR)


def test_a_bar_gives_the_cursor_back_after_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = a_terminal(monkeypatch)
    with contextlib.suppress(KeyboardInterrupt), Bar(4, columns) as bar:
        bar.draw(1, "first")
        raise KeyboardInterrupt
    assert terminal.getvalue().endswith(SHOW_CURSOR)


def test_without_a_terminal_nothing_is_drawn(capsys: pytest.CaptureFixture[str]) -> None:
    with Bar(4, columns) as bar:
        assert not bar.draw(1, "first")
        assert not bar.print("a line")
    assert list(track([1, 2], 2, "counting")) == [1, 2]
    assert capsys.readouterr() == ("", "")


def test_track_counts_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = a_terminal(monkeypatch)
    assert list(track([1, 2], 2, "counting")) == [1, 2]
    assert "counting" in terminal.getvalue()
