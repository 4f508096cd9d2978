"""Named protocols: which clips are for training, validation and test, fold by fold.

The protocols are frozen as `protocols/*.json`, so that a published figure names its test clips.
`python -m emopi.train.splits` writes them anew; a test proves that they come out the same.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections import defaultdict
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from emopi.device.errors import CorpusError, SpecError
from emopi.train.corpora import Ravdess, Utterance

UPM_5_TEST = ((2, 5, 14, 15, 16), (3, 6, 7, 13, 18), (10, 11, 12, 19, 20), (8, 17, 21, 23, 24),
              (1, 4, 9, 22))  # fmt: skip
UPM_5_VALIDATION = ((3, 6), (10, 11), (8, 17), (1, 14), (2, 5))
EMOBOX_6_TEST = ((1, 11, 20, 21), (4, 10, 12, 14), (8, 9, 19, 23), (3, 5, 7, 24),
                 (2, 15, 16, 18), (6, 13, 17, 22))  # fmt: skip


@dataclasses.dataclass(frozen=True, slots=True)
class Fold:
    """One division of the corpus: what is neither test nor validation is for training."""

    name: str
    test: frozenset[str]
    """Clip ids."""
    validation: frozenset[str]
    """Clip ids, none of `test`; may be empty."""


@dataclasses.dataclass(frozen=True, slots=True)
class Protocol:
    """A published way to divide RAVDESS."""

    name: str
    description: str
    folds: tuple[Fold, ...]

    def fold(self, name: str | None) -> Fold:
        """The fold of that name, or the first; `SpecError` if there is none such."""
        for fold in self.folds:
            if name is None or fold.name == name:
                return fold
        raise SpecError(
            f"protocol {self.name} has no fold {name!r}; "
            f"expected one of: {', '.join(fold.name for fold in self.folds)}"
        )


@dataclasses.dataclass(frozen=True, slots=True)
class Split:
    """The utterances of a corpus, divided."""

    train: tuple[Utterance, ...]
    validation: tuple[Utterance, ...]
    test: tuple[Utterance, ...]


def protocol_names() -> list[str]:
    """The protocols that `load_protocol` knows."""
    folder = files("emopi.train") / "protocols"
    return sorted(Path(str(p)).stem for p in folder.iterdir() if p.name.endswith(".json"))


def load_protocol(name: str) -> Protocol:
    """The frozen protocol of that name; `SpecError` names those that exist."""
    if name not in protocol_names():
        raise SpecError(f"no protocol {name!r}; expected one of: {', '.join(protocol_names())}")
    content = json.loads((files("emopi.train") / "protocols" / f"{name}.json").read_text())
    return Protocol(
        content["name"],
        content["description"],
        tuple(
            Fold(fold, frozenset(sides["test"]), frozenset(sides["validation"]))
            for fold, sides in content["folds"].items()
        ),
    )


def split(utterances: Sequence[Utterance], fold: Fold) -> Split:
    """Divide `utterances`; `CorpusError` if a test or validation clip of the fold is missing."""
    by_id = {utterance.clip_id: utterance for utterance in utterances}
    if missing := sorted((fold.test | fold.validation) - set(by_id)):
        raise CorpusError(
            f"{len(missing)} clips of fold {fold.name} are not in the corpus, the first "
            f"{missing[0]}; a figure on the rest would not compare. See: emopi dataset check DIR"
        )
    held_out = fold.test | fold.validation
    return Split(
        train=tuple(u for u in utterances if u.clip_id not in held_out),
        validation=tuple(u for u in utterances if u.clip_id in fold.validation),
        test=tuple(u for u in utterances if u.clip_id in fold.test),
    )


def hold_out(utterances: Sequence[Utterance], share: float, seed: int) -> set[str]:
    """Clip ids of a random share of `utterances`, stratified by label, twins together."""
    strata = defaultdict(list)
    for utterance in utterances:
        strata[utterance.label].append(utterance.clip_id)
    return set(_draw(list(strata.values()), share, f"hold out {seed}"))


def write_protocols(folder: Path) -> None:
    """Write every protocol's JSON file into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    for content in _protocols():
        (folder / f"{content['name']}.json").write_text(_render(content))


