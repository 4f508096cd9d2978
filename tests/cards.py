"""Boot partitions as Raspberry Pi OS has them, as far as emopi flash looks at them."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

CMDLINE = "console=tty1 root=PARTUUID=8a438930-02 rootfstype=ext4 fsck.repair=yes rootwait"
BOOKWORM_CMDLINE = f"{CMDLINE} quiet init=/usr/lib/raspberrypi-sys-mods/firstboot\n"
TRIXIE_CMDLINE = f"{CMDLINE} resize ds=nocloud;i=rpi-imager-1787532598498\n"
CONFIG = """\
# For more options and information see
# http://rptl.io/configtxt
dtparam=audio=on
auto_initramfs=1

[cm4]
otg_mode=1

[all]
"""
IMAGERS_USER_DATA = """\
#cloud-config
hostname: imagers-name
manage_etc_hosts: true
packages:
- avahi-daemon
timezone: Europe/London
users:
- name: imagers-user
  groups: users,adm,sudo
  shell: /bin/bash
  lock_passwd: false
  passwd: $5$hkui88$nvZgIle31cNpryjRfO9uArF7DYiBcWEnjqq7L1AQNN3
runcmd:
- [touch, /root/imagers-command]
"""
IMAGERS_NETWORK = "network:\n  version: 2\n  ethernets:\n    eth0:\n      dhcp4: true\n"
IMAGERS_FIRST_RUN = """\
#!/bin/sh

set +e

echo imagers-name >/etc/hostname
touch /root/imagers-script
rm -f /boot/firstrun.sh
sed -i 's| systemd.run.*||g' /boot/cmdline.txt
exit 0
"""


def issue(date: str) -> str:
    return f"Raspberry Pi reference {date}\nGenerated using pi-gen, 0123abc, stage2\n"


def _common(folder: Path, date: str, cmdline: str) -> Path:
    (folder / "overlays").mkdir(parents=True)
    for name in ("googlevoicehat-soundcard", "adau7002-simple", "vc4-kms-v3d"):
        (folder / f"overlays/{name}.dtbo").touch()
    for name in ("kernel8.img", "kernel_2712.img", "bcm2710-rpi-zero-2-w.dtb", "start4.elf"):
        (folder / name).write_bytes(b"\0" * 1000)
    (folder / "issue.txt").write_text(issue(date))
    (folder / "config.txt").write_text(CONFIG)
    (folder / "cmdline.txt").write_text(cmdline)
    return folder


def bookworm(folder: Path, date: str = "2025-05-13") -> Path:
    """The 64-bit Bookworm, without settings of Raspberry Pi Imager."""
    return _common(folder, date, BOOKWORM_CMDLINE)


def trixie(folder: Path, date: str = "2025-12-04") -> Path:
    """The 64-bit Trixie with settings of Raspberry Pi Imager."""
    _common(folder, date, TRIXIE_CMDLINE)
    (folder / "user-data").write_text(IMAGERS_USER_DATA)
    (folder / "network-config").write_text(IMAGERS_NETWORK)
    (folder / "meta-data").write_text("instance-id: rpi-imager-1787532598498\n")
    return folder


def bundle(
    path: Path, target: str = "trixie-aarch64", script: str = "#!/bin/sh\n", manifest: bool = True
) -> Path:
    """An archive as emopi bundle makes them, whose install.sh is the script."""
    folder = path.name.removesuffix(".tar.gz")
    with tarfile.open(path, "w:gz") as archive:
        contents = {"README.txt": b"hello", "install.sh": script.encode()}
        if manifest:
            contents["manifest.json"] = json.dumps({"target": target}).encode()
        for name, content in contents.items():
            member = tarfile.TarInfo(f"{folder}/{name}")
            member.size, member.mode = len(content), 0o755
            archive.addfile(member, io.BytesIO(content))
    return path


def snapshot(folder: Path) -> dict[str, bytes]:
    """Every file with its content."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
