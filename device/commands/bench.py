"""`emopi bench`: how fast models are on this machine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from emopi.device.model_files import model_names, resolve_model, shipped_models

if TYPE_CHECKING:
    from emopi.device.gate import Detector


@click.command()
@click.argument("models", metavar="[MODEL]...", nargs=-1)
@click.option(
    "--hop",
    "hop_s",
    default=0.5,
    show_default=True,
    help="Seconds from one decision to the next.",
)
@click.option(
    "--detector",
    metavar="auto|silero|micro|none",
    default="auto",
    show_default=True,
    help="Who tells speech from other sound; none leaves that out.",
)
@click.option("--threads", default=1, show_default=True, help="Of the interpreter.")
@click.option(
    "--runs",
    default=5,
    show_default=True,
    help="Fresh processes for each model; their spread decides what is a difference.",
)
@click.option("--decisions", default=60, show_default=True, help="That count in each of them.")
@click.option(
    "--paced",
    "paced_s",
    default=10.0,
    show_default=True,
    help="Seconds for which each then decides at the pace of a microphone, idle between.",
)
@click.option(
    "--minutes",
    default=0.0,
    show_default=True,
    help="For which each then decides without a break, to see the machine get hot.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
@click.option(
    "--compare",
    "old",
    metavar="OLD.json",
    type=click.Path(path_type=Path),
    help="Say what is faster or slower than in an earlier run, written with --json.",
)
def bench(
    models: tuple[str, ...],
    hop_s: float,
    detector: Detector,
    as_json: bool,
    old: Path | None,
    **options: Any,
) -> None:
    """Measure how fast each MODEL decides on this machine, stage by stage, and what it needs.

    MODEL is a .tflite file or the name of a shipped model; without one, all shipped models are
    measured. Needs neither microphone nor network: it hears a bundled recording, through the
    pipeline of emopi listen. Run it on a machine that does nothing else. Ctrl-C ends it and prints
    what was measured until then.
    """
    from emopi.device.bench.compare import read_earlier
    from emopi.device.bench.measure import bench as measure
    from emopi.device.bench.measured import BenchSettings
    from emopi.device.bench.report import to_json
    from emopi.device.bench.text import render

    settings = BenchSettings(hop_s=hop_s, detector=detector, **options)
    paths = [resolve_model(model) for model in models or shipped_models()]
    if twice := next((path for path in paths if paths.count(path) > 1), None):
        raise click.UsageError(f"{twice} is named twice; name it once")
    earlier = read_earlier(old, settings, model_names(paths)) if old else None
    found = measure(paths, settings)
    click.echo(
        json.dumps(to_json(found, earlier), allow_nan=False) if as_json else render(found, earlier)
    )
    if found.interrupted:
        raise click.Abort
