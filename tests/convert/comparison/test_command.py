"""`emopi compare` as a person runs it: what it says, writes, and refuses."""

from __future__ import annotations

import csv
import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from support import MODELS, RAVDESS_16K, needs_16k, run_emopi

from emopi.convert.comparison import comparison
from emopi.convert.comparison.command import compare as command
from emopi.convert.comparison.comparison import compare
from emopi.device.board import board_state
from emopi.device.contract import attach, read
from emopi.device.errors import ModelError
from emopi.device.model_files import model_names
from emopi.train.evaluation.evaluate import evaluate

FLOAT, INT8 = MODELS / "cnn-float32.tflite", MODELS / "cnn-int8.tflite"
ON = ("--protocol", "random-5fold", "--fold", "fold1")

WITHOUT = ("tensorflow", "keras", "tf_keras", "scipy", "librosa", "pandas", "sklearn")
"""What a Raspberry Pi has not."""


@dataclasses.dataclass(frozen=True)
class Told:
    """What one run of the command has printed and written."""

    fields: dict[str, Any]
    rows: list[dict[str, str]]
    page: str
    files: set[str]


@pytest.fixture(scope="module")
def told(voices: Path, tmp_path_factory: pytest.TempPathFactory) -> Told:
    """One run in a process that cannot import what a Raspberry Pi has not."""
    out = tmp_path_factory.mktemp("out")
    arguments = [
        "emopi", "compare", str(FLOAT), str(INT8), "--corpus", str(voices), *ON, "--rounds", "20",
        "--explain", "--json", "--csv", str(out / "a.csv"), "--html", str(out / "a.html"),
    ]  # fmt: skip
    code = f"""
import sys
for name in {WITHOUT!r}:
    sys.modules[name] = None  # importing it raises ImportError
from emopi.device.cli import main
sys.argv = {arguments!r}
main()
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, done.stderr
    with (out / "a.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    files = {path.name for path in out.iterdir()}
    return Told(json.loads(done.stdout), rows, (out / "a.html").read_text(), files)


class TestTold:
    def test_each_model_as_evaluate_has_it(self, told: Told, voices: Path) -> None:
        for model, path in zip(told.fields["models"], (FLOAT, INT8), strict=True):
            alone = evaluate(path, voices, "random-5fold", "fold1").to_json()
            for name, value in json.loads(json.dumps(alone)).items():
                assert model[name] == value
            assert model["bytes"] == path.stat().st_size
            assert model["seen"] == 0
        assert [model["name"] for model in told.fields["models"]] == ["cnn-float32", "cnn-int8"]

    def test_the_pair(self, told: Told, voices: Path) -> None:
        (pair,) = told.fields["pairs"]
        a, b = told.fields["models"]
        assert (pair["a"], pair["b"]) == ("cnn-float32", "cnn-int8")
        assert pair["uar_change"] == pytest.approx(b["uar"] - a["uar"])
        assert pair["accuracy_change"] == pytest.approx(b["accuracy"] - a["accuracy"])
        assert pair["size_ratio"] == pytest.approx(b["bytes"] / a["bytes"])
        for stage, ratio in (("model", "latency_ratio"), ("total", "total_latency_ratio")):
            medians = [model["latency"][stage]["cpu_ms"] for model in (a, b)]
            assert pair[ratio] == pytest.approx(medians[1] / medians[0], rel=0.02)
        low, high = pair["intervals"]["latency_ratio"]
        assert low <= pair["latency_ratio"] <= high
        said = [
            evaluate(path, voices, "random-5fold", "fold1").outcome.answers
            for path in (FLOAT, INT8)
        ]
        assert pair["agreement"] == np.mean(np.equal(*said))
        assert pair["changed"] == len(pair["changed_clips"]) == np.sum(np.not_equal(*said))
        assert 0 <= pair["mcnemar_p"] <= 1
        assert pair["n"] == told.fields["n"] == a["n"]

    def test_costs(self, told: Told) -> None:
        for model in told.fields["models"]:
            assert set(model["latency"]) == {"frontend", "model", "total"}
            for stage in model["latency"].values():
                assert set(stage) == {
                    "p50_ms", "p90_ms", "p95_ms", "p99_ms", "max_ms", "cpu_ms",
                }  # fmt: skip
                assert 0 < stage["p50_ms"] <= stage["p99_ms"] <= stage["max_ms"]
            for name in ("load_ms", "first_ms", "rss_mb", "model_mb", "arena_kb"):
                assert model[name] > 0
        exact, int8 = told.fields["models"]
        assert int8["arena_kb"] < exact["arena_kb"]
        (pair,) = told.fields["pairs"]
        for core, ratio in pair["instruction_ratio"].items():
            assert ratio == int8["instructions"][core] / exact["instructions"][core]
        assert told.fields["rounds"] == 20

    def test_where_it_was_measured(self, told: Told) -> None:
        assert told.fields["machine"]["architecture"] == os.uname().machine
        assert set(told.fields["board"]) == {"before", "after"}
        assert set(told.fields["board"]["before"]) == {
            "clock_mhz", "governor", "temperature_c", "throttling", "load", "cores",
        }  # fmt: skip

    def test_verdict(self, told: Told) -> None:
        verdict = told.fields["verdict"]
        assert verdict["choose"] in ("cnn-float32", "cnn-int8")
        assert verdict["choice"].startswith(f"Choose {verdict['choose']} here.")
        assert len(verdict["reasons"]) == 1
        assert any("of 4 speakers only" in caution for caution in verdict["cautions"])

    def test_layers(self, told: Told) -> None:
        exact, int8 = told.fields["layers"]
        assert (int8["model"], int8["against"], exact["against"]) == (
            "cnn-int8", "cnn-float32", None,
        )  # fmt: skip
        assert {"name", "operator", "sqnr_db", "loss_db"} <= set(int8["noise"][0])
        assert int8["noise"][-1]["name"] == "logits"
        assert exact["noise"] == []
        assert exact["ranges"]

    def test_spreadsheet(self, told: Told) -> None:
        assert [row["model"] for row in told.rows] == ["cnn-float32", "cnn-int8"]
        for row, model in zip(told.rows, told.fields["models"], strict=True):
            assert float(row["uar"]) == model["uar"]
            assert int(row["bytes"]) == model["bytes"]
            assert float(row["model_p50_ms"]) == model["latency"]["model"]["p50_ms"]
        (pair,) = told.fields["pairs"]
        first, second = told.rows
        assert (first["against"], first["uar_change"]) == ("", "")
        assert second["against"] == "cnn-float32"
        for name in ("uar_change", "agreement", "mcnemar_p", "latency_ratio", "changed"):
            assert float(second[name]) == pair[name]
        assert float(second["uar_change_low"]) == pair["intervals"]["uar_change"][0]

    def test_nothing_else_is_written(self, told: Told) -> None:
        assert told.files == {"a.csv", "a.html"}

    def test_the_page_says_the_same(self, told: Told) -> None:
        assert told.fields["verdict"]["choice"] in told.page.replace("&#39;", "'")
        for model in told.fields["models"]:
            assert f"{model['uar']:.1%}" in told.page


def test_seen_clips_if_one_insists(voices: Path, tmp_path: Path) -> None:
    """The figures come, and with them that they tell nothing."""
    flatbuffer, contract = read(INT8)
    training = contract.training | {"corpus": "savee", "protocol": "all", "fold": "all"}
    seen = tmp_path / "seen.tflite"
    seen.write_bytes(attach(flatbuffer, dataclasses.replace(contract, training=training)))
    with pytest.raises(ModelError, match="with nothing held out"):
        compare([FLOAT, seen], voices, "random-5fold", "fold1")
    done = CliRunner().invoke(
        command,
        [str(FLOAT), str(seen), "--corpus", str(voices), *ON, "--allow-seen", "--rounds", "20"],
    )
    assert done.exit_code == 0, done.output
    assert "These clips cannot tell which model to choose: seen was trained on" in done.stdout
    # not the float model of that training, so only what it is
    assert "cnn-float32" in done.stdout


def test_on_a_raspberry_pi_that_gets_too_hot(
    voices: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Clock, temperature and throttling before and after, from files as its kernel has them."""
    files = {
        "sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq": ("1500000", "600000"),
        "sys/class/thermal/thermal_zone0/temp": ("48500", "84200"),
        "sys/devices/platform/soc/soc:firmware/get_throttled": ("0", "40004"),
    }
    states = []
    for moment, root in enumerate((tmp_path / "before", tmp_path / "after")):
        for name, texts in files.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(texts[moment])
        states.append(board_state(root))
    moments = iter(states)
    monkeypatch.setattr(comparison, "board_state", lambda: next(moments))
    arguments = [FLOAT, INT8, "--corpus", voices, *ON, "--rounds", "20"]
    done = CliRunner().invoke(command, [str(argument) for argument in arguments])
    assert done.exit_code == 0, done.output
    assert "before the timing: 1500 MHz, 48 °C, not throttled\n" in done.stdout
    assert "after it: 600 MHz, 84 °C, throttled now, throttled since boot\n" in done.stdout
    assert "The machine was held back after the timing: 600 MHz" in " ".join(done.stdout.split())


