"""What `pip install` puts on a 64-bit Raspberry Pi, and what TensorFlow would."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.suite.charts import bars
from benchmarks.suite.order import Order
from benchmarks.suite.tables import Found, table
from emopi.device.errors import ComparisonError

TITLE = "Installation"
PACKAGES: tuple[str, ...] = ()
ROOT = Path(__file__).resolve().parents[2]
PYTHON_VERSION = "311"
PLATFORMS = ("manylinux2014_aarch64", *(f"manylinux_2_{n}_aarch64" for n in (26, 27, 28, 34, 35)))
"""What Raspberry Pi OS Bookworm's pip takes, on 64 bits."""

OURS, TENSORFLOW = "emopi", "tensorflow"
INSTALLATIONS: dict[str, tuple[str, ...]] = {
    OURS: (),
    "librosa + ai-edge-litert": ("librosa", "ai-edge-litert"),
    TENSORFLOW: ("tensorflow",),
}
"""What is asked of pip; emopi itself is built first."""

ABOUT = """Wheels for aarch64, CPython 3.11, that pip chooses for the requirement, unpacked: the
sizes in their own directories, without the compiled `.pyc` that pip adds. Downloaded and measured,
not installed on a Raspberry Pi."""


def measure(order: Order) -> dict[str, Any]:
    """Unpacked bytes of each wheel; a trial looks at emopi's alone."""
    wanted = [OURS] if order.quick else list(INSTALLATIONS)
    with tempfile.TemporaryDirectory() as folder:
        own = _built(Path(folder) / "own")
        found = {}
        for name in wanted:
            needs = [str(own)] if name == OURS else list(INSTALLATIONS[name])
            found[name] = sizes(_downloaded(needs, Path(folder) / name.partition(" ")[0]))
    return {"bytes": found}


def sizes(folder: Path) -> dict[str, dict[str, int]]:
    """Of each wheel in a folder, by distribution: its own bytes, and unpacked."""
    found = {}
    for wheel in sorted(folder.glob("*.whl")):
        with zipfile.ZipFile(wheel) as archive:
            unpacked = sum(entry.file_size for entry in archive.infolist())
        found[wheel.name.partition("-")[0]] = {
            "wheel": wheel.stat().st_size,
            "unpacked": unpacked,
        }
    return found


def _built(folder: Path) -> Path:
    """emopi's own wheel."""
    _pip("wheel", "--no-deps", "--wheel-dir", str(folder), str(ROOT))
    return next(folder.glob("emopi-*.whl"))


def _downloaded(needs: Sequence[str], folder: Path) -> Path:
    platforms = [word for name in PLATFORMS for word in ("--platform", name)]
    abis = [word for name in (f"cp{PYTHON_VERSION}", "abi3", "none") for word in ("--abi", name)]
    _pip(
        "download", "--only-binary=:all:", "--implementation", "cp", "--python-version",
        PYTHON_VERSION, *platforms, *abis, "--dest", str(folder), *needs,
    )  # fmt: skip
    return folder


def _pip(*words: str) -> None:
    """Raise `ComparisonError` with pip's last words if it fails."""
    command = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise ComparisonError(f"pip {words[0]} failed: {last}; is there a network?")


def page(found: Found) -> str:
    """Sums, then what each dependency of emopi's adds."""
    sums = {name: total(wheels) for name, wheels in found["bytes"].items()}
    rows = [
        [name, f"{n['unpacked'] / 1e6:.1f}", f"{n['wheel'] / 1e6:.1f}",
         str(len(found["bytes"][name])), f"{n['unpacked'] / sums[OURS]['unpacked']:.1f}"]
        for name, n in sums.items()
    ]  # fmt: skip
    parts = [
        ABOUT,
        table(["installed", "MB on disk", "MB downloaded", "packages", "times emopi's"], rows),
    ]
    for name, wheels in found["bytes"].items():
        largest = sorted(wheels.items(), key=lambda one: -one[1]["unpacked"])
        each = ", ".join(f"{package} {n['unpacked'] / 1e6:.1f}" for package, n in largest)
        parts.append(f"{name}, MB each: {each}.")
    return "\n\n".join(parts)


def total(wheels: Found) -> dict[str, int]:
    """Over all wheels."""
    return {key: sum(one[key] for one in wheels.values()) for key in ("wheel", "unpacked")}


def draw(found: Found, folder: Path) -> list[Path]:
    """Sums as bars."""
    path = folder / "installation.png"
    sums = {name: total(wheels)["unpacked"] / 1e6 for name, wheels in found["bytes"].items()}
    shown = {name: dict.fromkeys(("median", "low", "high"), mb) for name, mb in sums.items()}
    bars(path, "Unpacked wheels for aarch64", "MB", shown, log=False)
    return [path]
