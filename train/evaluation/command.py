"""The command `emopi evaluate`, for one model and for a folder of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from emopi.device.model_files import resolve_model
from emopi.train.commands import (
    corpus_option,
    fold_option,
    folder_argument,
    protocol_option,
)

if TYPE_CHECKING:
    from emopi.train.evaluation.folder import FolderEvaluation


@click.command()
@click.argument("model", metavar="MODEL|FOLDER")
@corpus_option
@protocol_option
@fold_option
@click.option("--allow-seen", is_flag=True, help="Even on clips that the model was trained on.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
@click.option(
    "--clips", "clips_csv", type=click.Path(path_type=Path, dir_okay=False),
    help="Also write label, decision and probabilities of every clip to this CSV file.",
)  # fmt: skip
@click.option(
    "--condition",
    metavar="NAME",
    help="Hear the clips under a listening condition, such as 'gain -20 dB', 'noise 10 dB', "
    "'reverberation', '8 kHz sampling'.",
)
@click.option("--noise", type=folder_argument, help="Recordings of noise for --condition.")
@click.option("--jobs", type=click.IntRange(1), help="Cores to use for a FOLDER. Default: all.")
def evaluate(
    model: str,
    corpus: tuple[Path, ...],
    protocol: str,
    fold: str | None,
    allow_seen: bool,
    as_json: bool,
    clips_csv: Path | None,
    condition: str | None,
    noise: Path | None,
    jobs: int | None,
) -> None:
    """Score MODEL on the test clips of a protocol, through the device's own pipeline.

    Without --fold it is the one that the model was trained for. Of a FOLDER, every .tflite file in
    it is scored on its own fold, and the figures are drawn together: mean and standard deviation
    over the folds. Needs no TensorFlow.
    """
    if noise and not condition:
        raise click.UsageError("--noise needs a --condition that it is for, such as 'noise 10 dB'")
    if Path(model).is_dir():
        if fold or allow_seen or clips_csv or condition:
            raise click.UsageError(
                f"{model} is a folder: each of its models is scored on its own fold, so --fold, "
                "--allow-seen, --clips and --condition do not apply; name one model file"
            )
        _evaluate_folder(Path(model), corpus, protocol, jobs, as_json)
    else:
        heard = (condition, noise) if condition else None
        _evaluate_model(model, corpus, protocol, fold, allow_seen, as_json, clips_csv, heard)


def _evaluate_model(
    model: str,
    corpus: tuple[Path, ...],
    protocol: str,
    fold: str | None,
    allow_seen: bool,
    as_json: bool,
    clips_csv: Path | None,
    heard: tuple[str, Path | None] | None,
) -> None:
    from emopi.device.contract import read
    from emopi.train.evaluation.conditions import condition
    from emopi.train.evaluation.evaluate import evaluate as evaluate_model
    from emopi.train.evaluation.evaluate import write_clips
    from emopi.train.evaluation.text import render_evaluation

    if clips_csv and not clips_csv.parent.is_dir():
        raise click.UsageError(f"--clips {clips_csv}: there is no folder {clips_csv.parent}")
    path = resolve_model(model)
    alter = condition(heard[0], read(path)[1].frontend.sample_rate_hz, heard[1]) if heard else None
    result = evaluate_model(path, corpus, protocol, fold, allow_seen=allow_seen, alter=alter)
    if as_json:
        under = {"condition": heard[0]} if heard else {}
        click.echo(json.dumps(result.to_json() | under, allow_nan=False))
    else:
        click.echo(render_evaluation(result) + (f"\nheard under: {heard[0]}" if heard else ""))
    if clips_csv:
        write_clips(result, clips_csv)


def _evaluate_folder(
    folder: Path, corpus: tuple[Path, ...], protocol: str, jobs: int | None, as_json: bool
) -> None:
    from emopi.train.evaluation.folder import evaluate_folder
    from emopi.train.evaluation.text import render_folder

    result: FolderEvaluation = evaluate_folder(folder, corpus, protocol, jobs=jobs)
    if as_json:
        click.echo(json.dumps(result.to_json(), allow_nan=False))
    else:
        click.echo(render_folder(folder, result))
