"""The systems that a bundle can be for."""

from __future__ import annotations

import dataclasses

from emopi.device.errors import BundleError

PYAUDIO = ("python3-pyaudio",)
"""There is no wheel of PyAudio for Linux, and Debian has one."""
NOT_ON_PYPI = ("python3-numpy", "python3-cffi-backend", "libsndfile1")
"""What PyPI has no wheels of for 32-bit ARM, and the library that soundfile's has inside."""


@dataclasses.dataclass(frozen=True, slots=True)
class Target:
    """A release of Raspberry Pi OS, or of Debian, on one kind of processor."""

    name: str
    suite: str
    """Debian's name of the release."""
    architecture: str
    """Debian's name of the processor, such as "arm64"."""
    machine: str
    """Python's name of it, such as "aarch64"."""
    python: str
    """Version of Debian's Python, such as "3.13.5"."""
    glibc_minor: int
    """Wheels may need glibc 2.N at most."""
    packages: tuple[str, ...] = PYAUDIO
    """Debian packages that emopi wants; what they need comes with them."""
    from_debian: frozenset[str] = frozenset()
    """Python packages that `packages` bring, and wheels need not."""

    @property
    def python_minor(self) -> str:
        """Such as "3.13": wheels that hold machine code are of one."""
        return self.python.rpartition(".")[0]

    @property
    def platforms(self) -> tuple[str, ...]:
        """Tags of the wheels that run there, best first (PEP 600)."""
        tags = [f"manylinux_2_{n}_{self.machine}" for n in range(self.glibc_minor, 16, -1)]
        return (*tags, f"manylinux2014_{self.machine}", f"linux_{self.machine}")

    @property
    def markers(self) -> dict[str, str]:
        """The environment that a wheel's requirements are judged by (PEP 508)."""
        return {
            "implementation_name": "cpython",
            "implementation_version": self.python,
            "os_name": "posix",
            "platform_machine": self.machine,
            "platform_python_implementation": "CPython",
            "platform_release": "",
            "platform_system": "Linux",
            "platform_version": "",
            "python_full_version": self.python,
            "python_version": self.python_minor,
            "sys_platform": "linux",
        }


TARGETS = {
    target.name: target
    for target in (
        Target("trixie-aarch64", "trixie", "arm64", "aarch64", "3.13.5", 41),
        Target("bookworm-aarch64", "bookworm", "arm64", "aarch64", "3.11.2", 36),
        Target(
            "bookworm-armhf", "bookworm", "armhf", "armv7l", "3.11.2", 36,
            packages=PYAUDIO + NOT_ON_PYPI, from_debian=frozenset({"numpy", "cffi"}),
        ),
        Target("bookworm-x86_64", "bookworm", "amd64", "x86_64", "3.11.2", 36),
    )
}  # fmt: skip


def find_target(name: str) -> Target:
    """The target of that name. Raises `BundleError` for one that there is not, and says why."""
    if name in TARGETS:
        return TARGETS[name]
    why = ""
    if name.startswith("trixie-arm"):
        why = (
            " There is no TFLite interpreter for Trixie's Python 3.13 on 32-bit ARM: take the "
            "64-bit Raspberry Pi OS, or 32-bit Bookworm."
        )
    raise BundleError(f"{name!r} is no target; expected one of: {', '.join(TARGETS)}.{why}")
