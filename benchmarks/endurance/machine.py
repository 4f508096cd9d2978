"""A disk that is full, and a clock that jumps."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import subprocess
import tempfile
from pathlib import Path

import click

from benchmarks.endurance.listening import HOP_S, clip, listening, row, say

FAKETIME = "faketime/libfaketimeMT.so.1"


@click.command()
def disk() -> None:
    """The disk of log and history is full for a while."""
    with tempfile.TemporaryDirectory() as name, clip(600) as file:
        folder = Path(name)
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", name], check=True)
        try:
            _disk(folder, file)
        finally:
            subprocess.run(["umount", "-l", name], check=True)


def _disk(folder: Path, file: Path) -> None:
    settings = folder / "emopi.toml"
    settings.write_text(
        f'[source]\nname = "{file}"\n[decision]\nhop_s = {HOP_S}\n'
        f'[sinks.log]\nfile = "{folder / "log"}"\n'
        f'[sinks.history]\nfile = "{folder / "history"}"\ncommit_every_s = 1.0\n'
    )
    with listening("--config", settings) as sensor:
        sensor.wait_for_more(10)
        filler = folder / "filler"
        with contextlib.suppress(OSError), filler.open("wb", buffering=0) as full:
            while full.write(b"x" * 512):
                pass
        sensor.wait_for_said("log:")
        sensor.wait_for_said("history:")
        sensor.wait_for_more(40)
        during = len(sensor.decisions)
        filler.unlink()
        sensor.wait_for_said("log:", 2)
        sensor.wait_for_said("history:", 2)
        sensor.wait_for_more(5)
        sensor.stop()
        said = [decision["time_s"] for decision in sensor.decisions]
        logged = [json.loads(line)["time_s"] for line in (folder / "log").open()]
        with contextlib.closing(sqlite3.connect(folder / "history")) as database:
            (kept,) = database.execute("SELECT count(*) FROM decisions").fetchone()
        row("decisions", "of these while full", "missing in log", "missing in history")
        row(len(said), f"about {during - 10}", len(set(said) - set(logged)), len(said) - kept)
        say(sensor.said)


@click.command()
def clock() -> None:
    """The clock of the day jumps back by a day, then forward by two."""
    libraries = list(Path("/usr/lib").glob(f"*/{FAKETIME}"))
    if not libraries:
        raise click.ClickException("faketime is not installed (apt install faketime)")
    with tempfile.TemporaryDirectory() as name, clip(60) as file:
        offset, log = Path(name) / "offset", Path(name) / "log"
        settings = Path(name) / "emopi.toml"
        settings.write_text(f'[source]\nname = "{file}"\n[sinks.log]\nfile = "{log}"\n')
        offset.write_text("+0")
        environment = {
            "LD_PRELOAD": str(libraries[0]),
            "FAKETIME_TIMESTAMP_FILE": str(offset),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }
        # not in real time: faketime breaks the sleeping of Python
        with listening("--fast", "--config", settings, **environment) as sensor:
            sensor.wait_for_more(5)
            offset.write_text("-1d")
            sensor.wait_for_more(5)
            offset.write_text("+1d")
            sensor.process.wait()
            jumped = sensor.decisions
        with listening("--fast", "--source", file) as plain:
            plain.process.wait()
            expected = plain.decisions
        days = [json.loads(line)["time"][:10] for line in log.open()]
        for decision in (*jumped, *expected):
            del decision["latency_ms"]
        same = sum(one == other for one, other in zip(jumped, expected, strict=True))
        row("decisions", "the same as without jumps", "logged", "days in the log")
        row(len(jumped), same, len(days), len(set(days)))
