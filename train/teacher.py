"""A finished training that another one learns from, on the very same clips."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from emopi.device.errors import RunError
from emopi.device.frontend import Floats
from emopi.train.backend import load_model
from emopi.train.run_record import RunRecord
from emopi.train.training import MODEL, run_hash


@dataclasses.dataclass(frozen=True, slots=True)
class Teaching:
    """How a network learns from another: see `emopi.train.taught_loss.TaughtLoss`."""

    share: float = 0.7
    """Of the loss that is the distance to the teacher's answers, above 0 to 1."""
    temperature: float = 2.0
    """What the logits of both are divided by there, positive."""


class Teacher:
    """Answers to training windows."""

    def __init__(self, run: Path) -> None:
        """Load the model of a run folder; `RunError` if its training is not finished."""
        self._run = run
        self._record = RunRecord.read(run)
        if not self._record.finished:
            raise RunError(
                f"{run} cannot teach: its training is not finished; go on with it: "
                "emopi train ... --resume"
            )
        self.model = load_model(run / MODEL)

    def check(self, student: RunRecord) -> None:
        """Raise `RunError` unless the student's training has the teacher's clips and windows.

        A teacher that knows one of the student's test clips would tell of it.
        """
        mine, others = _seen(self._record), _seen(student)
        for name, value in mine.items():
            if value != others[name]:
                raise RunError(
                    f"{self._run} cannot teach: it was trained with {name} = {value!r}, this "
                    f"training has {others[name]!r}; expected the very same clips and windows: "
                    "train the teacher with the same options"
                )

    def to_json(self) -> dict[str, Any]:
        """What the student's record says of it."""
        return {
            "network": self._record.network,
            "run_sha256": run_hash(self._run),
        } | dataclasses.asdict(Teaching())

    def logits(self, windows: Floats) -> Floats:
        """(batch, labels) for (batch, window_frames, n_mfcc) normalized windows."""
        return np.asarray(self.model.predict_on_batch(windows), np.float32)


def _seen(record: RunRecord) -> dict[str, Any]:
    """What a training has seen: equal for two of the same clips, divided in the same way."""
    recipe = record.recipe
    seen = {
        "protocol": record.protocol,
        "fold": record.fold,
        "validation_share": record.validation_share,
        "with_validation": recipe.get("with_validation", False),
        "corpus_sha256": record.corpus["sha256"],
        "window_frames": recipe["window_frames"],
        "frontend": recipe["frontend"],
    }
    if record.validation_share:  # the share is drawn with it
        seen["seed"] = recipe["seed"]
    return seen
