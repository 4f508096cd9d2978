"""A thread of its own for a sink that may be slow, so that the listening never waits for it."""

from __future__ import annotations

import contextlib
import functools
import queue
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import ClassVar, Self

from emopi.device.decision import Decision
from emopi.device.errors import EmopiError
from emopi.device.sinks import Now, Report, Sink, utc_now
from emopi.device.sinks.record import Record
from emopi.device.sources.notice import Notice

QUEUE_LIMIT = 1200
"""Records that wait at most: ten minutes of a decision every half second."""

IDLE_S = 1.0
"""How long a recorder is left without a call."""

CLOSE_S = 1.5
"""How long the end of the program waits for a recorder that is at work: systemd kills after 5."""

FIRST_RETRY_S, LAST_RETRY_S = 1.0, 60.0


class Recorder(ABC):
    """What does the slow work. Every method is called in one thread, never two at once.

    A method may raise anything: it is called again, with the same record, until it works. So
    `write` must leave nothing half done.
    """

    name: ClassVar[str]

    @abstractmethod
    def open(self) -> None:
        """Called first. Raises an `EmopiError` for what a person must change."""

    @abstractmethod
    def write(self, record: Record) -> None:
        """Take one record."""

    def idle(self) -> None:  # noqa: B027 - most have nothing to do then
        """Called where there has been nothing to write for `IDLE_S`."""

    def close(self) -> None:  # noqa: B027 - the same
        """Called last, also where `open` has raised."""


class Background(Sink):
    """Gives records to a recorder in a thread of its own, through a queue that is bounded.

    What the recorder raises is reported once; it then tries again, first after one second, at
    last every minute, while the queue fills. Records that find it full are lost, which is
    reported, then how many they were.
    """

    def __init__(
        self,
        recorder: Recorder,
        report: Report,
        *,
        now: Now = utc_now,
        limit: int = QUEUE_LIMIT,
        patience_s: float = 0.0,
    ) -> None:
        """`patience_s` is how long `show` waits for a full queue: 0 for a microphone, which
        cannot wait, more for a file that is read as fast as possible, whose end waits as long."""
        self.name = recorder.name  # type: ignore[misc]
        self._recorder = recorder
        self._report = report
        self._now = now
        self._patience_s = patience_s
        self._queue: queue.Queue[Record | None] = queue.Queue(limit)
        self._lost = 0
        self._stop = threading.Event()
        self._opened = threading.Event()
        self._refused: EmopiError | None = None
        self._thread = threading.Thread(target=self._work, name=recorder.name, daemon=True)

    def __enter__(self) -> Self:
        """Start the thread; return when the recorder is open, or has failed for now."""
        self._thread.start()
        self._opened.wait()
        if self._refused:
            self._thread.join()
            raise self._refused
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Write what is in the queue and close, in `CLOSE_S`, or `patience_s` if that is more."""
        self._stop.set()
        with contextlib.suppress(queue.Full):  # then it is not waiting for anything
            self._queue.put_nowait(None)
        self._thread.join(max(CLOSE_S, self._patience_s))
        if lost := self._lost + sum(one is not None for one in self._queue.queue):
            self._report(f"{self.name}: {lost} records were lost")

    def show(self, decision: Decision) -> None:
        """Queue it, with the time of day."""
        self._put(Record(self._now(), decision))

    def notice(self, notice: Notice) -> None:
        """Queue it, with the time of day."""
        self._put(Record(self._now(), notice))

    def _put(self, record: Record) -> None:
        try:
            self._queue.put(record, self._patience_s > 0, self._patience_s)
        except queue.Full:
            self._lost += 1
            if self._lost == 1:
                self._report(f"{self.name}: is too slow, its queue is full; records are lost")
        else:
            if self._lost:
                self._report(f"{self.name}: keeps up again; {self._lost} records were lost")
                self._lost = 0

    def _work(self) -> None:
        try:
            if self._until_it_works(self._recorder.open):
                self._write_all()
        except EmopiError as error:  # of the first attempt to open
            self._refused = error
        finally:
            with contextlib.suppress(Exception):
                self._recorder.close()
            self._opened.set()

    def _write_all(self) -> None:
        while not (self._stop.is_set() and self._queue.empty()):
            try:
                record = self._queue.get(timeout=IDLE_S)
            except queue.Empty:
                record = None
            if record is None:
                self._until_it_works(self._recorder.idle)
            elif not self._until_it_works(functools.partial(self._recorder.write, record)):
                self._lost += 1
                return

    def _until_it_works(self, act: Callable[[], None]) -> bool:
        """Act, again and again while it raises; False if the end comes first.

        The very first attempt may raise an `EmopiError`: a person is there to read it.
        """
        failed = False
        for delay_s in _delays():
            try:
                act()
            except Exception as error:  # whatever it is, the listening goes on
                if isinstance(error, EmopiError) and not self._opened.is_set():
                    raise
                if not failed:
                    self._report(f"{self.name}: {error or type(error).__name__}; trying again")
                failed = True
            else:
                if failed:
                    self._report(f"{self.name}: works again")
                self._opened.set()
                return True
            self._opened.set()
            if self._stop.wait(delay_s):
                return False
        raise AssertionError("delays never end")


def _delays() -> Iterator[float]:
    """Seconds to wait after the first attempt, the second, ..."""
    delay_s = FIRST_RETRY_S
    while True:
        yield delay_s
        delay_s = min(2 * delay_s, LAST_RETRY_S)
