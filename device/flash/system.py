"""Which Raspberry Pi OS lies on a card, told by its boot partition."""

from __future__ import annotations

import dataclasses
import fnmatch
import re
from typing import Literal

from emopi.device.errors import CardError
from emopi.device.flash.partition import Partition

Release = Literal["bookworm", "trixie"]
Bits = Literal["aarch64", "armhf"]

BOOT_FILES = ("config.txt", "cmdline.txt", "kernel*.img", "*.dtb")
"""What every boot partition of a Raspberry Pi has, as patterns."""

SEED = ("user-data", "meta-data")
"""What the images with cloud-init have."""

FIRST_TRIXIE = "2025-10-01"
FIRST_CLOUD_INIT = "2025-11-24"
"""Dates of the first images of Trixie, and of the first with cloud-init. Bookworm's go on."""


@dataclasses.dataclass(frozen=True, slots=True)
class System:
    """A system that emopi runs on."""

    release: Release
    bits: Bits

    @property
    def target(self) -> str:
        """As the archives of emopi bundle are named, such as "trixie-aarch64"."""
        return f"{self.release}-{self.bits}"


def recognize(partition: Partition, wanted: str | None = None) -> System:
    """The system on the card; `wanted` is the release that a person says it is.

    Raises `CardError` if it is no boot partition of a Raspberry Pi, or of a system that emopi does
    not run on, or if it cannot be told.
    """
    names = partition.names()
    missing = [p for p in BOOT_FILES if not fnmatch.filter(map(str.lower, names), p)]
    if missing:
        raise CardError(
            f"{partition} is not the boot partition of a Raspberry Pi: {', '.join(missing)} missing"
            "; expected the partition that Raspberry Pi Imager made, which is called bootfs"
        )
    has_seed = any(name in names for name in SEED)
    release = wanted or _release(partition, names, has_seed)
    if release == "trixie" and not has_seed:
        raise CardError(
            f"{partition} has no user-data: images of Trixie before {FIRST_CLOUD_INIT} have no "
            "cloud-init; write a newer one"
        )
    bits: Bits = "armhf" if any(re.fullmatch(r"kernel7?l?\.img", name) for name in names) else (
        "aarch64"
    )  # fmt: skip
    if (release, bits) == ("trixie", "armhf"):
        raise CardError(
            f"{partition} has a 32-bit Trixie, for which there is no TFLite interpreter; write "
            "Raspberry Pi OS Lite (64-bit), or the 32-bit Bookworm"
        )
    return System("trixie" if release == "trixie" else "bookworm", bits)


def _release(partition: Partition, names: list[str], has_seed: bool) -> Release:
    """Trixie's images have a seed of cloud-init; of those without, Bookworm's have an initramfs."""
    issue = partition.read("issue.txt").decode(errors="replace") if "issue.txt" in names else ""
    dated = re.search(r"Raspberry Pi reference (\d{4}-\d\d-\d\d)", issue)
    if not dated:
        raise CardError(
            f"{partition} has no issue.txt of Raspberry Pi OS, so its system is unknown; expected "
            "Raspberry Pi OS Lite, Bookworm or Trixie. If it is: --os bookworm or --os trixie"
        )
    if has_seed:
        return "trixie"
    if b"auto_initramfs" not in partition.read("config.txt"):
        raise CardError(
            f"{partition} is of {dated[1]} and older than Bookworm, which emopi does not run on; "
            "write Raspberry Pi OS Lite, Bookworm or Trixie. If it is one: --os"
        )
    if FIRST_TRIXIE <= dated[1] < FIRST_CLOUD_INIT:
        raise CardError(
            f"{partition} is of {dated[1]}, when there were images of Bookworm and of Trixie that "
            "look alike; if it is Bookworm, say --os bookworm, otherwise write a newer image"
        )
    return "bookworm"
