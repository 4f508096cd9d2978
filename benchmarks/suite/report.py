"""The results of all sections: kept as JSON, written as one page with its figures."""

from __future__ import annotations

import dataclasses
import datetime
import functools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from benchmarks.suite import (
    accuracy,
    decision,
    frontend,
    installation,
    network,
    startup,
    training,
)
from benchmarks.suite.order import Order
from benchmarks.suite.tables import Found
from emopi.device.bench.measure import machine
from emopi.device.board import board_state
from emopi.device.errors import ComparisonError
from emopi.device.files import write_atomically
from emopi.device.versions import versions
from emopi.train.run_record import commit


class Section(Protocol):
    """A module that measures one thing."""

    TITLE: str
    PACKAGES: tuple[str, ...]
    """Whose versions matter."""

    def measure(self, order: Order) -> dict[str, Any]:
        """What was found, of JSON types."""

    def page(self, found: Found) -> str:
        """The same in Markdown."""

    def draw(self, found: Found, folder: Path) -> list[Path]:
        """The same as PNG files in `folder`."""


SECTIONS: Mapping[str, Section] = {
    "frontend": frontend,
    "network": network,
    "decision": decision,
    "startup": startup,
    "installation": installation,
    "training": training,
    "accuracy": accuracy,
}
"""By name, in the order of the page."""

HEAD = """# Results

    {command}

Written by [the suite](suite); what is measured and how is in [README.md](README.md). Times on a
machine that others use are too long, and differ more than the machine does: a section says how busy
it was. Ratios are of things that took turns, so they suffer less. **Nothing here ran on a Raspberry
Pi.**"""

TRIAL = "**A trial (`--quick`): a few rounds of everything, not to be quoted.**"


@dataclasses.dataclass
class Kept:
    """What was measured, now or before, by section."""

    sections: dict[str, dict[str, Any]]

    @classmethod
    def read(cls, folder: Path) -> Kept:
        """Those of `folder`, none if there is nothing yet; `ComparisonError` for a damaged file."""
        path = folder / "results.json"
        if not path.is_file():
            return cls({})
        try:
            return cls(json.loads(path.read_text())["sections"])
        except (ValueError, KeyError, TypeError) as error:
            raise ComparisonError(f"{path} cannot be read ({error}); remove it") from None


def measured(name: str, order: Order) -> dict[str, Any]:
    """What a section found, and when, where and of what it was."""
    section = SECTIONS[name]
    before = board_state().load
    started = datetime.datetime.now(datetime.UTC)
    found = section.measure(order)
    return {
        "quick": order.quick,
        "audio": "RAVDESS" if order.corpus else "the bundled recording, synthesized speech",
        "commit": _commit(),
        "time": started.isoformat(timespec="minutes"),
        "minutes": round((datetime.datetime.now(datetime.UTC) - started).total_seconds() / 60, 1),
        "load": [before, board_state().load],
        "machine": machine(),
        "versions": versions(*section.PACKAGES),
        "found": found,
    }


@functools.cache
def _commit() -> str | None:
    """Of the code that measures: asked once, since what `publish` writes is no change of it."""
    return commit()


def publish(kept: Kept, folder: Path) -> None:
    """Keep what was measured, then write the page and its figures anew."""
    folder.mkdir(parents=True, exist_ok=True)
    kept_as = json.dumps({"sections": kept.sections}, indent=1).encode() + b"\n"
    write_atomically(folder / "results.json", kept_as)
    figures = folder / "figures"
    figures.mkdir(parents=True, exist_ok=True)
    parts = [HEAD.format(command=_command(kept))]
    for number, (name, section) in enumerate(SECTIONS.items(), start=1):
        parts.append(f"## {number}. {section.TITLE}")
        if name not in kept.sections:
            parts.append("Not yet run.")
            continue
        one = kept.sections[name]
        drawn = section.draw(one["found"], figures)
        shown = [f"![{section.TITLE}]({path.relative_to(folder)})" for path in drawn]
        parts += [_where(one), section.page(one["found"]), *shown]
    write_atomically(folder / "RESULTS.md", "\n\n".join(parts).encode() + b"\n")


def _command(kept: Kept) -> str:
    quick = any(one["quick"] for one in kept.sections.values())
    return "make bench" + (" BENCH=--quick" if quick else "")


def _where(one: Mapping[str, Any]) -> str:
    """Commit, machine and versions in a paragraph."""
    machine = one["machine"]
    cores = int(machine["cores"])
    loads = " before and ".join(f"{load:.1f}" for load in one["load"] if load is not None)
    names = ", ".join(f"{name} {version}" for name, version in one["versions"].items())
    trial = f"\n\n{TRIAL}" if one["quick"] else ""
    return (
        f"At commit {one['commit']}, {one['time']}, {one['minutes']:g} minutes, on {one['audio']}; "
        f"{machine['name']}, {cores} cores, {machine.get('system', machine['kernel'])}; "
        f"load {loads or 'unknown'} after (more than {cores} is too much; its own is in it). "
        f"{names}.{trial}"
    )