def test_fold_of_the_first_model_by_default(tmp_path: Path) -> None:
    names = model_names([tmp_path / "a" / "x.tflite", tmp_path / "b" / "x.tflite", INT8])
    assert names == [str(tmp_path / "a" / "x.tflite"), str(tmp_path / "b" / "x.tflite"), "cnn-int8"]


def children(pid: int) -> list[str]:
    """Command lines of the processes that `pid` has started."""
    found = []
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            text = status.read_text()
            if f"PPid:\t{pid}\n" in text:
                found.append(status.with_name("cmdline").read_text().replace("\0", " "))
        except OSError:
            continue
    return found


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="there is no /proc")
def test_ctrl_c_leaves_nothing(voices: Path, tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "emopi.device.cli", "compare", FLOAT, INT8, "--corpus", voices, *ON,
         "--rounds", "100000", "--csv", tmp_path / "a.csv", "--html", tmp_path / "a.html"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        start_new_session=True,
    )  # fmt: skip
    deadline = time.monotonic() + 120
    while not any("comparison.timing" in line for line in children(process.pid)):
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    stdout, stderr = process.communicate(timeout=60)
    assert (process.returncode, stdout) == (1, "")
    assert stderr.strip() == "interrupted"
    assert not list(tmp_path.iterdir())


@needs_16k
def test_on_real_clips_int8_costs_little() -> None:
    """The shipped CNN: what its int8 form changes on the clips of its own fold."""
    done = run_emopi(
        "compare", FLOAT, INT8, "--corpus", RAVDESS_16K, "--protocol", "paper-80-20", "--rounds",
        20, "--json",
    )  # fmt: skip
    if "nothing held out" in done.stderr:
        pytest.skip("trained on everything: nothing is left to compare it on")
    assert done.returncode == 0, done.stderr
    (pair,) = json.loads(done.stdout)["pairs"]
    assert pair["n"] == 288
    assert pair["agreement"] >= 0.985
    assert abs(pair["uar_change"]) <= 0.01
    assert pair["size_ratio"] <= 0.3
