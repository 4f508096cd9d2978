"""Bundles and versions of emopi that a test installs."""

from __future__ import annotations

import ensurepip
import io
import subprocess
import sysconfig
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from emopi.convert.offline.archive import pack
from emopi.convert.offline.bundle import FORMAT
from emopi.convert.offline.own_wheel import (
    OwnWheel,
    installer,
    make_wheel,
    read_wheel,
    running_wheel,
)
from emopi.device.config.settings import Settings
from emopi.device.config.text import render

PIP_WHEELS = (Path(ensurepip.__file__).parent / "_bundled", Path("/usr/share/python-wheels"))


def emopi_wheel(version: str, changes: Mapping[str, tuple[str, str]] | None = None) -> OwnWheel:
    """The emopi that runs, as another version, with other text in some of its files.

    `changes` is from a file's name in the wheel to a text in it and what stands there instead.
    """
    running = running_wheel()
    old, new = f"emopi-{running.version}.dist-info", f"emopi-{version}.dist-info"
    with zipfile.ZipFile(io.BytesIO(running.content)) as zipped:
        files = {name: zipped.read(name) for name in zipped.namelist()}
    del files[f"{old}/RECORD"]
    files = {name.replace(old, new): content for name, content in files.items()}
    metadata = files[f"{new}/METADATA"].decode()
    changed = metadata.replace(f"Version: {running.version}\n", f"Version: {version}\n", 1)
    files[f"{new}/METADATA"] = changed.encode()
    for name, (before, after) in (changes or {}).items():
        text = files[name].decode()
        assert before in text, f"{name} has no {before!r}"
        files[name] = text.replace(before, after, 1).encode()
    return read_wheel(make_wheel(files, new), version)


def with_wheel(archive: bytes, wheel: OwnWheel) -> tuple[str, bytes]:
    """A bundle like `archive` with another emopi: the name of its folder, and the archive."""
    import json

    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        members = {member.name: tar.extractfile(member) for member in tar if member.isfile()}
        contents = {name.partition("/")[2]: file.read() for name, file in members.items() if file}
    facts = json.loads(contents.pop("manifest.json"))
    del contents["SHA256SUMS"], facts["files"]
    kept = {n: c for n, c in contents.items() if not n.startswith("wheels/emopi-")}
    kept |= {f"wheels/{wheel.file}": wheel.content, "install.sh": installer(wheel)}
    top = f"emopi-{wheel.version}-{facts['target']}"
    return top, pack(top, kept, facts | {"version": wheel.version})


def local_bundle(
    folder: Path, wheel: OwnWheel, more: Mapping[str, bytes] | None = None, **facts: Any
) -> Path:
    """An unpacked bundle for this machine that borrows what emopi needs from this environment."""
    site = sysconfig.get_path("purelib")
    borrowed = make_wheel(
        {
            "borrowed.pth": f"{site}\n".encode(),
            "borrowed-1.dist-info/METADATA": b"Metadata-Version: 2.1\nName: borrowed\nVersion: 1\n",
            "borrowed-1.dist-info/WHEEL": (
                b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
            ),
        },
        "borrowed-1.dist-info",
    )
    pip = pip_wheel()
    files = {
        f"wheels/{wheel.file}": wheel.content,
        "wheels/borrowed-1-py3-none-any.whl": borrowed,
        f"wheels/{pip.name}": pip.read_bytes(),
        "install.sh": installer(wheel),
        "emopi.toml": render(Settings.default()).encode(),
    }
    found = subprocess.run(
        ["dpkg", "--print-architecture"], capture_output=True, text=True, check=True
    )
    top = f"emopi-{wheel.version}-here"
    manifest = {
        "name": "emopi", "format": FORMAT, "version": wheel.version, "target": "here",
        "architecture": found.stdout.strip(), "python": sysconfig.get_python_version(),
        "installed_mb": 30,
    } | facts  # fmt: skip
    unpack(pack(top, files | dict(more or {}), manifest), folder)
    return folder / top


def unpack(archive: bytes, folder: Path) -> None:
    """With tar, as install.md says; Python's own has no safe way before 3.11.4."""
    subprocess.run(["tar", "-xz", "-C", folder], input=archive, check=True)


def pip_wheel() -> Path:
    """The wheel of pip that Python or Debian brings."""
    found = [path for folder in PIP_WHEELS for path in folder.glob("pip-*.whl")]
    assert found, "neither ensurepip nor python3-pip-whl has a wheel of pip"
    return found[-1]
