"""How often what the sensor says is right, by how sure it has to be to say it.

    python benchmarks/confidence.py [--protocol upm-5] [--network cnn] [--precision int8]

From the stored results of models of unseen speakers, so without audio: what each said of the test
clips of its fold. The first table is for thresholds of confidence; the second asks for a share of
right answers and takes, for each fold, the lowest threshold that gives it on the other folds, so
that neither the voices nor the model have a part in the choice; the third is the default under
other conditions. ± is the standard deviation over folds.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

from emopi.device.decision import DecisionSettings

Answers = tuple[NDArray[Any], NDArray[Any]]
"""(n,) confidence of the likeliest emotion of each clip, and whether that is the clip's."""

THRESHOLDS = (0.0, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
SHARES = (0.70, 0.75, 0.80, 0.85, 0.90)


def answers(outcome: dict[str, Any]) -> Answers:
    """Of one stored outcome."""
    probabilities = np.array(outcome["probabilities"])
    right = probabilities.argmax(axis=1) == np.array(outcome["truth"])
    return probabilities.max(axis=1), right


def said(folds: Sequence[Answers], thresholds: Sequence[float]) -> str:
    """Cells: share that is said, share of that which is right; each fold at its threshold."""
    told = [sure >= limit for (sure, _), limit in zip(folds, thresholds, strict=True)]
    right = [row[which] for (_, row), which in zip(folds, told, strict=True)]
    shares = [float(row.mean()) for row in right if len(row)]
    return (
        f"{100 * np.concatenate(told).mean():.1f} | {100 * np.concatenate(right).mean():.1f} "
        f"± {100 * np.std(shares, ddof=1):.1f}"
    )


def lowest(folds: Sequence[Answers], share: float) -> float:
    """Lowest threshold, in steps of 0.01, from which on that share of what is said is right."""
    sure = np.concatenate([one for one, _ in folds])
    right = np.concatenate([one for _, one in folds])
    limits = np.arange(0, 1, 0.01)
    enough = [right[sure >= limit].mean() >= share for limit in limits if (sure >= limit).any()]
    return float(limits[enough.index(True)])


def rows(folds: Sequence[Answers], conditions: dict[str, list[Answers]]) -> Iterator[str]:
    """The three tables."""
    default = DecisionSettings().min_confidence
    yield "\n| threshold | said, % | right of it, % |\n|---|---|---|"
    for limit in THRESHOLDS:
        yield f"| {limit:.1f} | {said(folds, [limit] * len(folds))} |"
    yield "\n| right wanted, % | thresholds | said, % | right of it, % |\n|---|---|---|---|"
    for share in SHARES:
        limits = [lowest([*folds[:k], *folds[k + 1 :]], share) for k in range(len(folds))]
        span = f"{min(limits):.2f} to {max(limits):.2f}"
        yield f"| {100 * share:.0f} | {span} | {said(folds, limits)} |"
    yield f"\n| heard under, threshold {default} | said, % | right of it, % |\n|---|---|---|"
    for name, under in conditions.items():
        yield f"| {name} | {said(under, [default] * len(under))} |"


@click.command()
@click.option("--protocol", default="upm-5", show_default=True)
@click.option("--network", default="cnn", show_default=True)
@click.option("--precision", default="int8", show_default=True)
def main(protocol: str, network: str, precision: str) -> None:
    """Print tables."""
    folder = Path(str(files("emopi.models"))) / "results" / protocol
    if not folder.is_dir():
        folder = Path(__file__).resolve().parents[1] / "models" / "results" / protocol
    stored = [json.loads(path.read_text()) for path in sorted(folder.glob(f"{network}-*.json"))]
    if len(stored) < 2:
        raise click.ClickException(f"{folder} holds results of {len(stored)} folds; expected more")
    folds = [answers(one["outcomes"][precision]) for one in stored]
    conditions = {
        name: [answers(one["conditions"][name]) for one in stored]
        for name in stored[0].get("conditions", {})
    }
    clips = sum(len(sure) for sure, _ in folds)
    print(f"{network}-{precision}, {protocol}: {clips} clips of speakers unseen in training")
    for row in rows(folds, conditions):
        print(row)


if __name__ == "__main__":
    main()
