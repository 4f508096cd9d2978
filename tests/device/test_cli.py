"""The command line as its user meets it: output, exit status, one line an error."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
from support import MODELS, SHIPPED, run_emopi, speech

LABELS = ["neutral", "calm", "happy", "sad", "angry", "fearful", "disgust", "surprised"]


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    path = tmp_path / "clip.wav"
    sf.write(path, speech(4.2), 16_000)
    return path


def one_line(stderr: str) -> str:
    """The error: what stderr has beside the interpreter's own lines."""
    lines = [line for line in stderr.splitlines() if line.startswith("emopi:")]
    assert len(lines) == 1, stderr
    assert "Traceback" not in stderr
    return lines[0]


def test_classify_json(clip: Path) -> None:
    done = run_emopi("classify", "--json", clip)
    assert done.returncode == 0, done.stderr
    (line,) = done.stdout.splitlines()
    answer = json.loads(line)
    assert answer["clip"] == str(clip)
    assert list(answer["probabilities"]) == LABELS
    assert answer["confidence"] == max(answer["probabilities"].values())
    assert answer["probabilities"][answer["label"]] == answer["confidence"]
    assert answer["model"].startswith("cnn-int8-")


@pytest.mark.parametrize("name", SHIPPED)
def test_every_shipped_model_by_name_and_by_path(clip: Path, name: str) -> None:
    by_name = run_emopi("classify", "--json", "--model", name, clip)
    by_path = run_emopi("classify", "--json", "--model", MODELS / f"{name}.tflite", clip)
    assert by_name.returncode == 0, by_name.stderr
    assert json.loads(by_name.stdout)["model"].startswith(f"{name}-")
    assert by_path.stdout == by_name.stdout


def test_classify_for_a_person(clip: Path) -> None:
    done = run_emopi("classify", clip, MODELS / "example.wav")
    first, second = done.stdout.splitlines()
    assert first.startswith(str(clip))
    assert "example.wav" in second
    assert first.count("%") == 3


def test_a_bad_clip_does_not_stop_the_others(clip: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad.wav"
    bad.write_text("no sound")
    done = run_emopi("classify", "--json", bad, clip, tmp_path / "absent.wav")
    assert done.returncode == 1
    (line,) = done.stdout.splitlines()
    assert json.loads(line)["clip"] == str(clip)
    errors = [line for line in done.stderr.splitlines() if line.startswith("emopi:")]
    assert "bad.wav is not an audio file that can be read" in errors[0]
    assert "absent.wav: no such file" in errors[1]


def test_low_rate_is_warned_of(tmp_path: Path) -> None:
    path = tmp_path / "phone.wav"
    sf.write(path, speech(4.0, 8000), 8000)
    done = run_emopi("classify", path)
    assert done.returncode == 0
    assert "has 8000 Hz, so nothing above 4000 Hz" in one_line(done.stderr)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (
            "absent",
            "'absent': no such model file; expected a path, or one of: cnn-float32, cnn-int8",
        ),
        ("models/cnn", "'models/cnn': no such model file; expected a path, or one of: cnn-float32"),
        (__file__, "is not a TFLite model"),
    ],
)
def test_bad_model(clip: Path, model: str, message: str) -> None:
    done = run_emopi("classify", "--model", model, clip)
    assert done.returncode == 1
    assert done.stdout == ""
    assert message in one_line(done.stderr)


def test_usage_errors_exit_with_2() -> None:
    assert run_emopi("classify").returncode == 2
    assert run_emopi("clasify").returncode == 2
    assert run_emopi("listen", "--hop", "long").returncode == 2


def test_debug_shows_the_traceback(clip: Path) -> None:
    done = run_emopi("classify", "--model", "absent", clip, EMOPI_DEBUG="1")
    assert done.returncode == 1
    assert "Traceback" in done.stderr


def test_listen_to_a_file_agrees_with_classify(clip: Path) -> None:
    always = ("--detector", "none", "--min-confidence", "0")
    heard = run_emopi("listen", "--json", "--fast", *always, "--source", clip)
    assert heard.returncode == 0, heard.stderr
    decisions = [json.loads(line) for line in heard.stdout.splitlines()]
    assert [d["time_s"] for d in decisions] == [3.015, 3.515, 4.015, 4.2]
    whole = json.loads(run_emopi("classify", "--json", clip).stdout)
    assert decisions[-1]["label"] == whole["label"]
    assert decisions[-1]["probabilities"] == whole["probabilities"]


def test_listen_in_real_time_prints_lines_as_they_come(clip: Path) -> None:
    done = run_emopi("listen", "--source", clip)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == 4
    assert lines[0].split()[:2] == ["3.0", "s"]
    assert "dBFS" in lines[0]


