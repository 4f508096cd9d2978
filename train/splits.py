"""Named protocols: which clips are for training, validation and test, fold by fold.

Those that divide RAVDESS are frozen (`emopi.train.frozen_protocols`), and other corpora's clips
join their training side. The others are computed from the clips at hand, by a rule that no
library's version changes, and work for any corpora.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections import defaultdict
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

from emopi.device.errors import CorpusError, SpecError
from emopi.train.corpora import LABELS, Ravdess, Utterance

ALL, RANDOM, SPEAKERS = "all", "random-5fold", "speakers-5"
"""Protocols that are not frozen: no test at all, and two by rule."""

RULES = (RANDOM, SPEAKERS)
_DESCRIPTIONS = {
    ALL: "Everything for training, nothing to test on: for a model to be used.",
    RANDOM: "Random, stratified by emotion, 5 folds of the clips at hand. The same speakers on "
    "both sides: figures are optimistic for a stranger's voice.",
    SPEAKERS: "Unseen speakers: 5 folds of the clips at hand (fewer if there are fewer speakers).",
}

FOLDS = 5
"""Of a protocol by rule."""


@dataclasses.dataclass(frozen=True, slots=True)
class Fold:
    """One division of the corpus: what is neither test nor validation is for training."""

    name: str
    test: frozenset[str]
    """Clip ids."""
    validation: frozenset[str] = frozenset()
    """Clip ids, none of `test`; may be empty."""


@dataclasses.dataclass(frozen=True, slots=True)
class Protocol:
    """A way to divide clips, in one or more folds."""

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


def frozen_names() -> list[str]:
    """The protocols that divide RAVDESS."""
    folder = files("emopi.train") / "protocols"
    return sorted(Path(str(p)).stem for p in folder.iterdir() if p.name.endswith(".json"))


def protocol_names() -> list[str]:
    """The protocols that `load_protocol` knows."""
    return sorted([*frozen_names(), ALL, *RULES])


def load_protocol(name: str, utterances: Sequence[Utterance] | None = None) -> Protocol:
    """The protocol of that name; `SpecError` names those that exist.

    One by rule divides `utterances`, and depends on their ids, speakers and labels alone. Raises
    `CorpusError` if they are too few for it, `SpecError` if they are not given.
    """
    if name == ALL:
        return Protocol(ALL, _DESCRIPTIONS[ALL], (Fold(ALL, frozenset()),))
    if name in RULES:
        if utterances is None:
            raise SpecError(f"protocol {name} depends on the clips that it divides: name a corpus")
        return _random(utterances) if name == RANDOM else _unseen_speakers(utterances)
    if name not in frozen_names():
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


def description(name: str) -> str:
    """What the protocol of that name does, in a sentence or two; `SpecError` for an unknown one."""
    return _DESCRIPTIONS.get(name) or load_protocol(name).description


def split(utterances: Sequence[Utterance], fold: Fold) -> Split:
    """Divide `utterances`; `CorpusError` if a test or validation clip of the fold is missing."""
    held_out = fold.test | fold.validation
    if missing := sorted(held_out - {utterance.clip_id for utterance in utterances}):
        if not any(utterance.corpus == Ravdess.name for utterance in utterances):
            raise CorpusError(
                f"the test clips of fold {fold.name} are of RAVDESS, which is not in the corpus; "
                f"add it, or divide by another protocol: {', '.join(RULES)}"
            )
        raise CorpusError(
            f"{len(missing)} clips of fold {fold.name} are not in the corpus, the first "
            f"{missing[0]}; a figure on the rest would not compare. See: emopi dataset check DIR"
        )
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
    return set(draw(list(strata.values()), share, f"hold out {seed}"))


def _random(utterances: Sequence[Utterance]) -> Protocol:
    strata: dict[tuple[int, str], list[str]] = defaultdict(list)
    for utterance in utterances:
        strata[LABELS.index(utterance.label), utterance.corpus].append(utterance.clip_id)
    folds = deal([strata[key] for key in sorted(strata)], FOLDS, RANDOM)
    return _by_rule(RANDOM, folds)


def _unseen_speakers(utterances: Sequence[Utterance]) -> Protocol:
    clips: dict[str, list[str]] = defaultdict(list)
    corpora: dict[str, set[str]] = defaultdict(set)
    for utterance in utterances:
        clips[utterance.speaker].append(utterance.clip_id)
        corpora[utterance.corpus].add(utterance.speaker)
    if len(clips) < 2:
        raise CorpusError(f"{SPEAKERS} holds speakers out; expected 2 or more, found {len(clips)}")
    n_folds = min(FOLDS, len(clips))
    folds = deal([sorted(corpora[name]) for name in sorted(corpora)], n_folds, SPEAKERS)
    return _by_rule(
        SPEAKERS, [[clip_id for speaker in fold for clip_id in clips[speaker]] for fold in folds]
    )


def _by_rule(name: str, folds: Sequence[Sequence[str]]) -> Protocol:
    if not all(folds):
        raise CorpusError(
            f"{sum(map(len, folds))} clips are too few for {name}: a fold would have none"
        )
    return Protocol(
        name,
        _DESCRIPTIONS[name],
        tuple(Fold(f"fold{k + 1}", frozenset(test)) for k, test in enumerate(folds)),
    )


def _shuffled(clip_ids: Sequence[str], salt: str) -> list[list[str]]:
    """The ids in an order that no library's version changes, each with its twin if it has one."""
    groups = defaultdict(list)
    for clip_id in sorted(clip_ids):
        groups[Ravdess.identical.get(clip_id, clip_id)].append(clip_id)
    return sorted(groups.values(), key=lambda g: hashlib.sha256(f"{salt} {g[0]}".encode()).digest())


def draw(strata: Sequence[Sequence[str]], share: float, salt: str) -> list[str]:
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


def deal(strata: Sequence[Sequence[str]], n_folds: int, salt: str) -> list[list[str]]:
    """Every stratum dealt out over folds, the dealer going on where the last stratum ended."""
    folds: list[list[str]] = [[] for _ in range(n_folds)]
    turn = 0
    for stratum in strata:
        for group in _shuffled(stratum, salt):
            folds[turn % n_folds] += group
            turn += len(group)
    return folds
