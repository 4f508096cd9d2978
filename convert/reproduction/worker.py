"""One job in a process of its own: train, convert, score, write the result. On one core.

`python -m emopi.convert.reproduction.worker JOB`, with the job as JSON, is how `emopi reproduce`
starts it. It goes on with an interrupted training; SIGINT ends it with what is done kept on disk,
and so does the end of whatever holds the other side of its standard input: the process that started
it.
"""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import signal
import sys
import threading
import time
import traceback
from pathlib import Path

from emopi.convert.reproduction.plan import Job, Places
from emopi.convert.reproduction.results import DEPLOYED, Result, thinned, write_result
from emopi.device.contract import read
from emopi.device.errors import EmopiError
from emopi.device.files import write_atomically
from emopi.device.versions import versions
from emopi.train import svm
from emopi.train.corpora import corpus_hash, read_corpora
from emopi.train.evaluation.conditions import CONDITIONS, condition
from emopi.train.evaluation.evaluate import evaluate
from emopi.train.evaluation.summary import Outcome
from emopi.train.recipe import Recipe
from emopi.train.run_record import (
    RECORD,
    History,
    RunRecord,
    commit,
    hardware,
)
from emopi.train.svm import SvmRecipe

ROBUSTNESS = "upm-5"
"""The protocol whose models are also scored under every condition."""

INTERRUPTED = 130
"""Exit status after SIGINT, as a shell has it."""


@dataclasses.dataclass(frozen=True, slots=True)
class Order:
    """All that a worker needs to know."""

    job: Job
    corpus: Path
    places: Places
    noise: Path | None = None
    """Recordings of noise for the conditions that need them, which are left out without."""

    def to_json(self) -> str:
        """One line of JSON."""
        places = {name: str(path) for name, path in dataclasses.asdict(self.places).items()}
        fields = {
            "job": self.job.to_json(),
            "corpus": str(self.corpus),
            "places": places,
            "noise": str(self.noise) if self.noise else None,
        }
        return json.dumps(fields)

    @classmethod
    def from_json(cls, text: str) -> Order:
        """The order that `to_json` described."""
        fields = json.loads(text)
        places = {name: Path(path) for name, path in fields["places"].items()}
        noise = Path(fields["noise"]) if fields["noise"] else None
        return cls(Job(**fields["job"]), Path(fields["corpus"]), Places(**places), noise)


def perform(order: Order) -> Result:
    """Do the job and write its result, its model and its run folder."""
    recipe = order.job.recipe
    result = _fit_svm(order, recipe) if isinstance(recipe, SvmRecipe) else _train_network(order)
    write_result(result, order.places.result(order.job))
    return result


def _fit_svm(order: Order, recipe: SvmRecipe) -> Result:
    job = order.job
    utterances = read_corpora(order.corpus).utterances
    sha256 = corpus_hash(utterances)
    vectors = svm.clip_vectors(utterances, sha256, recipe, cache=order.places.cache, jobs=1)
    started = time.monotonic()
    outcome = svm.svm_outcome(vectors, job.protocol, job.fold, recipe)
    return Result(
        network=job.network,
        protocol=job.protocol,
        fold=job.fold,
        seed=None,
        epochs=0,
        quick=job.quick,
        recipe_sha256=job.recipe_sha256,
        corpus_sha256=sha256,
        commit=commit(),
        versions=versions("emopi", "scikit-learn", "numpy", "soundfile", "soxr"),
        hardware=hardware(),
        minutes=round((time.monotonic() - started) / 60, 3),
        bytes={},
        curve=(),
        outcomes={outcome.precision: outcome},
    )


def _train_network(order: Order) -> Result:
    from emopi.train.backend import import_tensorflow

    import_tensorflow("emopi reproduce", jobs=1)
    from emopi.convert.bundle import bundle

    job, run = order.job, order.places.run(order.job)
    record = _trained(order, job)
    models = bundle(run, run / "models", order.corpus)
    by_precision = {str(model.precision): model for model in models}
    destination = order.places.model(job)
    destination.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(destination, by_precision[DEPLOYED].content)
    return Result(
        network=job.network,
        protocol=job.protocol,
        fold=job.fold,
        seed=job.seed,
        epochs=record.epochs_done,
        quick=job.quick,
        recipe_sha256=job.recipe_sha256,
        corpus_sha256=record.corpus["sha256"],
        commit=record.commit,
        versions=record.versions,
        hardware=record.hardware,
        minutes=round(record.seconds / 60, 1),
        bytes={name: len(model.content) for name, model in by_precision.items()},
        curve=thinned(History.read(run).epochs),
        outcomes={name: model.evaluation.outcome for name, model in by_precision.items()},
        conditions=_conditions(order, destination),
    )


def _trained(order: Order, job: Job) -> RunRecord:
    """The job's finished training; its teacher's comes first, unless that is there already."""
    from emopi.train.fit import fit

    if job.teacher:
        _trained(order, job.teacher)
    assert isinstance(job.recipe, Recipe)
    run = order.places.run(job)
    started_before = (run / RECORD).exists()
    if not started_before:
        shutil.rmtree(run, ignore_errors=True)  # a process was killed before it wrote anything
    return fit(
        job.recipe, order.corpus, job.protocol, job.fold, run, resume=started_before,
        teacher=order.places.run(job.teacher) if job.teacher else None,
        cache=order.places.cache, jobs=1, command="emopi reproduce",
    )  # fmt: skip


def _conditions(order: Order, model: Path) -> dict[str, Outcome]:
    """What the int8 model says under each condition, where strangers' voices are concerned."""
    if order.job.protocol != ROBUSTNESS or order.job.quick:
        return {}
    rate_hz = read(model)[1].frontend.sample_rate_hz
    return {
        name: evaluate(
            model,
            order.corpus,
            order.job.protocol,
            order.job.fold,
            alter=condition(name, rate_hz, order.noise),
        ).outcome
        for name in CONDITIONS
        if order.noise or not name.startswith("noise")
    }


def interrupt_at_the_end_of(descriptor: int) -> None:
    """Give this process a SIGINT as soon as `descriptor` has no writer left."""

    def wait() -> None:
        while os.read(descriptor, 4096):
            pass
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=wait, daemon=True).start()


def main() -> int:
    """Do the job that the command line describes; the last line on stderr says why not."""
    # a shell starts background jobs with SIGINT ignored
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        interrupt_at_the_end_of(sys.stdin.fileno())
        perform(Order.from_json(sys.argv[1]))
    except KeyboardInterrupt:
        return INTERRUPTED
    except EmopiError as error:
        print(error, file=sys.stderr)
        return 1
    except Exception as error:
        traceback.print_exc()
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
