"""Which clips fix the ranges of an int8 model: training clips, balanced, the same each time."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from emopi.train.augment import rng_for
from emopi.train.corpora import Utterance

CLIPS = 192


def choose_clips(training_side: Sequence[Utterance], n: int = CLIPS) -> tuple[Utterance, ...]:
    """Up to `n` utterances, as evenly as may be over emotions, then over speakers.

    Depends on the clip ids alone: the same side gives the same clips.
    """
    ordered = sorted(training_side)
    rng = rng_for("calibration", *(utterance.clip_id for utterance in ordered))
    queues: dict[str, dict[str, list[Utterance]]] = defaultdict(lambda: defaultdict(list))
    for index in rng.permutation(len(ordered)):
        utterance = ordered[index]
        queues[utterance.label][utterance.speaker].append(utterance)
    chosen: list[Utterance] = []
    used: dict[str, int] = defaultdict(int)
    while len(chosen) < n and queues:
        for label in sorted(queues):
            speakers = queues[label]
            speaker = min(speakers, key=lambda name: (used[name], name))
            chosen.append(speakers[speaker].pop())
            used[speaker] += 1
            if not speakers[speaker]:
                del speakers[speaker]
            if not speakers:
                del queues[label]
    return tuple(sorted(chosen[:n]))
