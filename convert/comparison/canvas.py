"""A blank figure that becomes inline SVG, in the colours of the page it stands on.

Figures are narrow, so that their text can still be read on a phone. matplotlib draws them in
stand-ins for colours, which become variables of the page's style sheet, so that one figure is
right in light and in dark. Models differ by colour and by marker: no figure needs colours to be
told apart.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import html
import io
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

WIDTH_IN = 4.4
ROW_IN = 0.3
"""Height of one row of a figure that has rows."""

TEXT, FAINT = "#010101", "#010102"
_SERIES = tuple(f"#0102{k:02x}" for k in range(7))
_VARIABLES = {TEXT: "currentColor", FAINT: "var(--faint)"} | {
    colour: f"var(--series-{k})" for k, colour in enumerate(_SERIES)
}
_MARKERS = "os^Dvph"

STYLE = {
    "svg.fonttype": "none",
    "font.size": 9,
    "axes.titlesize": 9.5,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": TEXT,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": FAINT,
    "grid.alpha": 0.35,
    "grid.linewidth": 0.6,
    "text.color": TEXT,
    "xtick.color": TEXT,
    "ytick.color": TEXT,
    "legend.frameon": False,
}


@dataclasses.dataclass(frozen=True, slots=True)
class Chart:
    """One figure for the page."""

    svg: str
    alt: str
    """What it shows, in words, for who cannot see it."""
    caption: str


Drawn = Callable[[str, str], Chart]
"""From alt text and caption to the chart, once the figure is done."""


@contextlib.contextmanager
def canvas(rows: float) -> Iterator[tuple[Any, Drawn]]:
    """A figure as high as that many rows; call the other value after the block for its chart."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    # a person's own matplotlibrc changes nothing; to set a backend would import pyplot
    defaults = {
        name: mpl.rcParamsDefault[name] for name in mpl.rcParamsDefault if name != "backend"
    }
    content = io.StringIO()

    def drawn(alt: str, caption: str) -> Chart:
        return Chart(inline(content.getvalue(), alt), alt, caption)

    with mpl.rc_context({**defaults, **STYLE, "svg.hashsalt": "emopi"}):
        figure = Figure(figsize=(WIDTH_IN, 0.75 + ROW_IN * rows), layout="constrained")
        yield figure, drawn
        figure.savefig(content, format="svg", transparent=True, metadata={"Date": None})


def colour(place: int) -> str:
    """Of the model that was named at that place, on every figure."""
    return _SERIES[place % len(_SERIES)]


def marker(place: int) -> str:
    """Likewise."""
    return _MARKERS[place % len(_MARKERS)]


def named_rows(figure: Any, names: Sequence[str]) -> Any:
    """Axes with one named row each, the first at the top."""
    axes = figure.subplots()
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.grid(visible=False, axis="y")
    axes.tick_params(axis="y", length=0)
    return axes


def percent(axis: Any) -> None:
    """Label an axis of shares in percent."""
    from matplotlib.ticker import PercentFormatter

    axis.set_major_formatter(PercentFormatter(1.0, decimals=0))


def inline(svg: str, alt: str) -> str:
    """A file of SVG as an element of a page: named, without size, colours and ids its own."""
    svg = svg[svg.index("<svg") :]
    for needless in (r"<metadata>.*?</metadata>", r"<style.*?</style>", r"<!--.*?-->"):
        svg = re.sub(needless, "", svg, flags=re.DOTALL)
    inside = svg[svg.index(">") + 1 :]
    box = re.search(r'viewBox="[^"]*"', svg)
    prefix = "f" + hashlib.sha256(inside.encode()).hexdigest()[:8]
    inside = re.sub(r'\bid="', f'id="{prefix}-', inside)
    inside = re.sub(r'xlink:href="#', f'href="#{prefix}-', inside)
    inside = re.sub(r"url\(#", f"url(#{prefix}-", inside)
    inside = re.sub(r"font: ([\d.]+)px [^;\"]+", r"font-size: \1px", inside)
    for stand_in, variable in _VARIABLES.items():
        inside = inside.replace(stand_in, variable)
    name = html.escape(alt, quote=True)
    assert box
    return f'<svg role="img" aria-label="{name}" {box[0]}>{inside}'
