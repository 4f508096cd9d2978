"""What calibrating to a wearer is worth: test speakers as wearers, from what a model said of them.

Kept apart from the figures for strangers: here some of a test speaker's own clips, with their
labels, are used before the rest is scored.
"""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Sequence
from typing import TypeVar

import numpy as np

from emopi.device.profile import Example, Profile
from emopi.train.augment import rng_for
from emopi.train.evaluation.summary import Outcome

T = TypeVar("T")

EXAMPLES = (1, 3, 5)
"""Labelled clips an emotion, as the tables have them."""

ORDINARY = ("neutral", "calm")
"""Labels of the clips that stand for a wearer's ordinary speech."""

DRAWS = 5
"""How often they are drawn anew."""


def calibrated(outcome: Outcome, n_examples: int, draw: int) -> tuple[Outcome, Outcome]:
    """The outcome on the clips that are left, without and with each speaker's own profile.

    For each speaker `n_examples` clips of each label (one fewer than there are, at most) make a
    `Profile`, as `emopi calibrate` would; both outcomes hold the speaker's other clips. With
    `n_examples` 0 half of each speaker's `ORDINARY` clips, without labels, are the ordinary
    speech. Which clips are taken depends on `draw`, the speaker and the label alone; `draw`
    becomes the seed.
    """
    taken = _taken(outcome, n_examples, draw)
    kept = [k for k in range(len(outcome.clip_ids)) if k not in taken]
    profiles = {
        speaker: _profile(
            outcome,
            [k for k in sorted(taken) if outcome.speakers[k] == speaker],
            labelled=n_examples > 0,
        )
        for speaker in set(outcome.speakers)
    }
    before = _subset(outcome, kept, draw)
    rows = [
        tuple(profiles[speaker].adjust(np.array(row, np.float32)).tolist()) if answer >= 0 else row
        for speaker, answer, row in zip(
            before.speakers, before.answers, before.probabilities, strict=True
        )
    ]
    answers = [
        int(np.argmax(row)) if answer >= 0 else answer
        for answer, row in zip(before.answers, rows, strict=True)
    ]
    return before, dataclasses.replace(before, probabilities=tuple(rows), answers=tuple(answers))


def _profile(outcome: Outcome, clips: list[int], *, labelled: bool) -> Profile:
    """What one speaker's clips teach."""
    rows = [outcome.probabilities[k] for k in clips]
    labels = [outcome.labels[outcome.truth[k]] for k in clips]
    return Profile(
        model=f"{outcome.network}-{outcome.precision}",
        labels=outcome.labels,
        examples=tuple(map(Example, labels, rows)) if labelled else (),
        ordinary=() if labelled else tuple(rows),
    )


def _taken(outcome: Outcome, n_examples: int, draw: int) -> set[int]:
    """Indices of the clips that become examples."""
    groups: dict[tuple[str, int], list[int]] = defaultdict(list)
    for k, key in enumerate(zip(outcome.speakers, outcome.truth, strict=True)):
        groups[key].append(k)
    taken: set[int] = set()
    for (speaker, label), clips in groups.items():
        rng = rng_for("wearer", draw, speaker, label)
        in_order = sorted(clips, key=lambda k: outcome.clip_ids[k])
        ordinary = len(clips) // 2 if outcome.labels[label] in ORDINARY else 0
        n = min(n_examples, len(clips) - 1) if n_examples else ordinary
        taken |= set(rng.permutation(in_order)[:n].tolist())
    return taken


def _subset(outcome: Outcome, kept: list[int], seed: int) -> Outcome:
    def pick(values: Sequence[T]) -> tuple[T, ...]:
        return tuple(values[k] for k in kept)

    return dataclasses.replace(
        outcome,
        seed=seed,
        clip_ids=pick(outcome.clip_ids),
        speakers=pick(outcome.speakers),
        truth=pick(outcome.truth),
        answers=pick(outcome.answers),
        probabilities=pick(outcome.probabilities),
    )
