"""Which clips fix the ranges of an int8 model: training clips, balanced, the same each time."""

from __future__ import annotations

import hashlib
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np

from emopi.device.frontend import Floats, FrontendSpec, extract
from emopi.device.sources.audio import read_clip
from emopi.train.corpora import Utterance
from emopi.train.dataset import cut

CLIPS = 192

LOUDNESS = ("quiet", "middle", "loud")
"""Thirds of the training clips by level."""


def choose_clips(
    training_side: Sequence[Utterance],
    levels_dbfs: Mapping[str, float] | None = None,
    n: int = CLIPS,
) -> tuple[Utterance, ...]:
    """Up to `n` utterances, as evenly as may be over emotions, then loudness, then speakers.

    Depends on the clip ids and on the thirds into which `levels_dbfs` (clip id to level) divides
    them: the same side gives the same clips. Without levels all count as equally loud.
    """
    loudness = _thirds(training_side, levels_dbfs) if levels_dbfs else defaultdict(str)
    waiting: dict[str, list[Utterance]] = defaultdict(list)
    for utterance in sorted(training_side, key=_shuffled):
        waiting[utterance.label].append(utterance)
    chosen: list[Utterance] = []
    used: dict[str, int] = defaultdict(int)
    while len(chosen) < n and waiting:
        for label in sorted(waiting):
            one = min(waiting[label], key=lambda u: (used[loudness[u.clip_id]], used[u.speaker]))
            waiting[label].remove(one)
            chosen.append(one)
            used[loudness[one.clip_id]] += 1
            used[one.speaker] += 1
            if not waiting[label]:
                del waiting[label]
    return tuple(sorted(chosen[:n]))


def clip_levels(utterances: Sequence[Utterance], rate_hz: int) -> dict[str, float]:
    """Clip id to level in dBFS: mean power over the whole clip, without DC."""
    return {
        utterance.clip_id: 10
        * math.log10(float(np.var(read_clip(utterance.path, rate_hz), dtype=np.float64)) + 1e-20)
        for utterance in utterances
    }


def calibration_windows(clips: Sequence[Utterance], spec: FrontendSpec, n_frames: int) -> Floats:
    """(2 * clips, n_frames, n_mfcc): of each clip the middle, and a window that ends inside it.

    The converter sees an LSTM's cell state only after a window's last frame. Windows that all end
    in the pause behind the speech would give it a range that the speech itself exceeds (measured:
    2 instead of 10, and probabilities off by 0.03 in the mean).
    """
    middles, ending_inside = [], []
    for number, clip in enumerate(clips):
        frames = extract(read_clip(clip.path, spec.sample_rate_hz), spec)
        middles.append(cut(frames, (len(frames) - n_frames) // 2, n_frames, spec))
        end = round(len(frames) * (0.2 + 0.6 * number / len(clips)))
        ending_inside.append(cut(frames, end - n_frames, n_frames, spec))
    return np.stack(middles + ending_inside)


def _thirds(utterances: Sequence[Utterance], levels_dbfs: Mapping[str, float]) -> dict[str, str]:
    """Clip id to one of `LOUDNESS`, a third of the clips each."""
    by_level = sorted((levels_dbfs[u.clip_id], u.clip_id) for u in utterances)
    return {
        clip_id: LOUDNESS[3 * rank // len(by_level)] for rank, (_, clip_id) in enumerate(by_level)
    }


def _shuffled(utterance: Utterance) -> bytes:
    """Sorts clips in an order that no library's version changes."""
    return hashlib.sha256(f"calibration {utterance.clip_id}".encode()).digest()
