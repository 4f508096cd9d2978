"""Debians with a systemd of their own, in systemd-nspawn: made, entered, and ended for certain."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

TOOLS = ("mmdebstrap", "systemd-nspawn", "nsenter")


def debian(
    root: Path,
    release: str,
    packages: Sequence[str],
    *,
    architecture: str | None = None,
    files: Mapping[str, str] | None = None,
) -> Path:
    """A folder with a Debian that has those packages, made the first time: some minutes.

    `architecture` is another one than this machine's, for whose programs the kernel has to start
    QEMU (Debian: qemu-user-static). `files` are there before the packages are, by names.
    """
    if root.is_dir():
        return root
    root.parent.mkdir(parents=True, exist_ok=True)
    draft = root.with_name(f".{root.name}.draft")
    if any(f" {draft}/" in line for line in Path("/proc/self/mounts").read_text().splitlines()):
        raise RuntimeError(f"an interrupted mmdebstrap has left mounts below {draft}: umount them")
    shutil.rmtree(draft, ignore_errors=True)
    for name, content in (files or {}).items():
        (draft / name).parent.mkdir(parents=True, exist_ok=True)
        (draft / name).write_text(content)
    mirror = os.environ.get("EMOPI_DEBIAN_MIRROR", "http://deb.debian.org/debian")
    subprocess.run(
        ["mmdebstrap", "--quiet", "--variant=apt", "--mode=root",
         *([f"--architectures={architecture}"] if architecture else []),
         *(["--skip=check/empty"] if files else []),
         f"--include={','.join(packages)}", release, draft, f"deb {mirror} {release} main"],
        check=True, timeout=1200,
    )  # fmt: skip
    draft.rename(root)
    return root


def leader(nspawn: subprocess.Popen[bytes]) -> int | None:
    """Process id of what is number 1 inside, None if there is nothing yet, or no longer."""
    try:
        found = Path(f"/proc/{nspawn.pid}/task/{nspawn.pid}/children").read_text().split()
    except OSError:
        return None
    return int(found[0]) if found else None


def enter(pid: int) -> list[str]:
    """What a command begins with, so that it runs inside, beside the leader `pid`."""
    return ["nsenter", "-t", str(pid), "-m", "-u", "-i", "-n", "-p"]


def kill(nspawn: subprocess.Popen[bytes]) -> None:
    """End it at once. Its leader first: without systemd-nspawn it would go on by itself."""
    if (pid := leader(nspawn)) is not None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    nspawn.kill()
