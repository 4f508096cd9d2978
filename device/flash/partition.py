"""The boot partition of a card: a folder where it is mounted, or inside a disk image.

FAT knows neither owners nor permissions: whoever holds the card can read all of it.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from emopi.device.errors import CardError
from emopi.device.files import check_writable, write_atomically


class Partition(Protocol):
    """Files by name, "/" between folders. Raises `CardError` where the card does not answer."""

    def names(self, folder: str = "") -> list[str]:
        """Of the files and folders at its top, or in a folder; none where there is no folder."""

    def exists(self, name: str) -> bool:
        """Whether there is such a file or folder."""

    def read(self, name: str) -> bytes:
        """A file's content; it must be there."""

    def write(self, name: str, content: bytes) -> None:
        """Replace a file as a whole, or leave it as it was; folders are made."""

    def copy(self, source: Path, name: str) -> None:
        """The same for a file's content that may be large."""

    def remove(self, name: str) -> None:
        """Remove a file, or a folder with everything in it, if it is there."""

    def free_bytes(self) -> int:
        """Room that is left."""

    def check_writable(self) -> None:
        """Raise `CardError` if nothing can be written."""

    def __str__(self) -> str:
        """Where it is, for a person."""


class FolderPartition:
    """A boot partition that is mounted."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __str__(self) -> str:
        return str(self._folder)

    def names(self, folder: str = "") -> list[str]:
        path = self._folder / folder
        with self._explained():
            return sorted(one.name for one in path.iterdir()) if path.is_dir() else []

    def exists(self, name: str) -> bool:
        return (self._folder / name).exists()

    def read(self, name: str) -> bytes:
        with self._explained():
            return (self._folder / name).read_bytes()

    def write(self, name: str, content: bytes) -> None:
        path = self._folder / name
        with self._explained():
            path.parent.mkdir(exist_ok=True)
            write_atomically(path, content)

    def copy(self, source: Path, name: str) -> None:
        path = self._folder / name
        part = path.with_name(f".{path.name}.part")
        with self._explained():
            path.parent.mkdir(exist_ok=True)
            try:
                with source.open("rb") as read, part.open("wb") as written:
                    shutil.copyfileobj(read, written, 1 << 20)
                    written.flush()
                    os.fsync(written.fileno())
                part.replace(path)
            except BaseException:
                part.unlink(missing_ok=True)
                raise

    def remove(self, name: str) -> None:
        path = self._folder / name
        with self._explained():
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)

    def free_bytes(self) -> int:
        return shutil.disk_usage(self._folder).free

    def check_writable(self) -> None:
        with self._explained():
            check_writable(self._folder / "config.txt")

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            remedy = {
                errno.EROFS: "; mount it writable, and look for the lock switch of the card",
                errno.EACCES: "; mount it as yourself, or use sudo",
                errno.EPERM: "; mount it as yourself, or use sudo",
                errno.ENOSPC: "; remove what is not of the system",
            }.get(error.errno or 0, "")
            where = f" ({error.filename})" if error.filename else ""
            raise CardError(f"{self}: {error.strerror or error}{where}{remedy}") from None
