"""Debian packages for another machine than this one, found, checked and fetched by apt.

apt works in folders of its own there, as if nothing but Python were installed: this machine's
packages, settings and rights do not matter.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from emopi.convert.offline.targets import Target
from emopi.device.errors import BundleError

BASE = ("python3", "apt", "systemd-sysv")
"""What any Raspberry Pi OS has; what these need is not bundled."""
KEYS = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
CONFIGURATION = """\
Dir "{root}";
Dir::State::status "{root}/var/lib/dpkg/status";
Dir::Etc::trusted "/dev/null";
APT::Architecture "{architecture}";
APT::Architectures {{ "{architecture}"; }};
APT::Install-Recommends "false";
APT::Sandbox::User "";
Acquire::Languages "none";
Acquire::Retries "3";
"""


class Apt:
    """apt for a target, its lists and packages in a folder that is used again."""

    def __init__(self, target: Target, mirror: str, folder: Path) -> None:
        """Raises `BundleError` where there is no apt, or none of Debian's keys."""
        if not shutil.which("apt-get") or not KEYS.exists():
            raise BundleError(
                "the Debian packages for a microphone are fetched by apt-get, with the keys of "
                f"debian-archive-keyring ({KEYS}), and one of them is not here. Make the bundle on "
                "Debian, Ubuntu or Raspberry Pi OS (sudo apt install debian-archive-keyring), or "
                "give --no-packages: then the Raspberry Pi needs python3-pyaudio beforehand"
            )
        self._root = folder.resolve()
        self._target = target
        for name in (
            "etc/apt/apt.conf.d", "etc/apt/preferences.d", "etc/apt/sources.list.d",
            "var/lib/apt/lists/partial", "var/cache/apt/archives/partial", "var/lib/dpkg",
        ):  # fmt: skip
            (self._root / name).mkdir(parents=True, exist_ok=True)
        (self._root / "var/lib/dpkg/status").touch()
        source = f"deb [signed-by={KEYS}] {mirror} {target.suite} main\n"
        (self._root / "etc/apt/sources.list").write_text(source)
        settings = CONFIGURATION.format(root=self._root, architecture=target.architecture)
        (self._root / "apt.conf").write_text(settings)

    def resolve(self) -> list[str]:
        """What the target's packages need that `BASE` does not, each "name=version", by name."""
        self._run("update")
        base = self._installed(BASE)
        everything = self._installed((*BASE, *self._target.packages))
        return sorted(f"{name}={everything[name]}" for name in everything.keys() - base.keys())

    def fetch(self, packages: Sequence[str]) -> dict[str, bytes]:
        """File name to content of the packages, "name=version" each."""
        archives = self._root / "var/cache/apt/archives"
        self._run("download", *packages, folder=archives)
        contents: dict[str, bytes] = {}
        for package in packages:
            name, _, version = package.partition("=")
            pattern = f"{name}_{version.replace(':', '%3a')}_*.deb"
            contents |= {path.name: path.read_bytes() for path in archives.glob(pattern)}
        if len(contents) != len(packages):
            raise BundleError(f"apt-get brought {', '.join(contents)} for {', '.join(packages)}")
        return contents

    def _installed(self, packages: Sequence[str]) -> dict[str, str]:
        """Name to version of what the installation of packages would bring."""
        plan = self._run("--simulate", "install", *packages).splitlines()
        # Inst python3 (3.11.2-1+b1 Debian:12.11/stable [arm64])
        lines = [line.split() for line in plan if line.startswith("Inst ")]
        return {words[1]: words[2].strip("(") for words in lines}

    def _run(self, *arguments: str, folder: Path | None = None) -> str:
        environment = os.environ | {"APT_CONFIG": str(self._root / "apt.conf"), "LC_ALL": "C"}
        done = subprocess.run(
            ["apt-get", "--quiet=2", *arguments],
            cwd=folder, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True,
            check=False,
        )  # fmt: skip
        # an update that has reached nothing is a warning to apt
        if done.returncode or (arguments[0] == "update" and "W: Failed to fetch" in done.stderr):
            raise BundleError(
                f"apt-get {' '.join(arguments[:2])} failed for {self._target.name}: "
                f"{done.stderr.strip()}. See whether the network works, or give --no-packages"
            )
        return done.stdout
