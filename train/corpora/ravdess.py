"""RAVDESS: the Ryerson Audio-Visual Database of Emotional Speech and Song."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import ClassVar

from emopi.train.corpora.base import LABELS, UNPREFIXED, Clip, Reader


class Ravdess(Reader):
    """RAVDESS speech, audio only: 24 actors, 1440 clips (Livingstone and Russo 2018).

    File names are modality-channel-emotion-intensity-statement-repetition-actor; 03-01 is audio
    only, speech. Odd actors are male. Songs (03-02) and the sound of videos (01, 02) are foreign.
    """

    name = UNPREFIXED
    title = "RAVDESS"
    licence = "CC BY-NC-SA 4.0"
    source = "S. R. Livingstone, F. A. Russo (2018), Zenodo, doi:10.5281/zenodo.1188976"
    speech = "two English sentences by 24 North American actors"
    example = "03-01-06-01-02-01-12.wav"
    counts: ClassVar[dict[str, int]] = {
        label: 96 if label == "neutral" else 192 for label in LABELS
    }
    speakers: ClassVar[dict[str, int]] = {f"{actor:02}": 60 for actor in range(1, 25)}
    where = "Get the corpus with: emopi dataset download DIR"
    identical: ClassVar[dict[str, str]] = {"03-01-03-01-02-02-07": "03-01-03-01-02-01-07"}

    @staticmethod
    def published() -> list[str]:
        """The 1440 clip ids: neutral (01) has no strong intensity (02)."""
        return [
            f"03-01-{emotion:02}-{intensity:02}-{statement:02}-{repetition:02}-{actor:02}"
            for emotion in range(1, 9)
            for intensity in ((1,) if emotion == 1 else (1, 2))
            for statement in (1, 2)
            for repetition in (1, 2)
            for actor in range(1, 25)
        ]

    @classmethod
    def clip(cls, path: Path) -> Clip | None:
        """A published name, such as "03-01-06-01-02-01-12"."""
        name = path.stem
        if name not in _published():
            return None
        return Clip(name, speaker=name[-2:], label=LABELS[int(name[6:8]) - 1])


@functools.cache
def _published() -> frozenset[str]:
    return frozenset(Ravdess.published())
