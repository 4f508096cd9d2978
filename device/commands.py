"""The commands that a Raspberry Pi has: `emopi classify` and `emopi listen`."""

from __future__ import annotations

import contextlib
import json
import sys
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

import click

from emopi.device.errors import EmopiError, MicrophoneError, MissingExtraError, ModelError

if TYPE_CHECKING:
    from emopi.device.audio import AudioSource
    from emopi.device.classifier import Classifier
    from emopi.device.profile import Profile
    from emopi.device.sinks import Sink

DEFAULT_MODEL = "cnn-int8"

model_option = click.option(
    "--model",
    default=DEFAULT_MODEL,
    show_default=True,
    metavar="MODEL",
    help="A .tflite file that emopi convert made, or the name of a shipped one.",
)

profile_option = click.option(
    "--profile",
    "profile_path",
    type=click.Path(path_type=Path),
    help="A wearer's profile that emopi calibrate wrote for this model.",
)


@click.command()
@click.argument("clips", nargs=-1, required=True, type=click.Path(path_type=Path))
@model_option
@profile_option
@click.option("--json", "as_json", is_flag=True, help="One JSON object a clip on stdout.")
def classify(clips: tuple[Path, ...], model: str, profile_path: Path | None, as_json: bool) -> None:
    """Say which emotion each CLIP sounds like: one answer for the whole recording.

    A clip that cannot be read is reported, the others are answered all the same, and the exit
    status is 1.
    """
    from emopi.device.audio import FileSource
    from emopi.device.classifier import Classifier
    from emopi.device.pipeline import classify as classify_source

    classifier = Classifier(resolve_model(model))
    profile = _profile(profile_path, classifier)
    failed = 0
    width = max(len(str(clip)) for clip in clips)
    for clip in clips:
        try:
            source = FileSource(clip, classifier.contract.frontend.sample_rate_hz)
            decision = classify_source(source, classifier, profile)
        except EmopiError as error:
            click.echo(f"emopi: {error}", err=True)
            failed += 1
            continue
        if source.bandwidth_warning:
            click.echo(f"emopi: {source.bandwidth_warning}", err=True)
        if as_json:
            shown = decision.to_json()
            keys = ("label", "confidence", "probabilities", "model")
            fields = {"clip": str(clip)} | {key: shown[key] for key in keys}
            click.echo(json.dumps(fields, allow_nan=False))
        else:
            ranked = sorted(decision.probabilities.items(), key=lambda item: -item[1])
            runners_up = ", ".join(f"{name} {p:.0%}" for name, p in ranked[1:3])
            click.echo(
                f"{clip!s:<{width}}  {decision.label:<10} {decision.confidence:4.0%}   "
                f"({runners_up})"
            )
    if failed:
        sys.exit(1)


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
        profile=_profile(profile_path, classifier),
    )
    rate_hz = classifier.contract.frontend.sample_rate_hz
    opened = open_source(source, rate_hz, realtime=not fast)
    try:
        with contextlib.closing(opened), _sink(as_json, opened.name) as sink:
            for decision in decisions(opened, pipeline):
                sink.show(decision)
    except KeyboardInterrupt:
        pass  # the way to end it


def resolve_model(name: str) -> Path:
    """The path of a model given by path or by the name of a shipped one, such as "cnn-int8"."""
    if Path(name).is_file():
        return Path(name)
    shipped = {path.stem: path for path in _shipped(".").glob("*.tflite")}
    if name in shipped:
        return shipped[name]
    names = ", ".join(sorted(shipped))
    raise ModelError(f"{name!r}: no such model file; expected a path, or one of: {names}")


def _profile(path: Path | None, classifier: Classifier) -> Profile | None:
    from emopi.device.profile import read_profile

    return read_profile(path, classifier.contract) if path else None


def _shipped(name: str) -> Path:
    """Where a file of `models/` lies after any kind of installation."""
    return Path(str(files("emopi.models"))) / name


def open_source(source: str, rate_hz: int, *, realtime: bool) -> AudioSource:
    """What `--source` names: "mic", "mic:NAME", "auto" or an audio file."""
    if source == "mic" or source.startswith("mic:"):
        from emopi.device.microphone import Microphone

        return Microphone(source.partition(":")[2] or None, rate_hz)
    if source == "auto":
        try:
            return open_source("mic", rate_hz, realtime=realtime)
        except (MicrophoneError, MissingExtraError) as error:
            click.echo(f"emopi: {error}\nemopi: so here is a bundled recording", err=True)
        return open_source(str(_shipped("example.wav")), rate_hz, realtime=realtime)
    from emopi.device.audio import FileSource

    opened = FileSource(source, rate_hz, realtime=realtime)
    if opened.bandwidth_warning:
        click.echo(f"emopi: {opened.bandwidth_warning}", err=True)
    return opened


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
