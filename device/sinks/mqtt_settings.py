"""Which broker, as whom, and how much may wait for it."""

from __future__ import annotations

import dataclasses
import os
import re
import socket
from pathlib import Path
from typing import Any, Self, get_type_hints
from urllib.parse import parse_qsl, urlsplit

from emopi.device.errors import SinkError, SpecError

PASSWORD_VARIABLE = "EMOPI_MQTT_PASSWORD"


@dataclasses.dataclass(frozen=True, slots=True)
class MqttSettings:
    """A broker, such as Home Assistant's."""

    host: str
    """Name or address of the broker."""
    port: int = 0
    """0 for the usual one: 1883, or 8883 with TLS."""
    tls: bool = False
    """Whether the connection is encrypted and the broker proves who it is."""
    ca_file: str = ""
    """Certificates that the broker's is signed by; "" for those of the system."""
    user: str = ""
    """"" for none."""
    password_file: str = ""
    """A file with the password alone; "" for the environment's EMOPI_MQTT_PASSWORD."""
    id: str = ""
    """Of this sensor on the broker: letters, digits, "_", "-"; "" for emopi-HOSTNAME."""
    name: str = ""
    """Of the device in Home Assistant; "" for the id."""
    discovery_prefix: str = "homeassistant"
    """Home Assistant's; "" for no discovery."""
    state_every_s: float = 10.0
    """The state is published when the label changes and after so long, 0.1 to 3600."""
    queue_file: str = ""
    """Where messages wait; "" for mqtt-ID.sqlite in the state folder."""
    queue_limit: int = 100_000
    """How many, 1 to 10000000; the oldest give way. 100000 decisions are half a day."""

    def __post_init__(self) -> None:
        """Check every field against its range."""
        if not self.host or re.search(r"[\s/@]", self.host):
            raise SpecError(f"host is {self.host!r}; expected a name or an address")
        if not 0 <= self.port <= 65_535:
            raise SpecError(f"port is {self.port}; expected 1 to 65535, or 0 for the usual one")
        if self.ca_file and not self.tls:
            raise SpecError(f"ca_file is {self.ca_file!r}, but tls is off; expected tls = true")
        if not re.fullmatch(r"[A-Za-z0-9_-]*", self.id):
            raise SpecError(f"id is {self.id!r}; expected letters, digits, _ and - alone")
        if re.search(r"[+#\0]", self.discovery_prefix):
            raise SpecError(f"discovery_prefix is {self.discovery_prefix!r}; expected no + and #")
        if not 0.1 <= self.state_every_s <= 3600:
            raise SpecError(f"state_every_s is {self.state_every_s}; expected 0.1 to 3600 seconds")
        if not 1 <= self.queue_limit <= 10_000_000:
            raise SpecError(f"queue_limit is {self.queue_limit}; expected 1 to 10000000")

    @classmethod
    def from_url(cls, url: str) -> Self:
        """From "mqtt://USER@HOST:PORT?KEY=VALUE&...", or mqtts for TLS; each KEY a field.

        Raises `SpecError` for anything else, and for a password, which others could see there.
        """
        parts = urlsplit(url)
        if parts.scheme not in ("mqtt", "mqtts") or parts.path not in ("", "/"):
            raise SpecError(f"{url!r}: expected mqtt://[USER@]HOST[:PORT], or mqtts:// for TLS")
        if parts.password is not None:
            raise SpecError(
                "a password in the URL is visible to everyone on this machine; put it into the "
                f"environment's {PASSWORD_VARIABLE} or into a file: ...?password_file=FILE"
            )
        try:
            port = parts.port or 0
        except ValueError as error:
            raise SpecError(f"{url!r}: {error}") from None
        fields: dict[str, Any] = {
            "host": parts.hostname or "",
            "port": port,
            "tls": parts.scheme == "mqtts",
            "user": parts.username or "",
        }
        return cls(**fields | _fields(cls, parts.query, known=set(fields)))

    @property
    def device_id(self) -> str:
        """`id`, or what stands for it."""
        return self.id or re.sub(r"[^A-Za-z0-9_-]", "-", f"emopi-{socket.gethostname()}")

    @property
    def address(self) -> tuple[str, int]:
        """Host and port."""
        return self.host, self.port or (8883 if self.tls else 1883)

    @property
    def queue_path(self) -> Path:
        """`queue_file`, or what stands for it."""
        default = state_folder() / f"mqtt-{self.device_id}.sqlite"
        return Path(self.queue_file) if self.queue_file else default

    def password(self) -> str | None:
        """From the file or the environment. Raises `SinkError` if the file cannot be read."""
        if not self.password_file:
            return os.environ.get(PASSWORD_VARIABLE)
        try:
            return Path(self.password_file).read_text().rstrip("\r\n")
        except (OSError, UnicodeError) as error:
            raise SinkError(f"password_file {self.password_file}: {error}") from None


def _fields(kind: type[MqttSettings], query: str, known: set[str]) -> dict[str, Any]:
    """Settings from the query of a URL, of their types."""
    types = {name: hint for name, hint in get_type_hints(kind).items() if name not in known}
    found = {}
    for key, value in parse_qsl(query, keep_blank_values=True):
        if key not in types:
            raise SpecError(f"unknown setting {key!r}; expected one of: {', '.join(types)}")
        try:
            found[key] = types[key](value)
        except ValueError:
            raise SpecError(f"{key} is {value!r}; expected a number") from None
    return found


def state_folder() -> Path:
    """Where what must outlive the process is kept: systemd's state folder, or the user's."""
    if given := os.environ.get("STATE_DIRECTORY"):
        return Path(given.partition(":")[0])
    home = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local/state"
    return Path(home) / "emopi"
