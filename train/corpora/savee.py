"""SAVEE: Surrey Audio-Visual Expressed Emotion."""

from __future__ import annotations

import re
from pathlib import Path
from typing import ClassVar

from emopi.train.corpora.base import Clip, Reader

_SPEAKERS = ("DC", "JE", "JK", "KL")
_NAME = re.compile(
    rf"(?:(?P<speaker>{'|'.join(_SPEAKERS)})_)?(?P<emotion>sa|su|[adfhn])(?P<number>\d\d)",
    re.IGNORECASE | re.ASCII,
)
_LABELS = {
    "n": "neutral",
    "h": "happy",
    "sa": "sad",
    "a": "angry",
    "f": "fearful",
    "d": "disgust",
    "su": "surprised",
}


class Savee(Reader):
    """SAVEE, the audio files: 4 male speakers, 480 clips (Haq and Jackson 2009, 2010).

    As published, a folder a speaker (DC, JE, JK, KL) with names of emotion and number: DC/a01,
    sa15; archives that circulate put all into one folder as DC_a01. Fifteen sentences an emotion,
    thirty for neutral. a anger, d disgust, f fear, h happiness, n neutral, sa sadness, su surprise.
    """

    name = "savee"
    title = "SAVEE"
    licence = "for research, on registration"
    source = (
        "S. Haq, P. J. B. Jackson (2009), AVSP; (2010), Machine Audition, ch. 17, "
        "http://kahlan.eps.surrey.ac.uk/savee"
    )
    speech = "English sentences (TIMIT) by four British men"
    example = "DC_a01.wav or DC/a01.wav"
    counts: ClassVar[dict[str, int]] = {
        label: 120 if label == "neutral" else 60 for label in _LABELS.values()
    }
    speakers: ClassVar[dict[str, int]] = dict.fromkeys(_SPEAKERS, 120)

    @classmethod
    def published(cls) -> list[str]:
        """The 480 clip ids."""
        return [
            cls.prefixed(f"{speaker}_{emotion}{number:02}")
            for speaker in _SPEAKERS
            for emotion in _LABELS
            for number in range(1, _sentences(emotion) + 1)
        ]

    @classmethod
    def clip(cls, path: Path) -> Clip | None:
        """A name such as "DC_a01", or "a01" in a folder "DC", in any case."""
        if not (match := _NAME.fullmatch(path.stem)):
            return None
        speaker = (match["speaker"] or path.parent.name).upper()
        emotion = match["emotion"].lower()
        if speaker not in _SPEAKERS or not 1 <= int(match["number"]) <= _sentences(emotion):
            return None
        return Clip(f"{speaker}_{emotion}{match['number']}", speaker, _LABELS[emotion])


def _sentences(emotion: str) -> int:
    return 30 if emotion == "n" else 15
