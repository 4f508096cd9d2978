"""`emopi doctor`: can this machine be a sensor, and if not, why not."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from emopi.device.commands.shared import settings_model_option
from emopi.device.commands.source_options import source_options
from emopi.device.config.settings import Settings, read_settings
from emopi.device.model_files import resolve_model

if TYPE_CHECKING:
    from emopi.device.doctor.examine import Section


@click.command()
@click.option(
    "--config",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Examine what these settings say, such as /etc/emopi/emopi.toml.",
)
@source_options
@settings_model_option
@click.option(
    "--seconds",
    type=click.FloatRange(0.5, 60),
    default=3.0,
    show_default=True,
    help="How long the microphone is recorded. Speak meanwhile.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def doctor(config: Path | None, seconds: float, as_json: bool, **options: Any) -> None:
    """Examine software, model, speed, machine and microphone; say what to do about each fault.

    The microphone is recorded for three seconds, which stay in memory. Exit status 1 if the
    sensor cannot work.
    """
    settings = (read_settings(config) if config else Settings.default()).with_options(options)
    if not settings["source"].is_microphone and settings["source"].name != "auto":
        raise click.UsageError(
            f"--source is {settings['source'].name!r}; expected mic or mic:NAME: a file needs no "
            "doctor"
        )
    sections = []
    for section in _sections(settings, seconds):
        sections.append(section)
        if not as_json:
            _show(section)
    works = all(section.works for section in sections)
    if as_json:
        report = {"works": works} | {section.part: section.to_json() for section in sections}
        click.echo(json.dumps(report))
    else:
        click.echo("The sensor can work." if works else "The sensor cannot work like this.")
    if not works:
        sys.exit(1)


def _sections(settings: Settings, seconds: float) -> Iterator[Section]:
    """Each part as soon as it has been examined."""
    from emopi.device.doctor import examine
    from emopi.device.doctor.microphone import check_microphone_apart
    from emopi.device.errors import ModelError
    from emopi.device.frontend import FrontendSpec

    yield examine.check_software()
    classifier = None
    try:
        section, classifier = examine.check_model(resolve_model(settings["model"].name))
    except ModelError as error:
        finding = examine.Finding(examine.Verdict.PROBLEM, str(error), "emopi listen --help")
        section = examine.Section("model", (finding,), {})
    yield section
    if classifier:
        yield examine.check_speed(classifier, settings["decision"], settings["gate"])
    yield examine.check_machine()
    source = settings["source"]
    if source.name == "auto":
        source = dataclasses.replace(source, name="mic")
    click.echo(f"emopi: recording for {seconds:g} s: please speak", err=True)
    spec = classifier.contract.frontend if classifier else FrontendSpec()
    yield check_microphone_apart(source, seconds, spec.sample_rate_hz)


def _show(section: Section) -> None:
    for finding in section.findings:
        click.echo(f"{section.part:<11}{finding.verdict:<9}{finding.text}")
        if finding.remedy:
            click.echo(f"{'':<11}{'':<9}-> {finding.remedy}")
