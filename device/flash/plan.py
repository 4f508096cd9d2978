"""What changes on a card, worked out before anything is written."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path

from emopi.device.errors import CardError
from emopi.device.flash import cloud_init, first_boot, first_run
from emopi.device.flash.boot_text import change_cmdline, change_config
from emopi.device.flash.card_settings import CardSettings
from emopi.device.flash.first_boot import Installation
from emopi.device.flash.partition import Partition
from emopi.device.flash.system import System

FOLDER = "emopi"
RECORD = f"{FOLDER}/flash.json"
"""What was written, so that it can be told from a person's own changes, and put back."""

BACKUP = ".before-emopi"


@dataclasses.dataclass(frozen=True, slots=True)
class Change:
    """A file that is to be as it says."""

    name: str
    content: bytes = b""
    source: Path | None = None
    """Where the content is, if it is large."""


@dataclasses.dataclass(frozen=True, slots=True)
class Record:
    """What an earlier run left on the card."""

    digests: dict[str, str] = dataclasses.field(default_factory=dict)
    """Of the files that it wrote, by name."""
    created: tuple[str, ...] = ()
    """Those that were not there before; of the others there is a backup."""

    @classmethod
    def read(cls, partition: Partition) -> Record:
        """The card's, empty if it has none. Raises `CardError` for one that is damaged."""
        if not partition.exists(RECORD):
            return cls()
        try:
            fields = json.loads(partition.read(RECORD))
            return cls(dict(fields["digests"]), tuple(fields["created"]))
        except (ValueError, KeyError, TypeError):
            raise CardError(f"{partition}/{RECORD} is damaged; write the card anew") from None

    def to_bytes(self) -> bytes:
        """As it lies on the card."""
        return (json.dumps(dataclasses.asdict(self), indent=1) + "\n").encode()


def make_plan(
    partition: Partition, system: System, settings: CardSettings, installation: Installation
) -> list[Change]:
    """Every file that is wanted, in the order in which they are written: cmdline.txt last.

    Until that is written, the card boots as before. Raises `CardError` if something on the card is
    not as expected.
    """
    before = Before(partition)
    sha256 = ""
    if payload := installation.payload:
        with payload.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    script = first_boot.script(installation, settings, sha256)
    unit = first_boot.unit(installation, settings)
    plan = [Change(f"{FOLDER}/{payload.name}", source=payload)] if payload else []
    plan += [
        Change(f"{FOLDER}/{first_boot.SCRIPT_NAME}", script.encode()),
        Change(f"{FOLDER}/{first_boot.UNIT_NAME}", unit.encode()),
    ]
    words = [f"cfg80211.ieee80211_regdom={settings.country}"] if settings.country else []
    if system.release == "trixie":
        seed = _seed(before, settings)
        name = f"emopi-{digest(b''.join(change.content for change in seed))}"
        seed.append(Change("meta-data", cloud_init.meta_data(name).encode()))
        plan += seed
        words.append(f"ds=nocloud;i={name}")
    else:
        first = first_run.script(settings).encode()
        plan.append(Change(f"{FOLDER}/{first_run.SCRIPT_NAME}", first))
        words += first_run.CMDLINE
    plan.append(Change("config.txt", _config(before, settings)))
    plan.append(Change("cmdline.txt", change_cmdline(before.text("cmdline.txt"), words).encode()))
    return plan


class Before:
    """The card as it was before emopi flash, whether that has run or not."""

    def __init__(self, partition: Partition) -> None:
        self._partition = partition
        self.record = Record.read(partition)

    def content(self, name: str) -> bytes | None:
        """A file's content, None if it was not there.

        One that has changed since emopi flash wrote it counts as it is now.
        """
        if not self._partition.exists(name):
            return None
        now = self._partition.read(name)
        if self.record.digests.get(name) != digest(now):
            return now
        return None if name in self.record.created else self._partition.read(f"{name}{BACKUP}")

    def text(self, name: str) -> str:
        """The same of a text, empty if it was not there."""
        try:
            return (self.content(name) or b"").decode()
        except UnicodeDecodeError:
            raise CardError(f"{self._partition}/{name} is not UTF-8 text") from None

    def is_edited(self, name: str) -> bool:
        """Whether somebody has changed what emopi flash wrote."""
        known, there = self.record.digests.get(name), self._partition.exists(name)
        return bool(known) and there and known != digest(self._partition.read(name))


def _seed(before: Before, settings: CardSettings) -> list[Change]:
    """The files of cloud-init but meta-data. The network-config stays unless a Wi-Fi is given."""
    if before.is_edited("user-data"):
        raise CardError(
            "user-data was changed after emopi flash wrote it, and the two cannot be told apart; "
            "put back what was there with --restore, make your change, and run this again"
        )
    seed = [Change("user-data", cloud_init.user_data(settings, before.text("user-data")).encode())]
    network = before.content("network-config")
    if settings.ssid:
        network = cloud_init.network_config(settings).encode()
    return seed if network is None else [*seed, Change("network-config", network)]


def _config(before: Before, settings: CardSettings) -> bytes:
    wanted = ["dtparam=i2s=on", f"dtoverlay={settings.overlay}"] if settings.i2s else []
    return change_config(before.text("config.txt"), wanted).encode()


def digest(content: bytes) -> str:
    """A short one, to tell one content of a file from another."""
    return hashlib.sha256(content).hexdigest()[:16]
