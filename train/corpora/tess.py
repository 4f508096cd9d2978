"""TESS: the Toronto Emotional Speech Set."""

from __future__ import annotations

import re
from pathlib import Path
from typing import ClassVar

from emopi.train.corpora.base import Clip, Reader

_NAME = re.compile(
    r"(?P<speaker>OAF?|YAF?)_(?P<word>[a-z]+)"
    r"_(?P<emotion>angry|disgust|fear|happy|neutral|ps|pleasant_surprised?|sad)",
    re.IGNORECASE | re.ASCII,
)
_LABELS = {
    "neutral": "neutral",
    "happy": "happy",
    "sad": "sad",
    "angry": "angry",
    "fear": "fearful",
    "disgust": "disgust",
    "ps": "surprised",
}


class Tess(Reader):
    """TESS: 2 actresses, 2800 clips (Pichora-Fuller and Dupuis 2020).

    File names are speaker_word_emotion: OAF (aged 64) or YAF (26), one of 200 words after "Say the
    word", and angry, disgust, fear, happy, neutral, sad or ps (pleasant surprise): OAF_back_angry.
    One file is published as OA_bite_neutral. Folders are spelled in many ways and not looked at.
    """

    name = "tess"
    title = "TESS"
    licence = "CC BY-NC-ND 4.0"
    source = "M. K. Pichora-Fuller, K. Dupuis (2020), Borealis, doi:10.5683/SP2/E8H2MF"
    speech = "200 English words in one phrase by two Canadian actresses"
    example = "OAF_back_angry.wav"
    counts: ClassVar[dict[str, int]] = dict.fromkeys(_LABELS.values(), 400)
    speakers: ClassVar[dict[str, int]] = {"OAF": 1400, "YAF": 1400}

    @classmethod
    def clip(cls, path: Path) -> Clip | None:
        """A name such as "OAF_back_angry", in any case."""
        if not (match := _NAME.fullmatch(path.stem)):
            return None
        speaker = f"{match['speaker'][0].upper()}AF"
        emotion = match["emotion"].lower()
        emotion = "ps" if emotion.startswith("p") else emotion
        return Clip(f"{speaker}_{match['word'].lower()}_{emotion}", speaker, _LABELS[emotion])
