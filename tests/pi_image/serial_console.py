"""An emulated machine that boots from a card, and its serial console."""

from __future__ import annotations

import contextlib
import os
import re
import selectors
import subprocess
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path

from pi_image import card_image

SERIAL = ("-serial", "stdio")
MACHINES = {
    # as fast as a machine is emulated, with devices that a hypervisor has
    "virt": (
        *("-M", "virt", "-cpu", "cortex-a72", "-smp", "2", "-m", "1024", "-nic", "none"),
        *("-device", "virtio-blk-device,drive=card"),
        *("-drive", "if=none,id=card,format=raw,cache=unsafe,file={image}", *SERIAL),
    ),
    # QEMU's Raspberry Pi 3B, its own card reader; its first serial line is for Bluetooth
    "raspi3b": (
        *("-M", "raspi3b", "-dtb", "{root}/usr/lib/linux-image-{version}/{dtb}"),
        *("-drive", "if=sd,format=raw,cache=unsafe,file={image}", "-serial", "null", *SERIAL),
    ),
}
CONSOLES = {"virt": "ttyAMA0", "raspi3b": "ttyS1,115200"}
DTB = "broadcom/bcm2837-rpi-3-b.dtb"
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[()][A-Z0-9]|[\r\x07]")


class Console:
    """What a machine says, line by line, into `log` with the seconds since it was switched on."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self._process = process
        self._log = log
        self._started_s = time.monotonic()
        self._part = b""
        self.lines: list[str] = []
        self._unread: deque[str] = deque()

    def wait_for(self, pattern: str, seconds: float) -> re.Match[str]:
        """The first line from now on that holds the pattern.

        Fails when none came in time, when the kernel panics, and when the machine goes off before.
        """
        for line in self._until(time.monotonic() + seconds):
            if found := re.search(pattern, line):
                return found
            assert "Kernel panic" not in line, f"{line}\n{self.tail()}"
        raise AssertionError(f"no {pattern!r} within {seconds:g} s:\n{self.tail()}")

    def wait_for_end(self, seconds: float) -> None:
        """Until it has switched itself off."""
        for line in self._until(time.monotonic() + seconds):
            assert "Kernel panic" not in line, f"{line}\n{self.tail()}"
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"it has not switched itself off:\n{self.tail()}") from None

    def tail(self) -> str:
        """The last lines, for a message."""
        return "\n".join(self.lines[-30:])

    def _until(self, deadline_s: float) -> Iterator[str]:
        """Every line once, to whoever asks first; ends with the machine's output or in time."""
        output = self._process.stdout
        assert output is not None
        with selectors.DefaultSelector() as selector:
            selector.register(output, selectors.EVENT_READ)
            while True:
                while self._unread:
                    yield self._unread.popleft()
                if not selector.select(max(0.0, deadline_s - time.monotonic())):
                    return
                if not (chunk := os.read(output.fileno(), 65536)):
                    return
                self._take(chunk)

    def _take(self, chunk: bytes) -> None:
        *whole, self._part = (self._part + chunk).split(b"\n")
        with self._log.open("a") as log:
            for raw in whole:
                line = ESCAPES.sub("", raw.decode(errors="replace")).rstrip()
                self.lines.append(line)
                self._unread.append(line)
                log.write(f"{time.monotonic() - self._started_s:8.2f}  {line}\n")


@contextlib.contextmanager
def switched_on(kind: str, image: Path, root: Path, log: Path) -> Iterator[Console]:
    """A machine of that kind with that card. Killed at the end if it is still on.

    The kernel of `root` gets the words of the card's cmdline.txt, as from a Raspberry Pi's
    firmware, that its console is the serial line, and to do without transparent huge pages, which
    Raspberry Pi's kernels do not have (raspberrypi/linux#4687, #7076) and Debian's uses for
    everything: some megabytes more for any process.
    """
    kernel, initramfs = card_image.kernel(root)
    names = {"image": image, "root": root, "dtb": DTB, "version": kernel.name.partition("-")[2]}
    words = card_image.read(image, "cmdline.txt").split()
    words = [word for word in words if not word.startswith("console=")]
    command = ["qemu-system-aarch64", "-display", "none", "-monitor", "none", "-no-reboot"]
    command += [word.format(**names) for word in MACHINES[kind]]
    command += ["-kernel", str(kernel), "-initrd", str(initramfs)]
    words = [f"console={CONSOLES[kind]}", *words, "transparent_hugepage=never"]
    command += ["-append", " ".join(words)]
    with log.open("a") as file:
        line = " ".join(command).replace(f"{image.parent}/", "").replace(f"{root.parent}/", "")
        file.write(f"# {line}\n".replace(f"{root}/", ""))
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as process:
        try:
            yield Console(process, log)
        finally:
            process.kill()
