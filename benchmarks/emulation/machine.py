"""A Debian for a Raspberry Pi's processor in a cache folder, and its Python in QEMU.

    Machine(BOOKWORM_64, cache, mirror).board() -> Board.python("-m", "emopi.device.cli", ...)

Nothing is installed or set up on this machine, and nothing needs root: QEMU translates the
programs where they lie.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from benchmarks.emulation.cores import N_CORES, cpuinfo
from benchmarks.emulation.systems import System
from emopi.device.errors import EmopiError
from emopi.train.dataset import default_cache

MIRROR = "http://deb.debian.org/debian"
TOOLS = {"mmdebstrap": "mmdebstrap", "arch-test": "arch-test", "gcc": "gcc"}
"""Programs that may be needed, and the Debian packages that have them; QEMU's are in qemu-user."""

LIMIT_S = 3600
"""For one command: two minutes on an idle machine, a quarter of an hour on a busy one."""

EXECUTABLE = "EMOPI_EMULATED_PYTHON"
SITECUSTOMIZE = f"""\
import os, sys
# what the emulated Python starts must be emulated as well
sys.executable = os.environ["{EXECUTABLE}"]
"""


class EmulationError(EmopiError, RuntimeError):
    """A tool is missing, or something under emulation has failed."""


@dataclasses.dataclass(frozen=True, slots=True)
class Board:
    """An emulated Raspberry Pi, ready to run Python."""

    launcher: Path
    """Runs the emulated Python with its arguments."""
    env: dict[str, str]

    def python(self, *arguments: object, **env: str) -> subprocess.CompletedProcess[str]:
        """Run it to its end; raises `EmulationError` with what it said if it fails."""
        return run(self.launcher, *map(str, arguments), env=self.env | env)


class Machine:
    """An unpacked Debian below `cache`, made where it is missing."""

    def __init__(
        self, system: System, cache: Path | None = None, mirror: str | None = None
    ) -> None:
        """Raises `EmulationError` if a tool is missing or a step fails."""
        check_tools(system.emulator, "mmdebstrap", "arch-test")
        self.system = system
        self.cache = (cache or default_cache() / "emulation").resolve()
        self.cache.mkdir(parents=True, exist_ok=True)
        mirror = mirror or os.environ.get("EMOPI_DEBIAN_MIRROR", MIRROR)
        named = f"root-{system.name}-{digest(' '.join(system.packages))}"
        self.root = self.made(named, lambda folder: _debian(folder, system, mirror))

    @property
    def python(self) -> Path:
        """The real file of its Python, not the link."""
        return next(iter(sorted((self.root / "usr/bin").glob("python3.[0-9]*"))))

    @contextlib.contextmanager
    def board(
        self, *path: Path, core: str | None = None, told: bool = True, pip: bool = False
    ) -> Iterator[Board]:
        """A board whose Python finds what is in the folders `path`.

        Its /proc/cpuinfo is that of `core`, which LiteRT reads; unless `told`, /sys does not say
        what processors there are, as in a container without it.
        With `pip` it has that of the Debian's venvs; what it starts is not emulated then.
        """
        core = core or self.system.core
        with tempfile.TemporaryDirectory(prefix="emopi-board-") as name:
            folder = Path(name)
            prefix = folder / "root"
            self.lay_out(prefix, core, told=told)
            if not pip:  # which reads the executable to learn what wheels it takes
                (folder / "sitecustomize.py").write_text(SITECUSTOMIZE)
            launcher = folder / "python"
            words = [self.system.emulator, "-cpu", core, "-L", prefix, self.python]
            launcher.write_text(f'#!/bin/sh\nexec {shlex.join(map(str, words))} "$@"\n')
            launcher.chmod(0o755)
            wheels = sorted((self.root / "usr/share/python-wheels").glob("pip-*.whl")) * pip
            yield Board(launcher, self._environment(launcher, [folder, *path, *wheels]))

    def lay_out(self, prefix: Path, core: str, *, told: bool = True) -> None:
        """Lay out `prefix` as the root of a board with that core: LiteRT reads /proc and /sys.

        The programs' other files are this machine's wherever its Debian has none of that name.
        """
        (prefix / "proc").mkdir(parents=True)
        (prefix / "proc/cpuinfo").write_text(cpuinfo(core))
        cpus = prefix / "sys/devices/system/cpu"
        cpus.mkdir(parents=True)
        for name in ("possible", "present"):
            (cpus / name).write_text(f"0-{N_CORES - 1}\n" if told else "")
        for name in ("bin", "etc", "lib", "sbin", "usr"):
            # a newer Debian's packages leave /lib and its like to the set-up
            inside = self.root / name if (self.root / name).exists() else self.root / "usr" / name
            (prefix / name).symlink_to(inside)

    def installed(self, name: str, *arguments: object, stamp: str = "") -> Path:
        """The folder of the cache into which its own pip has installed `arguments`.

        Made anew when they, or `stamp`, are others than then.
        """
        words = [str(argument) for argument in arguments]
        asked = " ".join(Path(word).name for word in words)  # a wheel may lie elsewhere each time
        folder, wanted = self.cache / f"site-{name}", digest(f"{asked} {stamp}")
        made = folder / "made-of"
        if not made.exists() or made.read_text() != wanted:
            shutil.rmtree(folder, ignore_errors=True)
            with self.board(pip=True) as board:
                print(f"pip install in {self.system.name}: {' '.join(words)}", file=sys.stderr)
                board.python(
                    "-m", "pip", "install", "--quiet", "--disable-pip-version-check",
                    "--no-compile", "--root-user-action=ignore", "--only-binary=:all:",
                    f"--cache-dir={self.cache / 'pip'}", f"--target={folder}", *words,
                )  # fmt: skip
            made.write_text(wanted)
        return folder

    def made(self, name: str, make: Callable[[Path], None]) -> Path:
        """The folder `name` of the cache, which `make` fills if it is missing: wholly or not."""
        folder = self.cache / name
        if not folder.exists():
            with tempfile.TemporaryDirectory(dir=self.cache, ignore_cleanup_errors=True) as draft:
                make(Path(draft) / name)
                if not folder.exists():  # another process may have been faster
                    (Path(draft) / name).rename(folder)
        return folder

    def _environment(self, launcher: Path, path: Sequence[Path]) -> dict[str, str]:
        libraries = [str(self.root / folder) for folder in self.system.library_folders]
        kept = {
            key: value
            for key, value in os.environ.items()
            if key == "PATH" or key.startswith("PIP_") or key.lower().endswith("_proxy")
        }
        return kept | {
            EXECUTABLE: str(launcher),
            "HOME": str(launcher.parent),
            "PYTHONHOME": str(self.root / "usr"),
            "PYTHONPATH": ":".join(map(str, path)),
            "OPENBLAS_NUM_THREADS": "1",  # else it takes this machine's number of cores
            **({"LD_LIBRARY_PATH": ":".join(libraries)} if libraries else {}),
        }


