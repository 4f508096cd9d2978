"""Reproductions whose workers do what a test says, in processes of their own."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

from support import ROOT

from emopi.convert.reproduction.crew import Ended
from emopi.convert.reproduction.plan import Job, Places, plan
from emopi.convert.reproduction.reproduce import Corpus, carry_out

SVM = plan(["upm-5"], ["svm"])

PREPARE = f"""
import os, signal, sys, time
from pathlib import Path
sys.path.insert(0, {str(ROOT / "tests")!r})
from results_mock import result, small_recipe
from emopi.convert.reproduction.results import write_result
from emopi.convert.reproduction.worker import Order
order = Order.from_json(sys.argv[1])
job = order.job
"""
WRITE = PREPARE + "write_result(result(job, corpus_sha256={sha!r}), order.places.result(job))\n"


def worker(code: str) -> tuple[str, ...]:
    """The command of a worker that runs `code`."""
    return (sys.executable, "-c", code)


def do(
    jobs: tuple[Job, ...],
    corpus: Corpus,
    places: Places,
    code: str = WRITE,
    n_workers: int = 2,
    tell: Callable[[str], None] = lambda _: None,
) -> list[Ended]:
    command = worker(code.replace("{sha!r}", repr(corpus.sha256)))
    return carry_out(jobs, corpus, places, n_workers, tell, command=command)


def wait_for(condition: Callable[[], bool], seconds: float = 240) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)
