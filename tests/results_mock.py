"""Results built by hand, for tests of the store, the report and the figures."""

from __future__ import annotations

import numpy as np

from emopi.convert.reproduction.plan import Job
from emopi.convert.reproduction.results import Result
from emopi.train.augment import Perturbation
from emopi.train.corpora import LABELS
from emopi.train.evaluation.summary import Outcome
from emopi.train.recipe import Recipe
from emopi.train.splits import load_protocol

CORPUS = "c0" * 32


def outcome(job: Job, precision: str, right: float) -> Outcome:
    """Of all test clips of the job's fold; the model is right on a share `right` of them."""
    clip_ids = sorted(load_protocol(job.protocol).fold(job.fold).test)
    truth = np.array([int(clip_id[6:8]) - 1 for clip_id in clip_ids])
    rng = np.random.default_rng(sum(map(ord, job.name + precision)))
    order = rng.permutation(len(truth))
    wrong = order[round(right * len(truth)) :]
    answers = truth.copy()
    answers[wrong] = (truth[wrong] + 1 + rng.integers(7, size=len(wrong))) % 8
    probabilities = 0.2 * np.eye(8)[answers] + 0.1
    return Outcome(
        network=job.network,
        precision=precision,
        protocol=job.protocol,
        fold=job.fold,
        seed=None if job.network == "svm" else job.seed,
        labels=LABELS,
        clip_ids=tuple(clip_ids),
        speakers=tuple(clip_id[-2:] for clip_id in clip_ids),
        truth=tuple(truth.tolist()),
        answers=tuple(answers.tolist()),
        probabilities=tuple(map(tuple, probabilities.tolist())),
    )


def result(job: Job, right: float = 0.75, **changes: object) -> Result:
    """What a finished job gives."""
    svm = job.network == "svm"
    precisions = ("float64",) if svm else ("float32", "int8")
    fields = {
        "network": job.network,
        "protocol": job.protocol,
        "fold": job.fold,
        "seed": None if svm else job.seed,
        "epochs": job.epochs,
        "quick": job.quick,
        "recipe_sha256": job.recipe_sha256,
        "corpus_sha256": CORPUS,
        "commit": "0123456789ab",
        "versions": {"python": "3.11.7", "numpy": "2.4.6"},
        "hardware": "a processor, 2 cores",
        "minutes": 0.05 if svm else 24.0,
        "bytes": {} if svm else {"int8": 676_864, "float32": 2_477_056},
        "curve": () if svm else ({"epoch": 1, "loss": 1.5, "accuracy": 0.4},),
        "outcomes": {precision: outcome(job, precision, right) for precision in precisions},
    }
    return Result(**fields | changes)


def small_recipe(
    network: str, *, epochs: int | None, batch: int, seed: int, with_validation: bool
) -> Recipe:
    """In the place of `default_recipe`: a training of seconds, on short clips."""
    return Recipe(
        network,
        epochs=epochs or 4,
        batch=batch // 4,
        seed=seed,
        with_validation=with_validation,
        window_frames=40,
        perturbation=Perturbation(copies=0),
    )
