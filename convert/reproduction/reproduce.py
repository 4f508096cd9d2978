"""Every published figure from the recordings: train, convert and score each fold, then report.

    plan -> what is done already -> features -> a crew of workers -> results -> RESULTS.md, figures

Everything on disk is complete or absent, so that after any interruption the same call goes on.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from emopi.convert.reproduction.board import Board
from emopi.convert.reproduction.cluster import run_on_cluster
from emopi.convert.reproduction.crew import WORKER, Ended, run_all
from emopi.convert.reproduction.findings import Findings
from emopi.convert.reproduction.illustrations import Illustrations, draw_clips, draw_findings
from emopi.convert.reproduction.plan import Job, Places, plan
from emopi.convert.reproduction.report import render
from emopi.convert.reproduction.results import Result, read_result
from emopi.convert.reproduction.worker import Order
from emopi.device.errors import CorpusError, ModelError, RunError
from emopi.device.files import write_atomically
from emopi.device.model_files import resolve_model
from emopi.train import svm
from emopi.train.corpora import Ravdess, Utterance, corpus_hash, read_corpora
from emopi.train.dataset import features
from emopi.train.recipe import Recipe
from emopi.train.run_record import RunRecord
from emopi.train.splits import load_protocol, split
from emopi.train.svm import SvmRecipe

Tell = Callable[[str], None]

HEARING = Job("cnn", "paper-80-20", "seed0", 0)
"""Whose int8 model hears the clips of the figures."""


@dataclasses.dataclass(frozen=True, slots=True)
class Corpus:
    """RAVDESS, complete for the folds that are asked for."""

    folder: Path
    utterances: tuple[Utterance, ...]
    sha256: str


def open_corpus(folder: Path, jobs: Sequence[Job]) -> Corpus:
    """Read the corpus; `CorpusError` if it is not RAVDESS or lacks a clip of a job's fold."""
    corpora = read_corpora(folder)
    if corpora.name != Ravdess.name:
        raise CorpusError(
            f"{folder} holds {corpora.name}; expected {Ravdess.name}, which the paper and the "
            "protocols are about"
        )
    for protocol, fold in dict.fromkeys((job.protocol, job.fold) for job in jobs):
        split(corpora.utterances, load_protocol(protocol).fold(fold))
    return Corpus(folder, corpora.utterances, corpus_hash(corpora.utterances))


def carry_out(
    jobs: Sequence[Job],
    corpus: Corpus,
    places: Places,
    n_workers: int,
    tell: Tell,
    *,
    noise: Path | None = None,
    command: Sequence[str] = (),
    cluster: str = "",
) -> list[Ended]:
    """Do those of `jobs` that have no valid result yet; return how each of them ended.

    They are done here, `n_workers` at a time, or by the workers of the Dask scheduler at `cluster`.
    `noise` holds the recordings for the conditions that need them; without, those are left out.
    What counts no more is moved below "stale" in the work folder, and `tell` says so. Raises
    `RunError` if another process works in that folder, after Ctrl-C, and what `run_on_cluster`
    raises.
    """
    with alone(places.work):
        due = due_jobs(jobs, corpus, places, tell)
        if not due:
            return []
        by = f"by the workers of {cluster}" if cluster else f"{n_workers} at a time"
        tell(f"{len(due)} jobs to do, {by}; how far each is: {places.work}/logs")
        _extract(due, corpus, places, n_workers)
        orders = [Order(job, corpus.folder, places, noise) for job in due]
        with Board(
            len(jobs), due, lambda job: epochs_done(job, places), lambda job: headline(job, places)
        ) as board:
            if cluster:
                return run_on_cluster(orders, cluster, board.watch, command)
            return run_all(orders, n_workers, board.watch, command or WORKER)


def due_jobs(jobs: Sequence[Job], corpus: Corpus, places: Places, tell: Tell) -> list[Job]:
    """Those without a result of the present recipe and corpus; clears others' out of their way."""
    due = []
    for job in jobs:
        path = places.result(job)
        why_not = _why_not(path, job, corpus.sha256) if path.exists() else ""
        if why_not:
            tell(f"{path} is {why_not}: moved to {places.aside(path, 'result')}; done again")
        if why_not or not places.result(job).exists():
            due.append(job)
    teachers = [job.teacher for job in due if job.teacher]
    for job in dict.fromkeys([*due, *teachers]):
        run = places.run(job)
        if run.exists() and (why_not := _why_not_run(run, job, corpus.sha256)):
            tell(f"{run} {why_not}: moved to {places.aside(run, 'run')}; trained anew")
    if len(due) < len(jobs):
        tell(f"{len(jobs) - len(due)} of {len(jobs)} jobs are done already")
    return due


