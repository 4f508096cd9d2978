"""Whether listening to a clip and classifying it whole come to the same, and what listening says.

    python benchmarks/listening.py --corpus RAVDESS16K [--protocol upm-5] [--model FOLD.tflite]

Each test clip of the model's fold is heard as `emopi listen` hears it, in blocks of 50 ms, with
the default gate and decisions, and classified whole as `emopi evaluate` does. The last decision of
listening is compared: its likeliest emotion, and what it says, where `unsure` is no answer. Then
all decisions that were made on the way, the first after 3 s. Needs no TensorFlow.
"""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import click
import numpy as np

from emopi.device.audio import ArraySource, read_clip
from emopi.device.classifier import Classifier
from emopi.device.decision import NO_SPEECH, UNSURE, Decision
from emopi.device.pipeline import Pipeline, classify, decisions
from emopi.train.corpora import read_corpora
from emopi.train.evaluate import unseen_clips
from emopi.train.run_record import commit, hardware
from emopi.train.scores import uar

BLOCK_S = 0.05


def likeliest(decision: Decision) -> str:
    """The emotion with the highest probability; no speech where there is none."""
    if decision.label == NO_SPEECH:
        return NO_SPEECH
    return max(decision.probabilities, key=lambda label: decision.probabilities[label])


@click.command()
@click.option("--corpus", type=click.Path(path_type=Path, exists=True), required=True)
@click.option("--protocol", default="upm-5", show_default=True)
@click.option("--model", type=click.Path(path_type=Path, exists=True))
def main(corpus: Path, protocol: str, model: Path | None) -> None:
    """Print a table."""
    model = model or Path(str(files("emopi.models"))) / "folds" / "cnn-fold1.tflite"
    if not model.is_file():
        model = Path(__file__).resolve().parents[1] / "models" / "folds" / model.name
    classifier = Classifier(model)
    labels = classifier.contract.labels
    rate_hz = classifier.contract.frontend.sample_rate_hz
    utterances = read_corpora(corpus).utterances
    fold, clips = unseen_clips(model, classifier.contract, utterances, protocol)
    pipeline = Pipeline(classifier)
    truth = np.array([labels.index(clip.label) for clip in clips])
    answers: dict[str, list[int]] = {"classified whole": [], "listened, likeliest at the end": [],
                                     "listened, said at the end": []}  # fmt: skip
    said: list[tuple[str, str]] = []
    index = {label: k for k, label in enumerate(labels)}
    for clip in clips:
        samples = read_clip(clip.path, rate_hz)
        source = ArraySource(samples, rate_hz, block_samples=round(BLOCK_S * rate_hz))
        pipeline.reset()
        heard = list(decisions(source, pipeline))
        whole = classify(ArraySource(samples, rate_hz), classifier)
        for row, label in zip(
            answers.values(), (whole.label, likeliest(heard[-1]), heard[-1].label), strict=True
        ):
            row.append(index.get(label, -1))
        said += [(one.label, clip.label) for one in heard]
    print(f"commit {commit()}, {hardware()}")
    print(f"{classifier.contract.model_id}, {protocol} {fold.name}, {len(clips)} clips\n")
    print("| | UAR, % | same as classified whole, % |\n|---|---|---|")
    first = np.array(answers["classified whole"])
    for name, row in answers.items():
        found = np.array(row)
        print(f"| {name} | {100 * uar(truth, found, len(labels)):.2f} "
              f"| {100 * np.mean(found == first):.1f} |")  # fmt: skip
    told = [one == other for one, other in said if one not in (NO_SPEECH, UNSURE)]
    print("\n| of all decisions | % |\n|---|---|")
    print(f"| no speech | {100 * np.mean([one == NO_SPEECH for one, _ in said]):.1f} |")
    print(f"| unsure | {100 * np.mean([one == UNSURE for one, _ in said]):.1f} |")
    print(f"| an emotion | {100 * len(told) / len(said):.1f} |")
    print(f"| right of those | {100 * np.mean(told):.1f} |")


if __name__ == "__main__":
    main()
