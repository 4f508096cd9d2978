"""What a card is to become: names, network, language, microphone. No secrets in plain text."""

from __future__ import annotations

import dataclasses
import re
import zoneinfo

from emopi.device.errors import SpecError

GROUPS = (
    *("users", "adm", "dialout", "audio", "netdev", "video", "plugdev", "cdrom"),
    *("games", "input", "gpio", "spi", "i2c", "render", "sudo"),
)
"""What Raspberry Pi OS gives the first user."""

RESERVED_USERS = frozenset({
    *("root", "daemon", "bin", "sys", "sync", "games", "man", "lp", "mail", "news", "uucp"),
    *("proxy", "backup", "list", "irc", "nobody", "sshd", "messagebus", "avahi", "emopi"),
})  # fmt: skip
"""Users of the system; the service's own is emopi."""

MICROPHONES = {
    "inmp441": "googlevoicehat-soundcard",
    "ics43434": "googlevoicehat-soundcard",
    "sph0645": "googlevoicehat-soundcard",
    "voicehat": "googlevoicehat-soundcard",
    "adau7002": "adau7002-simple",
    "wm8960": "wm8960-soundcard",
}
"""Microphones on the I2S pins to the overlay of the kernel that records them, 48 kHz stereo.

The overlay named after Google's Voice HAT has no codec, and so suits any bare I2S microphone.
"""

DISTINCT = {
    "hostname": (
        r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?",
        "1 to 63 letters, digits and hyphens, no hyphen at an end",
    ),
    "user": (
        r"[a-z][a-z0-9_-]{0,31}",
        "1 to 32 small letters, digits, _ and -, a letter first",
    ),
    "country": (r"[A-Z]{2}", "two capital letters, such as DE (ISO 3166-1)"),
    "timezone": (r"[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+){0,2}", "a name such as Europe/Berlin"),
    "locale": (r"[a-z]{2,3}_[A-Z]{2}\.UTF-8", "a name such as de_DE.UTF-8"),
    "keyboard": (r"[a-z]{2,12}", "a layout such as de (XKB)"),
    "i2s": (r"[a-z0-9][a-z0-9_-]{0,63}", "a microphone or an overlay"),
}
"""Fields that, if they are given, match a pattern wholly; and the pattern in words."""

PACKAGE = r"[a-z0-9][a-z0-9+.-]+"
"""A Debian package's name (Debian Policy, 5.6.1)."""

KEY = r"(ssh|ecdsa|sk-ssh|sk-ecdsa)-[a-z0-9@.-]+ [A-Za-z0-9+/]+={0,3}( [^\x00-\x1f\x7f]*)?"
"""A line of authorized_keys without options."""


@dataclasses.dataclass(frozen=True, slots=True)
class CardSettings:
    """What is set on the first boot; what is "" or empty stays as it is on the card.

    Raises `SpecError` for what cannot be, or could mean something else to a shell or a file.
    """

    hostname: str = ""
    """Of the Pi: HOSTNAME.local in the network."""
    user: str = ""
    """Who logs in."""
    password_hash: str = ""
    """Of the user, as crypt(5) has it; "" for none: logging in needs an SSH key."""
    ssh_keys: tuple[str, ...] = ()
    """Who may log in by SSH: lines of authorized_keys. With one, passwords are not accepted."""
    ssid: str = ""
    """Name of the Wi-Fi, 1 to 32 bytes of UTF-8."""
    psk: str = ""
    """Key of the Wi-Fi, 64 hexadecimal digits; "" for one that is open."""
    hidden: bool = False
    """Whether the Wi-Fi does not tell its name."""
    country: str = ""
    """Where the Wi-Fi is: it decides on its channels, and without it the radio stays off."""
    timezone: str = ""
    """Such as Europe/Berlin."""
    locale: str = ""
    """Such as de_DE.UTF-8."""
    keyboard: str = ""
    """Layout, such as de."""
    i2s: str = ""
    """A microphone on the I2S pins: one of `MICROPHONES`, or an overlay's name."""
    packages: tuple[str, ...] = ()
    """Debian packages that are installed as well, from the network."""

    def __post_init__(self) -> None:
        """Check every field."""
        for name, (pattern, words) in DISTINCT.items():
            value = getattr(self, name)
            if value and not re.fullmatch(pattern, value):
                raise SpecError(f"{name} is {value!r}; expected {words}")
        self._check_timezone()
        self._check_user()
        self._check_wifi()
        for package in self.packages:
            if not re.fullmatch(PACKAGE, package):
                raise SpecError(f"{package!r} is no name of a Debian package")

    def _check_timezone(self) -> None:
        known = zoneinfo.available_timezones() if self.timezone else set()
        # none on a system without tzdata
        if known and self.timezone not in known:
            raise SpecError(f"timezone is {self.timezone!r}; expected a name such as Europe/Berlin")

    def _check_user(self) -> None:
        if self.user in RESERVED_USERS:
            raise SpecError(f"user is {self.user!r}, which the system needs; expected another")
        if self.user and not (self.password_hash or self.ssh_keys):
            raise SpecError(f"user {self.user!r} could not log in; expected a password or SSH key")
        if (self.password_hash or self.ssh_keys) and not self.user:
            raise SpecError("a password or an SSH key belongs to a user; expected its name too")
        for key in self.ssh_keys:
            if not re.fullmatch(KEY, key):
                raise SpecError(
                    f"{key[:60]!r} is no public SSH key; expected such as id_ed25519.pub"
                )

    def _check_wifi(self) -> None:
        if self.ssid and not self.country:
            raise SpecError("the Wi-Fi's country is missing: without it the radio stays off")
        if (self.psk or self.hidden) and not self.ssid:
            raise SpecError("the Wi-Fi's name is missing")
        if not self.ssid:
            return
        if len(self.ssid.encode()) > 32 or not self.ssid.isprintable():
            raise SpecError(f"ssid is {self.ssid!r}; expected 1 to 32 bytes that can be printed")
        if self.psk and not re.fullmatch(r"[0-9a-f]{64}", self.psk):
            raise SpecError("psk is not 64 hexadecimal digits")

    @property
    def overlay(self) -> str:
        """Of the kernel for the microphone, "" for none."""
        return MICROPHONES.get(self.i2s, self.i2s)