def check_tools(*tools: str) -> None:
    """Raise `EmulationError` that names what is not installed, and how to install it."""
    if missing := [tool for tool in tools if not shutil.which(tool)]:
        packages = " ".join(dict.fromkeys(TOOLS.get(tool, "qemu-user") for tool in missing))
        raise EmulationError(
            f"{', '.join(missing)} not found; Raspberry Pis are emulated with QEMU on Debian. "
            f"Install it with: sudo apt install {packages}"
        )


def digest(text: str) -> str:
    """A short name for what was made of `text`."""
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def run(
    *command: str | Path, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run to its end; raises `EmulationError` with what it said if it fails."""
    try:
        return subprocess.run(
            [str(part) for part in command],
            env=env, capture_output=True, text=True, timeout=LIMIT_S, check=True,
        )  # fmt: skip
    except subprocess.CalledProcessError as error:
        said = (error.stderr or error.stdout).strip()[-2000:] or "nothing"
        raise EmulationError(
            f"{shlex.join(map(str, command))} failed with status {error.returncode}; it said:\n"
            f"{said}"
        ) from None
    except subprocess.TimeoutExpired:
        raise EmulationError(f"{command[0]} had not ended after {LIMIT_S} s") from None


def emulator_version(emulator: str) -> str:
    """Such as "7.2.22"."""
    return run(emulator, "--version").stdout.split("version ")[1].split()[0]


def _debian(folder: Path, system: System, mirror: str) -> None:
    print(f"unpacking Debian {system.name} (once)", file=sys.stderr)
    run(
        "mmdebstrap", "--quiet", f"--arch={system.architecture}", "--variant=extract",
        f"--include={','.join(system.packages)}",
        f"--mode={'root' if os.geteuid() == 0 else 'auto'}", "--format=directory",
        system.release, folder, f"deb {mirror} {system.release} main",
    )  # fmt: skip
