"""What was heard in the last days, in one SQLite file: for the page's timeline and for queries.

sqlite3 history.sqlite "SELECT label, count(*) FROM decisions GROUP BY label"
"""

from __future__ import annotations

import dataclasses
import json
import sqlite3
import threading
import time
from pathlib import Path

from emopi.device.decision import Decision
from emopi.device.errors import SpecError
from emopi.device.sinks.background import Recorder
from emopi.device.sinks.database import open_database
from emopi.device.sinks.record import Record

SCHEMA = """
CREATE TABLE models (id INTEGER PRIMARY KEY, model TEXT NOT NULL, emotions TEXT NOT NULL,
    UNIQUE (model, emotions));
CREATE TABLE decisions (time_ms INTEGER PRIMARY KEY, label TEXT NOT NULL, confidence REAL NOT NULL,
    level_dbfs REAL NOT NULL, latency_ms REAL NOT NULL, model_id INTEGER NOT NULL REFERENCES models,
    probabilities TEXT);
CREATE TABLE notices (time_ms INTEGER NOT NULL, kind TEXT NOT NULL, text TEXT NOT NULL);
"""
"""Version 1. `time_ms` since 1970, UTC; `probabilities` a JSON list in the order of `emotions`,
NULL where there was no speech."""

APPLICATION_ID = 0x656D6F70  # "emop"
MIGRATIONS = (SCHEMA,)
"""From version 0, an empty file, to 1; then from 1 to 2, ..."""

CLEAN_EVERY_MS = 3_600_000


@dataclasses.dataclass(frozen=True, slots=True)
class HistorySettings:
    """The decisions of the last days in an SQLite file."""

    file: Path
    """Grows by 15 MB a day at most."""
    keep_days: float = 14.0
    """What is older is deleted; above 0."""
    commit_every_s: float = 5.0
    """Seconds that a killed process can cost, and one more: 0 to 3600."""

    def __post_init__(self) -> None:
        """Check every field against its range."""
        if not self.keep_days > 0:
            raise SpecError(f"keep_days is {self.keep_days}; expected more than 0")
        if not 0 <= self.commit_every_s <= 3600:
            raise SpecError(f"commit_every_s is {self.commit_every_s}; expected 0 to 3600 seconds")


@dataclasses.dataclass(frozen=True, slots=True)
class Timeline:
    """What was heard in each of equally long slices of time."""

    start_ms: int
    """Since 1970, UTC: where the first slice begins."""
    slice_ms: int
    counts: tuple[dict[str, int], ...]
    """Decisions of each label, one dictionary a slice; empty where nothing listened."""
    levels_dbfs: tuple[float | None, ...]
    """Of the loudest decision in each slice; None where nothing listened."""


