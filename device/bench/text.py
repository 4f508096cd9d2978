"""What `emopi bench` has measured, for a person, and for those to whom it is shown."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence

import numpy as np

from emopi.device.bench.compare import FIGURES, Change, Earlier, changes, differences
from emopi.device.bench.measured import STAGES, Bench, Measured, Run, Slice
from emopi.device.bench.report import slowdown
from emopi.device.board_span import BoardSpan
from emopi.device.latency import Percentiles
from emopi.device.text_table import aligned

SHARES = ("p50", "p90", "p95", "p99")
WIDTH = 100
"""Of a line, in characters."""
TITLE = 37
"""Of the first column, so that all tables of stages stand below each other."""
ROWS = 10
"""Of the table of a sustained run."""

UNCLEAR = (
    "The machine was busy or throttled in one of the two, so what differs may be that alone: "
    "measure both again."
)


def render(bench: Bench, earlier: Earlier | None = None) -> str:
    """All of it as plain text, the machine first."""
    parts = [_head(bench)]
    parts += [_model(model, bench.settings.hop_s) for model in bench.models]
    if earlier:
        parts.append(_against(bench, earlier))
    return "\n\n".join([*parts, *map(_filled, _cautions(bench))])


def _head(bench: Bench) -> str:
    told, settings = bench.machine, bench.settings
    cores = "1 core" if told["cores"] == "1" else f"{told['cores']} cores"
    memory = [f"{told['memory_mb']} MiB of memory"] if "memory_mb" in told else []
    packages = [
        f"{name} {version}" for name, version in told.items()
        if name not in ("name", "architecture", "cores", "kernel", "memory_mb", "system", "emopi")
    ]  # fmt: skip
    threads = "1 thread" if settings.threads == 1 else f"{settings.threads} threads"
    rows = {
        f"emopi {told.get('emopi', '')}": f"bench, {bench.time}",
        "machine": ", ".join([told["name"], told["architecture"], cores, *memory]),
        "system": ", ".join([*([told["system"]] if "system" in told else []), told["kernel"]]),
        "software": ", ".join(packages),
        "before": bench.before.describe(),
        "during": BoardSpan.of(bench.during).describe(),
        "after": bench.after.describe(),
        "settings": f"a decision every {settings.hop_s:g} s, {threads}; {settings.decisions} "
        f"decisions in each of {settings.runs} fresh processes a model",
    }
    return "\n".join(f"{name:<12}{text}" for name, text in rows.items())


def _model(model: Measured, hop_s: float) -> str:
    run = model.every_run
    lines = [
        f"{model.name} ({model.contract.model_id}, {model.n_bytes / 1024:.0f} KB)",
        *_stage_table("back to back", run),
    ]
    if model.paced:
        lines += _stage_table("at a microphone's pace", model.paced)
    lines += map(_filled, _facts(model, run, hop_s))
    if model.sustained:
        lines += _sustained(model.sustained)
    return "\n".join(lines)


def _stage_table(title: str, run: Run) -> Iterator[str]:
    title = f"{title}, {len(run.passed_ms['total'])} hops, ms"
    head = (f"{title:<{TITLE}}", *SHARES, "max", "first")
    rows = [
        (STAGES[stage], *map(_ms, _numbers(found)), _ms(run.first_ms[stage]))
        for stage, found in run.stages.items()
    ]
    return aligned([head, *rows])


def _facts(model: Measured, run: Run, hop_s: float) -> Iterator[str]:
    yield (
        f"Real-time factor {run.total_ms / 1000 / hop_s:.2g}: {1000 * hop_s / run.total_ms:.3g} "
        "times as fast as sound comes in."
    )
    if model.paced:
        share = model.paced.cpu_ms / 1000 / hop_s
        yield f"As a sensor it takes {100 * share:.2g} % of a core, a decision every {hop_s:g} s."
    if late := sum(one.late(hop_s) for one in (*model.runs, model.paced, model.sustained) if one):
        yield f"{late} decisions TOOK LONGER THAN A HOP LASTS: audio is lost."
    detector = "without a speech detector" if run.detector == "none" else f"{run.detector} included"
    yield (
        f"Loads in {_ms(run.load_ms)} ms; the first inference takes {_ms(run.first_ms['model'])} "
        f"ms; the process holds {run.rss_mb:.1f} MiB, {detector}."
    )
    yield (
        f"Python's share of a hop, all but FFT, mel product and networks: {run.python_share:.0%}."
    )
    if len(model.runs) > 1:
        medians = [one.stages["total"].p50_ms for one in model.runs]
        yield (
            f"The {len(medians)} processes' medians of a whole hop: {_ms(min(medians))} to "
            f"{_ms(max(medians))} ms."
        )


def _sustained(run: Run) -> Iterator[str]:
    yield from _stage_table("without a break", run)
    told = BoardSpan.of([one.board for one in run.slices]).told
    rows: list[tuple[str, ...]] = [
        ("minutes", "p50, ms", "p99, ms", "max, ms", "memory, MiB", *told * ["machine"])
    ]
    passed_s = 0.0
    for part in np.array_split(np.arange(len(run.slices)), min(ROWS, len(run.slices))):
        slices = [run.slices[place] for place in part]
        passed_s += sum(one.seconds for one in slices)
        rows.append((f"to {passed_s / 60:.2f}", *_moment(slices)))
    yield from (line.rstrip() for line in aligned(rows))
    yield f"At its end a hop takes {slowdown(run):.2f} times what it took at its beginning."


def _moment(slices: Sequence[Slice]) -> tuple[str, ...]:
    times = np.concatenate([one.passed_ms["total"] for one in slices])
    found = Percentiles.of(times.tolist())
    board = BoardSpan.of([one.board for one in slices])
    numbers = map(_ms, (found.p50_ms, found.p99_ms, found.max_ms))
    return (*numbers, f"{slices[-1].rss_mb:.1f}", *board.told * [board.describe()])


def _against(bench: Bench, earlier: Earlier) -> str:
    """The earlier run beside this one, the verdict in each line."""
    others = differences(bench, earlier)
    lines = [f"Against the run of {earlier.time}: {', '.join(others) or 'the same machine'}"]
    rows = []
    for model in bench.models:
        found = changes(bench, model, earlier)
        if found is None:
            lines.append(f"{model.name} was not measured then")
        rows += [(f"{model.name}, {FIGURES[one.figure]}", *_change(one)) for one in found or ()]
    if bench.disturbed or earlier.disturbed:
        lines.append(UNCLEAR)
    return "\n".join([*map(_filled, lines), *aligned(rows)])


def _change(change: Change) -> tuple[str, ...]:
    span = "{:.3f} to {:.3f}".format(*change.interval) if change.interval else ""
    return f"{change.ratio:.3f} times", span, change.verdict


def _cautions(bench: Bench) -> Iterator[str]:
    """Whether the figures can be trusted."""
    if bench.throttled is None:
        yield "Throttled: this machine does not tell."
    elif bench.throttled:
        yield (
            "Throttled: YES. The machine was too hot or on too little power (see above), so these "
            "times are too long: see to its cooling and its power supply, and measure again."
        )
    else:
        yield "Throttled: no."
    if bench.busy:
        yield (
            "Busy: YES. Other programs want this machine (see load above), so times are too long: "
            "end them (top), and measure again."
        )
    if bench.interrupted:
        yield "Interrupted: this is what was measured until then."


def _numbers(found: Percentiles) -> tuple[float, ...]:
    return found.p50_ms, found.p90_ms, found.p95_ms, found.p99_ms, found.max_ms


def _ms(value: float) -> str:
    """Three digits that count, at most."""
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}" if value >= 1 else f"{value:.2f}"


def _filled(text: str) -> str:
    return textwrap.fill(text, WIDTH, break_on_hyphens=False)
