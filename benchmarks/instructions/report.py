"""The counts as tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.emulation.cores import CORES, Board, Core
from benchmarks.instructions.tally import AIMS, GROWTH, Change, Counts

CORE_NAMES = tuple(core.name for core in CORES)
EXPECTED = ("hop", "detector")
"""The stages that a person waits for."""

GAIN = """Which board gains what by int8: its instructions over those of float32, of the network
alone and of the whole hop (without the speech detector, which both need):"""

EXPECTATION = """What to expect of a hop with the speech detector, half a second of sound to a
decision, **if** a core completes as many instructions a cycle as is assumed: no measurement, no
promise."""


def page(found: dict[str, Any], beside: Sequence[Change] | None = None) -> str:
    """Everything that a person is told of `found`, with the changes from the committed counts
    unless these are to be committed."""
    counts: Counts = found["counts"]
    versions = ", ".join(f"{name} {version}" for name, version in found["versions"].items())
    committed = () if beside is None else (f"Against the committed counts:\n\n{_changed(beside)}",)
    return "\n\n".join(
        [
            f"{', '.join(found['models'].values())}; {versions}",
            f"Million instructions, one thread:\n\n{_counted(counts)}",
            f"{GAIN}\n\n{_gained(counts)}",
            *committed,
            f"Against the aims:\n\n{_aims(counts)}",
            f"{EXPECTATION}\n\n{_expected(counts)}",
        ]
    )


def _counted(counts: Counts) -> str:
    rows = []
    for model, by_core in counts.items():
        for stage in dict.fromkeys(stage for stages in by_core.values() for stage in stages):
            figures = [f"{by_core[core][stage] / 1e6:.2f}" for core in CORE_NAMES]
            rows.append([model, stage, *figures])
    return _table(["model", "stage", *CORE_NAMES], rows)


def _gained(counts: Counts) -> str:
    networks = [
        name for model in counts
        if (name := model.removesuffix("-int8")) != model and f"{name}-float32" in counts
    ]  # fmt: skip
    columns = [(name, stage) for name in networks for stage in ("network", "hop")]
    rows = [
        [
            f"Raspberry Pi {', '.join(board.name for board in core.boards)}", core.name,
            *(f"{_gain(counts, *column, core.name):.2f}" for column in columns),
        ]
        for core in CORES
    ]  # fmt: skip
    return _table(["board", "core", *(f"{name}, {stage}" for name, stage in columns)], rows)


def _gain(counts: Counts, network: str, stage: str, core: str) -> float:
    int8, exact = (counts[f"{network}-{precision}"] for precision in ("int8", "float32"))
    return int8[core][stage] / exact[core][stage]


def _changed(beside: Sequence[Change]) -> str:
    if not beside:
        return "There are none of these models."
    told = [change for change in beside if abs(change.growth) > GROWTH]
    if not told:
        return f"None of {len(beside)} differs by more than {GROWTH:.0%}."
    rows = [
        [
            change.model, change.stage, change.core, f"{change.before / 1e6:.2f}",
            f"{change.now / 1e6:.2f}", f"{change.growth:+.1%}",
        ]
        for change in told
    ]  # fmt: skip
    return _table(["model", "stage", "core", "committed", "now", "change"], rows)


def _aims(counts: Counts) -> str:
    rows = []
    for aim in AIMS:
        if (value := aim.found(counts)) is not None:
            says = "met" if value <= aim.most else "**missed**"
            shown = [f"{v:.2f}" if aim.is_share else f"{v / 1e6:.1f} M" for v in (value, aim.most)]
            rows.append([aim.about, aim.core, *shown, says])
    return _table(["what", "core", "found", "at most", ""], rows) if rows else "None applies."


def _expected(counts: Counts) -> str:
    rows = [
        [
            f"Raspberry Pi {board.name}", f"{core.name}, {board.clock_ghz} GHz",
            f"{core.per_cycle[0]} to {core.per_cycle[1]}",
            *(_span(core, board, by_core[core.name]) for by_core in counts.values()),
        ]
        for core in CORES
        for board in core.boards
    ]  # fmt: skip
    return _table(["board", "core", "assumed a cycle", *(f"{m}, ms" for m in counts)], rows)


def _span(core: Core, board: Board, stages: Mapping[str, int]) -> str:
    least, most = core.milliseconds(sum(stages[stage] for stage in EXPECTED), board)
    return f"{least:.1f} to {most:.1f}"


def _table(head: list[str], rows: list[list[str]]) -> str:
    return "\n".join("| " + " | ".join(row) + " |" for row in [head, ["---"] * len(head), *rows])
