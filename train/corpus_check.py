"""What a folder holds of RAVDESS, every clip opened: `emopi dataset check`."""

from __future__ import annotations

import dataclasses
import hashlib
import multiprocessing
import os
import re
import shlex
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from emopi.device.audio import FileSource, read_clip
from emopi.device.errors import AudioError
from emopi.train.corpora import LABELS, CorpusReport, Ravdess
from emopi.train.progress import track

_FEW = 64
"""Files that one process reads sooner than others start."""
_LINES = 8
"""What is listed one a line is cut off after so many."""


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
    report: CorpusReport
    recordings: dict[Path, Recording]
    """Every clip that is used, and every file that holds the same clip."""

    @property
    def usable(self) -> bool:
        """Whether every published clip is there and those that are used can be read."""
        return not self.report.missing and not any(used.error for used in self.used)

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
        for used in self.used:
            if not used.error:
                groups[used.content].append(used.path.stem)
        return [tuple(group) for group in groups.values() if len(group) > 1]

    @property
    def by_label(self) -> dict[str, tuple[int, int]]:
        """Emotion to (clips found, clips published)."""
        return self._shares(lambda clip_id: LABELS[int(clip_id[6:8]) - 1], LABELS)

    @property
    def by_speaker(self) -> dict[str, tuple[int, int]]:
        """Actor, "01" to "24", to (clips found, clips published)."""
        return self._shares(lambda clip_id: clip_id[-2:], [f"{n:02}" for n in range(1, 25)])

    def _shares(
        self, key: Callable[[str], str], names: Sequence[str]
    ) -> dict[str, tuple[int, int]]:
        found = Counter(key(utterance.clip_id) for utterance in self.report.utterances)
        published = Counter(map(key, Ravdess.published()))
        return {name: (found[name], published[name]) for name in names}

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
            "corpus": Ravdess.name,
            "folder": str(self.folder),
            "usable": self.usable,
            "clips": len(self.used),
            "expected": len(Ravdess.published()),
            "labels": {name: found for name, (found, _) in self.by_label.items()},
            "speakers": {name: found for name, (found, _) in self.by_speaker.items()},
            "missing": list(self.report.missing),
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
            "identical": [list(group) for group in self.identical],
            "sample_rates_hz": {str(rate): n for rate, n in self.rates_hz.items()},
            "channels": {str(channels): n for channels, n in self.channels.items()},
            "duration_s": round(self.duration_s, 3),
        }

    def name(self, path: Path) -> str:
        """`path` as seen from the folder."""
        return path.relative_to(self.folder).as_posix()


def check_corpus(folder: Path) -> CorpusCheck:
    """Decode every RAVDESS clip below `folder`, on all cores, and compare with what is published.

    An unreadable file is a finding, no error. Raises `CorpusError` if `folder` is no folder.
    Starts processes, so that a script must call it below `if __name__ == "__main__":`.
    """
    report = Ravdess.scan(folder)
    spares = (path for paths in report.copies for path in paths[1:])
    paths = [*(utterance.path for utterance in report.utterances), *spares]
    decoded = track(_decode_all(paths), len(paths), "reading")
    return CorpusCheck(folder, report, {recording.path: recording for recording in decoded})


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


def render(check: CorpusCheck) -> str:
    """What a person wants to know, the verdict last; no list longer than a few lines."""
    expected = len(Ravdess.published())
    lines = [f"{check.folder}: {len(check.used)} of {expected} RAVDESS speech clips"]
    if check.rates_hz:
        lines += [
            f"  length      {check.duration_s / 60:.1f} minutes",
            f"  format      {_format(check)}",
        ]
    lines += _missing(check)
    lines += _listed(
        "unreadable",
        f"{len(check.unreadable)} files",
        [bad.error.replace(f"{check.folder}{os.sep}", "") for bad in check.unreadable],
    )
    if check.report.copies:
        lines.append(
            f"  copies      {len(check.report.copies)} clips more than once; one of each is used"
        )
    lines += _listed(
        "differing",
        f"{len(check.different_copies)} clips have copies that are not the same; used is the first",
        [", ".join(map(check.name, paths)) for paths in check.different_copies],
    )
    lines += _listed(
        "identical",
        "the same recording under more than one name",
        [
            " = ".join(group) + " (so published)" * (Ravdess.identical.get(group[-1]) == group[0])
            for group in check.identical
        ],
    )
    for kind, paths in check.foreign.items():
        example = f"{'such as ' * (len(paths) > 1)}{check.name(paths[0])}"
        lines.append(f"  not used    {kind}: {len(paths)}, {example}")
    return "\n".join([*lines, _verdict(check)])


def _format(check: CorpusCheck) -> str:
    names = {1: "mono", 2: "stereo"}
    rates = {f"{rate} Hz": n for rate, n in check.rates_hz.items()}
    channels = {names.get(k, f"{k} channels"): n for k, n in check.channels.items()}
    return "; ".join(
        ", ".join(f"{n} {name}" if len(counts) > 1 else name for name, n in counts.items())
        for counts in (rates, channels)
    )


def _missing(check: CorpusCheck) -> list[str]:
    """The missing clips one by one if they are few, else by actor and emotion."""
    missing = check.report.missing
    if not check.used or len(missing) <= _LINES:
        return _listed("missing", f"{len(missing)} clips", missing if check.used else ())
    return [
        f"  missing     {len(missing)} clips",
        f"    actors    {_incomplete(check.by_speaker)}",
        f"    emotions  {_incomplete(check.by_label)}",
    ]


def _incomplete(shares: dict[str, tuple[int, int]]) -> str:
    """Clips found of those published, as in: 05 1/60, 20 2/60; none of 02-04, 06-19, 21-24."""
    partly = [f"{name} {n}/{total}" for name, (n, total) in shares.items() if 0 < n < total]
    absent = [name for name, (n, _) in shares.items() if not n]
    parts = [", ".join(partly)] if partly else []
    return "; ".join(parts + ([f"none of {', '.join(_ranges(absent))}"] if absent else []))


def _ranges(names: Sequence[str]) -> list[str]:
    """Consecutive numbers joined, as 02-04; other names as they are."""
    runs: list[list[str]] = []
    for name in names:
        if runs and name.isdecimal() and int(name) == int(runs[-1][-1]) + 1:
            runs[-1].append(name)
        else:
            runs.append([name])
    return [run[0] if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs]


def _listed(title: str, what: str, items: Sequence[str]) -> list[str]:
    """A heading and the first of `items` below it; nothing if there are none."""
    if not items:
        return []
    lines = [f"  {title:<11} {what}", *(f"    {item}" for item in items[:_LINES])]
    more = len(items) - _LINES
    return [*lines, f"    and {more} more (all: --json)"] if more > 0 else lines


def _verdict(check: CorpusCheck) -> str:
    if check.usable and not (check.unreadable or check.different_copies):
        return "Complete and readable."
    if check.usable:
        return "Complete, and what is used can be read; delete the copies that are wrong."
    first = "delete what is unreadable, then run" if check.unreadable else "run"
    return f"Not usable yet: {first} emopi dataset download {shlex.quote(str(check.folder))}"
