"""The script that Bookworm runs on its first boot, and the words of cmdline.txt that say so.

As Raspberry Pi Imager does it, by systemd-run-generator(8). A script of Imager's that is on the
card already stays, and is run first.
"""

from __future__ import annotations

import re

from emopi.device.flash.card_settings import GROUPS, CardSettings
from emopi.device.flash.first_boot import FOLDER, shell_script

SCRIPT_NAME = "first-run.sh"

CMDLINE = (
    f"systemd.run={FOLDER}/{SCRIPT_NAME}",
    "systemd.run_success_action=reboot",
    "systemd.unit=kernel-command-line.target",
)


def script(settings: CardSettings) -> str:
    """The script that sets everything and has emopi installed by the next boot."""
    return shell_script(SCRIPT_NAME, {
        "hostname": settings.hostname,
        "user": settings.user,
        "password_hash": settings.password_hash,
        "groups": " ".join(GROUPS),
        "ssh_keys": "\n".join(settings.ssh_keys),
        "ssid": _keyfile_ssid(settings.ssid),
        "psk": settings.psk,
        "hidden": "true" if settings.hidden else "false",
        "country": settings.country,
        "timezone": settings.timezone,
        "locale": settings.locale,
        "keyboard": settings.keyboard,
    })  # fmt: skip


def _keyfile_ssid(ssid: str) -> str:
    """An SSID as NetworkManager's key files have it: as its bytes, where a sign could mean more.

    See "ssid" in nm-settings-keyfile(5).
    """
    if re.fullmatch(r"[A-Za-z0-9_-]+( [A-Za-z0-9_-]+)*", ssid):
        return ssid
    return "".join(f"{byte};" for byte in ssid.encode())
