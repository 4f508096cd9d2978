"""`emopi listen` with sinks, as a person starts it."""

from __future__ import annotations

import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import urllib.request
from contextlib import closing
from pathlib import Path

import pytest
from support import MODELS, run_emopi
from telling import PATIENCE_S

EXAMPLE = MODELS / "example.wav"


def test_log_and_history_have_what_stdout_has(tmp_path: Path) -> None:
    log, history = tmp_path / "day.jsonl", tmp_path / "history.sqlite"
    command = ("listen", "--source", EXAMPLE, "--fast", "--json", "--log", log)
    done = run_emopi(*command, "--history", history)
    assert done.returncode == 0, done.stderr
    said = [json.loads(line) for line in done.stdout.splitlines()]
    logged = [json.loads(line) for line in log.read_text().splitlines()]
    assert len(said) > 5
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.]{12}Z", line.pop("time")) for line in logged)
    assert logged == said
    with closing(sqlite3.connect(history)) as database:
        labels = database.execute("SELECT label FROM decisions ORDER BY time_ms").fetchall()
    assert [label for (label,) in labels] == [line["label"] for line in said]


def test_sinks_of_the_settings_file(tmp_path: Path) -> None:
    log = tmp_path / "day.jsonl"
    settings = tmp_path / "emopi.toml"
    settings.write_text(f'[sinks.log]\nfile = "{log}"\nrotate_mb = 0.001\nkeep = 1\n')
    command = ("listen", "--config", settings, "--source", EXAMPLE, "--fast")
    done = run_emopi(*command, "--quiet")
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    assert (tmp_path / "day.jsonl.1").exists()
    other = tmp_path / "other.jsonl"
    done = run_emopi(*command, "--json", "--log", other)
    assert len(other.read_text().splitlines()) == len(done.stdout.splitlines())


@pytest.mark.parametrize(
    ("option", "reason"),
    [
        (("--log", "/absent/day.jsonl"), "/absent/day.jsonl cannot be written"),
        (("--history", "/absent/history"), "/absent/history cannot be written"),
        (("--mqtt", "mqtt://me:secret@broker"), "visible to everyone"),
        (("--led", "1,2"), "expected three pins"),
        (("--web", "kitchen"), "address is 'kitchen'"),
    ],
)
def test_what_cannot_be_is_said_at_once(option: tuple[str, str], reason: str) -> None:
    done = run_emopi("listen", "--source", EXAMPLE, "--fast", *option)
    assert done.returncode == 1
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert reason in line
    assert "secret@" not in line


def test_a_page_while_it_listens() -> None:
    pytest.importorskip("bottle", reason="bottle is not installed (pip install 'emopi[web]')")
    pytest.importorskip("waitress", reason="waitress is not installed (pip install 'emopi[web]')")
    command = [sys.executable, "-m", "emopi.device.cli", "listen", "--source", str(EXAMPLE)]
    with subprocess.Popen(
        [*command, "--quiet", "--web", "127.0.0.1:0"],
        stderr=subprocess.PIPE,
        text=True,
        env={k: v for k, v in os.environ.items() if k != "EMOPI_WEB_TOKEN"},
    ) as process:
        assert process.stderr
        url = process.stderr.readline().rpartition(" ")[2].strip()
        with urllib.request.urlopen(f"{url}events", timeout=PATIENCE_S) as events:
            line = next(line for line in events if line.startswith(b'data: {"time"'))
        assert json.loads(line.removeprefix(b"data: "))["model"].startswith("cnn-int8-")
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE_S) == 0
        assert "Traceback" not in process.stderr.read()
