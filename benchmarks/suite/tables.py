"""Tables of Markdown, and how figures are written in them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Found = Mapping[str, Any]
"""What a section measured, of JSON types."""


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A line a row, each of as many cells as `head`."""
    return "\n".join("| " + " | ".join(row) + " |" for row in [head, ["---"] * len(head), *rows])


def spread(one: Found, digits: int = 3) -> str:
    """Median and the span from the 10th to the 90th percentile."""
    median, low, high = (short(one[key], digits) for key in ("median", "low", "high"))
    return f"{median} ({low} to {high})"


def short(value: float, digits: int = 3) -> str:
    """To so many significant digits, without an exponent."""
    if value == 0:
        return "0"
    rounded = float(f"{value:.{digits}g}")
    decimals = max(0, digits - 1 - _exponent(rounded))
    return f"{rounded:.{decimals}f}"


def aim(what: str, found: float, bound: float, *, least: bool = False) -> list[str]:
    """A row of a table of `AIMS_HEAD`: met or missed."""
    met = found >= bound if least else found <= bound
    side = "at least" if least else "at most"
    return [what, short(found), f"{side} {short(bound)}", "met" if met else "**missed**"]


AIMS_HEAD = ("aim", "found", "asked for", "")


def _exponent(value: float) -> int:
    return int(f"{abs(value):e}".partition("e")[2])
