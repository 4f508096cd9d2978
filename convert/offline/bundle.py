"""All parts of a bundle, and the bundle."""

from __future__ import annotations

import dataclasses
import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from emopi.convert.offline.archive import pack
from emopi.convert.offline.debian import Apt
from emopi.convert.offline.own_wheel import OwnWheel, installer
from emopi.convert.offline.targets import Target
from emopi.convert.offline.wheels import fetch, resolve
from emopi.device.config.settings import Settings
from emopi.device.config.text import render
from emopi.device.errors import BundleError, EmopiError

FORMAT = 1
"""Of the manifest; install.sh takes no other."""
EXTRAS = ("live", "mqtt", "web", "gpio")
"""What a sensor may want; the microphone comes from Debian."""
INSTALLED_MODELS = "/opt/emopi/current/models"
"""Where install.sh puts the bundle's models."""
READ_ME = """\
emopi {version} for {target}, with all that it needs: no network is used.

On the Raspberry Pi, in this folder:      sudo ./install.sh
What it does, and how to be rid of it:    ./install.sh --help
"""


@dataclasses.dataclass(frozen=True, slots=True)
class Wishes:
    """What is to be in a bundle, beside what every one has."""

    settings: Settings
    """Those that the service begins with, where it has none yet."""
    models: tuple[Path, ...] = ()
    """Models that emopi does not ship."""
    packages: bool = True
    """Whether Debian's packages for the microphone are in it."""
    mirror: str = ""
    """Of Debian, for those."""


@dataclasses.dataclass(frozen=True, slots=True)
class Bundle:
    """A bundle in memory."""

    file: str
    content: bytes
    facts: dict[str, Any]
    """The manifest, but for its list of files."""


def make_bundle(
    target: Target,
    own: OwnWheel,
    wishes: Wishes,
    cache: Path,
    say: Callable[[str], None] = lambda _: None,
) -> Bundle:
    """A bundle of newest versions. What is fetched stays in `cache`, for the next one.

    Raises `BundleError` where something cannot be had, and what the file system raises.
    """
    folder = cache / target.name
    say(f"looking for wheels for {target.name}: Python {target.python_minor}, {target.machine}")
    # pip itself, too: Raspberry Pi OS may have none
    wheels = resolve((*own.requirements, "pip"), target, extras=EXTRAS)
    say(f"fetching {len(wheels)} wheels")
    contents = {f"wheels/{name}": c for name, c in fetch(wheels, target, folder / "wheels").items()}
    contents[f"wheels/{own.file}"] = own.content
    packages: list[str] = []
    if wishes.packages:
        say(f"looking for Debian packages: {', '.join(target.packages)}")
        apt = Apt(target, wishes.mirror, folder / "apt")
        packages = apt.resolve()
        say(f"fetching {len(packages)} packages")
        contents |= {f"packages/{name}": c for name, c in apt.fetch(packages).items()}
    installed = sum(_unpacked_bytes(c) for n, c in contents.items() if n.endswith(".whl"))
    top = f"emopi-{own.version}-{target.name}"
    contents |= {
        "install.sh": installer(own),
        "emopi.toml": render(wishes.settings).encode(),
        "README.txt": READ_ME.format(version=own.version, target=target.name).encode(),
        **{f"models/{path.name}": path.read_bytes() for path in wishes.models},
    }
    facts = {
        "name": "emopi",
        "format": FORMAT,
        "version": own.version,
        "target": target.name,
        "architecture": target.architecture,
        "python": target.python_minor,
        "installed_mb": installed // 2**20 + 1,
        "model": wishes.settings["model"].name,
        "created_from": {
            "emopi": own.version,
            "wheels": {wheel.name: wheel.version for wheel in wheels},
            "packages": dict(package.split("=", 1) for package in packages),
        },
    }
    say(f"packing {len(contents)} files")
    return Bundle(f"{top}.tar.gz", pack(top, contents, facts), facts)


def chosen_model(settings: Settings, model: str | None) -> tuple[Settings, tuple[Path, ...]]:
    """The settings with that model, if one is given, and the file that has to come along for it.

    Raises `BundleError` for what is no model.
    """
    from emopi.device.classifier import Classifier
    from emopi.device.model_files import resolve_model, shipped_models

    name = model or settings["model"].name
    if name.startswith(f"{INSTALLED_MODELS}/") and not model:
        return settings, ()  # somebody knows that it will be there
    try:
        path = resolve_model(name)
        Classifier(path)
    except EmopiError as error:
        raise BundleError(f"the model of the bundle: {error}") from None
    if name in shipped_models():
        return settings.with_options({"model__name": name}), ()
    return settings.with_options({"model__name": f"{INSTALLED_MODELS}/{path.name}"}), (path,)


def _unpacked_bytes(wheel: bytes) -> int:
    with zipfile.ZipFile(io.BytesIO(wheel)) as zipped:
        return sum(entry.file_size for entry in zipped.infolist())
