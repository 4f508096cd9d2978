"""Scores of other models, for the contract and card of one that has no test clips."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from emopi.convert.expected import read_expected, scores_of
from emopi.device.contract import Score
from emopi.device.errors import SpecError
from emopi.device.precision import PRECISIONS

ENTRY = {"protocol": "upm-5", "fold": "mean", "n": 1440, "accuracy": 0.71, "uar": 0.68}
SCORE = Score("upm-5", "mean", 1440, 0.71, 0.68)


def read(folder: Path, content: Any) -> Any:
    path = folder / "expect.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return read_expected(path)


def test_of_any_precision_and_of_one(tmp_path: Path) -> None:
    other = ENTRY | {"protocol": "emobox-6", "precision": "int8"}
    found = read(tmp_path, [ENTRY, other])
    assert scores_of(found, "float32") == (SCORE,)
    assert scores_of(found, "int8") == (SCORE, Score("emobox-6", "mean", 1440, 0.71, 0.68))
    assert read(tmp_path, []) == {precision: [] for precision in PRECISIONS}


def test_a_sequence_holds_for_both() -> None:
    for precision in ("float32", "int8"):
        assert scores_of([SCORE], precision) == (SCORE,)
        assert scores_of((), precision) == ()
    assert scores_of({"int8": [SCORE]}, "float32") == ()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[", r"expect\.json cannot be read .*; expected a list of scores"),
        ("{}", "holds no list"),
        ([1], "score 1: 1 is not an object"),
        ([ENTRY, {}], "score 2: field 'accuracy' is missing in Score"),
        ([ENTRY | {"seed": 1}], "unknown field 'seed' in Score"),
        ([ENTRY | {"precision": "int4"}], "precision is 'int4'; expected one of"),
        ([ENTRY | {"protocol": "best"}], "no protocol 'best'; expected one of"),
        ([ENTRY | {"fold": 1}], "fold is 1; expected a string"),
        ([ENTRY | {"n": 0}], "n is 0; expected a number of clips"),
        ([ENTRY | {"n": 1.5}], r"n is 1\.5"),
        ([ENTRY | {"accuracy": 71.0}], r"accuracy is 71\.0; expected 0 to 1"),
        ([ENTRY | {"uar": None}], "uar is None; expected 0 to 1"),
        ([ENTRY | {"uar": True}], "uar is True"),
        ('[{"protocol": "upm-5", "fold": "mean", "n": 1, "accuracy": NaN, "uar": 1}]', "is nan"),
    ],
)
def test_refused(tmp_path: Path, content: Any, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        read(tmp_path, content)


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="cannot be read"):
        read_expected(tmp_path / "none.json")
