"""What a folder holds of a corpus, every clip opened: `emopi dataset check`."""

from __future__ import annotations

import dataclasses
import hashlib
import multiprocessing
import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from emopi.device.errors import AudioError
from emopi.device.progress import track
from emopi.device.sources.audio import FileSource, read_clip
from emopi.train.corpora import LABELS, CorpusReport, Ravdess, Reader, recognize

_FEW = 64
"""Files that one process reads sooner than others start."""


@dataclasses.dataclass(frozen=True, slots=True)
class Recording:
    """One file, decoded; `error` says why it could not be, and then the rest is 0 or empty."""

    path: Path
    rate_hz: int = 0
    channels: int = 0
    duration_s: float = 0.0
    content: str = ""
    """SHA-256 of rate and samples as the models get them: the channels' mean, float32."""
    error: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class CorpusCheck:
    """What `check_corpus` found; the properties draw the conclusions."""

    folder: Path
    reader: type[Reader]
    report: CorpusReport
    recordings: dict[Path, Recording]
    """Every clip that is used, and every file that holds the same clip."""

    @property
    def expected(self) -> int:
        """Clips of the published corpus, apart from those that are left out."""
        return sum(self.reader.counts.values())

    @property
    def n_missing(self) -> int:
        """Published clips that are not there; where no rule names them, by the label's count."""
        lacking = sum(max(0, published - found) for found, published in self.by_label.values())
        return len(self.report.missing) or lacking

    @property
    def usable(self) -> bool:
        """Whether every published clip is there and those that are used can be read."""
        return not self.n_missing and not any(used.error for used in self.used)

    @property
    def used(self) -> list[Recording]:
        """The file of each clip that training reads, sorted by clip id."""
        return [self.recordings[utterance.path] for utterance in self.report.utterances]

    @property
    def unreadable(self) -> list[Recording]:
        """Files that cannot be decoded, spare copies among them."""
        return [recording for recording in self.recordings.values() if recording.error]

    @property
    def different_copies(self) -> list[tuple[Path, ...]]:
        """Readable files of one name that hold different recordings; the first is used."""
        return [
            paths
            for paths in self.report.copies
            if len({self.recordings[path].content for path in paths} - {""}) > 1
        ]

    @property
    def identical(self) -> list[tuple[str, ...]]:
        """Clip ids that hold the same recording, in groups."""
        groups = defaultdict(list)
        for used, utterance in zip(self.used, self.report.utterances, strict=True):
            if not used.error:
                groups[used.content].append(utterance.clip_id)
        return [tuple(group) for group in groups.values() if len(group) > 1]

    @property
    def by_label(self) -> dict[str, tuple[int, int]]:
        """Emotion to (clips found, clips published), for those that the corpus has."""
        found = Counter(utterance.label for utterance in self.report.utterances)
        published = self.reader.counts
        return {name: (found[name], published[name]) for name in LABELS if name in published}

    @property
    def by_speaker(self) -> dict[str, tuple[int, int]]:
        """Speaker, in the corpus's own terms, to (clips found, clips published; 0 if unknown)."""
        found = Counter(u.speaker for u in self.report.utterances)
        published = self.reader.speakers.items()
        return {name: (found[self.reader.prefixed(name)], n) for name, n in published}

    @property
    def rates_hz(self) -> dict[int, int]:
        """Sample rate to number of used clips, the most frequent first."""
        return dict(Counter(used.rate_hz for used in self.used if not used.error).most_common())

    @property
    def channels(self) -> dict[int, int]:
        """Number of channels to number of used clips, the most frequent first."""
        return dict(Counter(used.channels for used in self.used if not used.error).most_common())

    @property
    def foreign(self) -> dict[str, list[Path]]:
        """Audio files that are no clips of the corpus, by what their names say they are."""
        kinds: dict[str, list[Path]] = defaultdict(list)
        for path in self.report.foreign:
            kinds[_kind(path)].append(path)
        return dict(kinds)

    @property
    def duration_s(self) -> float:
        """Of all used clips together."""
        return sum(used.duration_s for used in self.used)

    def to_json(self) -> dict[str, Any]:
        """Everything, in types that `json` knows; paths relative to the folder."""
        return {
            "corpus": self.reader.name,
            "folder": str(self.folder),
            "usable": self.usable,
            "clips": len(self.used),
            "expected": self.expected,
            "labels": {name: found for name, (found, _) in self.by_label.items()},
            "speakers": {name: found for name, (found, _) in self.by_speaker.items()},
            "missing": list(self.report.missing),
            "n_missing": self.n_missing,
            "unreadable": [
                {"file": self.name(bad.path), "error": bad.error} for bad in self.unreadable
            ],
            "copies": [[self.name(path) for path in paths] for paths in self.report.copies],
            "different_copies": [
                [self.name(path) for path in paths] for paths in self.different_copies
            ],
            "foreign": {
                kind: [self.name(path) for path in paths] for kind, paths in self.foreign.items()
            },
            "left_out": {
                reason: [self.name(path) for path in paths]
                for reason, paths in self.report.left_out.items()
            },
            "identical": [list(group) for group in self.identical],
            "sample_rates_hz": {str(rate): n for rate, n in self.rates_hz.items()},
            "channels": {str(channels): n for channels, n in self.channels.items()},
            "duration_s": round(self.duration_s, 3),
        }

    def name(self, path: Path) -> str:
        """`path` as seen from the folder."""
        return path.relative_to(self.folder).as_posix()


def check_corpus(folder: Path) -> CorpusCheck:
    """Decode every clip below `folder`, on all cores, and compare with what is published.

    A folder without any clip is taken for an empty RAVDESS; an unreadable file is a finding, no
    error. Raises `CorpusError` if `folder` is no folder, or holds clips of several corpora.
    Starts processes, so that a script must call it below `if __name__ == "__main__":`.
    """
    reader = recognize(folder, nothing=Ravdess)
    report = reader.scan(folder)
    spares = (path for paths in report.copies for path in paths[1:])
    paths = [*(utterance.path for utterance in report.utterances), *spares]
    decoded = track(_decode_all(paths), len(paths), "reading")
    return CorpusCheck(folder, reader, report, {recording.path: recording for recording in decoded})


def _decode_all(paths: Sequence[Path]) -> Iterator[Recording]:
    if len(paths) <= _FEW:
        yield from map(_decode, paths)
        return
    # not forked: the caller may have threads, which do not survive a fork
    with ProcessPoolExecutor(os.cpu_count(), multiprocessing.get_context("spawn")) as pool:
        yield from pool.map(_decode, paths, chunksize=16)


def _decode(path: Path) -> Recording:
    import soundfile

    try:
        source = FileSource(path, 16_000)
        source.close()
        rate_hz = source.file_rate_hz
        samples = read_clip(path, rate_hz)  # at its own rate: not resampled
    except (AudioError, OSError) as error:
        return Recording(path, error=str(error))
    content = hashlib.sha256(f"{rate_hz} ".encode() + samples.tobytes()).hexdigest()
    channels = soundfile.info(path).channels
    return Recording(path, rate_hz, channels, len(samples) / rate_hz, content)


def _kind(path: Path) -> str:
    if not re.fullmatch(r"\d\d(-\d\d){6}", path.stem):
        return "others"
    if path.stem[:2] in ("01", "02"):
        return "sound of videos"
    return "songs" if path.stem[:5] == "03-02" else "others"
