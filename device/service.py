"""The system service: its settings, and the files that make it one. Writes nothing itself."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Collection, Mapping
from pathlib import Path
from string import Template
from typing import Any

from emopi.device.errors import ServiceError, SpecError

UNIT_NAME = "emopi.service"
UNIT = Path("/etc/systemd/system") / UNIT_NAME
USER = Path("/etc/sysusers.d/emopi.conf")
SETTINGS = Path("/etc/emopi/emopi.toml")
STATE = Path("/var/lib/emopi")

NETWORK_SINKS = frozenset({"mqtt", "web"})
GPIO_SINKS = frozenset({"led"})
"""Sinks that need more than files."""

NO_NETWORK = """\
# no sink needs a network: there is none. A new one does? Run emopi install-service again.
PrivateNetwork=yes
IPAddressDeny=any
RestrictAddressFamilies=AF_UNIX
"""
A_NETWORK = """\
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6
"""

HOMES = (Path("/home"), Path("/root"), Path("/run/user"))
"""What ProtectHome hides."""


@dataclasses.dataclass(frozen=True, slots=True)
class ServiceSettings:
    """How systemd keeps it; emopi install-service writes them into the unit.

    Raises `SpecError` for a value out of range.
    """

    memory_max_mb: int = 200
    """Memory in MiB above which it is ended and started anew, 64 to 100000. A Raspberry Pi counts
    memory only with cgroup_enable=memory in /boot/firmware/cmdline.txt."""
    watchdog_s: float = 60.0
    """Seconds without audio after which it is started anew, 5 to 86400."""
    start_s: float = 120.0
    """Seconds until the first audio before it is started anew, 10 to 86400."""

    def __post_init__(self) -> None:
        """Check every field against its range."""
        bounds = {
            "memory_max_mb": (64, 100_000),
            "watchdog_s": (5, 86_400),
            "start_s": (10, 86_400),
        }
        for name, (least, most) in bounds.items():
            value = getattr(self, name)
            if not math.isfinite(value) or not least <= value <= most:
                raise SpecError(f"{name} is {value}; expected {least} to {most}")


@dataclasses.dataclass(frozen=True, slots=True)
class ServiceFile:
    """One file that the service consists of."""

    path: Path
    content: str
    mode: int = 0o644
    is_users: bool = False
    """Whether it belongs to whoever runs the machine: written once, never replaced or removed."""


def service_files(
    settings: ServiceSettings,
    settings_text: str,
    *,
    python: Path,
    places: Collection[Path],
    sinks: Collection[str] = (),
) -> list[ServiceFile]:
    """Unit, user and settings, for an emopi that `python` runs.

    `places` are the folders that it is read from: of those in a home, and of nothing else there,
    the service gets a view. `settings_text` is for where there are none yet. `sinks` are the names
    of those wanted, which decide whether it gets a network.
    """
    return [
        ServiceFile(USER, users(sinks)),
        ServiceFile(SETTINGS, settings_text, mode=0o640, is_users=True),
        ServiceFile(UNIT, unit(settings, python=python, places=places, sinks=sinks)),
    ]


def users(sinks: Collection[str]) -> str:
    """What systemd-sysusers makes the user from."""
    groups = "".join(f"m emopi {group}\n" for group in _groups(sinks))
    return f'# Written by emopi install-service\nu emopi - "emopi sensor" {STATE}\n{groups}'


def unit(
    settings: ServiceSettings,
    *,
    python: Path,
    places: Collection[Path],
    sinks: Collection[str] = (),
) -> str:
    """The unit file. Without a sink that needs it, the service has no network at all."""
    in_home = sorted(p for p in places if any(p.is_relative_to(home) for home in HOMES))
    is_alone = not NETWORK_SINKS & set(sinks)
    values: Mapping[str, Any] = {
        "python": _quoted(python),
        "config": _quoted(SETTINGS),
        "start_s": f"{settings.start_s:g}",
        "watchdog_s": f"{settings.watchdog_s:g}",
        "memory_max_mb": settings.memory_max_mb,
        "groups": " ".join(_groups(sinks)),
        "devices": "DeviceAllow=char-gpiochip rw\n" if GPIO_SINKS & set(sinks) else "",
        "network": NO_NETWORK if is_alone else A_NETWORK,
        "protect_home": "tmpfs" if in_home else "yes",
        "installation": "".join(f"BindReadOnlyPaths={_quoted(place)}\n" for place in in_home),
    }
    template = Path(__file__).with_name(UNIT_NAME).read_text()
    return Template(template).substitute(values)


def _groups(sinks: Collection[str]) -> list[str]:
    return ["audio"] + ["gpio"] * bool(GPIO_SINKS & set(sinks))


def _quoted(path: Path) -> str:
    """A path as a unit file needs it. Raises `ServiceError` for one that cannot stand there."""
    text = str(path)
    if not text.isprintable() or any(sign in text for sign in '"\\ :'):
        raise ServiceError(
            f"{text!r} cannot stand in a unit file; install emopi where no blank, quote, colon or "
            "backslash is in the path"
        )
    return text.replace("%", "%%").replace("$", "$$")