def valid_results(
    jobs: Sequence[Job], corpus_sha256: str, places: Places, tell: Tell
) -> list[Result]:
    """The results of `jobs` that are there and still count, in the jobs' order."""
    found = []
    for job in jobs:
        path = places.result(job)
        if not path.exists():
            continue
        if why_not := _why_not(path, job, corpus_sha256):
            tell(f"{path} is {why_not}: left out of the report")
        else:
            found.append(read_result(path))
    return found


def report(
    jobs: Sequence[Job], corpus: Corpus, places: Places, out: Path, tell: Tell
) -> tuple[Path, Findings]:
    """Write the tables and figures of all results that there are; return the report's path.

    Of protocols and networks that are not in `jobs` too, if the store has a result of them. Raises
    `RunError` if there is no result at all.
    """
    asked = {(job.protocol, job.network) for job in jobs}
    every = plan(quick=any(job.quick for job in jobs))
    there = {(job.protocol, job.network) for job in every if places.result(job).exists()}
    listed = tuple(job for job in every if (job.protocol, job.network) in asked | there)
    results = valid_results(listed, corpus.sha256, places, tell)
    if not results:
        raise RunError(f"{places.results} has no valid result, so there is nothing to report")
    findings = Findings(listed, tuple(results))
    suffix = "-quick" if findings.quick else ""
    folder = out / f"figures{suffix}"
    folder.mkdir(parents=True, exist_ok=True)
    clips = _illustrate_clips(findings, corpus, places, folder, tell)
    drawn = dataclasses.replace(clips, paths=clips.paths | draw_findings(findings, folder))
    path = out / f"RESULTS{suffix}.md"
    write_atomically(path, render(findings, drawn).encode())
    return path, findings


def _illustrate_clips(
    findings: Findings, corpus: Corpus, places: Places, folder: Path, tell: Tell
) -> Illustrations:
    """Figures of single clips by the CNN of this reproduction, or else the one that is shipped."""
    if HEARING.network not in findings.networks:
        return Illustrations({})
    model = places.model(dataclasses.replace(HEARING, quick=findings.quick))
    try:
        chosen = model if model.exists() else resolve_model("cnn-int8")
        return draw_clips(chosen, corpus.utterances, folder, quick=findings.quick)
    except ModelError as error:
        tell(f"no figures of single clips: {error}")
        return Illustrations({})


def epochs_done(job: Job, places: Places) -> int:
    """How far the job's training is, as far as its run folder says."""
    try:
        return RunRecord.read(places.run(job)).epochs_done
    except RunError:
        return 0


def headline(job: Job, places: Places) -> str:
    """What came of a finished job, in a few words."""
    result = read_result(places.result(job))
    figures = result.deployed.figures
    took = f"{result.minutes:.0f} min" if result.minutes > 1 else f"{60 * result.minutes:.0f} s"
    return f"accuracy {figures.accuracy:.1%}, UAR {figures.uar:.1%}, {took}"


def _why_not(path: Path, job: Job, corpus_sha256: str) -> str:
    try:
        return read_result(path).why_not(job, corpus_sha256)
    except RunError as error:
        return f"not usable ({error})"


def _why_not_run(run: Path, job: Job, corpus_sha256: str) -> str:
    """Why a training cannot be gone on with; empty if it can, or has not really begun."""
    if not any(run.glob("*.json")):
        return ""
    try:
        record = RunRecord.read(run)
    except RunError as error:
        return f"is damaged ({error})"
    wanted = json.loads(json.dumps(dataclasses.asdict(job.recipe)))
    if json.loads(json.dumps(record.recipe)) != wanted:
        return "is a training by another recipe"
    if record.corpus["sha256"] != corpus_sha256:
        return "is a training on another corpus"
    return ""


def _extract(due: Sequence[Job], corpus: Corpus, places: Places, n_workers: int) -> None:
    """Put the features of all jobs into the cache, so that workers only read them."""
    kinds = dict.fromkeys(job.recipe for job in due)
    if any(isinstance(recipe, SvmRecipe) for recipe in kinds):
        svm.clip_vectors(
            corpus.utterances, corpus.sha256, SvmRecipe(), cache=places.cache, jobs=n_workers
        )
    sets = dict.fromkeys(
        (recipe.frontend, recipe.perturbation) for recipe in kinds if isinstance(recipe, Recipe)
    )
    for spec, perturbation in sets:
        features(
            corpus.utterances, corpus.sha256, spec, perturbation,
            cache=places.cache, jobs=n_workers,
        )  # fmt: skip


@contextlib.contextmanager
def alone(work: Path) -> Iterator[None]:
    """Keep other `emopi reproduce` out of the work folder."""
    try:
        work.mkdir(parents=True, exist_ok=True)
        lock = (work / ".lock").open("w")
    except OSError as error:
        raise RunError(
            f"{work} cannot be written: {error.strerror}; choose another --work"
        ) from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise RunError(
                f"another emopi reproduce is at work in {work}; wait for it, or choose another "
                "--work"
            ) from None
        yield