class History(Recorder):
    """Writes records, several in a transaction; reads timelines, from any thread.

    A damaged file raises `sqlite3.DatabaseError`, a full disk `sqlite3.OperationalError`.
    """

    name = "history"

    def __init__(self, settings: HistorySettings) -> None:
        self._settings = settings
        self._database: sqlite3.Connection | None = None
        self._lock = threading.RLock()
        self._models: dict[tuple[str, tuple[str, ...]], int] = {}
        self._pending: list[Record] = []
        self._cleaned_ms = 0
        self._flushed_s = time.monotonic()

    def open(self) -> None:
        """Open, create or migrate the file. Raises `SinkError` if it is not one of ours."""
        with self._lock:
            self._database = open_database(self._settings.file, APPLICATION_ID, MIGRATIONS)

    def write(self, record: Record) -> None:
        """Take one record; it is in the file `commit_every_s` later."""
        self._flush_at_times()  # before, so that a full disk leaves this record undone
        self._pending.append(record)
        if record.time_ms - self._cleaned_ms > CLEAN_EVERY_MS:
            self._cleaned_ms = record.time_ms
            self.forget(record.time_ms - round(self._settings.keep_days * 86_400_000))

    def idle(self) -> None:
        """Put into the file what is waiting."""
        self._flush_at_times()

    def close(self) -> None:
        """Put into the file what is waiting, and close it."""
        with self._lock:
            if self._database:
                try:
                    self._flush()
                finally:
                    self._database.close()
                    self._database = None

    def forget(self, before_ms: int) -> None:
        """Delete what is older and give its space back."""
        with self._lock:
            with self._connection as transaction:
                for table in ("decisions", "notices"):
                    transaction.execute(f"DELETE FROM {table} WHERE time_ms < ?", (before_ms,))
            # not execute, which takes a single step
            self._connection.executescript("PRAGMA incremental_vacuum")

    def timeline(self, end_ms: int, hours: float, slices: int) -> Timeline:
        """The last `hours` up to `end_ms`, cut into `slices`, which begin at whole multiples of
        their length, so that a slice that is past does not change any more."""
        slice_ms = max(1, round(hours * 3_600_000 / slices))
        start_ms = (end_ms // slice_ms - slices + 1) * slice_ms
        counts: list[dict[str, int]] = [{} for _ in range(slices)]
        levels: list[float | None] = [None] * slices
        with self._lock:
            rows = self._connection.execute(
                "SELECT (time_ms - ?1) / ?2, label, count(*), max(level_dbfs) FROM decisions "
                "WHERE time_ms >= ?1 AND time_ms < ?1 + ?2 * ?3 GROUP BY 1, 2",
                (start_ms, slice_ms, slices),
            ).fetchall()
        for index, label, count, level in rows:
            counts[index][label] = count
            levels[index] = max(level, levels[index] or level)
        return Timeline(start_ms, slice_ms, tuple(counts), tuple(levels))

    @property
    def _connection(self) -> sqlite3.Connection:
        if self._database is None:
            raise sqlite3.OperationalError(f"{self._settings.file} is not open")
        return self._database

    def _flush_at_times(self) -> None:
        now_s = time.monotonic()
        if self._pending and now_s - self._flushed_s >= self._settings.commit_every_s:
            self._flush()
            self._flushed_s = now_s

    def _flush(self) -> None:
        """Put all that is waiting into the file, or nothing."""
        with self._lock:
            try:
                with self._connection as transaction:
                    for record in self._pending:
                        self._insert(transaction, record)
            except sqlite3.Error:
                self._models.clear()  # what they name may have been rolled back
                raise
        self._pending.clear()

    def _insert(self, transaction: sqlite3.Connection, record: Record) -> None:
        if isinstance(record.what, Decision):
            self._insert_decision(transaction, record.time_ms, record.what)
        else:
            values = (record.time_ms, str(record.what.kind), record.what.text)
            transaction.execute("INSERT INTO notices VALUES (?, ?, ?)", values)

    def _insert_decision(
        self, transaction: sqlite3.Connection, time_ms: int, decision: Decision
    ) -> None:
        probabilities = [round(p, 3) for p in decision.probabilities.values()]
        values = (
            decision.label,
            round(decision.confidence, 3),
            round(decision.level_dbfs, 1),
            round(decision.latency_ms, 2),
            self._model_id(transaction, decision),
            json.dumps(probabilities, separators=(",", ":")) if any(probabilities) else None,
        )
        while True:  # the clock may have been set back to a moment that has its decision
            row = (time_ms, *values)
            try:
                transaction.execute("INSERT INTO decisions VALUES (?,?,?,?,?,?,?)", row)
            except sqlite3.IntegrityError:
                time_ms += 1
            else:
                return

    def _model_id(self, transaction: sqlite3.Connection, decision: Decision) -> int:
        key = (decision.model, tuple(decision.probabilities))
        if key not in self._models:
            values = (decision.model, json.dumps(key[1]))
            transaction.execute(
                "INSERT OR IGNORE INTO models (model, emotions) VALUES (?, ?)", values
            )
            (found,) = transaction.execute(
                "SELECT id FROM models WHERE model = ? AND emotions = ?", values
            ).fetchone()
            self._models[key] = found
        return self._models[key]
