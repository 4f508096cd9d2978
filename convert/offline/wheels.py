"""The wheels that emopi needs on another machine than this one.

pip finds and fetches them. It judges the conditions in a wheel's requirements ("platform_machine
== ...") by the machine that it runs on, even with --platform, so those are judged here, and pip is
asked again until nothing new is needed.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import subprocess
import sys
import tempfile
import urllib.parse
from collections.abc import Collection, Iterable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path

from emopi.convert.offline.targets import Target
from emopi.device.errors import BundleError, MissingExtraError
from emopi.device.versions import versions

PIP = "24.3"
"""The oldest that will do."""
ROUNDS = 20
"""More than any chain of requirements is long."""


@dataclasses.dataclass(frozen=True, slots=True)
class Wheel:
    """A file of a package index."""

    name: str
    version: str
    file: str
    sha256: str
    requirements: tuple[str, ...]


def resolve(
    requirements: Sequence[str], target: Target, extras: Collection[str] = ()
) -> list[Wheel]:
    """The newest wheels for the target that meet requirements, and theirs; by name.

    `extras` are those that hold where a requirement names one. What the target has from Debian is
    left out. Raises `BundleError` where there are no such wheels, or none that agree.
    """
    check_tools()
    wanted: dict[str, set[str]] = {}
    _want(wanted, requirements, target, {"", *extras})
    for _ in range(ROUNDS):
        asked = sorted(f"{name}{spec}" for name, specs in wanted.items() for spec in specs)
        wheels = _find(asked, target)
        before = {name: frozenset(specs) for name, specs in wanted.items()}
        for wheel in wheels:
            its = {spec.strip("[]") for spec in wanted[wheel.name] if spec.startswith("[")}
            _want(wanted, wheel.requirements, target, {"", *its})
        if before == wanted:
            return wheels
    raise BundleError(f"pip finds other versions each time for: {', '.join(asked)}")


def fetch(wheels: Iterable[Wheel], target: Target, folder: Path) -> dict[str, bytes]:
    """Name to content of the wheels, which stay in `folder` and are not fetched again.

    Raises `BundleError` where pip cannot, or a file is another one than was found before.
    """
    wheels = list(wheels)
    folder.mkdir(parents=True, exist_ok=True)
    missing = [one for one in wheels if _sha256(folder / one.file) != one.sha256]
    for wheel in missing:  # what an interruption has left of it
        (folder / wheel.file).unlink(missing_ok=True)
    if missing:
        pinned = [f"{wheel.name}=={wheel.version}" for wheel in missing]
        _pip("download", "--dest", str(folder), *_options(target), *pinned, shows=True)
    for wheel in wheels:
        path = folder / wheel.file
        if _sha256(path) != wheel.sha256:
            raise BundleError(
                f"{path} is not what the package index had a moment ago; remove {folder} and try "
                "again"
            )
    return {wheel.file: (folder / wheel.file).read_bytes() for wheel in wheels}


def _sha256(path: Path) -> str | None:
    """Of a file; None where there is none."""
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else None


def check_tools() -> None:
    """Raise `BundleError` or `MissingExtraError` where this Python cannot fetch wheels."""
    if find_spec("packaging") is None:
        raise MissingExtraError("emopi bundle", "bundle", "packaging")
    from packaging.version import Version

    found = versions("pip").get("pip")
    if found is None or Version(found) < Version(PIP):
        raise BundleError(
            f"emopi bundle needs pip {PIP} or newer, and here is {found or 'none'}: an older one "
            "takes only what suits the Python that it runs on, even with --python-version. Run: "
            f"{sys.executable} -m pip install 'pip>={PIP}' (without any pip first: -m ensurepip)"
        )


def _want(
    wanted: dict[str, set[str]],
    requirements: Iterable[str],
    target: Target,
    extras: Iterable[str],
) -> None:
    """Put what holds on the target into `wanted`: name to what is asked of it."""
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    for text in requirements:
        one = Requirement(text)
        name = canonicalize_name(one.name)
        holds = one.marker is None or any(
            one.marker.evaluate(target.markers | {"extra": extra}) for extra in extras
        )
        if holds and name not in target.from_debian:
            specs = wanted.setdefault(name, set())
            specs |= {f"[{extra}]" for extra in one.extras}
            specs.add(str(one.specifier))


def _find(asked: Sequence[str], target: Target) -> list[Wheel]:
    with tempfile.TemporaryDirectory() as nowhere:
        command = ("install", "--dry-run", "--ignore-installed", "--report", "-")
        report = _pip(*command, "--target", nowhere, *_options(target), *asked)
    return sorted(map(_wheel, json.loads(report)["install"]), key=lambda wheel: wheel.name)


def _wheel(found: Mapping[str, object]) -> Wheel:
    """From an entry of pip's installation report."""
    from packaging.utils import canonicalize_name

    metadata, source = found["metadata"], found["download_info"]
    assert isinstance(metadata, dict)
    assert isinstance(source, dict)
    return Wheel(
        canonicalize_name(metadata["name"]),
        metadata["version"],
        Path(urllib.parse.unquote(urllib.parse.urlsplit(source["url"]).path)).name,
        source["archive_info"]["hashes"]["sha256"],
        tuple(metadata.get("requires_dist", ())),
    )


def _options(target: Target) -> list[str]:
    tag = f"cp{target.python_minor.replace('.', '')}"
    options = ["--no-deps", "--only-binary=:all:", "--implementation=cp"]
    options += [f"--python-version={target.python_minor}"]
    options += [f"--platform={platform}" for platform in target.platforms]
    return options + [f"--abi={abi}" for abi in (tag, "abi3", "none")]


def _pip(*arguments: str, shows: bool = False) -> str:
    """What pip prints; with `shows` its bars are on a terminal's stderr instead."""
    from emopi.device.progress import shows_bars

    visible = shows and shows_bars()
    command = [sys.executable, "-m", "pip", "--no-input", "--disable-pip-version-check"]
    command += [arguments[0], *([] if visible else ["--quiet"]), *arguments[1:]]
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        stdout=sys.stderr if visible else subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode:
        raise BundleError(_why(done.stderr))
    return done.stdout or ""


def _why(said: str) -> str:
    """What pip complains of, and what to do."""
    errors = [line[7:] for line in said.splitlines() if line.startswith("ERROR: ")]
    text = "; ".join(errors) or said.strip() or "it said nothing"
    if "No matching distribution" in text:
        return (
            f"pip found no wheel for the target: {text}. Another index or a folder that has it can "
            "be named by PIP_EXTRA_INDEX_URL or PIP_FIND_LINKS; for 32-bit ARM, Raspberry Pi OS "
            "names one in /etc/pip.conf"
        )
    return f"pip failed: {text}. See whether the network works; what was fetched is kept"
