"""SQLite files as sinks use them: one program's, with a version, unharmed by a sudden end."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

from emopi.device.errors import SinkError

IN_MEMORY = Path(":memory:")
"""In place of a file: gone with the process."""

PRAGMAS = (
    "auto_vacuum = INCREMENTAL",
    "journal_mode = WAL",
    "synchronous = NORMAL",
    "cache_size = -256",
)
"""A power cut may cost the last transactions, never the file; written through now and then. 256 KiB
of cache are enough for what is appended; SQLite would take 2 MiB, in the course of hours."""


def open_database(
    file: Path, application_id: int, migrations: tuple[str, ...]
) -> sqlite3.Connection:
    """Open a file or create it, readable by its owner alone, with the newest version's tables.

    `migrations` are SQL scripts from version 0, an empty file, to 1, from 1 to 2, ...; the version
    is in `user_version`. The connection may be used by several threads, one at a time. Raises
    `SinkError` for what a person must change, `sqlite3.Error` for what may pass, as a full disk.
    """
    database = None
    try:
        if file != IN_MEMORY:
            with contextlib.suppress(OSError):  # SQLite says better what is wrong
                file.touch(0o600)
        database = sqlite3.connect(file, timeout=5.0, check_same_thread=False)
        for pragma in PRAGMAS:
            database.execute(f"PRAGMA {pragma}")
        _migrate(database, application_id, migrations, file)
    except BaseException as error:
        if database:
            database.close()
        if isinstance(error, sqlite3.Error) and (what := _lasting(error)):
            raise SinkError(f"{file} {what}") from None
        raise
    return database


def _lasting(error: sqlite3.Error) -> str | None:
    """What a person must change; None for an error that may pass."""
    text = str(error)
    if "unable to open" in text or "readonly" in text:
        return "cannot be written; expected a file in a folder that is there and may be written to"
    if "not a database" in text:
        return "is not an SQLite file, or damaged; move it away or name another"
    return None


def _migrate(
    database: sqlite3.Connection, application_id: int, migrations: tuple[str, ...], file: Path
) -> None:
    tables = _number(database, "SELECT count(*) FROM sqlite_master")
    version = _number(database, "PRAGMA user_version")
    if tables and _number(database, "PRAGMA application_id") != application_id:
        raise SinkError(f"{file} is another program's database; name another file")
    if version > len(migrations):
        raise SinkError(
            f"{file} is of version {version}, this emopi knows {len(migrations)}; "
            "install a newer one or name another file"
        )
    for number, script in enumerate(migrations[version:], version + 1):
        database.executescript(
            f"BEGIN IMMEDIATE; {script}; PRAGMA application_id = {application_id}; "
            f"PRAGMA user_version = {number}; COMMIT;"
        )


def _number(database: sqlite3.Connection, query: str) -> int:
    (number,) = database.execute(query).fetchone()
    return int(number)
