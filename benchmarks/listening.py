"""Whether listening to a clip and classifying it whole come to the same, and what listening says.

    python benchmarks/listening.py --corpus RAVDESS16K [--protocol upm-5] [--model FOLD.tflite ...]

Each test clip of a model's fold is heard as `emopi listen` hears it, in blocks of 50 ms, with the
default gate and decisions, and classified whole as `emopi evaluate` does; with all models of
models/folds unless some are named. Compared is the last decision of listening, and the last one
about a window with speech in it, as the end of a recording may be silent: the likeliest emotion,
and what is said, where `unsure` is no answer. Then all decisions that were made on the way, the
first after 3 s. Needs no TensorFlow.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from importlib.resources import files
from pathlib import Path

import click
import numpy as np

from emopi.device.classifier import Classifier
from emopi.device.decision import NO_SPEECH, UNSURE, Decision
from emopi.device.pipeline import Pipeline, classify, decisions
from emopi.device.sources.audio import ArraySource, read_clip
from emopi.train.corpora import Utterance, read_corpora
from emopi.train.evaluation.evaluate import unseen_clips
from emopi.train.evaluation.scores import Ints, uar
from emopi.train.run_record import commit, hardware

BLOCK_S = 0.05


@dataclasses.dataclass(frozen=True)
class Heard:
    """One clip."""

    truth: str
    whole: str
    """What it was classified as."""
    said: tuple[str, ...]
    """What listening said, decision by decision."""
    likeliest: tuple[str, ...]
    """The likeliest emotion of each of these decisions."""


def hear(classifier: Classifier, clips: Sequence[Utterance]) -> Iterator[Heard]:
    """Each clip, in both ways."""
    rate_hz = classifier.contract.frontend.sample_rate_hz
    pipeline = Pipeline(classifier)
    for clip in clips:
        samples = read_clip(clip.path, rate_hz)
        pipeline.reset()
        source = ArraySource(samples, rate_hz, block_samples=round(BLOCK_S * rate_hz))
        made = list(decisions(source, pipeline))
        whole = classify(ArraySource(samples, rate_hz), classifier).label
        said = tuple(one.label for one in made)
        yield Heard(clip.label, whole, said, tuple(map(likeliest, made)))


def likeliest(decision: Decision) -> str:
    """The emotion with the highest probability; no speech where there is none."""
    if decision.label == NO_SPEECH:
        return NO_SPEECH
    return max(decision.probabilities, key=lambda label: decision.probabilities[label])


def last_with_speech(labels: Sequence[str]) -> str:
    """The last that is an emotion or `unsure`; no speech if none is."""
    return next((label for label in reversed(labels) if label != NO_SPEECH), NO_SPEECH)


def row(name: str, heard: Sequence[Heard], labels: Sequence[str]) -> str:
    """What both ways come to."""
    index = {label: k for k, label in enumerate(labels)}

    def numbers(given: Iterable[str]) -> Ints:
        return np.array([index.get(label, -1) for label in given])

    truth = numbers(one.truth for one in heard)
    whole = numbers(one.whole for one in heard)
    last = numbers(last_with_speech(one.likeliest) for one in heard)
    ends = numbers(one.likeliest[-1] for one in heard)
    told = numbers(last_with_speech(one.said) for one in heard)
    figures = [100 * uar(truth, found, len(labels)) for found in (whole, last, ends, told)]
    return (
        f"| {name} | {len(heard)} | {figures[0]:.2f} | {figures[1]:.2f} "
        f"| {figures[1] - figures[0]:+.2f} | {100 * np.mean(last == whole):.1f} "
        f"| {figures[2]:.2f} | {figures[3]:.2f} |"
    )


def folds(named: Sequence[Path]) -> list[Path]:
    """The models that are named, or the CNN's of models/folds."""
    shipped = Path(str(files("emopi.models"))) / "folds"
    if not shipped.is_dir():
        shipped = Path(__file__).resolve().parents[1] / "models" / "folds"
    return list(named) or sorted(shipped.glob("cnn-*.tflite"))


@click.command()
@click.option("--corpus", type=click.Path(path_type=Path, exists=True), required=True)
@click.option("--protocol", default="upm-5", show_default=True)
@click.option("--model", "models", type=click.Path(path_type=Path, exists=True), multiple=True)
def main(corpus: Path, protocol: str, models: tuple[Path, ...]) -> None:
    """Print tables."""
    utterances = read_corpora(corpus).utterances
    every: list[Heard] = []
    print(f"commit {commit()}, {hardware()}\n")
    print("| model, fold | clips | UAR whole, % | listened, % | change, points | same label, % "
          "| at the very end, % | said, % |\n|---|---|---|---|---|---|---|---|")  # fmt: skip
    for model in folds(models):
        classifier = Classifier(model)
        contract = classifier.contract
        fold, clips = unseen_clips(model, contract, utterances, protocol)
        heard = list(hear(classifier, clips))
        trained = contract.training.get("commit", "unknown")
        name = f"{contract.model_id} of commit {trained}, {fold.name}"
        print(row(name, heard, contract.labels), flush=True)
        every += heard
    print(row(f"all of {protocol}", every, contract.labels))
    said = [(label, one.truth) for one in every for label in one.said]
    told = [label == truth for label, truth in said if label not in (NO_SPEECH, UNSURE)]
    silent = sum(set(one.said) == {NO_SPEECH} for one in every)
    print(f"\nIn {silent} of {len(every)} clips no speech was heard at all.")
    print(f"\n| of all {len(said)} decisions | % |\n|---|---|")
    print(f"| no speech | {100 * np.mean([label == NO_SPEECH for label, _ in said]):.1f} |")
    print(f"| unsure | {100 * np.mean([label == UNSURE for label, _ in said]):.1f} |")
    print(f"| an emotion | {100 * len(told) / len(said):.1f} |")
    print(f"| right of those | {100 * np.mean(told):.1f} |")


if __name__ == "__main__":
    main()
