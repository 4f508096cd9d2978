"""All trainings at once on a GPU; what comes after them is for `emopi reproduce` as ever."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

from emopi.convert.reproduction.plan import Job, Places
from emopi.convert.reproduction.reproduce import Corpus, Tell, alone, due_jobs
from emopi.train.fit import prepared
from emopi.train.fleet import train_together
from emopi.train.progress import TrainingProgress
from emopi.train.recipe import Recipe
from emopi.train.run_record import RECORD, RunRecord
from emopi.train.topology import NETWORKS


def train_all(
    jobs: Sequence[Job], corpus: Corpus, places: Places, n_workers: int, tell: Tell
) -> list[RunRecord]:
    """Train those of `jobs` that have no result yet, all folds of a network together.

    Their run folders are then what a worker finds that was interrupted after its training.
    `n_workers` processes draw windows. Raises `RunError` if another process works in that folder,
    and after Ctrl-C.
    """
    with alone(places.work):
        due = due_jobs(jobs, corpus, places, tell)
        due += [job.teacher for job in due if job.teacher and job.teacher not in due]
        records = []
        for network in NETWORKS:  # a teacher comes before those that it teaches
            group = [job for job in due if job.network == network]
            tell(f"{len(group)} trainings of the {network}, together")
            records += _train(group, corpus, places, n_workers)
        return records


def _train(jobs: Sequence[Job], corpus: Corpus, places: Places, n_workers: int) -> list[RunRecord]:
    with contextlib.ExitStack() as stack:
        trainings = []
        for job in jobs:
            assert isinstance(job.recipe, Recipe)
            run = places.run(job)
            training = prepared(
                job.recipe, corpus.folder, job.protocol, job.fold, run,
                resume=(run / RECORD).exists(),
                teacher=places.run(job.teacher) if job.teacher else None,
                cache=places.cache, jobs=n_workers, command="emopi reproduce --gpu",
            )  # fmt: skip
            trainings.append(stack.enter_context(training))
        if not trainings:
            return []
        with TrainingProgress(trainings[0].recipe.epochs) as progress:
            return train_together(trainings, jobs=n_workers, watch=progress.show)
