"""How far a reproduction is: a bar on a terminal, a line for each finished job everywhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

from emopi.convert.reproduction.crew import Ended
from emopi.convert.reproduction.plan import Job
from emopi.device.progress import Bar

LOOK_S = 2.0
"""From one look at the run folders to the next."""


class Board(Bar):
    """Counts jobs and epochs; `watch` is what `crew.run_all` calls. All on stderr."""

    def __init__(
        self,
        n_jobs: int,
        due: Sequence[Job],
        epochs_done: Callable[[Job], int],
        headline: Callable[[Job], str],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Of `n_jobs`, those `due` are still to be done.

        `epochs_done` says how far a training is, `headline` what came of a finished job.
        """
        self._n_jobs = n_jobs
        self._n_failed = 0
        self._epochs_done = epochs_done
        self._headline = headline
        self._clock = clock
        self._started_s, self._looked_s = clock(), -LOOK_S
        self._left = {job: max(1, job.epochs - epochs_done(job)) for job in due}
        super().__init__(sum(self._left.values()), _columns)
        self._running: dict[Job, int] = {}

    def watch(self, running: Sequence[Job], news: Sequence[Ended]) -> None:
        """Show what has changed."""
        for ended in news:
            self._left.pop(ended.job)
            self._n_failed += bool(ended.error)
        now_s = self._clock()
        if news or now_s - self._looked_s >= LOOK_S:
            self._looked_s = now_s
            self._running = {job: self._epochs_done(job) for job in running}
            self.draw(self._total - self._epochs_left(), self.describe())
        for ended in news:
            self._say(ended)

    def describe(self) -> str:
        """One line: jobs done, jobs running with their share, time left."""
        done = self._n_jobs - len(self._left) - self._n_failed
        counts = [f"{done} of {self._n_jobs} done"]
        counts += [f"{self._n_failed} failed"] if self._n_failed else []
        names = [
            f"{job.name} {epochs / job.epochs:.0%}" if job.epochs else job.name
            for job, epochs in self._running.items()
        ]
        return ", ".join([*counts, *names, *self._time_left()])

    def _time_left(self) -> list[str]:
        """How long it may take, epochs being alike; nothing before the first epoch is known."""
        left = self._epochs_left()
        worked, elapsed_s = self._total - left, self._clock() - self._started_s
        if not worked or not left:
            return []
        minutes = round(left * elapsed_s / worked / 60)
        return [f"about {minutes // 60} h {minutes % 60} min to go" if minutes > 90 else
                f"about {max(1, minutes)} min to go"]  # fmt: skip

    def _epochs_left(self) -> int:
        return sum(
            max(1, job.epochs - self._running[job]) if job in self._running else left
            for job, left in self._left.items()
        )

    def _say(self, ended: Ended) -> None:
        text = f"{ended.job.name}: " + (
            f"FAILED: {ended.error}" if ended.error else self._headline(ended.job)
        )
        if not self.print(text):
            print(f"{text}  ({self.describe()})", file=sys.stderr, flush=True)


def _columns() -> tuple[Any, ...]:
    from rich.progress import BarColumn, TextColumn

    return BarColumn(20), TextColumn("{task.description}", markup=False)
