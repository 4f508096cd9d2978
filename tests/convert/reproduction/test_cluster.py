"""Jobs on a real Dask cluster on this machine: who does them, and what a killed worker costs."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support import ROOT

from emopi.convert.reproduction import cluster as cluster_module
from emopi.convert.reproduction import reproduce
from emopi.convert.reproduction.cluster import run_on_cluster
from emopi.convert.reproduction.crew import Ended
from emopi.convert.reproduction.plan import Job, Places, plan
from emopi.convert.reproduction.reproduce import carry_out, open_corpus
from emopi.convert.reproduction.results import read_result
from emopi.convert.reproduction.worker import Order
from emopi.device.errors import RunError

distributed = pytest.importorskip(
    "distributed", reason="Dask is not installed (pip install 'emopi[dask]')"
)

JOBS = plan(["upm-5"], ["svm"])
N_WORKERS = 3
SOON_S = 60

CODE = f"""
import os, sys, time
sys.path.insert(0, {str(ROOT / "tests")!r})
from results_mock import result
from emopi.convert.reproduction.results import write_result
from emopi.convert.reproduction.worker import Order, interrupt_at_the_end_of
order = Order.from_json(sys.argv[1])
job = order.job
interrupt_at_the_end_of(sys.stdin.fileno())
begun = order.places.work / "begun"
begun.mkdir(exist_ok=True)
mine = begun / f"{{job.network}}-{{job.fold}}-{{os.getpid()}}"
mine.write_text(str(os.getppid()))
"""
SLOW = CODE + "time.sleep(0.7)\n"
WRITE = "write_result(result(job, corpus_sha256='abc'), order.places.result(job))\n"


@pytest.fixture(scope="module")
def dask() -> Iterator[Any]:
    """A scheduler and workers, each in a process of its own that another one replaces."""
    with distributed.LocalCluster(
        n_workers=N_WORKERS, threads_per_worker=1, dashboard_address=None, silence_logs=50
    ) as cluster:
        yield cluster


@pytest.fixture
def places(tmp_path: Path) -> Places:
    places = Places(tmp_path / "work", tmp_path / "results", tmp_path / "cache")
    places.work.mkdir()
    return places


def orders(jobs: tuple[Job, ...], places: Places) -> list[Order]:
    return [Order(job, places.work, places) for job in jobs]


def run(
    jobs: tuple[Job, ...], places: Places, dask: Any, code: str, watch: Any = lambda *_: None
) -> list[Ended]:
    command = (sys.executable, "-c", code)
    return run_on_cluster(orders(jobs, places), dask.scheduler_address, watch, command)


def begun(places: Places) -> dict[str, int]:
    """How often each job was begun."""
    names = [path.name.rpartition("-")[0] for path in (places.work / "begun").iterdir()]
    return {name: names.count(name) for name in names}


def test_all_workers_share_the_jobs(dask: Any, places: Places) -> None:
    seen: list[int] = []
    ended = run(JOBS, places, dask, SLOW + WRITE, lambda running, _: seen.append(len(running)))
    assert {one.job for one in ended} == set(JOBS)
    assert not any(one.error for one in ended)
    parents = {path.read_text() for path in (places.work / "begun").iterdir()}
    assert len(parents) == N_WORKERS
    assert max(seen) >= N_WORKERS
    assert set(begun(places).values()) == {1}
    assert not list(places.work.glob(".going-*"))


def test_a_killed_worker_costs_nothing_but_time(dask: Any, places: Places) -> None:
    killed: list[int] = []

    def watch(*_: Any) -> None:
        if not killed and (at_work := sorted((places.work / "begun").glob("*"))):
            killed.append(int(at_work[-1].read_text()))
            os.kill(killed[0], signal.SIGKILL)

    ended = run(JOBS, places, dask, SLOW + WRITE, watch)
    assert killed
    assert {one.job for one in ended} == set(JOBS)
    assert not any(one.error for one in ended)
    assert sorted(begun(places).values())[-1] == 2
    assert all(read_result(places.result(job)).network == "svm" for job in JOBS)


def test_a_failing_job_keeps_none_from_being_done(dask: Any, places: Places) -> None:
    fail = CODE + "if job.fold == 'fold3': sys.exit('no such luck')\n" + WRITE
    errors = {one.job.fold: one.error for one in run(JOBS, places, dask, fail)}
    assert len(errors) == len(JOBS)
    assert errors.pop("fold3").startswith("no such luck. See ")
    assert not any(errors.values())


def test_a_student_comes_after_its_teacher(dask: Any, places: Places) -> None:
    jobs = plan(["upm-5"], ["cnn", "lstm"])[3:]  # two folds' cnn, and all lstms
    ended = [one.job for one in run(jobs, places, dask, CODE + WRITE)]
    assert len(ended) == len(jobs)
    for job in jobs:
        if job.teacher in jobs:
            assert ended.index(job.teacher) < ended.index(job)


def test_ctrl_c_ends_jobs_everywhere(dask: Any, places: Places) -> None:
    forever = CODE + "time.sleep(600)\n"

    def watch(*_: Any) -> None:
        if len(list((places.work / "begun").glob("*"))) == N_WORKERS:
            raise KeyboardInterrupt

    with pytest.raises(RunError, match="interrupted; what is done is kept"):
        run(JOBS, places, dask, forever, watch)
    assert sum(begun(places).values()) == N_WORKERS
    pids = [path.name.rpartition("-")[2] for path in (places.work / "begun").iterdir()]
    deadline_s = time.monotonic() + SOON_S
    while any(Path("/proc", pid).exists() for pid in pids):
        assert time.monotonic() < deadline_s
        time.sleep(0.05)


def test_nobody_to_ask(dask: Any, places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster_module, "CONNECT_S", 0.5)
    with pytest.raises(RunError, match=r"no Dask scheduler answers at tcp://127.0.0.1:9 "):
        run_on_cluster(orders(JOBS, places), "tcp://127.0.0.1:9", lambda *_: None)
    monkeypatch.setattr(cluster_module, "versions", lambda *_: {"emopi": "0.0.1"})
    with pytest.raises(RunError, match=r"the Dask worker tcp://\S+ has .*expected .*'0.0.1'"):
        run(JOBS, places, dask, CODE + WRITE)


def test_reproduce_takes_an_address(
    dask: Any, places: Places, tiny_corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reproduce, "_extract", lambda *_: None)
    corpus = open_corpus(tiny_corpus, plan())
    told: list[str] = []
    code = CODE + WRITE.replace("'abc'", repr(corpus.sha256))
    command = (sys.executable, "-c", code)
    address = dask.scheduler_address
    ended = carry_out(JOBS, corpus, places, 1, told.append, command=command, cluster=address)
    assert len(ended) == len(JOBS)
    assert told[0].startswith(f"5 jobs to do, by the workers of {address}; how far each is")
    assert carry_out(JOBS, corpus, places, 1, told.append, cluster=address) == []
