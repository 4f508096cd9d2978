"""`emopi install-service`: a service that listens from boot on, as a user of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from emopi.device.config.settings import Settings, read_settings
from emopi.device.config.text import render
from emopi.device.errors import ServiceError

if TYPE_CHECKING:
    from emopi.device.service import ServiceFile


@click.command(name="install-service")
@click.option("--dry-run", is_flag=True, help="Print every file and command, and do nothing.")
@click.option("--uninstall", is_flag=True, help="Stop and remove it; settings and history stay.")
@click.option(
    "--root",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    default=Path("/"),
    help="Into the system that is mounted there, such as an SD card, and not running. emopi must "
    "be at the same path in it, or be the one that lies there.",
)
@click.option(
    "--settings",
    "new_settings",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Settings to begin with, where there are none. Default: the defaults.",
)
@click.option("--no-start", is_flag=True, help="Enable it, and leave what runs as it is.")
def install_service(
    dry_run: bool, uninstall: bool, root: Path, new_settings: Path | None, no_start: bool
) -> None:
    """Let systemd run emopi listen from boot on, and start it again whatever happens.

    It writes a unit, a user and, where there are none, settings in /etc/emopi/emopi.toml; what is
    there already and right is left alone. Run it again when a sink has been added: the service
    gets a network only if a sink needs one.
    """
    from emopi.device import service

    here = root / service.SETTINGS.relative_to("/")
    begin_with = here if here.exists() else new_settings
    settings = read_settings(begin_with) if begin_with else Settings.default()
    files = service.service_files(
        settings["service"],
        begin_with.read_text() if begin_with else render(settings),
        python=_inside(root, Path(sys.executable)),
        places={_inside(root, place) for place in _places()},
        sinks=settings.sinks,
    )
    if not dry_run:
        _check(root, uninstall)
    system = _System(root, dry_run)
    if uninstall:
        _uninstall(system, files)
    else:
        _install(system, files, starts=system.is_live and not no_start)


def _places() -> set[Path]:
    """Every folder that emopi and its Python are read from."""
    import emopi.device

    package = Path(emopi.device.__file__).parent
    source = Path(emopi.device.__file__).resolve().parent  # another one if installed editable
    return {Path(sys.prefix), Path(sys.base_prefix), package.parent, source.parent}


def _inside(root: Path, path: Path) -> Path:
    """The same place, as the system below `root` sees it."""
    root = root.resolve()
    return Path("/") / path.relative_to(root) if path.is_relative_to(root) else path


def _check(root: Path, uninstall: bool) -> None:
    """Raise `ServiceError` where it cannot work."""
    if os.geteuid():
        what = "removed" if uninstall else "installed"
        again = f"sudo {sys.executable} -m emopi.device.cli {' '.join(sys.argv[1:])}"
        raise ServiceError(f"a service is {what} by root, and you are not root: {again}")
    for program in ("systemctl", "systemd-sysusers"):
        if not shutil.which(program):
            raise ServiceError(
                f"{program} is not here; expected a system with systemd, such as Raspberry Pi OS"
            )
    if root == Path("/") and not Path("/run/systemd/system").is_dir():
        raise ServiceError("systemd does not run here; give --root for a system that is mounted")


def _install(system: _System, files: list[ServiceFile], *, starts: bool) -> None:
    from emopi.device.service import SETTINGS, UNIT, UNIT_NAME, USER

    changed = [file.path for file in files if system.write(file)]
    if USER in changed:
        system.run("systemd-sysusers", USER.name)
    if SETTINGS in changed:
        system.give_to_group(SETTINGS, "emopi")
    if changed and system.is_live:
        system.run("systemctl", "daemon-reload")
    system.run("systemctl", "enable", UNIT_NAME)
    if starts:
        system.run("systemctl", "restart" if UNIT in changed else "start", "--no-block", UNIT_NAME)
    system.say(f"settings: {SETTINGS}; log: journalctl -u emopi; state: systemctl status emopi")


def _uninstall(system: _System, files: list[ServiceFile]) -> None:
    from emopi.device.service import SETTINGS, STATE, UNIT, UNIT_NAME

    if system.has(UNIT):
        system.run("systemctl", "disable", *["--now"] * system.is_live, UNIT_NAME)
    for file in files:
        if not file.is_users:
            system.remove(file.path)
    if system.is_live:
        system.run("systemctl", "daemon-reload")
    system.say(f"{SETTINGS.parent} and {STATE} stay; remove them if you like, and the user: emopi")


class _System:
    """What is done, or with `dry_run` only told on stdout, to the system below `root`."""

    def __init__(self, root: Path, dry_run: bool) -> None:
        self._root = root
        self._dry_run = dry_run
        self.is_live = root == Path("/")
        """Whether it is this one, and runs."""

    def has(self, path: Path) -> bool:
        """Whether a file is there; a dry run says so of any."""
        return self._dry_run or self._at(path).exists()

    def write(self, file: ServiceFile) -> bool:
        """Write a file that is not there as it should be; whether that was so."""
        path = self._at(file.path)
        if self._dry_run:
            click.echo(f"# {path}{', unless it is there' * file.is_users}:\n{file.content}")
            return True
        if path.exists() and (file.is_users or path.read_text() == file.content):
            self.say(f"unchanged: {path}")
            return False
        from emopi.device.files import write_atomically

        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, file.content.encode(), mode=file.mode)
        self.say(f"written: {path}")
        return True

    def remove(self, path: Path) -> None:
        """Remove a file, if it is there."""
        path = self._at(path)
        if self._dry_run:
            click.echo(f"# remove: {path}")
        elif path.exists():
            path.unlink()
            self.say(f"removed: {path}")

    def give_to_group(self, path: Path, group: str) -> None:
        """Let a group of that system, which this one may not have, own a file."""
        path = self._at(path)
        if self._dry_run:
            click.echo(f"# run: chgrp {group} {path}")
            return
        entries = (line.split(":") for line in self._at(Path("/etc/group")).read_text().split())
        os.chown(path, 0, next(int(entry[2]) for entry in entries if entry[0] == group))

    def run(self, command: str, *arguments: str) -> None:
        """Run a command of systemd's. Raises `ServiceError` where it fails."""
        words = [command, *([] if self.is_live else [f"--root={self._root}"]), *arguments]
        if self._dry_run:
            click.echo(f"# run: {' '.join(words)}")
            return
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        if done.returncode:
            told = (done.stderr or done.stdout).strip()
            raise ServiceError(f"{' '.join(words)} failed, status {done.returncode}: {told}")

    def say(self, text: str) -> None:
        """Tell the person who waits."""
        if not self._dry_run:
            click.echo(f"emopi: {text}", err=True)

    def _at(self, path: Path) -> Path:
        return self._root / path.relative_to("/")
