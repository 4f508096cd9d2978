"""SHA-256 of a model file, without OpenSSL.

`hashlib` loads that, and a sensor would hold 3 MB of it all day for one sum at its start.
"""

from __future__ import annotations

from importlib import import_module

MODULES = ("_sha2", "_sha256", "hashlib")
"""CPython's own from 3.12 on, that of 3.11, and what every Python has."""


def sha256(content: bytes) -> str:
    """The digest in hexadecimal digits."""
    for name in MODULES:
        try:
            module = import_module(name)
        except ImportError:
            continue
        return str(module.sha256(content).hexdigest())
    raise AssertionError("no Python is without hashlib")
