"""The run folder: what was trained, on what, how far it is. Every write is atomic."""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import json
import math
import os
import platform
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from emopi.device.errors import RunError
from emopi.device.files import write_atomically

RECORD = "run.json"
HISTORY = "history.json"
LOCK = ".lock"
"""Held by the training that writes to the folder."""
FORMAT = 1


@dataclasses.dataclass(frozen=True, slots=True)
class RunRecord:
    """`run.json`: enough to train the same model again."""

    network: str
    protocol: str
    fold: str
    validation_share: float
    """Share of the training side held out for watching, 0 if none."""
    recipe: dict[str, Any]
    corpus: dict[str, Any]
    """name, folder, sha256 over all, number of clips on each side."""
    normalization: dict[str, Any]
    command: str
    commit: str | None
    """Of emopi's own repository, "-dirty" if it had changes; none if installed without it."""
    versions: dict[str, str]
    hardware: str
    epochs_done: int = 0
    seconds: float = 0.0
    """Training time up to now, over all resumptions."""
    finished: bool = False
    teacher: dict[str, Any] | None = None
    """network, run_sha256, share and temperature of what it learns from, if it does."""
    format: int = FORMAT

    def write(self, folder: Path) -> None:
        """Write `run.json` into `folder`."""
        write_atomically(
            folder / RECORD, json.dumps(dataclasses.asdict(self), indent=1).encode() + b"\n"
        )

    @classmethod
    def read(cls, folder: Path) -> RunRecord:
        """The record of a run folder; `RunError` if it is none, or of another format."""
        path = folder / RECORD
        if not path.is_file():
            raise RunError(f"{folder} is not a run folder: it has no {RECORD}. See: emopi train")
        try:
            content = json.loads(path.read_text())
            record = cls(**content)
        except (ValueError, TypeError) as error:
            raise RunError(f"{path} cannot be read ({error}); train anew") from None
        if record.format != FORMAT:
            raise RunError(f"{path} has format {record.format}; expected {FORMAT}: train anew")
        return record

    def matching(self, other: RunRecord) -> RunRecord:
        """Self; raises `RunError` with the first setting in which `other` trains another model."""
        for name in (
            "network", "protocol", "fold", "validation_share", "recipe", "normalization", "teacher"
        ):  # fmt: skip
            mine, others = (json.loads(json.dumps(getattr(r, name))) for r in (self, other))
            if _alike(mine, others):
                continue
            if isinstance(mine, dict) and isinstance(others, dict):
                name = next(k for k in mine | others if not _alike(mine.get(k), others.get(k)))
                mine, others = mine.get(name), others.get(name)
            raise RunError(
                f"the run was started with {name} = {mine!r}, now it is {others!r}; "
                "resume with the same settings, or train into another folder"
            )
        if self.corpus["sha256"] != other.corpus["sha256"]:
            raise RunError("the corpus has changed since the run was started; train anew")
        return self


def _alike(mine: Any, others: Any) -> bool:
    """Whether two JSON values are the same but for what another machine's arithmetic rounds."""
    if isinstance(mine, dict) and isinstance(others, dict):
        return mine.keys() == others.keys() and all(_alike(mine[k], others[k]) for k in mine)
    if isinstance(mine, list) and isinstance(others, list):
        return len(mine) == len(others) and all(map(_alike, mine, others))
    if isinstance(mine, float) and isinstance(others, float):
        return math.isclose(mine, others, rel_tol=1e-4, abs_tol=1e-4)
    return bool(mine == others)


@dataclasses.dataclass(slots=True)
class History:
    """`history.json`: one entry an epoch."""

    epochs: list[dict[str, float]] = dataclasses.field(default_factory=list)

    def write(self, folder: Path) -> None:
        """Write `history.json` into `folder`."""
        lines = ",\n ".join(json.dumps(epoch) for epoch in self.epochs)
        write_atomically(folder / HISTORY, f"[\n {lines}\n]\n".encode())

    @classmethod
    def read(cls, folder: Path) -> History:
        """The history of a run folder, empty if it has none yet."""
        path = folder / HISTORY
        try:
            return cls(json.loads(path.read_text()) if path.is_file() else [])
        except ValueError as error:
            raise RunError(f"{path} cannot be read ({error}); train anew") from None


def in_use(out: Path) -> bool:
    """Whether a training is writing to that run folder; `OSError` if that cannot be told."""
    try:
        with (out / LOCK).open() as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


@contextlib.contextmanager
def own_folder(out: Path, resume: bool) -> Iterator[None]:
    """Make the run folder, if it is to be new, and keep other trainings out of it."""
    if resume:
        RunRecord.read(out)
    try:
        out.mkdir(parents=True, exist_ok=True)
        lock = (out / LOCK).open("w")
    except OSError as error:
        raise RunError(f"{out} cannot be written: {error.strerror}; choose another --out") from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise RunError(f"another training is writing to {out}; choose another --out") from None
        try:
            if not resume and any(path.name != LOCK for path in out.iterdir()):
                raise RunError(
                    f"{out} exists and is not empty; add --resume to go on with the run in it, "
                    "or choose another --out"
                )
            yield
        finally:
            (out / LOCK).unlink(missing_ok=True)
            with contextlib.suppress(OSError):
                out.rmdir()  # if nothing came of it


def commit() -> str | None:
    """The commit of the repository that this code lies in, none outside emopi's own."""
    root = Path(__file__).resolve().parents[1]
    if not (root / ".git").exists():
        return None
    try:
        described = subprocess.run(
            [
                "git",
                "-C",
                str(root),
                "describe",
                "--always",
                "--dirty",
                "--exclude=*",
                "--abbrev=12",
            ],
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return described.stdout.strip()


def hardware() -> str:
    """Processor and number of cores, for a person to read."""
    name = platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith(("model name", "Model")):
                name = line.split(":", 1)[1].strip()
                break
    return f"{name}, {os.cpu_count()} cores"
