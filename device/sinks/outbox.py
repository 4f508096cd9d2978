"""Messages that wait on disk until they can be delivered."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from emopi.device.sinks.database import open_database

APPLICATION_ID = 0x656D6F71
MIGRATIONS = (
    "CREATE TABLE messages (id INTEGER PRIMARY KEY AUTOINCREMENT, topic TEXT NOT NULL, "
    "payload BLOB NOT NULL)",
)


@dataclasses.dataclass(frozen=True, slots=True)
class Message:
    """What is to be published where."""

    topic: str
    payload: bytes


class Outbox:
    """First in, first out, in an SQLite file, `limit` messages at most; the oldest give way.

    Each message is safe from the process's end when `append` returns. Raises what
    `open_database` and SQLite raise.
    """

    def __init__(self, file: Path, limit: int) -> None:
        self._database = open_database(file, APPLICATION_ID, MIGRATIONS)
        self._limit = limit
        (count,) = self._database.execute("SELECT count(*) FROM messages").fetchone()
        self._count = int(count)

    def __len__(self) -> int:
        return self._count

    def append(self, message: Message) -> int:
        """Put a message last; return how many had to give way."""
        excess = max(0, self._count + 1 - self._limit)
        with self._database:
            self._database.execute(
                "INSERT INTO messages (topic, payload) VALUES (?, ?)",
                (message.topic, message.payload),
            )
            self._database.execute(
                "DELETE FROM messages WHERE id IN (SELECT id FROM messages ORDER BY id LIMIT ?)",
                (excess,),
            )
        self._count += 1 - excess
        return excess

    def first(self) -> Message | None:
        """The oldest message, if there is one."""
        row = self._database.execute(
            "SELECT topic, payload FROM messages ORDER BY id LIMIT 1"
        ).fetchone()
        return Message(*row) if row else None

    def remove_first(self) -> None:
        """Delete the oldest message: it has been delivered."""
        with self._database:
            self._database.execute("DELETE FROM messages WHERE id = (SELECT min(id) FROM messages)")
        self._count -= 1
        if not self._count:
            self._database.executescript("PRAGMA incremental_vacuum")

    def close(self) -> None:
        """Close the file; what is in it stays."""
        self._database.close()
