"""`emopi devices`: the microphones, and what each can be opened with."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from emopi.device.errors import MicrophoneError

if TYPE_CHECKING:
    from emopi.device.sources.devices import DeviceReport


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def devices(as_json: bool) -> None:
    """List every input device with its sample rates, channels and formats.

    The star marks the default one, which listens without --source. Any other is chosen by number
    or by a part of its name: emopi listen --source mic:NAME. Formats are those that PortAudio
    gives; it converts what the device has.
    """
    from emopi.device.sources.devices import device_reports

    reports = device_reports()
    if as_json:
        click.echo(json.dumps({"devices": [report.to_json() for report in reports]}))
    else:
        for line in table(reports):
            click.echo(line)
    if not reports:
        raise MicrophoneError(
            "no microphone was found; expected an input device: plug one in and look at arecord "
            "-l; emopi doctor says what else is missing"
        )


def table(reports: list[DeviceReport]) -> list[str]:
    """Lines with a heading, the columns as wide as needed; none without devices."""
    if not reports:
        return []
    rows: list[tuple[str, ...]] = [
        ("", "#", "NAME", "CHANNELS", "RATES IN HZ (* ITS OWN)", "FORMATS")
    ]
    rows += [_row(report) for report in reports]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


def _row(report: DeviceReport) -> tuple[str, ...]:
    device = report.device
    star = "*" if device.is_default else ""
    if not report.can_be_opened:
        claims = f"cannot be opened now, in use? (claims {device.rate_hz} Hz)"
        return star, str(device.index), device.name, str(device.channels), claims, ""
    rates = " ".join(f"{rate}{'*' * (rate == device.rate_hz)}" for rate in report.rates_hz)
    return (
        star,
        str(device.index),
        device.name,
        _counts(report.channels) + (f" of {device.channels}" * (device.channels > 8)),
        rates,
        " ".join(report.formats),
    )


def _counts(channels: tuple[int, ...]) -> str:
    """(1, 2, 3) as "1-3", (2,) as "2"; gaps are listed."""
    if channels == tuple(range(channels[0], channels[-1] + 1)) and len(channels) > 1:
        return f"{channels[0]}-{channels[-1]}"
    return " ".join(map(str, channels))
