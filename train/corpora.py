"""Corpora on disk: which recordings there are, who speaks, with what emotion.

One reader a corpus; each gives `Utterance`s, and everything after it knows no file names.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import ClassVar

from emopi.device.errors import CorpusError

LABELS = ("neutral", "calm", "happy", "sad", "angry", "fearful", "disgust", "surprised")
"""The eight emotions of RAVDESS, in the order of its file names: the models' order too."""

SUFFIXES = (".wav", ".flac")


@dataclasses.dataclass(frozen=True, slots=True, order=True)
class Utterance:
    """One labelled recording."""

    clip_id: str
    """Unique in its corpus: for RAVDESS the file's name without suffix."""
    speaker: str
    label: str
    path: Path


@dataclasses.dataclass(frozen=True, slots=True)
class CorpusReport:
    """What a folder holds, as `emopi dataset check` prints it."""

    utterances: tuple[Utterance, ...]
    """One a clip, sorted by clip_id; of copies the one whose path sorts first."""
    missing: tuple[str, ...]
    """Clip ids that the published corpus has and the folder has not."""
    copies: tuple[tuple[Path, ...], ...]
    """Files that hold the same clip (same name), as in the Kaggle archive: one is used."""
    foreign: tuple[Path, ...]
    """Audio files that are not of this corpus: songs, video sound, other names."""


class Ravdess:
    """RAVDESS speech, audio only: 24 actors, 1440 clips (Livingstone and Russo 2018).

    File names are modality-channel-emotion-intensity-statement-repetition-actor; 03-01 is audio
    only, speech. Any nesting of folders, any sample rate, WAV or FLAC.
    """

    name = "ravdess"
    labels = LABELS
    licence = "CC BY-NC-SA 4.0"
    source = "S. R. Livingstone, F. A. Russo (2018), Zenodo, doi:10.5281/zenodo.1188976"

    identical: ClassVar[dict[str, str]] = {"03-01-03-01-02-02-07": "03-01-03-01-02-01-07"}
    """Recordings published under two names: a clip and its twin."""

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
    def scan(cls, folder: Path) -> CorpusReport:
        """Sort out what lies below `folder`; opens no file. Raises `CorpusError` if it is none."""
        if not folder.is_dir():
            raise CorpusError(f"{folder} is not a folder; expected one that holds RAVDESS clips")
        published = set(cls.published())
        found: dict[str, list[Path]] = defaultdict(list)
        foreign = []
        for path in sorted(_audio_files(folder)):
            if path.stem in published:
                found[path.stem].append(path)
            else:
                foreign.append(path)
        return CorpusReport(
            utterances=tuple(
                Utterance(clip_id, clip_id[-2:], LABELS[int(clip_id[6:8]) - 1], paths[0])
                for clip_id, paths in sorted(found.items())
            ),
            missing=tuple(sorted(published - set(found))),
            copies=tuple(tuple(paths) for paths in found.values() if len(paths) > 1),
            foreign=tuple(foreign),
        )

    @classmethod
    def read(cls, folder: Path) -> tuple[Utterance, ...]:
        """The utterances below `folder`, sorted by clip_id.

        Raises `CorpusError` if there are none.
        """
        report = cls.scan(folder)
        if not report.utterances:
            raise CorpusError(
                f"{folder} holds no RAVDESS speech clip ({len(report.foreign)} other audio files); "
                "expected names like 03-01-06-01-02-01-12.wav. "
                "Get the corpus with: emopi dataset download DIR"
            )
        return report.utterances


def corpus_hash(utterances: Iterable[Utterance]) -> str:
    """SHA-256 over clip ids and file contents, in the order of the ids: names the data exactly."""
    digest = hashlib.sha256()
    for utterance in sorted(utterances):
        digest.update(utterance.clip_id.encode())
        try:
            with utterance.path.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
        except OSError as error:
            raise CorpusError(f"{utterance.path} cannot be read: {error.strerror}") from None
    return digest.hexdigest()


def _audio_files(folder: Path) -> Iterator[Path]:
    """Files with a suffix of `SUFFIXES` anywhere below `folder`, behind links to folders too."""
    visited = set()
    for parent, folders, names in os.walk(folder, followlinks=True):
        status = Path(parent).stat()
        if (status.st_dev, status.st_ino) in visited:  # a link that leads back, or twice here
            folders.clear()
            continue
        visited.add((status.st_dev, status.st_ino))
        for name in names:
            # macOS keeps attributes in ._ files of the same suffix
            if Path(name).suffix.lower() in SUFFIXES and not name.startswith("._"):
                yield Path(parent, name)
