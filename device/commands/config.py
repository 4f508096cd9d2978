"""`emopi config`: the settings file, checked and shown."""

from __future__ import annotations

from pathlib import Path

import click

from emopi.device.commands.shared import make_pipeline
from emopi.device.config.settings import Settings, read_settings
from emopi.device.config.text import render
from emopi.device.errors import ConfigError, EmopiError

file_type = click.Path(path_type=Path, dir_okay=False)


@click.group()
def config() -> None:
    """Check and show the settings of emopi listen, one TOML file."""


@config.command()
@click.argument("file", type=file_type)
def check(file: Path) -> None:
    """Say what is wrong with a settings FILE: one line a key, exit status 1.

    Model, profile and detector are tried as well; the microphone and what the sinks write to are
    not.
    """
    settings = read_settings(file)
    try:
        make_pipeline(settings)
    except EmopiError as error:
        raise ConfigError(f"{file}: {error}") from None
    sinks = ", ".join(settings.sinks) or "none but stdout"
    click.echo(f"{file}: all right (model {settings['model'].name}; sinks: {sinks})")


@config.command()
@click.option("--config", "file", type=file_type, help="Of this file. Default: the defaults.")
def show(file: Path | None) -> None:
    """Print all settings as TOML with comments: a file to start from."""
    click.echo(render(read_settings(file) if file else Settings.default()), nl=False)
