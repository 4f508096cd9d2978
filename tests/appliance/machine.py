"""A Debian with a systemd of its own and no network, in systemd-nspawn."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import container

SUITE = "bookworm"
PLAIN = ("systemd-sysv", "dbus", "udev", "python3")
"""Less than Raspberry Pi OS Lite has: no ALSA, no pip, no venv."""
SOUND = (*PLAIN, "alsa-utils", "pulseaudio", "pulseaudio-utils", "libasound2-plugins")
BOOT_S = 120.0
TOOLS = (*container.TOOLS, "pgrep")


def why_not() -> str | None:
    """What is missing here for a `Machine`; None if nothing is."""
    if os.geteuid() != 0:
        return "containers need root"
    if missing := [tool for tool in TOOLS if not shutil.which(tool)]:
        return f"{', '.join(missing)} not found (apt install systemd-container mmdebstrap procps)"
    return None


def debian(cache: Path, packages: tuple[str, ...]) -> Path:
    """A folder with a Debian that has those packages, made once in the cache."""
    name = "sound" if packages == SOUND else "plain"
    return container.debian(cache / f"{SUITE}-{name}", SUITE, packages)


@dataclasses.dataclass
class Machine:
    """A running one; `transcript` gets every command and what it said."""

    root: Path
    leader: int
    transcript: Path

    def run(
        self, *command: object, timeout_s: float = 600, ok: bool = True, tells: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """Run a command in it as root, with `ok` expect status 0, and write down what it says."""
        started_s = time.monotonic()
        done = subprocess.run(
            [*self.enter(), *map(str, command)],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout_s,
            check=False, errors="replace",
        )  # fmt: skip
        with self.transcript.open("a") as log:
            said = f"{done.stdout}{done.stderr}" if tells else f"({len(done.stdout)} characters)\n"
            log.write(f"# {' '.join(map(str, command))}\n{said}")
            log.write(f"[status {done.returncode}, {time.monotonic() - started_s:.1f} s]\n\n")
        assert not ok or done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done

    def start(self, *command: object) -> subprocess.Popen[str]:
        """Start a command in it, and do not wait."""
        return subprocess.Popen(
            [*self.enter(), *map(str, command)],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip

    def kill(self, started: subprocess.Popen[str]) -> None:
        """Kill a command that was started, and nothing that it has started itself."""
        found = subprocess.run(
            ["pgrep", "-P", str(started.pid)], capture_output=True, text=True, check=True
        )
        os.kill(int(found.stdout), signal.SIGKILL)
        started.wait()

    def show(self, key: str, unit: str = "emopi") -> str:
        """A property of a unit."""
        return self.run("systemctl", "show", "-p", key, "--value", unit).stdout.strip()

    def enter(self) -> list[str]:
        """What a command begins with, so that it runs inside."""
        inside = ["env", "-i", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]
        inside += ["HOME=/root", "LANG=C.UTF-8"]
        return [*container.enter(self.leader), *inside]

    def wait_for(self, key: str, value: str, seconds: float, unit: str = "emopi") -> None:
        """Wait until a property of a unit is so."""
        deadline_s = time.monotonic() + seconds
        while (found := self.show(key, unit)) != value:
            log = self.run("journalctl", "-u", unit, "-n", "20", "--no-pager", "-o", "cat").stdout
            assert time.monotonic() < deadline_s, f"{key} is {found}, not {value}:\n{log}"
            time.sleep(0.5)


@contextlib.contextmanager
def machine(root: Path, transcript: Path, *, shared: Path) -> Iterator[Machine]:
    """Boot the system in `root`; `shared` is /shared in it, read-only. Off at the end."""
    command = ["systemd-nspawn", "--quiet", "-D", root, f"--machine=emopi-test-{root.name}",
               "--register=no", "--keep-unit", "--boot",
               "--private-network", "--console=pipe", f"--bind-ro={shared}:/shared",
               "--resolv-conf=off", "--timezone=off"]  # fmt: skip
    with (
        (transcript.parent / "console.log").open("ab") as console,
        subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=console, stderr=subprocess.STDOUT
        ) as outside,
    ):
        try:
            running = Machine(root, _leader(outside), transcript)
            _wait_for_boot(running)
            yield running
            running.run("systemctl", "poweroff", ok=False)
            with contextlib.suppress(subprocess.TimeoutExpired):
                outside.wait(30)
        finally:
            if outside.poll() is None:
                outside.send_signal(signal.SIGTERM)
                try:
                    outside.wait(30)
                except subprocess.TimeoutExpired:
                    container.kill(outside)


def _leader(outside: subprocess.Popen[bytes]) -> int:
    """Process id of the systemd inside."""
    deadline_s = time.monotonic() + BOOT_S
    while time.monotonic() < deadline_s and outside.poll() is None:
        if (pid := container.leader(outside)) is not None:
            return pid
        time.sleep(0.1)
    raise RuntimeError("the container has not started; see console.log")


def _wait_for_boot(running: Machine) -> None:
    deadline_s = time.monotonic() + BOOT_S
    while time.monotonic() < deadline_s:
        done = running.run("systemctl", "is-system-running", ok=False)
        if done.stdout.strip() in ("running", "degraded"):
            return
        time.sleep(0.5)
    raise RuntimeError(
        f"systemd is {done.stdout.strip()} after {BOOT_S:g} s; see console.log. With several "
        "containers at a time: sysctl -w fs.inotify.max_user_instances=1024"
    )
