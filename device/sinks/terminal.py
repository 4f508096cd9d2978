"""For a person: a live view with bars on a terminal (rich), a line a decision elsewhere."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Self, TextIO

from emopi.device.decision import NO_SPEECH, UNSURE, Decision
from emopi.device.sinks import Sink
from emopi.device.sources.notice import Notice, NoticeKind

if TYPE_CHECKING:
    from rich.console import Console, Group

COLOURS = {
    "neutral": "white",
    "calm": "cyan",
    "happy": "yellow",
    "sad": "blue",
    "angry": "red",
    "fearful": "magenta",
    "disgust": "green",
    "surprised": "bright_yellow",
}
CAVEAT = "labels of acted speech: often wrong about real people"
BAR_WIDTH = 32
QUIETEST_DBFS = -80.0
"""Left end of the level meter; its right end is 0."""


class Lines(Sink):
    """One line of text a decision, for pipes, logs and where rich is not installed."""

    name = "stdout"

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def show(self, decision: Decision) -> None:
        """Write the decision's line."""
        lost = f"  {decision.overflows} overflows" if decision.overflows else ""
        self._stream.write(
            f"{decision.time_s:8.1f} s  {decision.label:<10}{decision.confidence:6.1%}"
            f"{decision.level_dbfs:8.1f} dBFS{decision.latency_ms:7.1f} ms{lost}\n"
        )
        self._stream.flush()


class LiveView(Sink):
    """Label, a bar an emotion, level and latency, redrawn in place.

    Under them stands what is wrong with the source, until that is over.
    """

    name = "stdout"

    def __init__(self, console: Console, source: str) -> None:
        from rich.live import Live

        self._source = source
        self._trouble = ""
        self._decision: Decision | None = None
        self._live = Live(console=console, auto_refresh=False)

    def __enter__(self) -> Self:
        from rich.text import Text

        self._live.__enter__()
        self._live.update(Text(f"listening to {self._source} ..."), refresh=True)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._live.__exit__(kind, error, trace)

    def show(self, decision: Decision) -> None:
        """Redraw."""
        self._decision = decision
        self._redraw()

    def notice(self, notice: Notice) -> None:
        """Redraw with it, or without what it ends; a first overflow is counted anyway."""
        if notice.kind is not NoticeKind.OVERFLOW:
            over = notice.kind in (NoticeKind.BACK, NoticeKind.SOUND_AGAIN)
            self._trouble = "" if over else notice.text
            self._redraw()

    def _redraw(self) -> None:
        from rich.text import Text

        shown = (
            view(self._decision, self._source, self._trouble)
            if self._decision
            else Text(self._trouble or f"listening to {self._source} ...")
        )
        self._live.update(shown, refresh=True)


def view(decision: Decision, source: str, trouble: str = "") -> Group:
    """The live view of one decision, as rich draws it; `trouble` is the source's."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    title = Text.assemble(
        (f" {decision.label} ", f"bold reverse {COLOURS.get(decision.label, 'white')}"),
        _beside_the_label(decision),
    )
    bars = Table.grid(padding=(0, 1))
    for label, probability in decision.probabilities.items():
        colour = COLOURS.get(label, "white")
        bars.add_row(label, Text(_bar(probability), colour), f"{probability:4.0%}")
    share = 1 - decision.level_dbfs / QUIETEST_DBFS
    bars.add_row("level", Text(_bar(share), "bright_black"), f"{decision.level_dbfs:.0f} dBFS")
    foot = f"{decision.time_s:.1f} s of {source} · {decision.latency_ms:.1f} ms · {decision.model}"
    if decision.overflows:
        foot += f" · {decision.overflows} overflows"
    below = [Text(trouble, "bold red")] if trouble else []
    return Group(title, bars, *below, Text(f"{foot}\n{CAVEAT}", "dim"))


def _beside_the_label(decision: Decision) -> str:
    """How likely it is, or what would be likeliest where the sensor is unsure."""
    if decision.label == NO_SPEECH:
        return ""
    if decision.label == UNSURE:
        likeliest = max(decision.probabilities, key=lambda one: decision.probabilities[one])
        return f"  {likeliest}? {decision.confidence:.0%}"
    return f"  {decision.confidence:.0%}"


def _bar(share: float) -> str:
    """A bar of `BAR_WIDTH` characters, in eighths."""
    eighths = round(min(max(share, 0.0), 1.0) * BAR_WIDTH * 8)
    full, part = divmod(eighths, 8)
    return ("█" * full + (" ▏▎▍▌▋▊▉"[part] if part else "")).ljust(BAR_WIDTH)
