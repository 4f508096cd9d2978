"""How long features and one training take on this machine.

    python benchmarks/training.py --corpus DIR [--epochs 5] [--jobs N]

Features: MFCCs of all clips from WAV files into an empty cache, without augmented copies and with
those that a training uses. Training: the median of `--epochs` epochs after the first, times the
epochs of the recipe; nothing is kept.
"""

from __future__ import annotations

import dataclasses
import os
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import click

from emopi.device.versions import versions
from emopi.train.augment import Perturbation
from emopi.train.backend import import_tensorflow
from emopi.train.corpora import Corpora, Utterance, corpus_hash, read_corpora
from emopi.train.dataset import features
from emopi.train.recipe import Recipe, default_recipe
from emopi.train.run_record import commit, hardware
from emopi.train.topology import NETWORKS


@click.command()
@click.option("--corpus", type=click.Path(path_type=Path), required=True, help="Such as RAVDESS.")
@click.option("--epochs", type=click.IntRange(1), default=5, show_default=True)
@click.option("--jobs", type=click.IntRange(1), default=os.cpu_count(), help="Cores to use.")
def main(corpus: Path, epochs: int, jobs: int) -> None:
    """Print a table of minutes and seconds."""
    import_tensorflow("this benchmark", jobs=jobs)
    corpora = read_corpora([corpus])
    print(f"commit {commit()}, {hardware()}, {jobs} used")
    print(", ".join(f"{name} {version}" for name, version in versions("tensorflow").items()))
    print(f"\n| what | time |\n|---|---|\n{_features_row(corpora, Perturbation(copies=0), jobs)}")
    with tempfile.TemporaryDirectory() as folder:
        cache = Path(folder) / "cache"
        print(_features_row(corpora, Perturbation(), jobs, cache))
        for network in NETWORKS:
            recipe = default_recipe(network, epochs=None, batch=64, seed=0)
            told = epoch_s(recipe, corpus, Path(folder) / network, cache, epochs, jobs)
            seconds = statistics.median(told)
            minutes = seconds * recipe.epochs / 60
            print(f"| {network}: {recipe.epochs} epochs of {seconds:.1f} s | {minutes:.1f} min |")


def _features_row(corpora: Corpora, how: Perturbation, jobs: int, cache: Path | None = None) -> str:
    """Extract into `cache`, by default one that is thrown away."""
    seconds = features_s(corpora.utterances, how, jobs, cache)
    copies = f", {how.copies} augmented copies of each" if how.copies else ""
    return f"| features of {len(corpora.utterances)} clips{copies} | {seconds:.1f} s |"


def features_s(
    utterances: Sequence[Utterance], how: Perturbation, jobs: int, cache: Path | None = None
) -> float:
    """Seconds of extraction into `cache`, which must be empty; by default it is thrown away."""
    with tempfile.TemporaryDirectory() as folder:
        spec = default_recipe("cnn", epochs=None, batch=64, seed=0).frontend
        started = time.perf_counter()
        features(
            utterances, corpus_hash(utterances), spec, how, cache=cache or Path(folder), jobs=jobs
        )
        return time.perf_counter() - started


def epoch_s(
    recipe: Recipe, corpus: Path, out: Path, cache: Path, epochs: int, jobs: int
) -> list[float]:
    """Seconds of each epoch on the training side of upm-5 fold1, the first left out."""
    from emopi.train.fit import fit

    told: list[float] = []
    short = dataclasses.replace(recipe, epochs=epochs + 1)
    fit(
        short, corpus, "upm-5", "fold1", out, cache=cache, jobs=jobs,
        watch=lambda entry: told.append(entry["seconds"]),
    )  # fmt: skip
    return told[1:]


if __name__ == "__main__":
    main()
