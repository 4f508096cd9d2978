"""The commands of a workstation: `emopi dataset`, `emopi train`, `emopi evaluate`."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from emopi.device.commands import resolve_model
from emopi.train.topology import NETWORKS

if TYPE_CHECKING:
    from emopi.train.evaluate import Evaluation

folder_argument = click.Path(path_type=Path, file_okay=False)
corpus_option = click.option(
    "--corpus",
    required=True,
    type=folder_argument,
    help="Folder that holds RAVDESS, anyhow nested.",
)
protocol_option = click.option(
    "--protocol",
    default="paper-80-20",
    show_default=True,
    metavar="NAME",
    help="How the corpus is divided: paper-80-20, paper-70-30, random-10fold, upm-5, emobox-6.",
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
@click.option("--resume", is_flag=True, help="Go on with an interrupted run.")
@click.option("--jobs", type=click.IntRange(1), help="Cores to use. Default: all.")
@click.option(
    "--cache",
    type=folder_argument,
    help="For features, 0.6 GB a seed; may be deleted. Default: ~/.cache/emopi.",
)
def train(
    network: str,
    corpus: Path,
    protocol: str,
    fold: str | None,
    out: Path,
    epochs: int | None,
    batch: int,
    seed: int,
    validation_share: float,
    resume: bool,
    jobs: int | None,
    cache: Path | None,
) -> None:
    """Train the cnn or the lstm on the training side of a protocol's fold.

    The test clips are never looked at, and the model is that of the last epoch. Progress is on
    stderr; the run folder keeps the Keras model, its history and run.json.
    """
    from emopi.train.backend import import_tensorflow

    import_tensorflow("emopi train", jobs)
    from emopi.train.dataset import default_cache
    from emopi.train.fit import fit
    from emopi.train.progress import TrainingProgress
    from emopi.train.recipe import default_recipe

    recipe = default_recipe(network, epochs=epochs, batch=batch, seed=seed)
    with TrainingProgress(recipe.epochs) as progress:
        record = fit(
            recipe,
            corpus,
            protocol,
            fold,
            out,
            validation_share=validation_share,
            resume=resume,
            cache=cache or default_cache(),
            jobs=jobs,
            command=shlex.join(["emopi", *sys.argv[1:]]),
            watch=progress.show,
        )
    click.echo(
        f"{out}: {record.network} trained for {record.epochs_done} epochs in "
        f"{record.seconds / 60:.1f} min. Next: emopi convert {out} --out FOLDER"
    )


@click.command()
@click.argument("model", metavar="MODEL")
@corpus_option
@protocol_option
@fold_option
@click.option("--allow-seen", is_flag=True, help="Even on clips that the model was trained on.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
@click.option(
    "--clips", "clips_csv", type=click.Path(path_type=Path, dir_okay=False),
    help="Also write label, decision and probabilities of every clip to this CSV file.",
)  # fmt: skip
def evaluate(
    model: str,
    corpus: Path,
    protocol: str,
    fold: str | None,
    allow_seen: bool,
    as_json: bool,
    clips_csv: Path | None,
) -> None:
    """Score MODEL on the test clips of a protocol, through the device's own pipeline.

    Without --fold it is the one that the model was trained for. Needs no TensorFlow.
    """
    from emopi.train.evaluate import evaluate as evaluate_model
    from emopi.train.evaluate import write_clips

    if clips_csv and not clips_csv.parent.is_dir():
        raise click.UsageError(f"--clips {clips_csv}: there is no folder {clips_csv.parent}")
    result = evaluate_model(resolve_model(model), corpus, protocol, fold, allow_seen=allow_seen)
    if as_json:
        click.echo(json.dumps(result.to_json(), allow_nan=False))
    else:
        _print_evaluation(result)
    if clips_csv:
        write_clips(result, clips_csv)


@click.group()
def dataset() -> None:
    """Get RAVDESS, and check what you have of it."""


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
    """Say what FOLDER holds of RAVDESS: missing, duplicated, foreign and unreadable files.

    Exits with 1 if a clip is missing or cannot be read.
    """
    from emopi.train.corpus_check import check_corpus, render

    result = check_corpus(folder)
    click.echo(json.dumps(result.to_json()) if as_json else render(result))
    if not result.usable:
        sys.exit(1)


def _span(bounds: tuple[float, float]) -> str:
    return f"{bounds[0]:.1%} to {bounds[1]:.1%}"


def _print_evaluation(result: Evaluation) -> None:
    score, intervals = result.score, result.intervals
    click.echo(
        f"{result.contract.model_id} on {score.protocol} {score.fold}: {score.n} test clips\n"
        f"accuracy {score.accuracy:.1%} ({_span(intervals['accuracy'])})   "
        f"UAR {score.uar:.1%} ({_span(intervals['uar'])})   "
        "(95 %, bootstrap over speakers)\n"
        f"calibration error {result.calibration_error:.1%}\n"
    )
    labels = result.contract.labels
    width = max(map(len, labels))
    head = " ".join(f"{label[:5]:>5}" for label in labels)
    click.echo(f"{'clip':<{width}} {head}  recall")
    for label, row in zip(labels, result.confusion, strict=True):
        cells = " ".join(f"{count or '.':>5}" for count in row)
        click.echo(f"{label:<{width}} {cells}  {result.recall.get(label, float('nan')):6.1%}")
