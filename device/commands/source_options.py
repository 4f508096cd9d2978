"""The options that name a microphone and say how it is heard: of listen and doctor.

Named TABLE__FIELD, as `emopi.device.config.settings.Settings.with_options` takes them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, get_args

import click

from emopi.device.sources.settings import SampleFormat

Command = TypeVar("Command", bound=Callable[..., Any])


def _channel(_ctx: click.Context, _param: click.Parameter, value: str | None) -> int | str | None:
    """What the settings hold for it: a number, or a word; they check it."""
    return int(value) if value and value.isdecimal() else value


_OPTIONS = (
    click.option(
        "--channel",
        "source__channel",
        callback=_channel,
        metavar="loudest|mean|NUMBER",
        show_default="loudest",
        help="Of a microphone with several: which one is heard.",
    ),
    click.option(
        "--gain",
        "source__gain_db",
        type=float,
        show_default="0",
        help="dB added to the microphone's level.",
    ),
    click.option(
        "--rate",
        "source__rate_hz",
        type=int,
        show_default="the device's own",
        help="Sample rate at which the microphone is opened.",
    ),
    click.option(
        "--format",
        "source__sample_format",
        type=click.Choice(get_args(SampleFormat)),
        show_default="auto",
        help="Sample format in which the microphone is opened.",
    ),
    click.option(
        "--low-bits",
        "source__low_bits",
        is_flag=True,
        default=None,
        help="Its 32-bit words hold 24-bit samples in their low bits: it is 48 dB too quiet.",
    ),
    click.option(
        "--wait",
        "source__wait",
        is_flag=True,
        default=None,
        help="Wait for a microphone that is not there yet.",
    ),
)

_SOURCE = click.option(
    "--source",
    "source__name",
    show_default="mic",
    metavar="mic|mic:NAME|FILE|auto",
    help="The default microphone, one by (part of its) name or index, or an audio file; auto is "
    "the microphone, or a bundled recording where there is none.",
)


def source_options(command: Command) -> Command:
    """Give a command --source and the options of a microphone."""
    for option in reversed((_SOURCE, *_OPTIONS)):
        command = option(command)
    return command
