"""CREMA-D: the Crowd-sourced Emotional Multimodal Actors Dataset."""

from __future__ import annotations

import re
from pathlib import Path
from typing import ClassVar

from emopi.train.corpora.base import Clip, Reader

_NAME = re.compile(
    r"(?P<actor>1\d\d\d)"
    r"_(?P<sentence>IEO|TIE|IOM|IWW|TAI|MTI|IWL|ITH|DFA|ITS|TSI|WSI)"
    r"_(?P<emotion>ANG|DIS|FEA|HAP|NEU|SAD)"
    r"_(?P<level>LO|MD|HI|XX?)",
    re.IGNORECASE | re.ASCII,
)
_LABELS = {
    "NEU": "neutral",
    "HAP": "happy",
    "SAD": "sad",
    "ANG": "angry",
    "FEA": "fearful",
    "DIS": "disgust",
}
_SILENT = "1076_MTI_SAD_XX"


class CremaD(Reader):
    """CREMA-D, the WAV files: 91 actors, 7442 clips (Cao et al. 2014).

    File names are actor_sentence_emotion_level: actors 1001 to 1091, twelve sentences, level LO,
    MD or HI, which only "It's eleven o'clock" (IEO) has, else XX (unspecified). One file is
    published with a single X (1040_ITH_SAD_X), one without sound (1076_MTI_SAD_XX: left out).
    The label is what the actor was asked to play, not what the crowd heard.
    """

    name = "crema-d"
    title = "CREMA-D"
    licence = "ODbL 1.0, its contents under the Database Contents License 1.0"
    source = (
        "H. Cao et al. (2014), doi:10.1109/TAFFC.2014.2336244, "
        "https://github.com/CheyneyComputerScience/CREMA-D"
    )
    speech = "twelve English sentences by 91 actors"
    example = "1001_DFA_ANG_XX.wav"
    counts: ClassVar[dict[str, int]] = {
        "neutral": 1087,
        "happy": 1271,
        "sad": 1270,
        "angry": 1271,
        "fearful": 1271,
        "disgust": 1271,
    }
    speakers: ClassVar[dict[str, int]] = {str(actor): 0 for actor in range(1001, 1092)}

    @classmethod
    def clip(cls, path: Path) -> Clip | None:
        """A name such as "1001_DFA_ANG_XX", in any case."""
        match = _NAME.fullmatch(path.stem)
        if not match or match["actor"] not in cls.speakers:
            return None
        name = path.stem.upper()
        name += "X" * name.endswith("_X")
        silent = name == _SILENT
        label = None if silent else _LABELS[match["emotion"].upper()]
        return Clip(name, match["actor"], label, "without sound" * silent)
