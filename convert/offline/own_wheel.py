"""emopi's own wheel, made again from the emopi that runs: installed, or editable from a checkout.

So it needs neither a checkout nor a network, and what is bundled is what was tried out.
"""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import io
import zipfile
from collections.abc import Mapping
from email.parser import Parser
from importlib.metadata import Distribution, distributions
from pathlib import Path

from emopi.device.errors import BundleError

EPOCH = (1980, 1, 1, 0, 0, 0)
"""Of every file in it, so that the same files make the same bytes; zip knows no earlier time."""
WHEEL = "Wheel-Version: 1.0\nGenerator: emopi bundle\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
INSTALLER = "emopi/device/install.sh"
"""In the wheel, and so of the version that it installs."""
METADATA = ("METADATA", "entry_points.txt", "top_level.txt")


@dataclasses.dataclass(frozen=True, slots=True)
class OwnWheel:
    """A wheel of emopi."""

    content: bytes
    version: str
    requirements: tuple[str, ...]
    """As its metadata has them, those of extras too."""

    @property
    def file(self) -> str:
        """Its name."""
        return f"emopi-{self.version}-py3-none-any.whl"


def running_wheel() -> OwnWheel:
    """The wheel of the emopi that runs. Raises `BundleError` where its files are not all there."""
    # not what a build has left in a checkout that Python runs in
    found = (one for one in distributions(name="emopi") if one.read_text("METADATA"))
    if not (installed := next(found, None)):
        raise BundleError(
            "this emopi is not installed, so it does not know its version and its parts. Install "
            "it (pip install emopi, or pip install -e . in a checkout), or give --wheel FILE"
        )
    files = _package(Path(__file__).parents[2]) | _metadata(installed)
    return read_wheel(make_wheel(files, f"emopi-{installed.version}.dist-info"), "this emopi")


def read_wheel(content: bytes, name: str) -> OwnWheel:
    """A wheel of emopi that was made elsewhere. Raises `BundleError` if it is none."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as zipped:
            found = [entry for entry in zipped.namelist() if entry.endswith(".dist-info/METADATA")]
            metadata = Parser().parsestr(zipped.read(found[0]).decode())
            installer = [entry for entry in zipped.namelist() if entry == INSTALLER]
    except (zipfile.BadZipFile, IndexError, UnicodeDecodeError) as error:
        raise BundleError(f"{name} is not a wheel ({error}); expected one of emopi") from None
    if metadata["Name"] != "emopi" or not installer:
        what = metadata["Name"] if metadata["Name"] != "emopi" else f"one without {INSTALLER}"
        raise BundleError(f"{name} is a wheel of {what}; expected one of this emopi or a newer one")
    return OwnWheel(content, metadata["Version"], tuple(metadata.get_all("Requires-Dist") or ()))


def installer(wheel: OwnWheel) -> bytes:
    """The `install.sh` that belongs to a wheel."""
    with zipfile.ZipFile(io.BytesIO(wheel.content)) as zipped:
        return zipped.read(INSTALLER)


def make_wheel(files: Mapping[str, bytes], metadata: str) -> bytes:
    """The wheel of those files, by name, with its RECORD; `metadata` is its .dist-info folder."""
    record = "".join(
        f"{name},sha256={_digest(content)},{len(content)}\n"
        for name, content in sorted(files.items())
    )
    record_name = f"{metadata}/RECORD"
    everything = [*sorted(files.items()), (record_name, f"{record}{record_name},,\n".encode())]
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as zipped:
        for name, content in everything:
            entry = zipfile.ZipInfo(name, EPOCH)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o100644 << 16
            zipped.writestr(entry, content)
    return packed.getvalue()


def _package(folder: Path) -> dict[str, bytes]:
    """Name in the wheel to content of all that lies in the package."""
    if folder.name != "emopi":
        raise BundleError(
            f"{folder}, where this emopi lies, is not a package of emopi alone. Install it "
            "(pip install emopi, or pip install -e . in a checkout), or give --wheel FILE"
        )
    return {
        f"emopi/{path.relative_to(folder).as_posix()}": path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def _metadata(installed: Distribution) -> dict[str, bytes]:
    folder = f"emopi-{installed.version}.dist-info"
    texts = {f"{folder}/{name}": installed.read_text(name) for name in METADATA}
    licences = {
        str(path): path.read_text()
        for path in installed.files or ()
        if str(path).startswith(f"{folder}/licenses/")
    }
    found = {name: text.encode() for name, text in (texts | licences).items() if text}
    return found | {f"{folder}/WHEEL": WHEEL.encode()}


def _digest(content: bytes) -> str:
    """As PEP 376 wants it."""
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