def _protocols() -> list[dict[str, Any]]:
    strata = _ids_by_emotion()
    return [
        {
            "name": f"paper-{100 - test}-{test}",
            "description": f"Random, stratified by emotion, {test} % test, 5 seeds. The same "
            "speakers on both sides: figures are optimistic for a stranger's voice.",
            "folds": {
                f"seed{seed}": _sides(
                    _draw(strata, test / 100, f"paper-{100 - test}-{test} {seed}")
                )
                for seed in range(5)
            },
        }
        for test in (20, 30)
    ] + [
        {
            "name": "random-10fold",
            "description": "Random, stratified by emotion, 10 folds. The same speakers on both "
            "sides: figures are optimistic for a stranger's voice.",
            "folds": {
                f"fold{k + 1}": _sides(ids) for k, ids in enumerate(_deal(strata, 10, "10fold"))
            },
        },
        {
            "name": "upm-5",
            "description": "Unseen speakers: 5 folds of 4 or 5 test actors, 2 validation actors "
            "(Luna-Jimenez et al. 2021).",
            "folds": {
                f"fold{k + 1}": _sides(_clips_of(test), _clips_of(validation))
                for k, (test, validation) in enumerate(
                    zip(UPM_5_TEST, UPM_5_VALIDATION, strict=True)
                )
            },
        },
        {
            "name": "emobox-6",
            "description": "Unseen speakers: 6 folds of 4 test actors (EmoBox, Ma et al. 2024).",
            "folds": {
                f"fold{k + 1}": _sides(_clips_of(test)) for k, test in enumerate(EMOBOX_6_TEST)
            },
        },
    ]


def _sides(test: Sequence[str], validation: Sequence[str] = ()) -> dict[str, list[str]]:
    return {"test": sorted(test), "validation": sorted(validation)}


def _clips_of(actors: Sequence[int]) -> list[str]:
    return [clip_id for clip_id in Ravdess.published() if int(clip_id[-2:]) in actors]


def _ids_by_emotion() -> list[list[str]]:
    strata = defaultdict(list)
    for clip_id in Ravdess.published():
        strata[clip_id[6:8]].append(clip_id)
    return [strata[emotion] for emotion in sorted(strata)]


def _shuffled(clip_ids: Sequence[str], salt: str) -> list[list[str]]:
    """The ids in an order that no library's version changes, each with its twin if it has one."""
    groups = defaultdict(list)
    for clip_id in sorted(clip_ids):
        groups[Ravdess.identical.get(clip_id, clip_id)].append(clip_id)
    return sorted(groups.values(), key=lambda g: hashlib.sha256(f"{salt} {g[0]}".encode()).digest())


def _draw(strata: Sequence[Sequence[str]], share: float, salt: str) -> list[str]:
    """A share of every stratum; sizes by largest remainder, so that the total is right too."""
    sizes = [int(len(stratum) * share) for stratum in strata]
    short = round(sum(map(len, strata)) * share) - sum(sizes)
    by_remainder = sorted(range(len(strata)), key=lambda k: -(len(strata[k]) * share - sizes[k]))
    for k in by_remainder[:short]:
        sizes[k] += 1
    drawn: list[str] = []
    for stratum, size in zip(strata, sizes, strict=True):
        taken: list[str] = []
        for group in _shuffled(stratum, salt):
            if len(taken) + len(group) <= size:
                taken += group
        drawn += taken
    return drawn


def _deal(strata: Sequence[Sequence[str]], n_folds: int, salt: str) -> list[list[str]]:
    """Every stratum dealt out over folds, the dealer going on where the last stratum ended."""
    folds: list[list[str]] = [[] for _ in range(n_folds)]
    turn = 0
    for stratum in strata:
        for group in _shuffled(stratum, salt):
            folds[turn % n_folds] += group
            turn += len(group)
    return folds


def _render(content: dict[str, Any]) -> str:
    """JSON with one fold's side a line: short diffs, short files."""
    folds = ",\n".join(
        f'  "{name}": {{\n   "test": {json.dumps(sides["test"])},\n'
        f'   "validation": {json.dumps(sides["validation"])}\n  }}'
        for name, sides in content["folds"].items()
    )
    return (
        f'{{\n "name": {json.dumps(content["name"])},\n'
        f' "description": {json.dumps(content["description"])},\n "folds": {{\n{folds}\n }}\n}}\n'
    )


if __name__ == "__main__":
    write_protocols(Path(__file__).resolve().parent / "protocols")
