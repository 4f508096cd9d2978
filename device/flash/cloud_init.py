"""What cloud-init reads on the first boot of Trixie: user-data, network-config, meta-data.

https://cloudinit.readthedocs.io/en/latest/reference/datasources/nocloud.html
"""

from __future__ import annotations

import email
import email.policy
import re
from email.message import EmailMessage
from typing import Any

from emopi.device.errors import CardError
from emopi.device.flash.card_settings import GROUPS, CardSettings
from emopi.device.flash.first_boot import FOLDER, UNIT_NAME
from emopi.device.flash.yaml_text import dump

HEADER = "#cloud-config\n# Written by emopi flash\n"

MERGE = "dict(recurse_list,no_replace)+list(append)"
"""How commands join those of Raspberry Pi Imager instead of replacing them."""

_POLICY = email.policy.default.clone(cte_type="8bit", max_line_length=None)


def user_data(settings: CardSettings, kept: str) -> str:
    """The user-data: what was `kept` from before, overridden by the settings, and the commands.

    Without anything to keep it is one document, otherwise a MIME archive of three. Raises
    `CardError` if what is there is of no type that cloud-init knows.
    """
    wanted, commands = _wanted(settings), _commands(settings)
    if not _does_something(kept):
        return HEADER + dump(wanted | commands)
    archive = EmailMessage(_POLICY)
    archive.set_type("multipart/mixed")
    boundary = "=emopi-flash="
    while boundary in kept:
        boundary += "="
    archive.set_boundary(boundary)
    for part in _parts(kept):
        archive.attach(part)
    if wanted:
        archive.attach(_part("cloud-config", HEADER + dump(wanted)))
    archive.attach(_part("cloud-config", HEADER + dump({"merge_how": MERGE} | commands)))
    return archive.as_bytes().decode()


def _wanted(settings: CardSettings) -> dict[str, Any]:
    wanted: dict[str, Any] = {}
    if settings.hostname:
        wanted |= {"hostname": settings.hostname, "manage_etc_hosts": True}
    if settings.timezone:
        wanted["timezone"] = settings.timezone
    if settings.keyboard:
        wanted["keyboard"] = {"model": "pc105", "layout": settings.keyboard}
    if settings.user:
        wanted |= {"users": [_user(settings)], "ssh_pwauth": not settings.ssh_keys}
    return wanted


def _user(settings: CardSettings) -> dict[str, Any]:
    user: dict[str, Any] = {
        "name": settings.user,
        "groups": ",".join(GROUPS),
        "shell": "/bin/bash",
        "lock_passwd": not settings.password_hash,
    }
    if settings.password_hash:
        user["passwd"] = settings.password_hash
    else:
        user["sudo"] = "ALL=(ALL) NOPASSWD:ALL"
    if settings.ssh_keys:
        user["ssh_authorized_keys"] = list(settings.ssh_keys)
    return user


def _commands(settings: CardSettings) -> dict[str, Any]:
    """What is run: last of all the unit that installs emopi."""
    commands: list[str | list[str]] = []
    if settings.locale:  # cloud-init's own key generates none on Debian
        commands += [
            f"echo {settings.locale} UTF-8 >>/etc/locale.gen",
            ["locale-gen"],
            ["update-locale", f"LANG={settings.locale}"],
        ]
    if settings.user:
        commands.append(["systemctl", "enable", "--now", "ssh.service"])
    commands += [
        ["install", "-m", "644", f"{FOLDER}/{UNIT_NAME}", "/etc/systemd/system/"],
        ["systemctl", "enable", "--now", "--no-block", UNIT_NAME],
    ]
    found: dict[str, Any] = {"runcmd": commands}
    if settings.country:
        found = {"bootcmd": ["rfkill unblock wifi || true"]} | found
    return found


def network_config(settings: CardSettings) -> str:
    """The network-config: the Wi-Fi, and Ethernet where there is a cable."""
    point: dict[str, Any] = {"password": settings.psk} if settings.psk else {"auth": {
        "key-management": "none"
    }}  # fmt: skip
    if settings.hidden:
        point["hidden"] = True
    wifi = {
        "dhcp4": True,
        "optional": True,
        "regulatory-domain": settings.country,
        "access-points": {settings.ssid: point},
    }
    ethernet = {"dhcp4": True, "optional": True}
    network = {"version": 2, "ethernets": {"eth0": ethernet}, "wifis": {"wlan0": wifi}}
    return "# Written by emopi flash\n" + dump({"network": network})


def meta_data(instance_id: str) -> str:
    """The meta-data: an instance that is another whenever the settings are."""
    return "# Written by emopi flash\n" + dump({"dsmode": "local", "instance-id": instance_id})


def _does_something(text: str) -> bool:
    return any(line.strip() and not line.lstrip().startswith("#") for line in text.splitlines())


def _parts(text: str) -> list[EmailMessage]:
    """A user-data as parts of an archive."""
    if text.startswith("#cloud-config"):
        return [_part("cloud-config", text)]
    if text.startswith("#!"):
        return [_part("x-shellscript", text)]
    if re.match(r"(Content-Type: multipart|MIME-Version:)", text, re.IGNORECASE):
        archive = email.message_from_bytes(text.encode(), policy=_POLICY)
        return [part for part in archive.iter_parts() if isinstance(part, EmailMessage)]
    raise CardError(
        f"user-data begins with {text[:40]!r}, which emopi cannot add to; expected #cloud-config, "
        "a script or a MIME archive. Write the card anew, or remove user-data's content"
    )


def _part(subtype: str, text: str) -> EmailMessage:
    part = EmailMessage(_POLICY)
    part.set_content(text, subtype=subtype, charset="utf-8", cte="8bit")
    return part
