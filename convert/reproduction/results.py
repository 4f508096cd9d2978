"""The store of results: one small JSON file for each network, protocol and fold.

A result says what came of a job and what it depends on, so that a later `emopi reproduce` knows
whether it still counts. The folder can be kept under version control.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from emopi.convert.reproduction.plan import Job
from emopi.device.errors import RunError, SpecError
from emopi.device.files import write_atomically
from emopi.device.frontend import checked_fields
from emopi.train.evaluation.summary import Outcome

FORMAT = 1
CURVE_POINTS = 60
"""The most entries of a training's history that a result keeps."""

DEPLOYED = "int8"
"""The precision that a device runs, and that stands for a network where there is one figure."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Result:
    """What came of one job."""

    network: str
    protocol: str
    fold: str
    seed: int | None
    """None if there is no randomness."""
    epochs: int
    """0 if there are none."""
    quick: bool
    """Only a trial: its figures mean nothing."""
    recipe_sha256: str
    """`Job.recipe_sha256`."""
    corpus_sha256: str
    commit: str | None
    """Of emopi's repository, "-dirty" if it had changes."""
    versions: dict[str, str]
    hardware: str
    minutes: float
    """Of training alone."""
    bytes: dict[str, int]
    """Size of the model file by precision; empty if there is no file."""
    curve: Sequence[Mapping[str, float]]
    """The training's history, thinned to `CURVE_POINTS`."""
    outcomes: dict[str, Outcome]
    """By precision, on clean test clips."""
    conditions: dict[str, Outcome] = dataclasses.field(default_factory=dict)
    """Of the deployed model on test clips as heard under a condition, such as "noise 10 dB"."""
    format: int = FORMAT

    def __post_init__(self) -> None:
        """Raise `SpecError` for outcomes that are not of this job."""
        for outcome in (*self.outcomes.values(), *self.conditions.values()):
            mine = (self.network, self.protocol, self.fold)
            if (found := (outcome.network, outcome.protocol, outcome.fold)) != mine:
                raise SpecError(f"an outcome is of {found}; expected {mine}")
        if not self.outcomes:
            raise SpecError("there is no outcome; expected one or more")

    @property
    def deployed(self) -> Outcome:
        """Of the int8 model, or of the only one."""
        return self.outcomes.get(DEPLOYED) or next(iter(self.outcomes.values()))

    def why_not(self, job: Job, corpus_sha256: str) -> str:
        """Why this is not what `job` would give on that corpus; empty if it is."""
        if self.recipe_sha256 != job.recipe_sha256:
            return f"of another recipe ({self.recipe_sha256[:8]}, now {job.recipe_sha256[:8]})"
        if self.corpus_sha256 != corpus_sha256:
            return f"of another corpus ({self.corpus_sha256[:8]}, now {corpus_sha256[:8]})"
        if self.quick != job.quick:
            return "of a quick trial" if self.quick else "no quick trial"
        return ""

    def render(self) -> str:
        """JSON with one field, one outcome, one epoch a line."""
        fields = dataclasses.asdict(self).items()
        return (
            "{\n"
            + ",\n".join(f" {_text(name)}: {_block(value)}" for name, value in fields)
            + "\n}\n"
        )

    @classmethod
    def parse(cls, text: str) -> Result:
        """What `render` wrote; `SpecError` or `ValueError` if it is not that."""
        fields = checked_fields(cls, json.loads(text))
        if fields["format"] != FORMAT:
            raise SpecError(f"it has format {fields['format']!r}; expected {FORMAT}")
        for name in ("outcomes", "conditions"):
            entries = fields[name].items()
            fields[name] = {key: Outcome.from_json(value) for key, value in entries}
        return cls(**fields)


def read_result(path: Path) -> Result:
    """The result in a file; `RunError` if it is damaged or of another format."""
    try:
        return Result.parse(path.read_text(encoding="utf-8"))
    except (OSError, SpecError, ValueError, TypeError, AttributeError) as error:
        raise RunError(
            f"{path} cannot be read ({error}); expected a result of this emopi"
        ) from None


def write_result(result: Result, path: Path) -> None:
    """Replace the file at `path`, making its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, result.render().encode())


def thinned(history: Sequence[Mapping[str, float]]) -> tuple[Mapping[str, float], ...]:
    """At most `CURVE_POINTS` entries, evenly spaced, the last among them; without their times."""
    step = -(-len(history) // CURVE_POINTS) or 1
    kept = history[::-1][::step][::-1]
    return tuple({k: v for k, v in entry.items() if k != "seconds"} for entry in kept)


def _block(value: Any) -> str:
    """JSON; what holds objects has one a line."""
    if isinstance(value, dict) and any(isinstance(entry, dict) for entry in value.values()):
        inner = ",\n".join(f"  {_text(key)}: {_text(entry)}" for key, entry in value.items())
        return "{\n" + inner + "\n }"
    if isinstance(value, list | tuple) and value:
        return "[\n  " + ",\n  ".join(map(_text, value)) + "\n ]"
    return _text(value)


def _text(value: Any) -> str:
    return json.dumps(value, allow_nan=False)
