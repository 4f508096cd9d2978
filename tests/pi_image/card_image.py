"""A whole SD card for an arm64 machine: boot partition, Debian with its kernel, and our files."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path

import container

PACKAGES = (
    *("systemd-sysv", "dbus", "udev", "kmod", "openssh-server", "network-manager", "sudo"),
    *("locales", "tzdata", "console-setup", "rfkill", "iproute2", "ca-certificates", "python3"),
    *("xz-utils", "alsa-utils", "linux-image-arm64"),
)
"""What Raspberry Pi OS Lite has as well, of what a sensor needs, and Debian's kernel."""

INITRAMFS = {
    "etc/initramfs-tools/conf.d/card": "MODULES=list\n",
    # card readers of QEMU's machines: virtio, and that of its Raspberry Pi
    "usr/share/initramfs-tools/modules.d/card": (
        "virtio_blk\nvirtio_mmio\next4\nmmc_block\nbcm2835\nsdhci_iproc\n"
    ),
}
"""Made by an emulated shell, for which the usual hundreds of modules are many minutes."""

DISK_ID = 0x8A438930
"""So that the kernel finds the root by the PARTUUID that the card's cmdline.txt names."""

SECTORS_PER_MIB = 2048
BOOT_MIB, ROOT_MIB = 256, 1788
"""Together with the first 4 MiB a power of two, which QEMU's Raspberry Pi asks of a card."""

FSTAB = f"""\
PARTUUID={DISK_ID:08x}-02 / ext4 defaults,noatime 0 1
PARTUUID={DISK_ID:08x}-01 /boot/firmware vfat defaults 0 2
"""


def debian(cache: Path) -> Path:
    """The root of Bookworm for arm64, made the first time: some minutes, most of it emulated."""
    return container.debian(cache / "bookworm-arm64", "bookworm", PACKAGES,
                            architecture="arm64", files=INITRAMFS)  # fmt: skip


def kernel(root: Path) -> tuple[Path, Path]:
    """Kernel and initramfs of that root, which QEMU loads as a Raspberry Pi's firmware would."""
    return next((root / "boot").glob("vmlinuz-*")), next((root / "boot").glob("initrd.img-*"))


def write(image: Path, root: Path, boot: Path, files: Mapping[str, str], work: Path) -> None:
    """Write a card: `root` with `files` by their names in it, `boot` as its boot partition.

    Needs root for a mount; `work` is for what lies over `root` meanwhile, which stays as it is.
    """
    layers = {name: work / name for name in ("upper", "work", "merged")}
    for layer in layers.values():
        layer.mkdir(parents=True)
    options = f"lowerdir={root},upperdir={layers['upper']},workdir={layers['work']}"
    merged = layers["merged"]
    subprocess.run(["mount", "-t", "overlay", "overlay", "-o", options, merged], check=True)
    try:
        for name, content in {"etc/fstab": FSTAB, **files}.items():
            (merged / name).parent.mkdir(parents=True, exist_ok=True)
            (merged / name).write_text(content)
        (merged / "boot/firmware").mkdir(exist_ok=True)
        system = work / "root.ext4"
        run("mkfs.ext4", "-q", "-d", merged, system, f"{ROOT_MIB}M")
    finally:
        subprocess.run(["umount", merged], check=True)
    start = 4
    table = f"label: dos\nlabel-id: {DISK_ID:#x}\n"
    for size, kind in ((BOOT_MIB, "c"), (ROOT_MIB, "83")):
        sectors = [number * SECTORS_PER_MIB for number in (start, size)]
        table += f"start={sectors[0]}, size={sectors[1]}, type={kind}\n"
        start += size
    with image.open("wb") as file:
        file.truncate(start << 20)
    run("sfdisk", "--quiet", image, stdin=table)
    firmware = f"{image}@@{4 << 20}"
    run("mformat", "-i", firmware, "-F", "-T", BOOT_MIB * SECTORS_PER_MIB, "-h", 64, "-s", 32)
    run("mcopy", "-i", firmware, "-s", *boot.iterdir(), "::")
    offset = f"seek={4 + BOOT_MIB}"
    run("dd", f"if={system}", f"of={image}", "bs=1M", offset, "conv=notrunc,sparse", "status=none")
    system.unlink()


def read(image: Path, name: str) -> str:
    """A file of the boot partition."""
    return run("mtype", "-i", f"{image}@@{4 << 20}", f"::{name}")


def run(*command: object, stdin: str = "") -> str:
    """What a command prints; fails with what it says."""
    done = subprocess.run(
        [*map(str, command)], input=stdin, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout
