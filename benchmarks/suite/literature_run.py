"""Trains one published network, or a smaller one of ours, on one fold as our own, and scores it.

    python -m benchmarks.suite.literature_run tim-net fold1 --corpus RAVDESS --out runs/literature

Hours for all folds and networks, so it does one, resumes it where it was interrupted, and is no
part of `make bench`, which shows what there is. The recipe, features, augmentation and folds are
those of our cnn; only the network differs. The score is that of Keras in float32 after
the last epoch: the mean of its probabilities over windows half a second apart in each test clip,
which the device pipeline has our networks look at, too.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import numpy as np

from benchmarks.suite import literature, smaller
from benchmarks.suite.literature import macs
from emopi.device.classifier import softmax
from emopi.device.files import write_atomically
from emopi.device.frontend import Floats
from emopi.train import training
from emopi.train.augment import Perturbation
from emopi.train.backend import import_tensorflow, load_model
from emopi.train.corpora import LABELS, corpus_hash, read_corpora
from emopi.train.dataset import cut, default_cache, features
from emopi.train.evaluation.scores import uar
from emopi.train.fit import fit
from emopi.train.recipe import Recipe
from emopi.train.run_record import commit
from emopi.train.splits import load_protocol, split

NETWORKS = {**literature.NETWORKS, **smaller.NETWORKS}
PROTOCOL = "upm-5"
EPOCHS, LEARNING_RATE = 200, 2e-3
"""Of each, whatever the recipe of the shipped models has: one budget for the whole table."""
FOUND = Path(__file__).resolve().parents[1] / "literature"
"""A JSON file a network and fold."""


@contextlib.contextmanager
def built_as(network: str) -> Iterator[None]:
    """Within this, `emopi train` builds that network whatever it is asked for."""
    ours = training.build

    def build(_: str, keras: Any, *, window_frames: int, n_mfcc: int, n_labels: int) -> Any:
        return NETWORKS[network](keras, window_frames, n_mfcc, n_labels)

    training.build = build  # type: ignore[assignment]
    try:
        yield
    finally:
        training.build = ours


def trained(
    network: str, fold: str, corpus: Path, out: Path, *, epochs: int, cache: Path, copies: int
) -> Path:
    """The run folder of a finished training, which goes on with what there is of it."""
    folder = out / f"{network}-{fold}"
    recipe = Recipe(
        network,
        epochs=epochs,
        learning_rate=LEARNING_RATE,
        perturbation=Perturbation(copies=copies),
        with_validation=True,
    )
    with built_as(network):
        fit(recipe, corpus, PROTOCOL, fold, folder, cache=cache, resume=folder.exists(),
            watch=lambda entry: click.echo(json.dumps(entry), err=True))  # fmt: skip
    return folder


def scored(run: Path, corpus: Path, fold: str, *, cache: Path, copies: int) -> dict[str, Any]:
    """UAR on the fold's test clips, size and multiplications."""
    record = training.RunRecord.read(run)
    utterances = read_corpora(corpus).utterances
    test = {
        one.clip_id
        for one in split(utterances, load_protocol(PROTOCOL, utterances).fold(fold)).test
    }
    indices = [k for k, one in enumerate(utterances) if one.clip_id in test]
    recipe = Recipe(record.network, perturbation=Perturbation(copies=copies))
    data = features(
        utterances, corpus_hash(utterances), recipe.frontend, recipe.perturbation, cache=cache
    )
    clips = [windows_of(data.clip(index), recipe) for index in indices]
    from emopi.device.normalization import Normalization

    model = load_model(run / training.MODEL)
    normalized = Normalization.from_json(record.normalization).apply(np.concatenate(clips))
    probabilities = softmax(model.predict(normalized, verbose=0))
    ends = np.cumsum([len(windows) for windows in clips])
    answers = np.array([np.argmax(one.mean(axis=0)) for one in np.split(probabilities, ends[:-1])])
    truth = np.array([LABELS.index(utterances[k].label) for k in indices])
    return {
        "network": record.network,
        "fold": fold,
        "epochs": record.epochs_done,
        "uar": uar(truth, answers, len(LABELS)),
        "n": len(truth),
        "parameters": model.count_params(),
        "macs": macs(model),
        "seconds": record.seconds,
        "commit": commit(),
    }


def windows_of(frames: Floats, recipe: Recipe) -> Floats:
    """(windows, window_frames, n_mfcc): half a second apart from a clip's start, at least one."""
    n, spec = recipe.window_frames, recipe.frontend
    apart = round(0.5 * spec.sample_rate_hz / spec.hop_samples)
    if len(frames) < n:
        return cut(frames, (len(frames) - n) // 2, n, spec)[None]
    return np.stack([frames[start : start + n] for start in range(0, len(frames) - n + 1, apart)])


@click.command()
@click.argument("network", type=click.Choice(list(NETWORKS)))
@click.argument("fold", type=click.Choice([f"fold{n}" for n in range(1, 6)]))
@click.option("--corpus", type=click.Path(path_type=Path, exists=True), required=True)
@click.option("--out", type=click.Path(path_type=Path), default=Path("runs/literature"))
@click.option("--cache", type=click.Path(path_type=Path), default=None)
@click.option("--epochs", default=EPOCHS, show_default=True)
@click.option("--found", type=click.Path(path_type=Path), default=FOUND, help="Where scores go.")
def main(
    network: str, fold: str, corpus: Path, out: Path, cache: Path | None, epochs: int, found: Path
) -> None:
    """Train NETWORK on FOLD of upm-5 and keep its score."""
    import_tensorflow("this benchmark")
    cache, copies = cache or default_cache(), Perturbation().copies
    run = trained(network, fold, corpus, out, epochs=epochs, cache=cache, copies=copies)
    score = scored(run, corpus, fold, cache=cache, copies=copies)
    found.mkdir(parents=True, exist_ok=True)
    write_atomically(found / f"{network}-{fold}.json", json.dumps(score, indent=1).encode() + b"\n")
    click.echo(json.dumps(score))


if __name__ == "__main__":
    main()
