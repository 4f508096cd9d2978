"""How RAVDESS is divided: frozen as `protocols/*.json`, so that figures name their clips.

`python -m emopi.train.frozen_protocols` writes them anew; a test proves that they come out the
same.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from emopi.train.corpora import Ravdess
from emopi.train.splits import deal, draw

UPM_5_TEST = ((2, 5, 14, 15, 16), (3, 6, 7, 13, 18), (10, 11, 12, 19, 20), (8, 17, 21, 23, 24),
              (1, 4, 9, 22))  # fmt: skip
UPM_5_VALIDATION = ((3, 6), (10, 11), (8, 17), (1, 14), (2, 5))
EMOBOX_6_TEST = ((1, 11, 20, 21), (4, 10, 12, 14), (8, 9, 19, 23), (3, 5, 7, 24),
                 (2, 15, 16, 18), (6, 13, 17, 22))  # fmt: skip


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
                f"seed{seed}": _sides(draw(strata, test / 100, f"paper-{100 - test}-{test} {seed}"))
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
                f"fold{k + 1}": _sides(ids) for k, ids in enumerate(deal(strata, 10, "10fold"))
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
