"""What installs emopi, once the Pi is up: a unit, a script, and what the script installs from.

It is tried again at every boot until it succeeds; then nothing of it is left.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import shlex
import tarfile
from collections.abc import Mapping
from pathlib import Path
from string import Template

from emopi.device.errors import CardError
from emopi.device.flash.card_settings import CardSettings
from emopi.device.flash.system import System

FOLDER = "/boot/firmware/emopi"
"""On the Pi, all that emopi flash adds."""

UNIT_NAME = "emopi-first-boot.service"
SCRIPT_NAME = "first-boot.sh"

NETWORK = """\
Wants=network-online.target
After=network-online.target
"""

MAX_MANIFEST_BYTES = 1_000_000


@dataclasses.dataclass(frozen=True, slots=True)
class Installation:
    """Where emopi comes from: an archive or a wheel that is copied to the card, or the network."""

    bundle: Path | None = None
    """An archive of emopi bundle: needs no network."""
    wheel: Path | None = None
    """A wheel of emopi; what it needs comes from the network."""
    requirement: str = ""
    """What pip shall install from the network: a name, or git+https://..."""

    @property
    def payload(self) -> Path | None:
        """The file that is copied to the card."""
        return self.bundle or self.wheel

    def needs_network(self, settings: CardSettings) -> bool:
        """Whether the first boot waits for it."""
        return bool(self.wheel or self.requirement or settings.packages)


def check_bundle(path: Path, system: System) -> None:
    """Raise `CardError` unless the archive is emopi's, and made for the system."""
    found = _manifest(path).get("target")
    if found != system.target:
        raise CardError(
            f"{path} is for {found}, the card has {system.target}; expected an archive of "
            f"emopi bundle for that, emopi-VERSION-{system.target}.tar.gz"
        )


def _manifest(path: Path) -> dict[str, object]:
    """The manifest.json of an archive, which must have an install.sh beside it."""
    wanted: dict[str, bytes] = {}
    try:
        with tarfile.open(path) as archive:
            for member in archive:
                folder, _, name = member.name.removeprefix("./").partition("/")
                if folder and name in ("manifest.json", "install.sh") and member.isfile():
                    content = archive.extractfile(member)
                    wanted[name] = content.read(MAX_MANIFEST_BYTES) if content else b""
        manifest = json.loads(wanted["manifest.json"])
        if "install.sh" in wanted and isinstance(manifest, dict):
            return manifest
    except OSError as error:
        raise CardError(f"{path} cannot be read: {error.strerror or error}") from None
    except (tarfile.TarError, EOFError, KeyError, ValueError):
        pass
    raise CardError(f"{path} is no archive of emopi bundle: no manifest.json and install.sh in it")


def script(installation: Installation, settings: CardSettings, sha256: str) -> str:
    """The script; `sha256` is that of the payload."""
    payload = installation.payload
    return shell_script(SCRIPT_NAME, {
        "payload": payload.name if payload else "",
        "payload_sha256": sha256,
        "is_bundle": "yes" if installation.bundle else "",
        "requirement": installation.requirement,
        "packages": " ".join(settings.packages),
    })  # fmt: skip


def unit(installation: Installation, settings: CardSettings) -> str:
    """The unit that runs the script."""
    template = Path(__file__).with_name(UNIT_NAME).read_text()
    network = NETWORK if installation.needs_network(settings) else ""
    return Template(template).substitute(network=network, script=f"{FOLDER}/{SCRIPT_NAME}")


def shell_script(name: str, values: Mapping[str, str]) -> str:
    """A script of this package, its variables set: whatever they hold, the shell sees a text."""
    body = Path(__file__).with_name(name).read_text()
    lines = body.splitlines(keepends=True)
    head = list(itertools.takewhile(lambda line: line.startswith("#"), lines))
    assignments = [f"{key}={shlex.quote(value)}\n" for key, value in values.items()]
    return "".join([*head, "# Written by emopi flash\n", *assignments, *lines[len(head) :]])
