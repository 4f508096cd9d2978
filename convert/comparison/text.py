"""A comparison for a terminal: `emopi compare` without `--json`."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Sequence
from importlib.util import find_spec

from emopi.convert.comparison.comparison import Comparison
from emopi.convert.comparison.layers import Inside
from emopi.convert.comparison.tables import (
    Table,
    accuracy_table,
    cost_table,
    noise_table,
    pair_table,
    recall_table,
)
from emopi.convert.comparison.verdict import Verdict
from emopi.device.text_table import aligned

LAYERS = 8
"""The most that `--explain` lists of a model."""
WIDTH = 100
"""Of running text, in characters."""


def terminal_tables(comparison: Comparison, inside: Sequence[Inside] = ()) -> list[Table]:
    """In the order in which they are printed."""
    return [
        accuracy_table(comparison),
        cost_table(comparison),
        pair_table(comparison.told, "What lies between them"),
        recall_table(comparison),
        *(noise_table(one, LAYERS) for one in inside if one.noise),
    ]


def render(comparison: Comparison, verdict: Verdict, inside: Sequence[Inside] = ()) -> str:
    """All of it as plain text: the verdict last, where a reader looks first."""
    tables = (_plain(table) for table in terminal_tables(comparison, inside))
    return "\n\n".join([headline(comparison), *tables, *map(_filled, verdict_lines(verdict))])


def show(comparison: Comparison, verdict: Verdict, inside: Sequence[Inside] = ()) -> None:
    """Print it on stdout: with rich on a terminal, as plain text elsewhere."""
    if not (sys.stdout.isatty() and find_spec("rich")):
        print(render(comparison, verdict, inside))
        return
    from rich import box
    from rich.console import Console
    from rich.table import Table as RichTable

    console = Console(highlight=False, markup=False)
    console.print(headline(comparison))
    for table in terminal_tables(comparison, inside):
        console.print(f"\n{table.title}", style="bold")
        drawn = RichTable(box=box.SIMPLE_HEAD)
        for place, name in enumerate(table.head):
            drawn.add_column(name, justify="right" if place else "left")
        for row in table.rows:
            drawn.add_row(*row)
        console.print(drawn)
        console.print(table.note, style="dim")
    console.print()
    for line in verdict_lines(verdict):
        console.print(line + "\n")


def headline(comparison: Comparison) -> str:
    """What was compared, on which clips, where."""
    machine = comparison.machine
    runtime = machine.get("ai-edge-litert") or machine.get("tflite-runtime")
    speakers = len({clip.speaker for clip in comparison.clips})
    lines = [
        f"{comparison.protocol} {comparison.fold}: {len(comparison.clips)} test clips of "
        f"{speakers} {'speaker' if speakers == 1 else 'speakers'}",
        f"on {machine['processor']}, {machine['architecture']}, Python {machine['python']}, "
        f"{'LiteRT' if 'ai-edge-litert' in machine else 'tflite-runtime'} {runtime}",
    ]
    if comparison.before.told or comparison.after.told:
        lines.append(f"before the timing: {comparison.before.describe()}")
        lines.append(f"after it: {comparison.after.describe()}")
    return "\n".join(lines)


def verdict_lines(verdict: Verdict) -> list[str]:
    """A paragraph each."""
    return [*verdict.reasons, verdict.choice, *verdict.cautions]


def _plain(table: Table) -> str:
    return "\n".join([table.title, *aligned([table.head, *table.rows]), _filled(table.note)])


def _filled(text: str) -> str:
    return textwrap.fill(text, WIDTH, break_on_hyphens=False)
