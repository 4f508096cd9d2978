"""The processors that are counted on, and the boards that they sit on."""

from __future__ import annotations

import dataclasses

MIDRS = {
    "cortex-a7": (0, 0xC07, 5),
    "cortex-a53": (0, 0xD03, 4),
    "cortex-a72": (0, 0xD08, 3),
    "cortex-a76": (4, 0xD0B, 1),
}
"""Variant, part and revision, as `/proc/cpuinfo` shows them on a Raspberry Pi 2, 3, 4 and 5."""

A7_FEATURES = "half thumb fastmult vfp edsp neon vfpv3 tls vfpv4 idiva idivt vfpd32 lpae evtstrm"

BASE_FEATURES = "fp asimd evtstrm crc32 cpuid"
A76_FEATURES = (
    "fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop "
    "asimddp"
)
N_CORES = 4
"""Of each of the boards."""


@dataclasses.dataclass(frozen=True, slots=True)
class Board:
    """A Raspberry Pi, as its maker describes it."""

    name: str
    clock_ghz: float
    """Highest clock of its slowest revision, unless it is too hot or lacks power."""


@dataclasses.dataclass(frozen=True, slots=True)
class Core:
    """A processor core that QEMU emulates."""

    name: str
    """What QEMU calls it."""
    boards: tuple[Board, ...]
    per_cycle: tuple[float, float]
    """Instructions that a cycle completes, from a pessimist's to an optimist's: an **assumption**.
    The core can at most begin 2 (Cortex-A53), 3 (A72) or 4 (A76) of them a cycle."""

    def milliseconds(self, instructions: float, board: Board) -> tuple[float, float]:
        """What so many would take on `board`, from the optimist's to the pessimist's."""
        slow, fast = (instructions / (per * board.clock_ghz * 1e6) for per in self.per_cycle)
        return fast, slow


CORES = (
    Core("cortex-a53", (Board("Zero 2 W", 1.0), Board("3 B", 1.2)), (0.5, 1.2)),
    Core("cortex-a72", (Board("4 B", 1.5),), (0.8, 2.0)),
    Core("cortex-a76", (Board("5", 2.4),), (1.0, 3.0)),
)


def cpuinfo(core: str) -> str:
    """`/proc/cpuinfo` of such a board, by which XNNPACK chooses the kernels for a core."""
    variant, part, revision = MIDRS[core]
    features = {"cortex-a7": A7_FEATURES, "cortex-a76": A76_FEATURES}.get(core, BASE_FEATURES)
    architecture = 7 if core == "cortex-a7" else 8
    return "".join(
        f"processor\t: {number}\nBogoMIPS\t: 108.00\nFeatures\t: {features}\n"
        f"CPU implementer\t: 0x41\nCPU architecture: {architecture}\nCPU variant\t: {variant:#x}\n"
        f"CPU part\t: {part:#x}\nCPU revision\t: {revision}\n\n"
        for number in range(N_CORES)
    )
