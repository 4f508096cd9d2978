"""The command `emopi reproduce`."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from emopi.convert.reproduction.plan import Job, Places
    from emopi.convert.reproduction.reproduce import Corpus

folder_argument = click.Path(path_type=Path, file_okay=False)


@click.command()
@click.option(
    "--corpus",
    required=True,
    type=folder_argument,
    help="Folder that holds RAVDESS, anyhow nested.",
)
@click.option(
    "--quick", is_flag=True, help="A trial: few epochs, first folds; its figures mean nothing."
)
@click.option(
    "--protocol",
    "protocols",
    multiple=True,
    metavar="NAME",
    help="Only this one; may be repeated. Default: paper-80-20, paper-70-30, random-10fold, upm-5, "
    "emobox-6.",
)
@click.option(
    "--network",
    "networks",
    multiple=True,
    metavar="NAME",
    help="Only this one; may be repeated. Default: svm, cnn, lstm.",
)
@click.option(
    "--jobs",
    type=click.IntRange(1),
    help="Trainings at a time, one core and 1.5 GB each. Default: all cores.",
)
@click.option(
    "--work",
    default="runs/reproduce",
    show_default=True,
    type=folder_argument,
    help="Run folders, logs and int8 models: large. An interrupted call goes on from here.",
)
@click.option(
    "--results",
    type=folder_argument,
    help="One small JSON file a finished job, which later calls go by. Default: WORK/results.",
)
@click.option("--out", type=folder_argument, help="For RESULTS.md and figures/. Default: WORK.")
@click.option(
    "--cache",
    type=folder_argument,
    help="For features, 1 GB; may be deleted. Default: ~/.cache/emopi.",
)
@click.option(
    "--noise",
    type=folder_argument,
    help="Recordings of noise, such as ESC-50's, for the rows on robustness. Without: no such row.",
)
@click.option(
    "--dask",
    "cluster",
    metavar="ADDRESS",
    default="",
    help="Of a Dask scheduler, as tcp://host:8786: its workers do the jobs, one a thread, on "
    "machines that share these folders.",
)
@click.option(
    "--gpu",
    is_flag=True,
    help="Train alone, all folds of a network at once, with JAX on a GPU; then the same command "
    "without this converts and scores. Needs: pip install '.[gpu]'.",
)
@click.option("--report", "only_report", is_flag=True, help="Train nothing: report what there is.")
@click.option("--json", "as_json", is_flag=True, help="The figures as one JSON object on stdout.")
def reproduce(
    corpus: Path,
    quick: bool,
    protocols: tuple[str, ...],
    networks: tuple[str, ...],
    jobs: int | None,
    work: Path,
    results: Path | None,
    out: Path | None,
    cache: Path | None,
    noise: Path | None,
    cluster: str,
    gpu: bool,
    only_report: bool,
    as_json: bool,
) -> None:
    """Train, convert and score every fold of every protocol; write RESULTS.md and its figures.

    62 trainings of 3 to 10 minutes on one core each. Interrupt it when you like: the same command
    goes on. Jobs with a valid result are not done again; one that fails does not keep the others
    from being done, and the exit status is 1 then.
    """
    from emopi.convert.reproduction.plan import NETWORKS, PROTOCOLS, Places, plan
    from emopi.convert.reproduction.reproduce import carry_out, open_corpus, report
    from emopi.device.errors import RunError
    from emopi.train.dataset import default_cache
    from emopi.train.evaluation.conditions import noises
    from emopi.train.evaluation.summary import Summary

    if noise:
        noises(noise, 16_000)  # refused now rather than after the first training
    wanted = plan(protocols or PROTOCOLS, networks or NETWORKS, quick=quick)
    here = Path("quick" if quick else "")  # what a trial leaves is apart from what counts
    places = Places(work / here, (results or work / "results") / here, cache or default_cache())
    opened = open_corpus(corpus, wanted)
    n_workers = jobs or os.cpu_count() or 1
    if gpu:
        _train_on_gpu(wanted, opened, places, n_workers)
        return
    ended = (
        []
        if only_report
        else carry_out(wanted, opened, places, n_workers, _tell, noise=noise, cluster=cluster)
    )
    path, findings = report(wanted, opened, places, out or work, _tell)
    failed = [one.job.name for one in ended if one.error]
    if as_json:
        summary = Summary(findings.models).to_json()
        summary["quantization"] = [one.to_json() for one in findings.quantized]
        click.echo(json.dumps(summary | {"quick": quick, "failed": failed}, allow_nan=False))
    else:
        click.echo(f"{path}: {len(findings.results)} of {len(findings.jobs)} results")
    if failed:
        raise RunError(f"{len(failed)} of {len(wanted)} jobs failed: {', '.join(failed)}")


def _train_on_gpu(jobs: Sequence[Job], corpus: Corpus, places: Places, n_workers: int) -> None:
    from emopi.train.backend import import_jax

    _tell(f"on {import_jax('emopi reproduce --gpu')}")
    from emopi.convert.reproduction.together import train_all

    records = train_all(jobs, corpus, places, n_workers, _tell)
    minutes = sum(record.seconds for record in records) / 60
    click.echo(
        f"{places.work}: {len(records)} trainings in {minutes:.1f} min. Next: the same without "
        "--gpu, where TensorFlow is"
    )


def _tell(text: str) -> None:
    click.echo(text, err=True)
