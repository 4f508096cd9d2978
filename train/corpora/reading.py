"""From folders to utterances: recognizes corpora by their file names, and mixes several."""

from __future__ import annotations

import dataclasses
import hashlib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

from emopi.device.errors import CorpusError
from emopi.train.corpora.base import Reader, Utterance, audio_files
from emopi.train.corpora.crema_d import CremaD
from emopi.train.corpora.emodb import EmoDb
from emopi.train.corpora.ravdess import Ravdess
from emopi.train.corpora.savee import Savee
from emopi.train.corpora.tess import Tess

READERS: tuple[type[Reader], ...] = (Ravdess, CremaD, EmoDb, Savee, Tess)


@dataclasses.dataclass(frozen=True, slots=True)
class Corpora:
    """One corpus, or several read together."""

    readers: tuple[type[Reader], ...]
    """In the order of `READERS`."""
    folders: tuple[Path, ...]
    """One a reader."""
    utterances: tuple[Utterance, ...]
    """Of all, sorted by clip_id."""
    notes: tuple[str, ...]
    """What a person should know of what is not used; one line each."""

    @property
    def name(self) -> str:
        """Such as "ravdess", or "ravdess+crema-d"; `readers_named` takes it apart."""
        return "+".join(reader.name for reader in self.readers)


def recognize(folder: Path, *, nothing: type[Reader] | None = None) -> type[Reader]:
    """The corpus whose clips lie below `folder`, by their names alone; `nothing` if there is none.

    Raises `CorpusError` if there are clips of several, or of none and there is no `nothing`.
    """
    files = audio_files(folder, "the clips of a corpus")
    found: dict[type[Reader], list[Path]] = defaultdict(list)
    for path in files:
        for reader in READERS:
            if reader.clip(path):
                found[reader].append(path)
    if not found and nothing:
        return nothing
    if not found:
        raise CorpusError(_none(folder, len(files)))
    if len(found) > 1:
        held = ", ".join(
            f"{len(found[reader])} of {reader.title} (such as {found[reader][0].name})"
            for reader in READERS
            if reader in found
        )
        raise CorpusError(
            f"{folder} holds clips of several corpora: {held}; expected one. "
            "Give each a folder of its own, and its own --corpus"
        )
    return next(iter(found))


def read_corpora(folders: Path | Sequence[Path]) -> Corpora:
    """The utterances of all `folders`, each of which holds one corpus.

    Raises `CorpusError` for a folder that is not recognized, or two with the same corpus.
    """
    folders = (folders,) if isinstance(folders, Path) else tuple(folders)
    chosen: dict[type[Reader], Path] = {}
    for folder in folders:
        reader = recognize(folder)
        if reader in chosen:
            raise CorpusError(
                f"{chosen[reader]} and {folder} both hold clips of {reader.title}; expected each "
                "corpus once: put them below one folder, or leave one out"
            )
        chosen[reader] = folder
    readers = tuple(reader for reader in READERS if reader in chosen)
    utterances: list[Utterance] = []
    notes: list[str] = []
    for reader in readers:
        report = reader.scan(chosen[reader])
        utterances += reader.usable(report, chosen[reader])
        notes += [
            f"{chosen[reader]}: {len(paths)} clips of {reader.title} are left out: {reason}"
            for reason, paths in report.left_out.items()
        ]
    kept = tuple(chosen[reader] for reader in readers)
    return Corpora(readers, kept, tuple(sorted(utterances)), tuple(notes))


def readers_named(name: str) -> tuple[type[Reader], ...]:
    """The readers of a `Corpora.name`; names that none has are left out."""
    names = name.split("+")
    return tuple(reader for reader in READERS if reader.name in names)


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


def ids_hash(utterances: Iterable[Utterance]) -> str:
    """SHA-256 over the clip ids alone: names what a protocol by rule divides."""
    return hashlib.sha256("\n".join(sorted(u.clip_id for u in utterances)).encode()).hexdigest()


def _none(folder: Path, n_files: int) -> str:
    others = ", ".join(reader.title for reader in READERS[1:])
    examples = ", ".join(reader.example for reader in READERS)
    return (
        f"{folder} holds no RAVDESS speech clip, nor one of {others} ({n_files} other audio "
        f"files); expected names like {examples}. Get RAVDESS with: emopi dataset download DIR"
    )
