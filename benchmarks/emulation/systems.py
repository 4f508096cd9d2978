"""The systems that are emulated: the Debians that Raspberry Pi OS is built on, for its processors.

Raspberry Pi OS is Debian with a kernel, firmware and some packages of its own; those are not here.
"""

from __future__ import annotations

import dataclasses

AUDIO = ("python3-pyaudio", "libportaudio2", "libasound2-plugins")
"""Debian's PyAudio: to build PyPI's, an emulated compiler would be needed."""


@dataclasses.dataclass(frozen=True, slots=True)
class System:
    """A Debian for a processor, as it is unpacked and run; nothing of it is set up."""

    release: str
    architecture: str
    """Debian's name of it."""
    emulator: str
    """QEMU's user-mode program for it."""
    core: str
    """The processor, as QEMU calls it, that runs it unless another is wanted."""
    packages: tuple[str, ...]
    library_folders: tuple[str, ...] = ()
    """Where libraries lie that a set-up Debian would find by links; relative to its root."""

    @property
    def name(self) -> str:
        """Such as "bookworm-arm64"."""
        return f"{self.release}-{self.architecture}"


_PYTHON = ("python3-minimal", "python3", "python3-pip-whl", "libstdc++6")

BOOKWORM_64 = System("bookworm", "arm64", "qemu-aarch64", "cortex-a72", (*_PYTHON, *AUDIO))
"""Raspberry Pi OS 12: Python 3.11."""

TRIXIE_64 = System("trixie", "arm64", "qemu-aarch64", "cortex-a72", _PYTHON)
"""Raspberry Pi OS 13: Python 3.13."""

BOOKWORM_32 = System(
    "bookworm",
    "armhf",
    "qemu-arm",
    "cortex-a7",
    # PyPI has none of these for 32-bit ARM; piwheels, which Raspberry Pi OS asks as well, does
    (*_PYTHON, "python3-numpy", "libblas3", "liblapack3", "python3-cffi-backend", "libsndfile1"),
    ("usr/lib/arm-linux-gnueabihf/blas", "usr/lib/arm-linux-gnueabihf/lapack"),
)
"""32-bit Raspberry Pi OS 12, on the processor of a Raspberry Pi 2."""
