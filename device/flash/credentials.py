"""Passwords: read where nobody else can see them, turned into hashes, hidden when shown."""

from __future__ import annotations

import hashlib
import os
import re
import stat
import subprocess
import sys
from pathlib import Path

from emopi.device.errors import CardError, SpecError

HASH = r"\$(?:5|6|y|gy|2b)\$[./A-Za-z0-9$=,]{8,}"
"""A password's hash as crypt(5) writes it: SHA-256, SHA-512, yescrypt, bcrypt."""

HIDDEN = "********"

_PSK = r"(?<!sha256=)\b[0-9a-fA-F]{64}\b"
_NAME = r"(?!lock_)[\w-]*(?:passw(?:or)?d|passphrase|psk)[\"']?[:=] *"
_VALUE = rf"(?im)(?P<key>(?:^[ -]*|[{{,] *){_NAME})[^\s,}}][^,}}\n]*"
"""A key that stands for a password, in a line of its own or between braces, and its value."""

MAX_BYTES = 4096
"""Of a file with a secret; more is none, such as /dev/zero."""


def read_secret(where: str, what: str) -> str:
    """The one line that a file holds, or stdin where it is "-".

    Raises `CardError` if others could read the file, or if it has not exactly one line.
    """
    try:
        if where == "-":
            if sys.stdin.isatty():
                raise CardError(f"stdin is a terminal; expected {what} from a pipe or a file")
            content = sys.stdin.buffer.read(MAX_BYTES + 1)
        else:
            with Path(where).open("rb") as file:
                mode = os.fstat(file.fileno()).st_mode
                if os.name == "posix" and stat.S_ISREG(mode) and mode & stat.S_IROTH:
                    raise CardError(
                        f"{where} can be read by everyone on this machine; expected {what} in a "
                        f"file of your own: chmod 600 {where}"
                    )
                content = file.read(MAX_BYTES + 1)
    except CardError:
        raise
    except OSError as error:
        raise CardError(f"{where} with {what} cannot be read: {error.strerror}") from None
    return one_line(content, f"{'stdin' if where == '-' else where} with {what}")


def one_line(content: bytes, where: str) -> str:
    """The text of a single line, without its end. Raises `CardError` for anything else."""
    try:
        text = content.decode().removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        raise CardError(f"{where} is not UTF-8 text") from None
    if not text or len(content) > MAX_BYTES or not text.isprintable():
        raise CardError(f"{where} has not exactly one line of text")
    return text


def password_hash(password: str, written_before: str = "") -> str:
    """The password's SHA-512 hash for /etc/shadow; one that is a hash already stays.

    Where a text that was written before has a hash of the same password, it is that one: its salt
    is random, and a second run shall change nothing. Raises `CardError` where openssl fails.
    """
    if re.fullmatch(HASH, password):
        return password
    if len(password.encode()) > 255:
        raise SpecError("the password has more than 255 bytes")
    for salt in re.findall(r"\$6\$([./A-Za-z0-9]{1,16})\$", written_before):
        if (known := _openssl(password, "-salt", salt)) in written_before:
            return known
    return _openssl(password)


def _openssl(password: str, *options: str) -> str:
    try:
        done = subprocess.run(
            ["openssl", "passwd", "-6", "-stdin", *options],
            input=password + "\n", capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
    except OSError:
        raise CardError(
            "openssl is not here, which hashes the password; install it (Debian: apt install "
            "openssl), or give the hash itself, as mkpasswd or another Pi's /etc/shadow has it"
        ) from None
    found = done.stdout.strip()
    if done.returncode or not re.fullmatch(HASH, found):
        raise CardError(
            f"openssl passwd -6 failed, status {done.returncode}: {done.stderr.strip()}; expected "
            "OpenSSL 1.1.1 or newer, or give the hash itself"
        )
    return found


def wifi_psk(passphrase: str, ssid: str) -> str:
    """The 64 digits that a passphrase gives for this SSID; those of a key stay.

    PBKDF2 with HMAC-SHA-1, 4096 rounds, 32 bytes (IEEE 802.11-2020, annex J.4.1). Raises
    `SpecError` for a passphrase that no Wi-Fi has.
    """
    if re.fullmatch(r"[0-9a-fA-F]{64}", passphrase):
        return passphrase.lower()
    secret = passphrase.encode()
    if not 8 <= len(secret) <= 63:
        raise SpecError(f"the Wi-Fi's passphrase has {len(secret)} bytes; expected 8 to 63")
    return hashlib.pbkdf2_hmac("sha1", secret, ssid.encode(), 4096, 32).hex()


def hide(text: str) -> str:
    """The text with hashes, keys and the values of passwords made unreadable."""
    text = re.sub(_VALUE, rf"\g<key>{HIDDEN}", text)
    return re.sub(f"{HASH}|{_PSK}", HIDDEN, text)
