"""Every decision and notice as a line of JSON in a file that only grows, until it is rotated."""

from __future__ import annotations

import dataclasses
import errno
import fcntl
import itertools
import json
import os
import time
from pathlib import Path

from emopi.device.errors import SinkError, SpecError
from emopi.device.sinks import Report
from emopi.device.sinks.background import Recorder
from emopi.device.sinks.record import Record

MODE = 0o600
"""What people sounded like is nobody else's business."""


@dataclasses.dataclass(frozen=True, slots=True)
class LogSettings:
    """Lines of JSON, one a decision or notice, with the time of day."""

    file: Path
    """Grows; FILE.1 is the one before it, FILE.2 the one before that, ..."""
    rotate_mb: float = 16.0
    """Size at which a new file is begun, above 0; 16 MiB are some seven hours."""
    keep: int = 7
    """How many older files are kept, 0 to 1000."""
    fsync_every_s: float = 5.0
    """What a power cut can cost; 0 for one line, at some wear of an SD card."""

    def __post_init__(self) -> None:
        """Check every field against its range."""
        if not self.rotate_mb > 0:
            raise SpecError(f"rotate_mb is {self.rotate_mb}; expected more than 0")
        if not 0 <= self.keep <= 1000:
            raise SpecError(f"keep is {self.keep}; expected 0 to 1000")
        if not 0 <= self.fsync_every_s <= 3600:
            raise SpecError(f"fsync_every_s is {self.fsync_every_s}; expected 0 to 3600 seconds")


class Log(Recorder):
    """Appends each line with one write, so that a killed process leaves whole lines.

    A line that does not fit on the disk is taken back and raises `OSError`. What a power cut has
    torn is cut off by the next `open`.
    """

    name = "log"

    def __init__(self, settings: LogSettings, report: Report) -> None:
        self._settings = settings
        self._report = report
        self._file = -1
        self._size = 0
        self._synced_s = time.monotonic()

    def open(self) -> None:
        """Open or create the file and mend its end. Raises `SinkError` if it cannot be."""
        path = self._settings.file
        try:
            self._file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, MODE)
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.close()
            raise SinkError(f"{path} is being written by another emopi; name another") from None
        except OSError as error:
            if error.errno == errno.ENOSPC:
                raise
            raise SinkError(
                f"{path} cannot be written: {error.strerror}; expected a file in a folder that "
                "is there and may be written to"
            ) from None
        self._size = os.fstat(self._file).st_size
        if torn := self._size - whole_bytes(self._file):
            self._size -= torn
            os.ftruncate(self._file, self._size)
            self._report(f"log: {path} ended in the middle of a line; {torn} bytes cut off")

    def write(self, record: Record) -> None:
        """Append its line; raises `OSError` and leaves the file as it was if it does not fit."""
        if self._file < 0:  # after a rotation that failed
            self.open()
        line = (json.dumps(record.to_json(), allow_nan=False) + "\n").encode()
        if self._size and self._size + len(line) > self._settings.rotate_mb * 2**20:
            self._rotate()
        self._append(line)

    def idle(self) -> None:
        """Write through what is not yet on the disk."""
        self._sync()

    def close(self) -> None:
        """Write through and close."""
        if self._file >= 0:
            file, self._file = self._file, -1
            try:
                os.fsync(file)
            finally:
                os.close(file)

    def _append(self, line: bytes) -> None:
        try:
            if (written := os.write(self._file, line)) != len(line):
                raise OSError(errno.ENOSPC, f"no room for more than {written} bytes of a line")
            self._sync()
        except OSError as error:
            os.ftruncate(self._file, self._size)
            raise OSError(f"{self._settings.file}: {error.strerror}") from None
        self._size += len(line)

    def _sync(self) -> None:
        now_s = time.monotonic()
        if now_s - self._synced_s >= self._settings.fsync_every_s:
            os.fsync(self._file)
            self._synced_s = now_s

    def _rotate(self) -> None:
        """Make room: the file becomes FILE.1, FILE.1 becomes FILE.2, the oldest goes."""
        path, keep = self._settings.file, self._settings.keep
        names = [path, *(path.with_name(f"{path.name}.{n}") for n in range(1, keep + 1))]
        self.close()
        names[-1].unlink(missing_ok=True)
        for newer, older in reversed(list(itertools.pairwise(names))):
            if newer.exists():
                newer.replace(older)
        self.open()


def whole_bytes(file: int) -> int:
    """Length of the part of an open file that consists of whole lines."""
    end = os.fstat(file).st_size
    while end:
        start = max(0, end - 65_536)
        found = os.pread(file, end - start, start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        end = start
    return 0
