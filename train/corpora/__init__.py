"""Corpora on disk: which recordings there are, who speaks, with what emotion.

One reader a corpus; each gives `Utterance`s, and everything after it knows no file names. Folders
may be nested anyhow; WAV or FLAC, any sample rate. What each corpus has of emopi's eight labels:

| corpus | clips | speakers | neutral | calm | happy | sad | angry | fearful | disgust | surprised |
|---|---|---|---|---|---|---|---|---|---|---|
| RAVDESS | 1440 | 24 | 01 | 02 | 03 | 04 | 05 | 06 | 07 | 08 |
| CREMA-D | 7441 | 91 | NEU | | HAP | SAD | ANG | FEA | DIS | |
| EmoDB | 454 | 10 | N | | F (joy) | T | W | A | E | |
| SAVEE | 480 | 4 | n | | h | sa | a | f | d | su |
| TESS | 2800 | 2 | neutral | | happy | sad | angry | fear | disgust | ps (pleasant) |

Left out: EmoDB's 81 clips of boredom (L), which is none of the eight labels, and one clip of
CREMA-D that has no sound (1076_MTI_SAD_XX).
"""

from emopi.train.corpora.base import LABELS, CorpusReport, Reader, Utterance
from emopi.train.corpora.crema_d import CremaD
from emopi.train.corpora.emodb import EmoDb
from emopi.train.corpora.ravdess import Ravdess
from emopi.train.corpora.reading import (
    READERS,
    Corpora,
    corpus_hash,
    ids_hash,
    read_corpora,
    readers_named,
    recognize,
)
from emopi.train.corpora.savee import Savee
from emopi.train.corpora.tess import Tess

__all__ = [
    "LABELS",
    "READERS",
    "Corpora",
    "CorpusReport",
    "CremaD",
    "EmoDb",
    "Ravdess",
    "Reader",
    "Savee",
    "Tess",
    "Utterance",
    "corpus_hash",
    "ids_hash",
    "read_corpora",
    "readers_named",
    "recognize",
]
