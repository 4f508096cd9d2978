"""The log: whole lines whatever happens, rotated, mended."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from telling import MIDDAY, PATIENCE_S, decision, write_until_it_raises

from emopi.device.errors import SinkError, SpecError
from emopi.device.sinks.log import Log, LogSettings, whole_bytes
from emopi.device.sinks.record import Record


@contextmanager
def opened(file: Path, report: list[str] | None = None, **settings: float) -> Iterator[Log]:
    told: list[str] = [] if report is None else report
    log = Log(LogSettings(file, **settings), told.append)  # type: ignore[arg-type]
    log.open()
    try:
        yield log
    finally:
        log.close()


def numbers(*files: Path) -> list[int]:
    lines = [json.loads(line) for file in files for line in file.read_text().splitlines()]
    return [round((line["time_s"] - 3) * 2) for line in lines]


def record(number: int) -> Record:
    return Record(MIDDAY, decision(number))


def test_a_line_is_the_decision_with_the_time_of_day(tmp_path: Path) -> None:
    file = tmp_path / "day.jsonl"
    with opened(file) as log:
        log.write(record(0))
    (line,) = file.read_text().splitlines()
    assert json.loads(line) == {"time": "2026-11-03T12:00:00.000Z"} | decision(0).to_json()
    assert file.stat().st_mode & 0o777 == 0o600


def test_it_goes_on_where_it_ended(tmp_path: Path) -> None:
    file, told = tmp_path / "day.jsonl", list[str]()
    for number in range(3):
        with opened(file, told) as log:
            log.write(record(number))
    assert numbers(file) == [0, 1, 2]
    assert not told


@pytest.mark.parametrize("torn", [b'{"time": "2026-1', b"\0" * 70_000, b"x"])
def test_a_torn_end_is_cut_off_and_told(tmp_path: Path, torn: bytes) -> None:
    file, told = tmp_path / "day.jsonl", list[str]()
    with opened(file) as log:
        log.write(record(0))
    with file.open("ab") as damaged:
        damaged.write(torn)
    with opened(file, told) as log:
        log.write(record(1))
    assert numbers(file) == [0, 1]
    assert told == [f"log: {file} ended in the middle of a line; {len(torn)} bytes cut off"]


def test_a_file_that_is_all_torn_begins_anew(tmp_path: Path) -> None:
    file = tmp_path / "day.jsonl"
    file.write_bytes(b"\0" * 200_000)
    with opened(file) as log:
        log.write(record(0))
    assert numbers(file) == [0]


def test_rotation_loses_nothing_but_the_oldest(tmp_path: Path) -> None:
    file = tmp_path / "day.jsonl"
    with opened(file) as log:
        log.write(record(0))
    line_mb = file.stat().st_size / 2**20
    with opened(file, rotate_mb=10.5 * line_mb, keep=2) as log:
        for number in range(1, 35):
            log.write(record(number))
    older = [tmp_path / "day.jsonl.2", tmp_path / "day.jsonl.1"]
    assert [len(path.read_text().splitlines()) for path in older] == [10, 10]
    assert numbers(*older, file) == list(range(10, 35))
    assert sorted(tmp_path.iterdir()) == sorted([*older, file])


def test_keep_none(tmp_path: Path) -> None:
    file = tmp_path / "day.jsonl"
    with opened(file, rotate_mb=1e-6, keep=0) as log:
        for number in range(3):
            log.write(record(number))
    assert numbers(file) == [2]
    assert list(tmp_path.iterdir()) == [file]


WRITE_FOR_EVER = """
import sys
from pathlib import Path
sys.path[:0] = sys.argv[2:]
from telling import MIDDAY, decision
from emopi.device.sinks.log import Log, LogSettings
from emopi.device.sinks.record import Record
log = Log(LogSettings(Path(sys.argv[1]), rotate_mb=0.2), print)
log.open()
number = 0
while True:
    log.write(Record(MIDDAY, decision(number)))
    number += 1
"""


def test_kill_9_leaves_whole_lines(tmp_path: Path) -> None:
    file = tmp_path / "day.jsonl"
    tests = str(Path(__file__).parents[2])
    for _ in range(3):
        process = subprocess.Popen([sys.executable, "-c", WRITE_FOR_EVER, str(file), tests])
        before = file.stat().st_size if file.exists() else 0
        deadline = time.monotonic() + PATIENCE_S
        while not file.exists() or file.stat().st_size in (0, before):
            assert process.poll() is None
            assert time.monotonic() < deadline
        process.send_signal(signal.SIGKILL)
        process.wait()
        with file.open("rb") as left, opened(file):
            whole = whole_bytes(left.fileno())
        assert whole == file.stat().st_size > 0
        file.unlink()
        for older in tmp_path.glob("day.jsonl.*"):
            numbers(older)  # raises for a line that is not JSON
            older.unlink()


def test_a_full_disk_costs_no_line_that_was_written(full_disk: Path) -> None:
    """On a real file system of one megabyte."""
    file = full_disk / "day.jsonl"
    with opened(file) as log:
        written = write_until_it_raises(log, "day.jsonl")
    assert written > 100
    assert numbers(file) == list(range(written))
    with opened(file) as log:  # as at the next start, the disk being full still
        with pytest.raises(OSError, match=r"day\.jsonl"):
            log.write(record(written))
        (full_disk / "other").unlink()
        log.write(record(written))
    assert numbers(file) == list(range(written + 1))


def test_a_file_size_limit_costs_no_line_that_was_written(tmp_path: Path) -> None:
    """As a full disk, where none can be made: `RLIMIT_FSIZE` cuts a write short."""
    code = f"""
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
try:
    exec({WRITE_FOR_EVER!r}.replace("rotate_mb=0.2", "rotate_mb=1"))
except OSError as error:
    print(number, error)
"""
    file = tmp_path / "day.jsonl"
    command = [sys.executable, "-c", code, str(file), str(Path(__file__).parents[2])]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=True)
    written, told = done.stdout.split(maxsplit=1)
    assert "day.jsonl" in told
    assert 10_000 - 1_000 < file.stat().st_size <= 10_000
    assert numbers(file) == list(range(int(written)))


def test_two_writers_of_one_file_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "day.jsonl"
    with opened(file), pytest.raises(SinkError, match="another emopi"), opened(file):
        pass


def test_a_file_that_cannot_be(tmp_path: Path) -> None:
    for file in (tmp_path / "absent" / "day.jsonl", tmp_path):
        with pytest.raises(SinkError, match="cannot be written"), opened(file):
            pass


@pytest.mark.parametrize(
    "wrong",
    [{"rotate_mb": 0.0}, {"keep": -1}, {"fsync_every_s": -1.0}, {"rotate_mb": float("nan")}],
)
def test_settings_out_of_range(wrong: dict[str, float]) -> None:
    (name,) = wrong
    with pytest.raises(SpecError, match=f"{name} is {wrong[name]}"):
        LogSettings(Path("day.jsonl"), **wrong)  # type: ignore[arg-type]
