"""What the command line asks for, as settings and an installation; secrets become hashes here."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from emopi.device.errors import CardError, SpecError
from emopi.device.flash import credentials, first_run, plan
from emopi.device.flash.card_settings import CardSettings
from emopi.device.flash.first_boot import Installation, check_bundle
from emopi.device.flash.partition import Partition
from emopi.device.flash.system import System

PASSWORD = "EMOPI_CARD_PASSWORD"
PASSPHRASE = "EMOPI_CARD_PASSPHRASE"
"""Variables of the environment that hold a secret."""


def make_installation(bundle: Path | None, package: str | None, system: System) -> Installation:
    """Where emopi comes from, checked as far as it can be here.

    Raises `CardError` or `SpecError` for what cannot be installed.
    """
    if bundle and package:
        raise SpecError("--bundle and --package are both given; expected one of them")
    if bundle:
        check_bundle(bundle, system)
        return Installation(bundle=bundle)
    if package and package.endswith(".whl"):
        if not (zipfile.is_zipfile(package) and Path(package).name.startswith("emopi-")):
            raise CardError(
                f"{package} is no wheel of emopi; make one in a checkout: pip wheel --no-deps ."
            )
        return Installation(wheel=Path(package))
    if package and (package.startswith("-") or not package.isprintable()):
        raise SpecError(f"--package is {package!r}; expected what pip install takes")
    return Installation(requirement=package or "")


def make_settings(partition: Partition, options: Mapping[str, Any]) -> CardSettings:
    """What is to be set; of `options`, the fields of `CardSettings` and the files of secrets.

    Raises `CardError` or `SpecError` for what cannot be.
    """
    given = {name: value for name, value in options.items() if value}
    password = _secret(given.pop("password_file", ""), PASSWORD, "a password")
    passphrase = _secret(given.pop("passphrase_file", ""), PASSPHRASE, "a passphrase")
    is_open = given.pop("is_open", False)
    if password:
        given["password_hash"] = credentials.password_hash(password, _written(partition))
    if passphrase:
        given["psk"] = credentials.wifi_psk(passphrase, given.get("ssid", ""))
    if given.get("ssid") and bool(passphrase) == is_open:
        raise SpecError("the Wi-Fi needs a passphrase, or --open; expected one of the two")
    given["ssh_keys"] = tuple(key for file in given.get("ssh_keys", ()) for key in _keys(file))
    settings = CardSettings(**given)
    overlay = f"overlays/{settings.overlay}.dtbo"
    if settings.i2s and not partition.exists(overlay):
        raise CardError(
            f"{partition} has no {overlay} for the microphone {settings.i2s!r}; expected an "
            "overlay of the kernel: see overlays/README there"
        )
    return settings


def _secret(where: str, variable: str, what: str) -> str:
    if where:
        return credentials.read_secret(where, what)
    if variable in os.environ:
        return credentials.one_line(os.fsencode(os.environ[variable]), variable)
    return ""


def _keys(file: Path) -> list[str]:
    """The keys of a file, one a line."""
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise CardError(f"{file} cannot be read: {error}") from None
    return [line.strip() for line in lines if line.strip() and not line.startswith("#")]


def _written(partition: Partition) -> str:
    """What an earlier run has written the password's hash into."""
    names = ["user-data", f"{plan.FOLDER}/{first_run.SCRIPT_NAME}"]
    found = [partition.read(name) for name in names if partition.exists(name)]
    return b"\n".join(found).decode(errors="replace")
