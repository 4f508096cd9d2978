"""What the counts come to: per call, against the committed ones, against the aims. Pure."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence

from emopi.device.errors import EmopiError

Counts = Mapping[str, Mapping[str, Mapping[str, int]]]
"""Instructions by model ("cnn-int8"), core ("cortex-a72") and stage ("network")."""

GROWTH = 0.03
"""By so much a count may grow before it fails. Counts repeat to 0.2 %."""


class CountError(EmopiError, RuntimeError):
    """Instructions that could not be counted, or counts that cannot be compared."""


@dataclasses.dataclass(frozen=True, slots=True)
class Change:
    """One count beside the committed one."""

    model: str
    core: str
    stage: str
    before: int
    now: int

    @property
    def growth(self) -> float:
        """0.05 for 5 % more instructions, negative for less."""
        return self.now / self.before - 1

    @property
    def fails(self) -> bool:
        """Whether it has grown by more than `GROWTH`."""
        return self.now > self.before * (1 + GROWTH)


@dataclasses.dataclass(frozen=True, slots=True)
class Aim:
    """A bound on instructions, or on the share of another model's."""

    model: str
    stages: tuple[str, ...]
    """Whose instructions are added up."""
    core: str
    most: float
    """Instructions, or a share where there is a `reference` or something is taken off."""
    reference: str | None = None
    """The model whose instructions are 1."""
    without: tuple[str, ...] = ()
    """Stages that are taken off; what is left is bounded, as a share of the whole."""

    @property
    def is_share(self) -> bool:
        """Whether it is a share that is bounded."""
        return bool(self.reference or self.without)

    @property
    def about(self) -> str:
        """What is bounded, such as "cnn-int8 / cnn-float32, network"."""
        names = self.model if self.reference is None else f"{self.model} / {self.reference}"
        less = "".join(f" - {stage}" for stage in self.without)
        whole = " + ".join(self.stages)
        return f"{names}, ({whole}{less}) / {whole}" if less else f"{names}, {whole}"

    def found(self, counts: Counts) -> float | None:
        """What `counts` have for it; None where they lack a model or the core."""
        try:
            value = self._sum(counts[self.model], self.stages)
            if self.without:
                return 1 - self._sum(counts[self.model], self.without) / value
            if self.reference:
                return value / self._sum(counts[self.reference], self.stages)
            return value
        except KeyError:
            return None

    def _sum(self, cores: Mapping[str, Mapping[str, int]], stages: tuple[str, ...]) -> float:
        return float(sum(cores[self.core][stage] for stage in stages))


AIMS = (
    *(
        Aim("lstm-int8", ("network",), core, 0.55, "lstm-float32")
        for core in ("cortex-a53", "cortex-a72", "cortex-a76")
    ),
    Aim("cnn-int8", ("network",), "cortex-a53", 0.8, "cnn-float32"),
    Aim("cnn-int8", ("network",), "cortex-a72", 0.8, "cnn-float32"),
    Aim("cnn-int8", ("network",), "cortex-a76", 0.3, "cnn-float32"),  # it has dot products
    *(
        Aim("cnn-int8", stages, core, most)
        for stages in (("hop",), ("hop", "detector"))
        for core, most in (("cortex-a72", 20e6), ("cortex-a76", 8e6))
    ),
    *(  # Python's share of a decision
        Aim("cnn-int8", ("hop",), core, 0.1, without=("network", "arithmetic"))
        for core in ("cortex-a53", "cortex-a72", "cortex-a76")
    ),
)


def per_call(marks: str, stages: Sequence[str], repeats: int) -> dict[str, int]:
    """Instructions of one call of each stage, from the running counts at the start and the end of
    `repeats` calls of each, in order, one a line.

    Raises `CountError` for marks that are not such counts.
    """
    try:
        counts = [int(line) for line in marks.split()]
    except ValueError:
        raise CountError(f"the marks are not numbers: {marks[:200]!r}") from None
    if len(counts) != 2 * len(stages) or counts != sorted(set(counts)):
        raise CountError(
            f"{len(counts)} marks: {counts}; expected {2 * len(stages)}, each larger than the one "
            f"before, for {len(stages)} stages. Does something else call getppid?"
        )
    return {
        stage: round((end - start) / repeats)
        for stage, start, end in zip(stages, counts[::2], counts[1::2], strict=True)
    }


def changes(before: Counts, now: Counts) -> Iterator[Change]:
    """Every count of `now` that `before` has as well, in the order of `now`."""
    for model, cores in now.items():
        for core, stages in cores.items():
            for stage, count in stages.items():
                committed = before.get(model, {}).get(core, {}).get(stage)
                if committed:
                    yield Change(model, core, stage, committed, count)
