"""What the machine says of itself: clock, temperature, throttling, load, memory. Never set.

Everything is a file of the kernel's, so it costs nothing and needs no rights; on a Raspberry Pi
`vcgencmd` is asked for what an older kernel does not show. What a machine does not tell is None.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

ROOT = Path("/")

THROTTLING = {
    0: "under-voltage now",
    1: "clock capped now",
    2: "throttled now",
    3: "soft temperature limit now",
    16: "under-voltage since boot",
    17: "clock capped since boot",
    18: "throttled since boot",
    19: "soft temperature limit since boot",
}
"""Bit of the firmware's word to what it means (Raspberry Pi documentation, get_throttled)."""

Ask = Callable[[str], str | None]
"""From a query such as "get_throttled" to what vcgencmd prints; None where it has no answer."""


@dataclasses.dataclass(frozen=True, slots=True)
class BoardState:
    """One moment of the machine; None for what it does not tell."""

    clock_mhz: int | None
    """Of the fastest core just then."""
    governor: str | None
    """Of the first core, such as "ondemand" or "performance"."""
    temperature_c: float | None
    """Of the processor, or of the hottest zone where none is called that."""
    throttling: tuple[str, ...] | None
    """What the firmware complains of, in words of `THROTTLING`; empty if nothing."""
    load: float | None = None
    """Processes that ran or wanted to, mean of the last minute; this one among them."""
    cores: int | None = None
    """That they had."""

    @property
    def told(self) -> bool:
        """Whether the machine says anything of its state."""
        facts = (self.clock_mhz, self.governor, self.temperature_c, self.throttling, self.load)
        return any(fact is not None for fact in facts)

    @property
    def throttled_now(self) -> bool:
        """Whether it runs slower than it could, or on too little power, at this moment."""
        return any(complaint.endswith("now") for complaint in self.throttling or ())

    @property
    def busy(self) -> bool:
        """Whether more wanted to run than there are cores, so that times come out too long."""
        return self.load is not None and self.load > (self.cores or 1) + 0.5

    def to_json(self) -> dict[str, Any]:
        """The fields by name, of JSON types."""
        return dataclasses.asdict(self) | {
            "throttling": None if self.throttling is None else list(self.throttling)
        }

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> BoardState:
        """The state that `to_json` described."""
        told = fields["throttling"]
        return cls(**{**fields, "throttling": None if told is None else tuple(told)})

    def describe(self) -> str:
        """In a few words, such as "1500 MHz (ondemand), 48 °C, not throttled"."""
        parts = []
        if self.clock_mhz is not None:
            parts.append(f"{self.clock_mhz} MHz" + f" ({self.governor})" * bool(self.governor))
        if self.temperature_c is not None:
            parts.append(f"{self.temperature_c:.0f} °C")
        if self.throttling is not None:
            parts.append(", ".join(self.throttling) or "not throttled")
        if self.load is not None:
            parts.append(f"load {self.load:.1f} on {self.cores or 1} cores")
        return ", ".join(parts) or "the machine tells neither clock nor temperature"


def ask_vcgencmd(query: str) -> str | None:
    """What `vcgencmd QUERY` prints on a Raspberry Pi; None elsewhere, or without the right to."""
    if not (command := shutil.which("vcgencmd")):
        return None
    try:
        done = subprocess.run(
            [command, *query.split()], capture_output=True, text=True, timeout=5, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def board_state(root: Path = ROOT, ask: Ask = ask_vcgencmd) -> BoardState:
    """The machine now, by the files below `root`, or else by the answers of `ask`."""
    cpus = sorted((root / "sys/devices/system/cpu").glob("cpu[0-9]*/cpufreq"))
    return BoardState(
        clock_mhz=_clock_mhz(cpus, ask),
        governor=next(filter(None, (_text(cpu / "scaling_governor") for cpu in cpus)), None),
        temperature_c=_temperature_c(root),
        throttling=_throttling(root, ask),
        load=_load(root),
        cores=os.cpu_count(),
    )


def resident_mb(root: Path = ROOT) -> tuple[float, str]:
    """MiB of memory that this process holds, and where that is from.

    Where there is no /proc it is the most that the process has ever held.
    """
    for line in (_text(root / "proc/self/status") or "").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024, "VmRSS of /proc/self/status"
    import resource

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # bytes on macOS, KiB everywhere else
    return most / (2**20 if sys.platform == "darwin" else 2**10), "maximum of getrusage"


def board_name(root: Path = ROOT) -> str | None:
    """What the machine calls itself, such as "Raspberry Pi 4 Model B Rev 1.2"; else its processor.

    None where it says neither.
    """
    if model := (_text(root / "proc/device-tree/model") or "").rstrip("\0"):
        return model
    lines = (_text(root / "proc/cpuinfo") or "").splitlines()
    named = dict(reversed([line.partition(":")[::2] for line in lines if ":" in line]))
    facts = {key.strip(): value.strip() for key, value in named.items()}
    return facts.get("Model") or facts.get("model name")


def memory_mb(root: Path = ROOT) -> tuple[float, float] | None:
    """MiB that programs could still have, and that there are; None where the kernel is silent."""
    lines = (_text(root / "proc/meminfo") or "").splitlines()
    kib = {line.partition(":")[0]: _number(line.split()[1]) for line in lines if " kB" in line}
    available, total = kib.get("MemAvailable"), kib.get("MemTotal")
    return None if available is None or total is None else (available / 1024, total / 1024)


def _clock_mhz(cpus: list[Path], ask: Ask) -> int | None:
    found = [_number(_text(cpu / "scaling_cur_freq")) for cpu in cpus]
    if known := [khz for khz in found if khz is not None]:
        return round(max(known) / 1000)
    hz = _number((ask("measure_clock arm") or "").rpartition("=")[2])
    return None if hz is None else round(hz / 1e6)


def _temperature_c(root: Path) -> float | None:
    zones = {}
    for zone in sorted((root / "sys/class/thermal").glob("thermal_zone*")):
        if (millidegrees := _number(_text(zone / "temp"))) is not None:
            zones[zone] = millidegrees / 1000
    named = [zone for zone in zones if "cpu" in (_text(zone / "type") or "").lower()]
    return max((zones[zone] for zone in named or zones), default=None)


def _throttling(root: Path, ask: Ask) -> tuple[str, ...] | None:
    told = _text(root / "sys/devices/platform/soc/soc:firmware/get_throttled")
    told = told or (ask("get_throttled") or "").rpartition("=")[2]
    try:
        word = int(told, 16)
    except ValueError:
        return None
    return tuple(meaning for bit, meaning in THROTTLING.items() if word >> bit & 1)


def _load(root: Path) -> float | None:
    with contextlib.suppress(ValueError):
        return float((_text(root / "proc/loadavg") or "").partition(" ")[0])
    return None


def _text(path: Path) -> str | None:
    """What a file says, None if it is absent or cannot be read just then."""
    with contextlib.suppress(OSError):
        return path.read_text().strip()
    return None


def _number(text: str | None) -> int | None:
    return int(text) if text and text.lstrip("-").isdigit() else None
