"""An archive whose bytes depend on its content alone."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Mapping
from typing import Any

SUMS = "SHA256SUMS"
MANIFEST = "manifest.json"
EPOCH_S = 315_532_800
"""Time of every file in it: 1980, as in a wheel."""
EXECUTABLE = ".sh"


def pack(folder: str, files: Mapping[str, bytes], facts: Mapping[str, Any]) -> bytes:
    """A .tar.gz with one folder: the files, a manifest of the facts and all files, and checksums.

    `SHA256SUMS` has every file but itself, as `sha256sum --check` reads it.
    """
    listed = {
        name: {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        for name, content in sorted(files.items())
    }
    manifest = json.dumps({**facts, "files": listed}, indent=2) + "\n"
    everything = {**files, MANIFEST: manifest.encode()}
    sums = "".join(
        f"{hashlib.sha256(content).hexdigest()}  {name}\n"
        for name, content in sorted(everything.items())
    )
    return _tar(folder, {**everything, SUMS: sums.encode()})


def _tar(folder: str, files: Mapping[str, bytes]) -> bytes:
    packed = io.BytesIO()
    parents = {folder} | {f"{folder}/{name.rpartition('/')[0]}" for name in files if "/" in name}
    with (
        # without a name and a time in its header
        gzip.GzipFile(filename="", mode="wb", fileobj=packed, mtime=0) as zipped,
        tarfile.open(fileobj=zipped, mode="w", format=tarfile.PAX_FORMAT) as tar,
    ):
        for parent in sorted(parents):
            tar.addfile(_entry(parent, tarfile.DIRTYPE, 0o755))
        for name, content in sorted(files.items()):
            mode = 0o755 if name.endswith(EXECUTABLE) else 0o644
            entry = _entry(f"{folder}/{name}", tarfile.REGTYPE, mode)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return packed.getvalue()


def _entry(name: str, kind: bytes, mode: int) -> tarfile.TarInfo:
    """Of nobody, at no time."""
    entry = tarfile.TarInfo(name)
    entry.type, entry.mode, entry.mtime = kind, mode, EPOCH_S
    entry.uname = entry.gname = "root"
    return entry
