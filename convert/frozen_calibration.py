"""Which clips of RAVDESS fix an int8 model's ranges: frozen as `calibration_clips/*.json`.

One list a fold of each protocol that divides RAVDESS, so that a conversion can be repeated.
`python -m emopi.convert.frozen_calibration RAVDESS` writes them anew; a test proves that they come
out the same.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

from emopi.convert.calibration import choose_clips, clip_levels
from emopi.train.corpora import Ravdess, Utterance
from emopi.train.recipe import Recipe
from emopi.train.run_record import RunRecord
from emopi.train.splits import ALL, frozen_names, load_protocol, split


@dataclasses.dataclass(frozen=True, slots=True)
class Calibration:
    """The clips of one conversion, and why these."""

    clips: tuple[Utterance, ...]
    why: str
    """For people."""


def calibration(
    record: RunRecord, utterances: Sequence[Utterance], side: Sequence[Utterance], rate_hz: int
) -> Calibration:
    """The frozen clips of the run's fold, or else clips chosen from its training side `side`.

    The frozen ones are for a run on all of RAVDESS and nothing else, with nothing held out besides
    the protocol's own.
    """
    frozen = frozen_clips(record.protocol, record.fold)
    whole = {utterance.clip_id for utterance in utterances} == set(Ravdess.published())
    if frozen and whole and not record.validation_share:
        clips = tuple(utterance for utterance in side if utterance.clip_id in frozen)
        return Calibration(clips, f"frozen for {record.protocol} {record.fold}")
    clips = choose_clips(side, clip_levels(side, rate_hz))
    return Calibration(clips, "balanced over emotion, loudness and speaker")


def frozen_clips(protocol: str, fold: str) -> frozenset[str] | None:
    """Ids of a fold's calibration clips, None where none are frozen."""
    path = files("emopi.convert") / "calibration_clips" / f"{protocol}.json"
    if not path.is_file():
        return None
    folds = json.loads(path.read_text())["folds"]
    return frozenset(folds[fold]) if fold in folds else None


def write_frozen(folder: Path, corpus: Path) -> None:
    """Write every protocol's JSON file into `folder`; `corpus` is all of RAVDESS."""
    folder.mkdir(parents=True, exist_ok=True)
    utterances = Ravdess.read(corpus)
    levels = clip_levels(utterances, Recipe("cnn").frontend.sample_rate_hz)
    for name in (*frozen_names(), ALL):
        chosen = {
            fold.name: choose_clips(split(utterances, fold).train, levels)
            for fold in load_protocol(name).folds
        }
        (folder / f"{name}.json").write_text(_render(name, chosen))


def _render(name: str, chosen: dict[str, tuple[Utterance, ...]]) -> str:
    """JSON with one fold a line: short diffs, short files."""
    folds = ",\n".join(
        f"  {json.dumps(fold)}: {json.dumps([clip.clip_id for clip in clips])}"
        for fold, clips in chosen.items()
    )
    return f'{{\n "name": {json.dumps(name)},\n "folds": {{\n{folds}\n }}\n}}\n'


if __name__ == "__main__":
    write_frozen(Path(__file__).resolve().parent / "calibration_clips", Path(sys.argv[1]))
