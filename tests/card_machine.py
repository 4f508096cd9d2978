"""A system of Debian's that boots in a container from a prepared card: systemd, cloud-init, all."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import container

PACKAGES = (
    *("systemd-sysv", "dbus", "udev", "openssh-server", "network-manager", "sudo", "locales"),
    *("tzdata", "console-setup", "rfkill", "iproute2", "ca-certificates", "python3", "xz-utils"),
)
"""What Raspberry Pi OS has as well, of what a first boot needs."""

RELEASE_PACKAGES = {"bookworm": (), "trixie": ("cloud-init", "netplan.io")}

NOCLOUD = """\
datasource_list: [NoCloud, None]
datasource:
  NoCloud:
    seedfrom: file:///boot/firmware
"""
"""As Raspberry Pi OS tells cloud-init where to look."""

REBOOT = 133
"""Exit status of systemd-nspawn when what it ran wants to be started again."""


def root_of(release: str, folder: Path) -> Path:
    """The root of a release, made the first time."""
    return container.debian(folder / release, release, (*PACKAGES, *RELEASE_PACKAGES[release]))


class Machine:
    """A root, unchanged below, that keeps what its boots write; `card` is its /boot/firmware."""

    def __init__(self, root: Path, card: Path) -> None:
        self.root = root
        self.card = card
        self._network = ["--private-network"]
        (root / "boot/firmware").mkdir(parents=True, exist_ok=True)
        (root / "etc/hosts").write_text("127.0.0.1 localhost\n127.0.1.1 raspberrypi\n")
        for path in [card, *card.rglob("*")]:
            path.chmod(0o755)  # as FAT is mounted

    def read(self, name: str) -> str:
        return (self.root / name).read_text()

    def chroot(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command of the root's, which is not up."""
        return subprocess.run(
            ["chroot", str(self.root), *command], capture_output=True, text=True, check=False
        )

    def share_network(self) -> None:
        """Let it use this machine's network, which it may not change, and offer nothing there."""
        shutil.copy("/etc/ssl/certs/ca-certificates.crt", self.root / "etc/ssl/certs")
        (self.root / "etc/pip.conf").write_text(
            "[global]\ncert = /etc/ssl/certs/ca-certificates.crt\n"
        )
        for unit in ("ssh", "NetworkManager", "NetworkManager-wait-online"):
            link = self.root / f"etc/systemd/system/{unit}.service"
            link.unlink(missing_ok=True)
            link.symlink_to("/dev/null")
        self._network = ["--resolv-conf=replace-host"]

    @contextmanager
    def boot(self) -> Iterator[Boot]:
        """Start it with the words of the card's cmdline.txt that are not the kernel's."""
        words = (self.card / "cmdline.txt").read_text().split()
        mine = [word for word in words if word.startswith(("systemd.", "ds="))]
        command = ["systemd-nspawn", "--quiet", f"--directory={self.root}", "--register=no"]
        command += [f"--bind={self.card}:/boot/firmware", "--keep-unit", *self._network]
        command += ["--console=pipe", f"--machine=emopi-{os.getpid()}", "--boot", *mine]
        with subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        ) as process:
            try:
                yield Boot(process)
            finally:
                container.kill(process)


class Boot:
    """One run of a machine."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    def wait_for(self, condition: Callable[[], bool], seconds: float = 240) -> None:
        """Return when it holds; fail when it does not come true, or the machine stops before."""
        end = time.monotonic() + seconds
        while not condition():
            assert self._process.poll() is None, "the machine has stopped"
            assert time.monotonic() < end, f"not within {seconds} s"
            time.sleep(0.5)

    def wait_for_end(self, seconds: float = 240) -> int:
        """The exit status when it stops by itself."""
        self._process.communicate(timeout=seconds)
        return self._process.returncode

    def run(self, *command: str) -> str:
        """What a command prints inside, once there is an inside."""
        self.wait_for(lambda: container.leader(self._process) is not None)
        done = subprocess.run(
            [*container.enter(container.leader(self._process) or 0), *command],
            capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout
