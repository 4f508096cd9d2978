"""EmoDB: the Berlin Database of Emotional Speech."""

from __future__ import annotations

import re
from pathlib import Path
from typing import ClassVar

from emopi.train.corpora.base import Clip, Reader

_SPEAKERS = ("03", "08", "09", "10", "11", "12", "13", "14", "15", "16")
_NAME = re.compile(
    rf"(?P<speaker>{'|'.join(_SPEAKERS)})(?P<text>[ab]\d\d)(?P<emotion>[WLEAFTN])(?P<version>[a-z]?)",
    re.IGNORECASE | re.ASCII,
)
_LABELS = {
    "N": "neutral",
    "F": "happy",
    "T": "sad",
    "W": "angry",
    "A": "fearful",
    "E": "disgust",
}


class EmoDb(Reader):
    """EmoDB: 10 actors, 535 clips in German (Burkhardt et al. 2005).

    File names are speaker (two digits), text (a01 to b10), the first letter of the German emotion
    and a letter for the version: 03a01Wa. W Wut (anger), L Langeweile (boredom), E Ekel (disgust),
    A Angst (fear), F Freude (joy: happy), T Trauer (sadness), N neutral. Boredom is none of
    emopi's labels: its 81 clips are left out, 454 remain. The second edition names its files so
    too, and has more of them.
    """

    name = "emodb"
    title = "EmoDB"
    licence = "free with citation, no formal licence (the second edition: CC BY 4.0)"
    source = (
        "F. Burkhardt et al. (2005), Interspeech, doi:10.21437/Interspeech.2005-446, "
        "http://emodb.bilderbar.info"
    )
    speech = "ten German sentences by ten actors"
    example = "03a01Wa.wav"
    counts: ClassVar[dict[str, int]] = {
        "neutral": 79,
        "happy": 71,
        "sad": 62,
        "angry": 127,
        "fearful": 69,
        "disgust": 46,
    }
    speakers: ClassVar[dict[str, int]] = dict.fromkeys(_SPEAKERS, 0)

    @classmethod
    def clip(cls, path: Path) -> Clip | None:
        """A name such as "03a01Wa", in any case."""
        if not (match := _NAME.fullmatch(path.stem)):
            return None
        emotion = match["emotion"].upper()
        name = f"{match['speaker']}{match['text'].lower()}{emotion}{match['version'].lower()}"
        label = _LABELS.get(emotion)
        return Clip(name, match["speaker"], label, "" if label else "boredom is none of the labels")
