"""What a process holds, by the kernel's account."""

from __future__ import annotations

from pathlib import Path

FIELDS = {"rss_mb": ("Rss",), "pss_mb": ("Pss",), "uss_mb": ("Private_Clean", "Private_Dirty")}


def memory(pid: int | str = "self") -> dict[str, float]:
    """MiB: resident, resident with shared pages counted by share, and what is this process's alone.

    Raises `OSError` where the process has ended or there is no `/proc/PID/smaps_rollup`.
    """
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    kib = {
        name: int(value.split()[0]) for name, _, value in (line.partition(":") for line in lines)
    }
    return {key: sum(kib[name] for name in names) / 1024 for key, names in FIELDS.items()}


def peak_mb(pid: int | str = "self") -> float:
    """MiB: the most that was ever resident (VmHWM)."""
    return _status(pid, "VmHWM")


def anonymous_mb(pid: int | str = "self") -> float:
    """MiB resident that no file stands behind: what must stay in memory."""
    return _status(pid, "RssAnon")


def _status(pid: int | str, name: str) -> float:
    text = Path(f"/proc/{pid}/status").read_text()
    return int(text.partition(f"{name}:")[2].split()[0]) / 1024
