"""What to expect of a model that has no test clips of its own: scores of the same recipe.

A model that was trained on everything cannot be scored. The figures of models that the same recipe
gave under protocols that hold clips out say what to expect of it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from emopi.device.contract import Score
from emopi.device.errors import EmopiError, SpecError
from emopi.device.precision import PRECISIONS, Precision
from emopi.train.splits import protocol_names

Expected = Sequence[Score] | Mapping[Precision, Sequence[Score]]
"""Scores of every precision, or by precision."""


def scores_of(expected: Expected, precision: Precision) -> tuple[Score, ...]:
    """Those that hold for models of that precision."""
    if isinstance(expected, Mapping):
        return tuple(expected.get(precision, ()))
    return tuple(expected)


def read_expected(path: Path) -> dict[Precision, list[Score]]:
    """The scores in a JSON file: a list of {"protocol", "fold", "n", "accuracy", "uar"}.

    The fold is "mean" for a mean over all of them. An entry with a "precision" holds for models of
    that one alone. Raises `SpecError` naming the entry that is not such a score.
    """
    try:
        entries = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise SpecError(f"{path} cannot be read ({error}); expected a list of scores") from None
    if not isinstance(entries, list):
        raise SpecError(f"{path} holds no list; expected a list of scores")
    scores: dict[Precision, list[Score]] = {precision: [] for precision in PRECISIONS}
    for number, entry in enumerate(entries, start=1):
        try:
            for precision, score in _entry(entry):
                scores[precision].append(score)
        except EmopiError as error:
            raise SpecError(f"{path}, score {number}: {error}") from None
    return scores


def _entry(entry: Any) -> list[tuple[Precision, Score]]:
    """The score that an entry describes, once for each precision that it holds for."""
    if not isinstance(entry, dict):
        raise SpecError(f"{entry!r} is not an object")
    fields = dict(entry)
    precision = fields.pop("precision", None)
    if precision is not None and precision not in PRECISIONS:
        raise SpecError(f"precision is {precision!r}; expected one of {PRECISIONS}")
    score = _checked(Score.from_json(fields))
    return [(each, score) for each in PRECISIONS if precision in (None, each)]


def _checked(score: Score) -> Score:
    if score.protocol not in protocol_names():
        raise SpecError(f"no protocol {score.protocol!r}; expected one of {protocol_names()}")
    if not isinstance(score.fold, str):
        raise SpecError(f"fold is {score.fold!r}; expected a string")
    if type(score.n) is not int or score.n < 1:
        raise SpecError(f"n is {score.n!r}; expected a number of clips")
    for name in ("accuracy", "uar"):
        share = getattr(score, name)
        if type(share) not in (int, float) or not 0 <= share <= 1:
            raise SpecError(f"{name} is {share!r}; expected 0 to 1")
    return score
