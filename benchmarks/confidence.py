"""How often what the sensor says is right, by how sure it has to be to say it.

    python benchmarks/confidence.py [--protocol upm-5] [--network cnn] [--precision int8]

From the stored results of models of unseen speakers, so without audio: what each said of the test
clips of its fold. First, whether a confidence is the share of right answers that it promises, as
it is and after temperature scaling (Guo et al. 2017), whose temperature is fitted on the other
folds. Then what thresholds of confidence give, what it takes to get a share of right answers, the
lowest threshold that gives it on the other folds, and the default under other conditions. So
neither the voices nor the model that a fold is measured with have a part in what is chosen for
it. ± is the standard deviation over folds.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import click
import numpy as np

from emopi.device.decision import DecisionSettings
from emopi.train.evaluation.scores import Ints, Reals, expected_calibration_error

THRESHOLDS = (0.0, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
SHARES = (0.70, 0.75, 0.80, 0.85, 0.90)
TEMPERATURES = np.arange(0.5, 2.0, 0.02)


@dataclasses.dataclass(frozen=True)
class Answers:
    """What a model said of clips."""

    probabilities: Reals
    """(n, labels)"""
    truth: Ints
    """(n,)"""

    @classmethod
    def of(cls, outcome: dict[str, Any]) -> Answers:
        return cls(np.array(outcome["probabilities"]), np.array(outcome["truth"]))

    @classmethod
    def joined(cls, parts: Sequence[Answers]) -> Answers:
        return cls(
            np.concatenate([part.probabilities for part in parts]),
            np.concatenate([part.truth for part in parts]),
        )

    @property
    def sure(self) -> Reals:
        """(n,) confidence of the likeliest emotion."""
        return np.asarray(self.probabilities.max(axis=1))

    @property
    def right(self) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """(n,) whether that is the clip's."""
        return np.asarray(self.probabilities.argmax(axis=1) == self.truth)

    @property
    def loss(self) -> float:
        """Mean negative log-likelihood of the clips' emotions."""
        given = self.probabilities[np.arange(len(self.truth)), self.truth]
        return float(-np.log(np.maximum(given, 1e-9)).mean())

    @property
    def ece(self) -> float:
        """Expected calibration error."""
        return expected_calibration_error(self.sure, self.right)

    def at(self, temperature: float) -> Answers:
        """The same with all logits divided by a temperature."""
        powers = np.maximum(self.probabilities, 1e-9) ** (1 / temperature)
        return Answers(powers / powers.sum(axis=1, keepdims=True), self.truth)


def others(folds: Sequence[Answers], k: int) -> Answers:
    """All folds but that one."""
    return Answers.joined([*folds[:k], *folds[k + 1 :]])


def said(folds: Sequence[Answers], thresholds: Sequence[float]) -> str:
    """Cells: share that is said, share of that which is right; each fold at its threshold."""
    told = [fold.sure >= limit for fold, limit in zip(folds, thresholds, strict=True)]
    right = [fold.right[which] for fold, which in zip(folds, told, strict=True)]
    shares = [float(row.mean()) for row in right if len(row)]
    return (
        f"{100 * np.concatenate(told).mean():.1f} | {100 * np.concatenate(right).mean():.1f} "
        f"± {100 * np.std(shares, ddof=1):.1f}"
    )


def lowest(answers: Answers, share: float) -> float:
    """Lowest threshold, in steps of 0.01, from which on that share of what is said is right."""
    sure, right = answers.sure, answers.right
    limits = np.arange(0, 1, 0.01)
    enough = [right[sure >= limit].mean() >= share for limit in limits if (sure >= limit).any()]
    return float(limits[enough.index(True)])


def reliability(folds: Sequence[Answers]) -> Iterator[str]:
    """Is it right as often as it says?"""
    every = Answers.joined(folds)
    yield "\n| confidence | clips | mean confidence, % | right, % |\n|---|---|---|---|"
    for low in np.arange(0.2, 1, 0.1):
        inside = (every.sure >= low) & (every.sure < low + 0.1)
        if inside.any():
            sure, right = 100 * every.sure[inside].mean(), 100 * every.right[inside].mean()
            yield f"| {low:.1f} to {low + 0.1:.1f} | {inside.sum()} | {sure:.1f} | {right:.1f} |"
    best = [
        min(TEMPERATURES, key=lambda t, k=k: others(folds, k).at(t).loss)  # type: ignore[misc]
        for k in range(len(folds))
    ]
    scaled = [fold.at(one) for fold, one in zip(folds, best, strict=True)]
    yield "\n| calibration error, points | all folds as one | by fold |\n|---|---|---|"
    for name, rows in (("as it is", folds), ("temperature of the other folds", scaled)):
        by_fold = ", ".join(f"{100 * one.ece:.1f}" for one in rows)
        yield f"| {name} | {100 * Answers.joined(rows).ece:.1f} | {by_fold} |"
    yield f"\nTemperatures {', '.join(f'{one:.2f}' for one in best)}."


def thresholds(folds: Sequence[Answers], conditions: dict[str, list[Answers]]) -> Iterator[str]:
    """What is said, and how much of it is right."""
    default = DecisionSettings().min_confidence
    yield "\n| threshold | said, % | right of it, % |\n|---|---|---|"
    for limit in THRESHOLDS:
        yield f"| {limit:.1f} | {said(folds, [limit] * len(folds))} |"
    yield "\n| right wanted, % | thresholds | said, % | right of it, % |\n|---|---|---|---|"
    for share in SHARES:
        limits = [lowest(others(folds, k), share) for k in range(len(folds))]
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
    folds = [Answers.of(one["outcomes"][precision]) for one in stored]
    conditions = {
        name: [Answers.of(one["conditions"][name]) for one in stored]
        for name in stored[0].get("conditions", {})
    }
    clips = sum(len(fold.truth) for fold in folds)
    trained = ", ".join(sorted({one["commit"] for one in stored}))
    print(
        f"{network}-{precision}, {protocol}, trained at commit {trained}: {clips} clips of "
        "speakers unseen in training"
    )
    for row in (*reliability(folds), *thresholds(folds, conditions)):
        print(row)


if __name__ == "__main__":
    main()
