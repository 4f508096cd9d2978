"""`emopi classify`, and what the commands that hear something share: models, profiles, sources."""

from __future__ import annotations

import dataclasses
import json
import sys
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

import click

from emopi.device.errors import EmopiError, MicrophoneError, MissingExtraError, ModelError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from emopi.device.audio import AudioSource
    from emopi.device.classifier import Classifier
    from emopi.device.config import Settings
    from emopi.device.notice import Tell
    from emopi.device.pipeline import Pipeline
    from emopi.device.profile import Profile
    from emopi.device.source import SourceSettings

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
    from emopi.device.gate import WHOLE_CLIP
    from emopi.device.pipeline import classify as classify_source

    classifier = Classifier(resolve_model(model))
    profile = load_profile(profile_path, classifier)
    failed = 0
    width = max(len(str(clip)) for clip in clips)
    for clip in clips:
        try:
            source = FileSource(clip, classifier.contract.frontend.sample_rate_hz)
            decision = classify_source(source, classifier, profile, gate=WHOLE_CLIP)
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


def shipped_models() -> dict[str, Path]:
    """Name to file, in alphabetical order."""
    return {path.stem: path for path in sorted(_shipped(".").glob("*.tflite"))}


def resolve_model(name: str) -> Path:
    """The path of a model given by path or by the name of a shipped one, such as "cnn-int8"."""
    if Path(name).is_file():
        return Path(name)
    shipped = shipped_models()
    if name in shipped:
        return shipped[name]
    names = ", ".join(shipped)
    raise ModelError(f"{name!r}: no such model file; expected a path, or one of: {names}")


def model_names(models: Sequence[Path]) -> list[str]:
    """What to call each: its file's name without the suffix, or its path if two share that."""
    stems = [path.stem for path in models]
    return [
        stem if stems.count(stem) == 1 else str(path)
        for stem, path in zip(stems, models, strict=True)
    ]


def load_profile(path: Path | None, classifier: Classifier) -> Profile | None:
    """The wearer's profile that an option names, made for that model; None without one."""
    from emopi.device.profile import read_profile

    return read_profile(path, classifier.contract) if path else None


def make_pipeline(settings: Settings) -> Pipeline:
    """What the settings make of samples: model, profile, gate, thresholds. Raises `EmopiError`."""
    from emopi.device.classifier import Classifier
    from emopi.device.pipeline import Pipeline

    classifier = Classifier(resolve_model(settings["model"].name))
    profile = settings["model"].profile
    return Pipeline(
        classifier,
        settings["decision"],
        gate=settings["gate"],
        profile=load_profile(Path(profile) if profile else None, classifier),
    )


def _shipped(name: str) -> Path:
    """Where a file of `models/` lies after any kind of installation."""
    return Path(str(files("emopi.models"))) / name


def open_source(
    source: str | SourceSettings,
    rate_hz: int,
    *,
    realtime: bool,
    tell: Tell = lambda notice: click.echo(f"emopi: {notice.text}", err=True),
) -> AudioSource:
    """What `--source` or the settings name: a microphone, "auto" or an audio file."""
    from emopi.device.audio import FileSource
    from emopi.device.source import SourceSettings

    settings = SourceSettings(source) if isinstance(source, str) else source
    if settings.is_microphone:
        from emopi.device.microphone import Microphone

        return Microphone(settings, rate_hz, tell=tell)
    if settings.name == "auto":
        default = dataclasses.replace(settings, name="mic")
        try:
            return open_source(default, rate_hz, realtime=realtime, tell=tell)
        except (MicrophoneError, MissingExtraError) as error:
            click.echo(f"emopi: {error}\nemopi: so here is a bundled recording", err=True)
        return open_source(str(_shipped("example.wav")), rate_hz, realtime=realtime)
    opened = FileSource(settings.name, rate_hz, realtime=realtime)
    if opened.bandwidth_warning:
        click.echo(f"emopi: {opened.bandwidth_warning}", err=True)
    return opened
