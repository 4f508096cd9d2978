"""The history: what was heard, kept for some days, in a file that survives."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from telling import LABELS, MIDDAY, decision, write_until_it_raises

from emopi.device.decision import NO_SPEECH
from emopi.device.errors import SinkError, SpecError
from emopi.device.sinks.database import IN_MEMORY
from emopi.device.sinks.history import History, HistorySettings
from emopi.device.sinks.record import Record
from emopi.device.sources.notice import Notice, NoticeKind

HOUR = timedelta(hours=1)
MIDDAY_MS = Record(MIDDAY, decision()).time_ms


@contextmanager
def opened(file: Path = IN_MEMORY, **settings: float) -> Iterator[History]:
    history = History(HistorySettings(file, **settings))
    history.open()
    try:
        yield history
    finally:
        history.close()


def rows(file: Path, query: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(file)) as database:
        return database.execute(query).fetchall()


def test_what_is_kept_of_a_decision(tmp_path: Path) -> None:
    file = tmp_path / "history.sqlite"
    with opened(file) as history:
        history.write(Record(MIDDAY, decision(0)))
        history.write(Record(MIDDAY + HOUR, decision(1, NO_SPEECH)))
        history.write(Record(MIDDAY + HOUR, Notice(NoticeKind.LOST, "unplugged")))
    first, second = rows(file, "SELECT * FROM decisions JOIN models ON models.id = model_id")
    assert first[:5] == (MIDDAY_MS, "happy", 0.65, -30.0, 1.25)
    assert json.loads(str(first[6])) == [0.05, 0.05, 0.65, *[0.05] * 5]
    assert json.loads(str(first[9])) == list(LABELS)
    assert second[:3] == (MIDDAY_MS + 3_600_000, NO_SPEECH, 0.0)
    assert second[6] is None
    assert rows(file, "SELECT * FROM notices") == [(MIDDAY_MS + 3_600_000, "lost", "unplugged")]
    assert rows(file, "PRAGMA user_version") == [(1,)]
    assert file.stat().st_mode & 0o777 == 0o600


def test_a_clock_set_back_overwrites_nothing(tmp_path: Path) -> None:
    file = tmp_path / "history.sqlite"
    with opened(file) as history:
        for number in range(3):
            history.write(Record(MIDDAY, decision(number)))
    assert rows(file, "SELECT time_ms FROM decisions") == [(MIDDAY_MS + n,) for n in range(3)]


def test_what_is_too_old_goes_and_gives_its_space_back(tmp_path: Path) -> None:
    file = tmp_path / "history.sqlite"
    with opened(file, keep_days=1) as history:
        for number in range(5000):
            history.write(Record(MIDDAY + number * timedelta(seconds=0.5), decision(number)))
        history.write(Record(MIDDAY + HOUR, Notice(NoticeKind.LOST, "unplugged")))
    large = file.stat().st_size
    with opened(file, keep_days=1) as history:
        history.write(Record(MIDDAY + 26 * HOUR, decision(0)))
    assert rows(file, "SELECT count(*) FROM decisions") == [(1,)]
    assert rows(file, "SELECT count(*) FROM notices") == [(0,)]
    assert file.stat().st_size < large / 3


def test_timeline() -> None:
    heard = [(-3, "sad"), (-1.9, "calm"), (-1.9, "calm"), (-1.8, NO_SPEECH), (0, "sad")]
    with opened(commit_every_s=0) as history:
        for hours, label in heard:
            history.write(Record(MIDDAY + hours * HOUR, decision(round(-hours), label)))
        history.idle()
        timeline = history.timeline(MIDDAY_MS, hours=3, slices=3)
    assert timeline.slice_ms == 3_600_000
    assert timeline.start_ms == MIDDAY_MS - 2 * 3_600_000
    assert timeline.counts == ({"calm": 2, NO_SPEECH: 1}, {}, {"sad": 1})
    assert timeline.levels_dbfs == (-32.0, None, -30.0)


def test_slices_that_are_past_do_not_move() -> None:
    with opened(commit_every_s=0) as history:
        history.write(Record(MIDDAY - HOUR, decision()))
        history.idle()
        first = history.timeline(MIDDAY_MS, 6, 60)
        later = history.timeline(MIDDAY_MS + 7 * 60_000, 6, 60)
    assert (later.start_ms - first.start_ms) == first.slice_ms
    assert sum(map(len, first.counts)) == 1
    assert first.counts[1:] == later.counts[:-1]


WRITE_FOR_EVER = """
import sys
from datetime import timedelta
from pathlib import Path
sys.path[:0] = sys.argv[2:]
from telling import MIDDAY, decision, write_until_it_raises
from emopi.device.sinks.history import History, HistorySettings
from emopi.device.sinks.record import Record
history = History(HistorySettings(Path(sys.argv[1]), commit_every_s=0))
history.open()
for number in range(10**9):
    history.write(Record(MIDDAY + number * timedelta(seconds=0.5), decision(number)))
    print(number, flush=True)
"""


def test_kill_9_leaves_a_sound_file(tmp_path: Path) -> None:
    file = tmp_path / "history.sqlite"
    command = [sys.executable, "-c", WRITE_FOR_EVER, str(file), str(Path(__file__).parents[2])]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        said = [int(process.stdout.readline()) for _ in range(200)]
        process.kill()
        said += [int(line) for line in process.stdout.read().splitlines()]
    with opened(file) as history:
        history.write(Record(MIDDAY - HOUR, decision(0)))
    assert rows(file, "PRAGMA integrity_check") == [("ok",)]
    # each record commits those before it
    assert rows(file, "SELECT count(*) FROM decisions")[0][0] in (
        len(said),
        len(said) + 1,
        len(said) + 2,
    )


def test_a_full_disk_is_survived(full_disk: Path) -> None:
    file = full_disk / "history.sqlite"
    with opened(file, commit_every_s=0) as history:
        written = write_until_it_raises(history, "full")
        (full_disk / "other").unlink()
        history.write(Record(MIDDAY, decision(written)))
    assert rows(file, "PRAGMA integrity_check") == [("ok",)]
    assert rows(file, "SELECT count(*) FROM decisions") == [(written + 1,)]


def test_other_files_are_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "mine"
    file.write_bytes(b"dear diary, " * 1000)
    with pytest.raises(SinkError, match="not an SQLite file"), opened(file):
        pass
    assert file.read_bytes() == b"dear diary, " * 1000
    with closing(sqlite3.connect(tmp_path / "other")) as other:
        other.execute("CREATE TABLE stamps (id)")
    with pytest.raises(SinkError, match="another program's"), opened(tmp_path / "other"):
        pass
    with opened(tmp_path / "newer"):
        pass
    with closing(sqlite3.connect(tmp_path / "newer")) as newer:
        newer.execute("PRAGMA user_version = 7")
    with (
        pytest.raises(SinkError, match="version 7, this emopi knows 1"),
        opened(tmp_path / "newer"),
    ):
        pass
    with pytest.raises(SinkError, match="cannot be written"), opened(tmp_path / "no" / "folder"):
        pass


@pytest.mark.parametrize("wrong", [{"keep_days": 0.0}, {"commit_every_s": -1.0}])
def test_settings_out_of_range(wrong: dict[str, float]) -> None:
    (name,) = wrong
    with pytest.raises(SpecError, match=f"{name} is {wrong[name]}"):
        HistorySettings(Path("h"), **wrong)
