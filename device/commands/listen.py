"""`emopi listen`: a microphone or a file to decisions, all day.

An option named TABLE__FIELD sets that field of the settings and wins over the settings file.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from emopi.device.commands.shared import make_pipeline, open_source, settings_model_option
from emopi.device.commands.sink_options import sink_options
from emopi.device.commands.source_options import source_options
from emopi.device.config.settings import Settings, read_settings

if TYPE_CHECKING:
    from emopi.device.pipeline import Pipeline
    from emopi.device.recording import Recording
    from emopi.device.sinks import Sink
    from emopi.device.sources.audio import AudioSource
    from emopi.device.sources.notice import Tell

FILE_PATIENCE_S = 60.0
"""How long a file that is read as fast as possible waits for a sink; a microphone cannot."""


@click.command()
@click.option(
    "--config",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Settings in TOML; emopi config show writes one. Options given here win over it.",
)
@source_options
@sink_options
@settings_model_option
@click.option(
    "--profile",
    "model__profile",
    metavar="FILE",
    help="A wearer's profile that emopi calibrate wrote for this model.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a decision on stdout.")
@click.option("--quiet", is_flag=True, help="No decision on stdout; the other sinks get them.")
@click.option("--fast", is_flag=True, help="Read a FILE as fast as possible, not in real time.")
@click.option(
    "--hop",
    "decision__hop_s",
    type=float,
    show_default="0.5",
    help="Seconds from one decision to the next.",
)
@click.option(
    "--memory",
    "decision__memory_s",
    type=float,
    show_default="3.0",
    help="Seconds of windows averaged.",
)
@click.option(
    "--gate",
    "gate__level_dbfs",
    type=float,
    show_default="-70.0",
    help="Level in dBFS below which there is no speech.",
)
@click.option(
    "--detector",
    "gate__detector",
    metavar="auto|silero|micro|none",
    show_default="auto",
    help="Who tells speech from other sound; none leaves it to the level.",
)
@click.option(
    "--speech",
    "gate__speech_s",
    type=float,
    show_default="0.8",
    help="Seconds of speech that a window must hold to be judged.",
)
@click.option(
    "--min-confidence",
    "decision__min_confidence",
    type=float,
    show_default="0.5",
    help="Probability below which the answer is unsure; 0 for always an emotion.",
)
@click.option(
    "--record",
    type=click.Path(path_type=Path),
    metavar="DIR|FILE",
    help="Write the last seconds that were heard to a WAV file at the end, and on SIGUSR1.",
)
@click.option(
    "--record-seconds",
    "record_s",
    default=60.0,
    show_default=True,
    help="How many, for --record: 1 to 600.",
)
def listen(
    config: Path | None,
    as_json: bool,
    quiet: bool,
    fast: bool,
    record: Path | None,
    record_s: float,
    sinks: dict[str, Any],
    **options: Any,
) -> None:
    """Listen to a microphone or a file and say, every half second, what emotion it sounds like.

    Audio stays in memory and is never written anywhere, unless --record says so. Ctrl-C and
    SIGTERM end it, SIGHUP reads the settings anew.
    """
    from emopi.device.sensor import Sensor
    from emopi.device.signals import Signals, Stopped
    from emopi.device.watchdog import Watchdog

    parts = _Parts(config, options, sinks, as_json, quiet, fast, record, record_s)
    watchdog = Watchdog.from_environment()
    try:
        with Signals() as signals, Sensor(parts, signals, watchdog, _say) as sensor:
            sensor.run()
    except Stopped:
        _let_go_of_stdout()


@dataclasses.dataclass(frozen=True)
class _Parts:
    """What the settings and the command line ask for: see `emopi.device.sensor.Parts`."""

    config: Path | None
    options: dict[str, Any]
    named_sinks: dict[str, Any]
    as_json: bool
    quiet: bool
    fast: bool
    record: Path | None
    record_s: float

    def settings(self) -> Settings:
        """Those of the file, or the defaults; the command line's win."""
        found = read_settings(self.config) if self.config else Settings.default()
        wanted = found.with_options(self.options)
        return dataclasses.replace(wanted, sinks={**wanted.sinks, **self.named_sinks})

    def pipeline(self, settings: Settings) -> Pipeline:
        """Model, profile, thresholds."""
        return make_pipeline(settings)

    def source(self, settings: Settings, rate_hz: int, tell: Tell) -> AudioSource:
        """What is listened to, opened."""
        return open_source(settings["source"], rate_hz, realtime=not self.fast, tell=tell)

    def sinks(self, settings: Settings, source: str) -> Sink:
        """The one on stdout, unless it is unwanted, and those of the settings."""
        from emopi.device.sinks.group import Sinks

        sinks = [] if self.quiet else [_stdout_sink(self.as_json, source)]
        if settings.sinks:
            from emopi.device.sinks.registry import make_sinks

            patience_s = FILE_PATIENCE_S if self.fast else 0.0
            sinks += make_sinks(settings.sinks, _say, patience_s=patience_s)
        if not sinks:
            _say("nobody gets the decisions: give the settings a [sinks.NAME]")
        return Sinks(sinks, _say)

    def recording(self, rate_hz: int) -> Recording | None:
        """What keeps the last seconds, if that is wanted; says so."""
        from emopi.device.recording import Recording

        if not self.record:
            return None
        recording = Recording(self.record, self.record_s, rate_hz)
        _say(
            f"RECORDING: the last {self.record_s:g} s that are heard will be written to "
            f"{self.record} at the end and on SIGUSR1; tell everyone who can be heard"
        )
        return recording


def _let_go_of_stdout() -> None:
    """Python would wait at its end, for ever, until someone reads what is left for stdout."""
    with Path(os.devnull).open("wb") as nowhere, contextlib.suppress(OSError, ValueError):
        os.dup2(nowhere.fileno(), sys.stdout.fileno())


def _say(text: str) -> None:
    click.echo(f"emopi: {text}", err=True)


def _stdout_sink(as_json: bool, source: str) -> Sink:
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
