"""What the commands that hear something share: models, profiles, sources."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

import click

from emopi.device.errors import MicrophoneError, MissingExtraError
from emopi.device.model_files import resolve_model, shipped

if TYPE_CHECKING:
    from emopi.device.classifier import Classifier
    from emopi.device.config.settings import Settings
    from emopi.device.pipeline import Pipeline
    from emopi.device.profile import Profile
    from emopi.device.sources.audio import AudioSource
    from emopi.device.sources.notice import Tell
    from emopi.device.sources.settings import SourceSettings

DEFAULT_MODEL = "cnn-int8"
MODEL_HELP = "A .tflite file that emopi convert made, or the name of a shipped one."

model_option = click.option(
    "--model",
    default=DEFAULT_MODEL,
    show_default=True,
    metavar="MODEL",
    help=MODEL_HELP,
)

settings_model_option = click.option(
    "--model", "model__name", show_default=DEFAULT_MODEL, metavar="MODEL", help=MODEL_HELP
)
"""Of commands that take a settings file, whose model holds where the option is not given."""

profile_option = click.option(
    "--profile",
    "profile_path",
    type=click.Path(path_type=Path),
    help="A wearer's profile that emopi calibrate wrote for this model.",
)


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


def open_source(
    source: str | SourceSettings,
    rate_hz: int,
    *,
    realtime: bool,
    tell: Tell = lambda notice: click.echo(f"emopi: {notice.text}", err=True),
) -> AudioSource:
    """What `--source` or the settings name: a microphone, "auto" or an audio file."""
    from emopi.device.sources.audio import FileSource
    from emopi.device.sources.settings import SourceSettings

    settings = SourceSettings(source) if isinstance(source, str) else source
    if settings.is_microphone:
        from emopi.device.sources.microphone import Microphone

        return Microphone(settings, rate_hz, tell=tell)
    if settings.name == "auto":
        default = dataclasses.replace(settings, name="mic")
        try:
            return open_source(default, rate_hz, realtime=realtime, tell=tell)
        except (MicrophoneError, MissingExtraError) as error:
            click.echo(f"emopi: {error}\nemopi: so here is a bundled recording", err=True)
        return open_source(str(shipped("example.wav")), rate_hz, realtime=realtime)
    opened = FileSource(settings.name, rate_hz, realtime=realtime)
    if opened.bandwidth_warning:
        click.echo(f"emopi: {opened.bandwidth_warning}", err=True)
    return opened
