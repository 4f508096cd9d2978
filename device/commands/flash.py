"""`emopi flash`: a card whose first boot makes the Raspberry Pi a sensor."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from emopi.device.errors import ConfigError

if TYPE_CHECKING:
    from emopi.device.flash.apply import Work
    from emopi.device.flash.card_settings import CardSettings
    from emopi.device.flash.first_boot import Installation
    from emopi.device.flash.partition import Partition
    from emopi.device.flash.system import System

file_type = click.Path(path_type=Path, dir_okay=False, exists=True)


def _defaults(ctx: click.Context, _param: click.Parameter, value: Path | None) -> None:
    """Let a TOML file give what the command line does not: the options by their names."""
    if value is None:
        return
    try:
        found = tomllib.loads(value.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{value} cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise ConfigError(f"{value} is not TOML: {error}") from None
    names = {
        option.removeprefix("--"): param
        for param in ctx.command.params
        for option in param.opts
        if isinstance(param, click.Option) and param.name not in _NOT_IN_A_FILE
    }
    for key in found:
        if key not in names:
            raise ConfigError(
                f"{value}: unknown key {key!r}; expected one of: {', '.join(sorted(names))}"
            )
    ctx.default_map = {str(names[key].name): one for key, one in found.items()}


_NOT_IN_A_FILE = {"settings", "dry_run", "show_secrets", "restore"}


@click.command()
@click.argument("card", type=click.Path(path_type=Path, exists=True))
@click.option(
    "--settings",
    type=file_type,
    is_eager=True,
    expose_value=False,
    callback=_defaults,
    help='A TOML file with these options by their names, such as hostname = "sensor".',
)
@click.option(
    "--os",
    "release",
    type=click.Choice(["bookworm", "trixie"]),
    help="Of the card. Default: what its files say.",
)
@click.option("--bundle", type=file_type, help="An archive of emopi bundle: needs no network.")
@click.option(
    "--package",
    metavar="WHEEL|REQUIREMENT",
    help="A wheel of emopi, or what pip shall install: a name, git+https://... Needs a network.",
)
@click.option("--hostname", help="The Pi's name: it answers to HOSTNAME.local.")
@click.option("--user", help="Who logs in. With --password-file, --ssh-key or both.")
@click.option(
    "--password-file",
    metavar="FILE",
    help="A file with the user's password or its hash, - for stdin. Or the environment's "
    "EMOPI_CARD_PASSWORD.",
)
@click.option(
    "--ssh-key",
    "ssh_keys",
    type=file_type,
    multiple=True,
    help="A public key, such as ~/.ssh/id_ed25519.pub; SSH then takes no passwords.",
)
@click.option("--wifi", "ssid", metavar="SSID", help="Name of the Wi-Fi.")
@click.option(
    "--passphrase-file",
    metavar="FILE",
    help="A file with the Wi-Fi's passphrase, - for stdin. Or the environment's "
    "EMOPI_CARD_PASSPHRASE.",
)
@click.option("--open", "is_open", is_flag=True, help="The Wi-Fi has no passphrase.")
@click.option("--hidden", is_flag=True, help="The Wi-Fi does not tell its name.")
@click.option("--country", metavar="DE", help="Where the Wi-Fi is, without which it stays off.")
@click.option("--timezone", metavar="Europe/Berlin", help="Default: as on the card.")
@click.option("--locale", metavar="de_DE.UTF-8", help="Default: as on the card.")
@click.option("--keyboard", metavar="de", help="Default: as on the card.")
@click.option(
    "--i2s",
    metavar="NAME",
    help="A microphone on the I2S pins: inmp441, ics43434, sph0645, voicehat, adau7002, wm8960, "
    "or the name of an overlay.",
)
@click.option("--apt", "packages", multiple=True, help="A Debian package to install as well.")
@click.option("--dry-run", is_flag=True, help="Print every file that would change; write nothing.")
@click.option("--show-secrets", is_flag=True, help="Of a dry run: hashes and keys, too.")
@click.option("--restore", is_flag=True, help="Put back what was on the card before.")
def flash(card: Path, restore: bool, dry_run: bool, show_secrets: bool, **options: Any) -> None:
    """Prepare a CARD, so that its first boot makes the Raspberry Pi a sensor.

    CARD is the folder where the boot partition is mounted that Raspberry Pi Imager has written, or
    a disk image. What Imager has set stays, except what is given here. Run it again with other
    options, or with --restore, until the card has booted.
    """
    from emopi.device.flash.apply import apply, work_out
    from emopi.device.flash.apply import restore as put_back
    from emopi.device.flash.options import make_installation, make_settings
    from emopi.device.flash.plan import make_plan
    from emopi.device.flash.system import recognize

    partition = _partition(card)
    if restore and dry_run:
        raise click.UsageError("--restore and --dry-run are both given; expected one of them")
    if restore:
        for name in put_back(partition):
            click.echo(f"emopi: put back: {name}", err=True)
        return
    system = recognize(partition, options.pop("release"))
    installation = make_installation(options.pop("bundle"), options.pop("package"), system)
    settings = make_settings(partition, options)
    if not (installation.payload or installation.requirement or settings != type(settings)()):
        raise click.UsageError("nothing to do; expected --bundle, --package or something to set")
    work = work_out(partition, make_plan(partition, system, settings, installation))
    if dry_run:
        _show(partition, work, show_secrets)
        return
    apply(partition, work)
    for name in work.names:
        click.echo(f"emopi: {'removed' if name in work.stale else 'written'}: {name}", err=True)
    if not work.names:
        click.echo("emopi: nothing to write: all is there already", err=True)
    _say_what_now(partition, system, settings, installation)


def _partition(card: Path) -> Partition:
    from emopi.device.flash.partition import FolderPartition

    if card.is_dir():
        return FolderPartition(card)
    from emopi.device.flash.image import ImagePartition

    return ImagePartition(card)


def _show(partition: Partition, work: Work, show_secrets: bool) -> None:
    """Print what would be written, whole, and what would be copied and removed."""
    from emopi.device.flash.credentials import hide
    from emopi.device.flash.plan import BACKUP

    for name in work.backups:
        click.echo(f"# {partition}/{name}{BACKUP}: {name} as it is now\n")
    for change in work.changes:
        if change.source:
            size = change.source.stat().st_size
            click.echo(f"# {partition}/{change.name}: {size} bytes of {change.source}\n")
        else:
            text = change.content.decode(errors="backslashreplace")
            shown = text if show_secrets else hide(text)
            click.echo(f"# {partition}/{change.name}:\n{shown}")
    for name in work.stale:
        click.echo(f"# remove: {partition}/{name}")


def _say_what_now(
    partition: Partition, system: System, settings: CardSettings, installation: Installation
) -> None:
    getattr(os, "sync", lambda: None)()  # Windows has none
    who = f"ssh {settings.user or 'USER'}@{settings.hostname or 'HOSTNAME'}.local"
    lines = [f"{partition} is prepared ({system.target}): eject it, and start the Pi with it"]
    if installation.payload or installation.requirement:
        how = "over the network" if installation.needs_network(settings) else "without a network"
        lines.append(f"its first boot installs emopi {how}; then: {who}, systemctl status emopi")
    else:
        lines.append("emopi is not on it: --bundle or --package was not given")
    for line in lines:
        click.echo(f"emopi: {line}", err=True)
