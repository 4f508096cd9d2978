"""What all corpora have in common: utterances, and sorting out a folder by file names."""

from __future__ import annotations

import dataclasses
import os
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from emopi.device.errors import CorpusError

LABELS = ("neutral", "calm", "happy", "sad", "angry", "fearful", "disgust", "surprised")
"""The eight emotions of RAVDESS, in the order of its file names: the models' order too."""

SUFFIXES = (".wav", ".flac")

UNPREFIXED = "ravdess"
"""The corpus whose clip ids and speakers have no name before them: the protocols name them so."""


@dataclasses.dataclass(frozen=True, slots=True, order=True)
class Utterance:
    """One labelled recording."""

    clip_id: str
    """Unique among all corpora: for RAVDESS the file's name without suffix, for others that name
    as published, with the corpus before it, such as "crema-d/1001_DFA_ANG_XX"."""
    speaker: str
    """Unique among all corpora: "01" to "24" for RAVDESS, else such as "crema-d/1001"."""
    label: str
    path: Path

    @property
    def corpus(self) -> str:
        """`Reader.name` of the corpus that it is from."""
        return corpus_of(self.clip_id)


def corpus_of(clip_id: str) -> str:
    """`Reader.name` of the corpus that has this clip."""
    name, slash, _ = clip_id.partition("/")
    return name if slash else UNPREFIXED


@dataclasses.dataclass(frozen=True, slots=True)
class Clip:
    """What a file's name says, in the corpus's own terms."""

    name: str
    """As published, however the file at hand spells it."""
    speaker: str
    label: str | None
    """One of `LABELS`, None if the clip is left out."""
    left_out: str = ""
    """Why, in a word or two."""


@dataclasses.dataclass(frozen=True, slots=True)
class CorpusReport:
    """What a folder holds, as `emopi dataset check` prints it."""

    utterances: tuple[Utterance, ...]
    """One a clip, sorted by clip_id; of copies the one whose path sorts first."""
    missing: tuple[str, ...]
    """Clip ids that the published corpus has and the folder has not; empty where the corpus's
    names follow no rule that would tell."""
    copies: tuple[tuple[Path, ...], ...]
    """Files that hold the same clip (same name), as in the Kaggle archives: one is used."""
    foreign: tuple[Path, ...]
    """Audio files that are not of this corpus: songs, video sound, other names."""
    left_out: Mapping[str, tuple[Path, ...]] = dataclasses.field(default_factory=dict)
    """Clips of this corpus that are not used, by the reason."""


class Reader:
    """Knows one corpus by the names of its files; never instantiated."""

    name: ClassVar[str]
    """On the command line and in contracts."""
    title: ClassVar[str]
    """For people."""
    licence: ClassVar[str]
    source: ClassVar[str]
    """Whom to cite, and where it is."""
    speech: ClassVar[str]
    """What is said by whom."""
    example: ClassVar[str]
    """A file name."""
    counts: ClassVar[Mapping[str, int]]
    """Label to number of clips that the published corpus has of it and that are used."""
    speakers: ClassVar[Mapping[str, int]]
    """Speaker, in the corpus's own terms, to number of clips as in `counts`; 0 where unknown."""
    where: ClassVar[str] = ""
    """How to get it; by default from `source`."""
    identical: ClassVar[Mapping[str, str]] = {}
    """Recordings published under two names: a clip and its twin."""

    @classmethod
    def clip(cls, path: Path) -> Clip | None:
        """What the name of an audio file says, None if it is not of this corpus."""
        raise NotImplementedError

    @classmethod
    def published(cls) -> Sequence[str]:
        """Every clip id, or nothing where the names follow no rule."""
        return ()

    @classmethod
    def prefixed(cls, name: str) -> str:
        """A name of a clip or a speaker made unique among all corpora."""
        return name if cls.name == UNPREFIXED else f"{cls.name}/{name}"

    @classmethod
    def scan(cls, folder: Path) -> CorpusReport:
        """Sort out what lies below `folder`; opens no file. Raises `CorpusError` if it is none."""
        found: dict[str, list[Path]] = defaultdict(list)
        clips: dict[str, Clip] = {}
        foreign, left_out = [], defaultdict(list)
        for path in audio_files(folder, f"{cls.title} clips"):
            if not (clip := cls.clip(path)):
                foreign.append(path)
            elif not clip.label:
                left_out[clip.left_out].append(path)
            else:
                clip_id = cls.prefixed(clip.name)
                clips[clip_id] = clip
                found[clip_id].append(path)
        return CorpusReport(
            utterances=tuple(
                Utterance(i, cls.prefixed(clips[i].speaker), clips[i].label or "", found[i][0])
                for i in sorted(found)
            ),
            missing=tuple(sorted(set(cls.published()) - set(found))),
            copies=tuple(tuple(paths) for paths in found.values() if len(paths) > 1),
            foreign=tuple(foreign),
            left_out={reason: tuple(paths) for reason, paths in left_out.items()},
        )

    @classmethod
    def read(cls, folder: Path) -> tuple[Utterance, ...]:
        """The utterances below `folder`, sorted by clip_id.

        Raises `CorpusError` if there are none.
        """
        return cls.usable(cls.scan(folder), folder)

    @classmethod
    def usable(cls, report: CorpusReport, folder: Path) -> tuple[Utterance, ...]:
        """The utterances of `report`, the scan of `folder`; `CorpusError` if there are none."""
        if not report.utterances:
            unused = "".join(f", {len(p)} clips left out: {r}" for r, p in report.left_out.items())
            raise CorpusError(
                f"{folder} holds no {cls.title} speech clip ({len(report.foreign)} other audio "
                f"files{unused}); expected names like {cls.example}. "
                f"{cls.where or f'Get the corpus from: {cls.source}'}"
            )
        return report.utterances


def audio_files(folder: Path, what: str) -> list[Path]:
    """Files with a suffix of `SUFFIXES` anywhere below `folder`, sorted.

    Raises `CorpusError` if it is no folder; `what` says what was expected in it.
    """
    if not folder.is_dir():
        raise CorpusError(f"{folder} is not a folder; expected one that holds {what}")
    return sorted(_audio_files(folder))


def _audio_files(folder: Path) -> Iterator[Path]:
    """Behind links to folders too."""
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