def test_listen_options_reach_the_pipeline(clip: Path) -> None:
    done = run_emopi("listen", "--json", "--fast", "--hop", "0.25", "--source", clip)
    assert len(done.stdout.splitlines()) == 6
    refused = run_emopi("listen", "--hop", "0", "--source", clip)
    assert refused.returncode == 1
    assert "hop_s is 0.0; expected 0.05 to 60 seconds" in one_line(refused.stderr)
    unsure = run_emopi("listen", "--json", "--fast", "--detector", "none", "--min-confidence",
                       "0.999", "--source", clip)  # fmt: skip
    assert {json.loads(line)["label"] for line in unsure.stdout.splitlines()} == {"unsure"}


def test_file_name_that_is_no_text(clip: Path) -> None:
    strange = os.fsencode(clip.parent) + b"/lat\xe9 \n.wav"
    clip.rename(os.fsdecode(strange))
    for arguments in (["--json"], []):
        done = subprocess.run(
            [sys.executable, "-m", "emopi.device.cli", "classify", *arguments, strange],
            capture_output=True, env=os.environ | {"LC_ALL": "C"}, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert b"lat" in done.stdout


@pytest.mark.parametrize(("closed", "status"), [("<&-", 0), ("2>&-", 0), (">&-", 0)])
def test_closed_standard_streams(clip: Path, closed: str, status: int) -> None:
    command = f"exec '{sys.executable}' -m emopi.device.cli listen --fast --json --source '{clip}'"
    done = subprocess.run(["sh", "-c", f"{command} {closed}"], capture_output=True, check=False)
    assert done.returncode == status, done.stderr
    assert done.stdout.count(b"\n") == (0 if closed == ">&-" else 4)


def test_works_without_a_writable_temporary_folder(clip: Path, tmp_path: Path) -> None:
    done = run_emopi("classify", clip, TMPDIR=str(tmp_path / "absent"))
    assert done.returncode == 0, done.stderr


def start_listening(source: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "emopi.device.cli", "listen", "--json", "--source", source],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_ctrl_c_ends_listening(tmp_path: Path) -> None:
    path = tmp_path / "long.wav"
    sf.write(path, np.tile(speech(4.0), 15), 16_000)
    process = start_listening(path)
    assert process.stdout
    assert json.loads(process.stdout.readline())["time_s"] == 3.015
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=30)
    assert process.returncode == 0, stderr
    assert stderr == ""


def test_a_reader_that_goes_away_is_no_traceback(tmp_path: Path) -> None:
    path = tmp_path / "long.wav"
    sf.write(path, np.tile(speech(4.0), 15), 16_000)
    process = start_listening(path)
    assert process.stdout
    process.stdout.readline()
    process.stdout.close()
    assert process.stderr
    stderr = process.stderr.read()
    process.wait(timeout=60)
    process.stderr.close()
    assert process.returncode == 1
    assert stderr == ""


def test_auto_without_a_microphone_plays_the_bundled_recording() -> None:
    code = """
import sys
sys.modules["pyaudio"] = None  # importing it raises ImportError
from emopi.device.cli import main
sys.argv = ["emopi", "listen", "--json", "--fast", "--source", "auto"]
main()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "the microphone needs PyAudio" in done.stderr
    assert "pip install 'emopi[mic]'" in done.stderr
    assert "bundled recording" in done.stderr
    assert len(done.stdout.splitlines()) == 15


def on_a_terminal(clip: Path, **environment: str) -> str:
    """What `emopi listen` shows on a pseudo-terminal."""
    leader, follower = os.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "emopi.device.cli", "listen", "--fast", "--source", clip],
        stdout=follower, stderr=subprocess.PIPE,
        env=os.environ | {"TERM": "xterm", "COLUMNS": "80"} | environment,
    )  # fmt: skip
    os.close(follower)
    shown = b""
    while True:
        try:
            chunk = os.read(leader, 65536)
        except OSError:  # the other end is closed
            break
        if not chunk:
            break
        shown += chunk
    _, stderr = process.communicate(timeout=60)
    os.close(leader)
    assert process.returncode == 0, stderr
    return shown.decode()


def test_live_view_on_a_terminal(clip: Path) -> None:
    pytest.importorskip("rich", reason="the live view needs rich")
    shown = on_a_terminal(clip)
    for text in (*LABELS, "dBFS", "ms", "cnn-int8-", "%", "acted speech"):
        assert text in shown
    assert "█" in shown


@pytest.mark.parametrize("environment", [{"TERM": "dumb"}, {"PYTHONIOENCODING": "latin-1"}])
def test_lines_on_a_terminal_that_cannot_show_bars(clip: Path, environment: dict[str, str]) -> None:
    shown = on_a_terminal(clip, **environment)
    assert len(shown.splitlines()) >= 4
    assert "█" not in shown
    assert "dBFS" in shown
