"""Worker processes: so many at a time, each with one job, until none is left."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from emopi.convert.reproduction.plan import Job
from emopi.convert.reproduction.worker import Order
from emopi.device.errors import RunError

WORKER = (sys.executable, "-m", "emopi.convert.reproduction.worker")
ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")
"""What keeps NumPy's and scikit-learn's libraries to one core."""

POLL_S = 0.25
INTERRUPTED = "interrupted; what is done is kept, and the same command goes on from there"
PATIENCE_S = 60.0
"""How long an interrupted worker may take to end before it is killed."""


@dataclasses.dataclass(frozen=True, slots=True)
class Ended:
    """A job whose process has ended."""

    job: Job
    error: str
    """In one line; empty if all is well."""


@dataclasses.dataclass(frozen=True, slots=True)
class Running:
    """A process at work on an order."""

    order: Order
    log: Path
    process: subprocess.Popen[bytes]


Watch = Callable[[Sequence[Job], Sequence[Ended]], None]
"""Called again and again with the jobs that run and with those that have just ended."""


def run_all(
    orders: Iterable[Order], n_workers: int, watch: Watch, command: Sequence[str] = WORKER
) -> list[Ended]:
    """Carry out `orders`, `n_workers` at a time; return how each ended, in the order of ending.

    A job that fails does not keep the others from being done. Ctrl-C (KeyboardInterrupt) ends all
    workers, which keep what they have, and raises `RunError`. A second one kills them.
    """
    waiting, running, ended = list(orders), list[Running](), list[Ended]()
    try:
        while waiting or running:
            while len(running) < n_workers and (order := _startable(waiting, running)):
                waiting.remove(order)
                running.append(start(order, command))
            time.sleep(POLL_S)
            over = [one for one in running if one.process.poll() is not None]
            running = [one for one in running if one not in over]
            news = [Ended(one.order.job, close(one)) for one in over]
            ended += news
            watch([one.order.job for one in running], news)
    except KeyboardInterrupt:
        interrupt(running)
        raise RunError(INTERRUPTED) from None
    finally:
        for one in running:
            one.process.kill()
            close(one)
    return ended


def _startable(waiting: Iterable[Order], running: Sequence[Running]) -> Order | None:
    """The first whose teacher is not still being trained."""
    at_work = {one.order.job for one in running}
    return next((order for order in waiting if order.job.teacher not in at_work), None)


def start(order: Order, command: Sequence[str]) -> Running:
    """A process that has no terminal, so that Ctrl-C reaches it through us alone.

    It holds one end of a pipe, from which it learns of our own end, whatever that is.
    """
    log = order.places.log(order.job)
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as file:
        process = subprocess.Popen(
            [*command, order.to_json()],
            stdin=subprocess.PIPE,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env=os.environ | dict.fromkeys(ONE_THREAD, "1"),
        )
    return Running(order, log, process)


def interrupt(running: Sequence[Running]) -> None:
    """End processes, which keep what they have; kill those that take longer than `PATIENCE_S`."""
    for one in running:
        one.process.send_signal(signal.SIGINT)
    deadline = time.monotonic() + PATIENCE_S
    for one in running:
        try:
            one.process.wait(max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            one.process.kill()


def close(one: Running) -> str:
    """Close the pipe to a process that ends, and return its error."""
    if one.process.stdin:
        one.process.stdin.close()
    return _error(one, one.process.wait())


def _error(one: Running, status: int) -> str:
    """Why a process that has ended has failed, with where to read more; empty if it has not."""
    if not status:
        return ""
    if status < 0:
        name = signal.Signals(-status).name
        memory = ": perhaps for want of memory, fewer --jobs take less" if name == "SIGKILL" else ""
        return f"its process was ended by {name}{memory}. See {one.log}"
    lines = one.log.read_text(errors="replace").split("\n")
    last = next((line for line in reversed(lines) if line.strip()), f"exit status {status}")
    return f"{last.strip().rstrip('.')}. See {one.log}"
