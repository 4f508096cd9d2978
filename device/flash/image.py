"""The boot partition inside a disk image, by mtools: no root, no mount."""

from __future__ import annotations

import os
import re
import shutil
import struct
import subprocess
import tempfile
from pathlib import Path

from emopi.device.errors import CardError

SECTOR_BYTES = 512
FAT_TYPES = (0x01, 0x04, 0x06, 0x0B, 0x0C, 0x0E)
"""Of partitions, in a master boot record."""


class ImagePartition:
    """The first partition of an image such as 2025-12-04-raspios-trixie-arm64-lite.img.

    Unlike on a card, a file that is being replaced is for a moment not there. Raises `CardError`
    if it is no image, or if mtools are not there.
    """

    def __init__(self, image: Path) -> None:
        self._image = image
        self._listed: dict[str, list[str]] = {}
        self._drive = f"{image}@@{_start_bytes(image)}"
        if not shutil.which("mcopy"):
            raise CardError(
                f"{image} is a disk image, for which mtools are needed (Debian: apt install "
                "mtools); or write it to a card, and name the folder where that is mounted"
            )

    def __str__(self) -> str:
        return str(self._image)

    def names(self, folder: str = "") -> list[str]:
        if folder and not self.exists(folder):
            return []
        if folder not in self._listed:
            lines = self._run("mdir", "-b", "-a", f"::/{folder}").decode().splitlines()
            names = [line.rstrip("/").rpartition("/")[2] for line in lines if line.strip("/: ")]
            self._listed[folder] = sorted(names)
        return self._listed[folder]

    def exists(self, name: str) -> bool:
        folder, _, last = name.rpartition("/")
        return last.lower() in map(str.lower, self.names(folder))

    def read(self, name: str) -> bytes:
        return self._run("mtype", f"::/{name}")

    def write(self, name: str, content: bytes) -> None:
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder, "content")
            source.write_bytes(content)
            self.copy(source, name)

    def copy(self, source: Path, name: str) -> None:
        folder = name.rpartition("/")[0]
        if folder and not self.exists(folder):
            self._run("mmd", f"::/{folder}")
        self._listed.clear()
        # not through a file of another name: mren forgets which letters are small
        self._run("mcopy", "-o", str(source), f"::/{name}")

    def remove(self, name: str) -> None:
        if self.exists(name):
            self._listed.clear()
            self._run("mdeltree", f"::/{name}")

    def free_bytes(self) -> int:
        free = re.search(rb"([\d\s]+) bytes free", self._run("mdir", "::/"))
        return int(b"".join(free[1].split())) if free else 0

    def check_writable(self) -> None:
        if not os.access(self._image, os.W_OK):
            raise CardError(f"{self._image} cannot be written: no permission")

    def _run(self, command: str, *arguments: str) -> bytes:
        """What a command of mtools prints. Raises `CardError` where it fails."""
        done = subprocess.run(
            [command, "-i", self._drive, *arguments], stdin=subprocess.DEVNULL,
            capture_output=True, env=os.environ | {"MTOOLSRC": os.devnull, "LC_ALL": "C.UTF-8"},
            check=False,
        )  # fmt: skip
        if done.returncode:
            told = done.stderr.decode(errors="replace").strip() or "it says nothing"
            raise CardError(f"{self._image}: {command} failed, status {done.returncode}: {told}")
        return done.stdout


def _start_bytes(image: Path) -> int:
    """Where the first partition begins, 0 if the image is of a partition alone."""
    try:
        with image.open("rb") as file:
            record = file.read(SECTOR_BYTES)
    except OSError as error:
        raise CardError(f"{image} cannot be read: {error.strerror}") from None
    if record[510:] == b"\x55\xaa":
        if record[54:57] == b"FAT" or record[82:85] == b"FAT":
            return 0
        kind, start = record[450], int(struct.unpack_from("<I", record, 454)[0])
        if kind in FAT_TYPES and start:
            return start * SECTOR_BYTES
    raise CardError(
        f"{image} is no disk image with a boot partition; expected an unpacked .img of Raspberry "
        "Pi OS (unxz FILE.img.xz), or the folder where a card's boot partition is mounted"
    )
