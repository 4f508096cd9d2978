"""Comparisons built by hand, for tests of what is drawn from them."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from support import MODELS

from emopi.convert.comparison.comparison import Compared, Comparison
from emopi.convert.comparison.footprint import Footprint
from emopi.convert.comparison.timing import Times, Timing
from emopi.device.board import BoardState
from emopi.device.contract import read
from emopi.device.decision import Decision
from emopi.train.corpora import Utterance
from emopi.train.evaluation.evaluate import Evaluation

SILENT = BoardState(None, None, None, None)
LABELS = read(MODELS / "cnn-int8.tflite")[1].labels


def utterances(n: int, speakers: int) -> tuple[Utterance, ...]:
    """Clips with the labels in turn; each speaker has about as many of each."""
    return tuple(
        Utterance(f"{k:04}", f"{k // 8 % speakers:02}", LABELS[k % 8], Path(f"{k:04}.wav"))
        for k in range(n)
    )


def compared(
    name: str,
    wrong: Sequence[int] = (),
    *,
    n: int = 240,
    speakers: int = 12,
    model_ms: float = 1.0,
    n_bytes: int = 1000,
    seen: int = 0,
    sure: float = 0.9,
) -> Compared:
    """A model called NETWORK-PRECISION that errs on the clips `wrong`, by the next label."""
    network, precision = name.split("-", 1)
    _, contract = read(MODELS / "cnn-float32.tflite")
    contract = dataclasses.replace(contract, network=network, precision=precision)
    clips = utterances(n, speakers)
    rest = (1 - sure) / 7
    decisions = []
    for place, clip in enumerate(clips):
        answer = LABELS[(LABELS.index(clip.label) + (place in wrong)) % 8]
        decisions.append(
            Decision(
                time_s=3.0, label=answer, confidence=sure,
                probabilities={label: sure if label == answer else rest for label in LABELS},
                level_dbfs=-20.0, latency_ms=1.0, overflows=0, model=name,
            )
        )  # fmt: skip
    jitter = 1 + 0.02 * np.sin(np.arange(40))
    return Compared(
        name=name,
        path=Path(f"{name}.tflite"),
        n_bytes=n_bytes,
        evaluation=Evaluation(contract, "paper-80-20", "seed0", clips, tuple(decisions)),
        seen=seen,
        footprint=Footprint(5.0, 2.0, 50.0, 6.0, 100.0, "a guess"),
        timing=Timing(*[Times(tuple(0.5 * jitter), tuple(model_ms * jitter))] * 2),
    )


def comparison(
    *models: Compared, before: BoardState = SILENT, after: BoardState = SILENT
) -> Comparison:
    """Of these models, on this machine."""
    return Comparison("paper-80-20", "seed0", models, 40, before, after)


def on(machine: str, whole: Comparison) -> Comparison:
    """The same, as if measured on another architecture."""
    whole.machine  # noqa: B018 - filled in, then altered
    whole.__dict__["machine"] = whole.machine | {"architecture": machine}
    return whole
