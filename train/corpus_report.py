"""What `emopi dataset check` found, as text for a person."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence

from emopi.train.corpora import Ravdess
from emopi.train.corpus_check import CorpusCheck

LINES = 8
"""What is listed one a line is cut off after so many."""


def render(check: CorpusCheck) -> str:
    """What a person wants to know, the verdict last; no list longer than a few lines."""
    found, title = len(check.used), check.reader.title
    lines = [f"{check.folder}: {found} of {max(found, check.expected)} {title} speech clips"]
    if check.rates_hz:
        lines += [
            f"  length      {check.duration_s / 60:.1f} minutes",
            f"  format      {_format(check)}",
        ]
    lines += _missing(check) + _defects(check)
    for reason, left_out in check.report.left_out.items():
        lines.append(f"  left out    {len(left_out)} clips: {reason}")
    for kind, paths in check.foreign.items():
        example = f"{'such as ' * (len(paths) > 1)}{check.name(paths[0])}"
        lines.append(f"  not used    {kind}: {len(paths)}, {example}")
    return "\n".join([*lines, _verdict(check)])


def _defects(check: CorpusCheck) -> list[str]:
    """Files that cannot be read, copies, and recordings under two names."""
    known = check.reader.identical
    lines = _listed(
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
            " = ".join(group) + " (so published)" * (known.get(group[-1]) == group[0])
            for group in check.identical
        ],
    )
    return lines


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
    if not check.used or not check.n_missing:
        return []
    if 0 < len(missing) <= LINES:
        return _listed("missing", f"{len(missing)} clips", missing)
    return [
        f"  missing     {check.n_missing} clips",
        *(f"    actors    {text}" for text in [_incomplete(check.by_speaker)] if text),
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
    lines = [f"  {title:<11} {what}", *(f"    {item}" for item in items[:LINES])]
    more = len(items) - LINES
    return [*lines, f"    and {more} more (all: --json)"] if more > 0 else lines


def _verdict(check: CorpusCheck) -> str:
    if check.usable and not (check.unreadable or check.different_copies):
        return "Complete and readable."
    if check.usable:
        return "Complete, and what is used can be read; delete the copies that are wrong."
    if check.reader is not Ravdess:
        return (
            f"{'Delete what is unreadable. ' * bool(check.unreadable)}What is there can be trained "
            f"on, but its figures would not compare. The corpus: {check.reader.source}"
        )
    first = "delete what is unreadable, then run" if check.unreadable else "run"
    return f"Not usable yet: {first} emopi dataset download {shlex.quote(str(check.folder))}"
