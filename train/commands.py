"""The commands `emopi dataset` and `emopi train`, and options that other commands share."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path

import click

from emopi.train.topology import NETWORKS

folder_argument = click.Path(path_type=Path, file_okay=False)
corpus_option = click.option(
    "--corpus",
    required=True,
    multiple=True,
    type=folder_argument,
    help="Folder that holds a corpus, anyhow nested: RAVDESS, CREMA-D, EmoDB, SAVEE or TESS, "
    "recognized by its file names. Several are mixed: give it once for each.",
)
protocol_option = click.option(
    "--protocol",
    default="paper-80-20",
    show_default=True,
    metavar="NAME",
    help="How the clips are divided. RAVDESS: paper-80-20, paper-70-30, random-10fold, upm-5, "
    "emobox-6 (other corpora join the training side). Any corpora: random-5fold, speakers-5, and "
    "all, which holds nothing out.",
)
fold_option = click.option("--fold", metavar="NAME", help="Which fold or seed of the protocol.")


@click.command()
@click.argument("network", type=click.Choice(NETWORKS))
@corpus_option
@protocol_option
@fold_option
@click.option("--out", required=True, type=folder_argument, help="Run folder, made by this.")
@click.option("--epochs", type=click.IntRange(1, 100_000), help="Default: what the network needs.")
@click.option("--batch", default=64, show_default=True, type=click.IntRange(1, 4096))
@click.option(
    "--seed",
    default=0,
    show_default=True,
    type=click.IntRange(0, 2**32 - 1),
    help="Of weights, augmentation and order.",
)
@click.option(
    "--validation",
    "validation_share",
    default=0.0,
    show_default=True,
    type=click.FloatRange(0, 0.5),
    help="Share of the training side to hold out and watch, besides the fold's own.",
)
@click.option(
    "--with-validation",
    is_flag=True,
    help="Train on the fold's validation clips too: for the last training, when nothing is left to "
    "choose.",
)
@click.option(
    "--teacher",
    type=folder_argument,
    metavar="RUN",
    help="Learn from this finished training too, of the same clips: it makes a better lstm to "
    "learn from a cnn.",
)
@click.option(
    "--views",
    "n_views",
    type=click.Choice(["1", "3"]),
    help="As how many speakers, of other vocal tracts, the finished network sees a window: 3 are "
    "better for strangers and cost 3 times as much. Default: 3 of a cnn, 1 of an lstm.",
)
@click.option("--resume", is_flag=True, help="Go on with an interrupted run.")
@click.option("--jobs", type=click.IntRange(1), help="Cores to use. Default: all.")
@click.option(
    "--cache",
    type=folder_argument,
    help="For features, 1 GB; may be deleted. Default: ~/.cache/emopi.",
)
def train(
    network: str,
    corpus: tuple[Path, ...],
    protocol: str,
    fold: str | None,
    out: Path,
    epochs: int | None,
    batch: int,
    seed: int,
    validation_share: float,
    with_validation: bool,
    teacher: Path | None,
    n_views: str | None,
    resume: bool,
    jobs: int | None,
    cache: Path | None,
) -> None:
    """Train the cnn or the lstm on the training side of a protocol's fold.

    Emotion and speaker are read from the names of files. The test clips are never looked at, and
    the model is that of the last epoch. Progress is on stderr; the run folder keeps the Keras
    model, its history and run.json.
    """
    from emopi.train.backend import import_tensorflow

    import_tensorflow("emopi train", jobs)
    from emopi.train.dataset import default_cache
    from emopi.train.fit import fit
    from emopi.train.progress import TrainingProgress
    from emopi.train.recipe import default_recipe

    recipe = default_recipe(
        network,
        epochs=epochs,
        batch=batch,
        seed=seed,
        with_validation=with_validation,
        n_views=int(n_views) if n_views else None,
    )
    with TrainingProgress(recipe.epochs) as progress:
        record = fit(
            recipe,
            corpus,
            protocol,
            fold,
            out,
            validation_share=validation_share,
            teacher=teacher,
            resume=resume,
            cache=cache or default_cache(),
            jobs=jobs,
            command=shlex.join(["emopi", *sys.argv[1:]]),
            watch=progress.show,
            tell=lambda text: click.echo(text, err=True),
        )
    click.echo(
        f"{out}: {record.network} trained for {record.epochs_done} epochs in "
        f"{record.seconds / 60:.1f} min. Next: emopi convert {out} --out FOLDER"
    )


@click.group()
def dataset() -> None:
    """Get RAVDESS, and check what you have of it or of another corpus."""


@dataset.command()
@click.argument("folder", type=folder_argument)
def download(folder: Path) -> None:
    """Fetch the RAVDESS speech archive (199 MiB) from Zenodo into FOLDER and unpack it there.

    Checks the archive's MD5. Interrupted, the same command goes on where it stopped. RAVDESS is
    CC BY-NC-SA 4.0: not for commercial use.
    """
    from emopi.train.download import download_ravdess
    from emopi.train.progress import byte_progress

    with byte_progress("download") as advance:
        n_clips = download_ravdess(folder, watch=advance)
    click.echo(f"{folder}: {n_clips} clips. Check with: emopi dataset check {folder}")


@dataset.command()
@click.argument("folder", type=folder_argument)
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def check(folder: Path, as_json: bool) -> None:
    """Say what FOLDER holds of its corpus: missing, duplicated, foreign and unreadable files.

    Exits with 1 if a clip is missing or cannot be read.
    """
    from emopi.train.corpus_check import check_corpus
    from emopi.train.corpus_report import render

    result = check_corpus(folder)
    click.echo(json.dumps(result.to_json()) if as_json else render(result))
    if not result.usable:
        sys.exit(1)
