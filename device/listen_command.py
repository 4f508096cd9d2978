"""`emopi listen`: a microphone or a file to decisions, all day."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from emopi.device.commands import (
    load_profile,
    model_option,
    open_source,
    profile_option,
    resolve_model,
)

if TYPE_CHECKING:
    from emopi.device.sinks import Sink


@click.command()
@click.option(
    "--source",
    default="mic",
    show_default=True,
    metavar="mic|mic:NAME|FILE|auto",
    help="The default microphone, one by (part of its) name or index, or an audio file; auto is "
    "the microphone, or a bundled recording where there is none.",
)
@model_option
@profile_option
@click.option("--json", "as_json", is_flag=True, help="One JSON object a decision on stdout.")
@click.option("--fast", is_flag=True, help="Read a FILE as fast as possible, not in real time.")
@click.option(
    "--hop", "hop_s", default=0.5, show_default=True, help="Seconds from one decision to the next."
)
@click.option(
    "--memory", "memory_s", default=3.0, show_default=True, help="Seconds of windows averaged."
)
@click.option(
    "--gate",
    "gate_dbfs",
    default=-70.0,
    show_default=True,
    help="Level in dBFS below which there is no speech.",
)
def listen(
    source: str,
    model: str,
    profile_path: Path | None,
    as_json: bool,
    fast: bool,
    hop_s: float,
    memory_s: float,
    gate_dbfs: float,
) -> None:
    """Listen to a microphone or a file and say, every half second, what emotion it sounds like.

    Audio stays in memory and is never written anywhere. Ctrl-C ends it.
    """
    from emopi.device.classifier import Classifier
    from emopi.device.pipeline import Pipeline, decisions

    classifier = Classifier(resolve_model(model))
    pipeline = Pipeline(
        classifier,
        hop_s=hop_s,
        memory_s=memory_s,
        gate_dbfs=gate_dbfs,
        profile=load_profile(profile_path, classifier),
    )
    rate_hz = classifier.contract.frontend.sample_rate_hz
    opened = open_source(source, rate_hz, realtime=not fast)
    try:
        with contextlib.closing(opened), _sink(as_json, opened.name) as sink:
            for decision in decisions(opened, pipeline):
                sink.show(decision)
    except KeyboardInterrupt:
        pass  # the way to end it


def _sink(as_json: bool, source: str) -> Sink:
    if as_json:
        from emopi.device.sinks.jsonlines import JsonLines

        return JsonLines(sys.stdout)
    from emopi.device.sinks.terminal import Lines, LiveView

    if sys.stdout.isatty() and (sys.stdout.encoding or "").lower().startswith("utf"):
        try:
            from rich.console import Console
        except ImportError:
            click.echo("emopi: for a live view: pip install 'emopi[live]'", err=True)
        else:
            console = Console()
            if not console.is_dumb_terminal:
                return LiveView(console, source)
    return Lines(sys.stdout)
