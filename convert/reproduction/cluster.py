"""Jobs on several machines: joblib hands them to the workers of a Dask cluster.

    orders -> one task a fold, a student after its teacher -> joblib -> Dask -> a process a job

All machines need the same emopi, and the folders of the corpus, the work, the results and the cache
under the same paths, on a disk that they share. A task whose worker dies is done again by another
one, which goes on with the training that it finds in its run folder. The crew of one machine
(`crew.run_all`) stays beside this: it needs no Dask, and knows which process died of what.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import queue
import threading
import time
import uuid
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from emopi.convert.reproduction import crew
from emopi.convert.reproduction.crew import INTERRUPTED, PATIENCE_S, POLL_S, WORKER, Ended, Watch
from emopi.convert.reproduction.plan import Job, Places
from emopi.convert.reproduction.worker import Order
from emopi.device.errors import MissingExtraError, RunError
from emopi.device.versions import versions
from emopi.train.run_record import in_use

CONNECT_S = 20.0

Chain = list[str]
"""Orders of one task as JSON, in order."""
Told = queue.SimpleQueue[list[tuple[str, str]] | Exception]
"""Of each chain the names of its jobs and their errors, or what joblib has raised."""


def run_on_cluster(
    orders: Sequence[Order], address: str, watch: Watch, command: Sequence[str] = ()
) -> list[Ended]:
    """As `crew.run_all`, by the workers of the Dask scheduler at `address`, a job for each of their
    threads at a time; `command` instead of the worker that each machine has.

    Ctrl-C ends the jobs wherever they run. Raises `RunError` after it, for a scheduler that does
    not answer, for workers that are not fit (another emopi, no corpus), and if a task has ended
    more workers than Dask allows.
    """
    if not orders:
        return []
    orders = [_absolute(order) for order in orders]
    for order in orders:
        order.places.log(order.job).unlink(missing_ok=True)  # there again: the job has begun
    with _client(address) as client, _going(orders[0].places.work) as going:
        _check(client, orders[0])
        told: Told = queue.SimpleQueue()
        runner = threading.Thread(
            target=_run, args=(client, _chains(orders), going, command, told), daemon=True
        )
        runner.start()
        try:
            return _follow(orders, told, watch)
        except KeyboardInterrupt:
            going.unlink(missing_ok=True)
            runner.join(PATIENCE_S)
            raise RunError(INTERRUPTED) from None


def _absolute(order: Order) -> Order:
    """With paths that do not depend on where a worker was started."""
    places = {name: path.absolute() for name, path in dataclasses.asdict(order.places).items()}
    return dataclasses.replace(
        order,
        corpus=order.corpus.absolute(),
        places=Places(**places),
        noise=order.noise and order.noise.absolute(),
    )


def _client(address: str) -> Any:
    try:
        from distributed import Client
    except ImportError as error:
        raise MissingExtraError("a Dask cluster", "dask", str(error.name)) from None
    try:
        return Client(address, timeout=CONNECT_S)
    except (OSError, ValueError) as error:
        raise RunError(
            f"no Dask scheduler answers at {address} ({error}); start one with: dask scheduler, "
            "and on each machine workers with: dask worker ADDRESS --nthreads 1 --nworkers N"
        ) from None


@contextlib.contextmanager
def _going(work: Path) -> Iterator[Path]:
    """A file that is there as long as this call wants its jobs done.

    What a call that was killed has left is removed, which ends the jobs that still run for it.
    """
    for stale in work.glob(".going-*"):
        stale.unlink(missing_ok=True)
    path = work / f".going-{uuid.uuid4().hex}"
    path.touch()
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)


def _check(client: Any, order: Order) -> None:
    """Raise `RunError` for workers that would do something else than this machine."""
    found = client.run(_look, order.to_json())
    if not found:
        raise RunError(
            f"the Dask scheduler at {client.scheduler.address} has no workers; start some on each "
            "machine: dask worker ADDRESS --nthreads 1 --nworkers N"
        )
    here = _look(order.to_json())
    for worker, there in found.items():
        if there != here:
            raise RunError(
                f"the Dask worker {worker} has {there}; expected {here}, as here: install the same "
                "versions there, and share the folders under the same paths"
            )


def _look(text: str) -> dict[str, Any]:
    """What must be alike everywhere, of an order."""
    order = Order.from_json(text)
    return versions("emopi", "tensorflow", "numpy") | {
        "recipe": order.job.recipe_sha256[:8],
        "corpus": order.corpus.is_dir(),
        "work": os.access(order.places.work, os.W_OK),
    }


def _chains(orders: Iterable[Order]) -> list[Chain]:
    """A student behind its teacher where both are to be done, every other job alone."""
    chains: dict[Job, Chain] = {}
    for order in orders:
        teacher = order.job.teacher
        first = teacher if teacher and teacher in chains else order.job
        chains.setdefault(first, []).append(order.to_json())
    return list(chains.values())


def _run(
    client: Any, chains: Sequence[Chain], going: Path, command: Sequence[str], told: Told
) -> None:
    """Have all chains carried out, and tell of each."""
    import joblib

    try:
        with joblib.parallel_config(backend="dask", client=client):
            parallel = joblib.Parallel(
                n_jobs=-1, batch_size=1, pre_dispatch="all", return_as="generator_unordered"
            )
            for ended in parallel(
                joblib.delayed(_carry_out)(chain, str(going), list(command)) for chain in chains
            ):
                told.put(ended)
    except Exception as error:  # whatever it is, `_follow` raises it where it is seen
        told.put(error)


def _carry_out(chain: Chain, going: str, command: Sequence[str]) -> list[tuple[str, str]]:
    """On a worker: do the chain's orders; return the name of each job and its error."""
    ended = []
    for text in chain:
        order = Order.from_json(text)
        try:
            error = _perform(order, Path(going), command or WORKER)
        except (OSError, RunError) as found:
            error = str(found)
        ended.append((order.job.name, error))
    return ended


def _perform(order: Order, going: Path, command: Sequence[str]) -> str:
    """The error of one job, in a line; empty if all is well."""
    if order.places.result(order.job).exists():
        return ""  # by a worker that has died since
    _wait_for_others(order)
    if not going.exists():
        return INTERRUPTED
    one = crew.start(order, command)
    while one.process.poll() is None:
        time.sleep(POLL_S)
        if not going.exists():
            crew.interrupt([one])
    return crew.close(one)


def _wait_for_others(order: Order) -> None:
    """A training whose worker has died keeps its folder until it has noticed."""
    jobs = [order.job, *([order.job.teacher] if order.job.teacher else [])]
    deadline_s = time.monotonic() + PATIENCE_S
    while any(in_use(order.places.run(job)) for job in jobs) and time.monotonic() < deadline_s:
        time.sleep(POLL_S)


def _follow(orders: Sequence[Order], told: Told, watch: Watch) -> list[Ended]:
    """Until all is done; what joblib has raised is a `RunError`."""
    left = {order.job.name: order for order in orders}
    ended: list[Ended] = []
    while left:
        try:
            one = told.get(timeout=POLL_S)
        except queue.Empty:
            one = []
        if isinstance(one, Exception):
            raise RunError(
                f"the Dask cluster has given up ({type(one).__name__}: {one}); what is done is "
                "kept, and the same command goes on from there"
            ) from one
        news = [Ended(left.pop(name).job, error) for name, error in one]
        ended += news
        begun = [order.job for order in left.values() if order.places.log(order.job).exists()]
        watch(begun, news)
    return ended
