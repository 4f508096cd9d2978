"""`emopi bench`: what it measures, and what it says of it, on this machine and on others."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support import MODELS, run_emopi

from emopi.device.bench import measure as bench_measure
from emopi.device.bench import run as bench_run
from emopi.device.bench.measure import bench
from emopi.device.bench.measured import Bench, BenchSettings, Measured, Run, Slice, together
from emopi.device.bench.report import to_json
from emopi.device.bench.run import Order, Stopwatch, at_pace, measure
from emopi.device.bench.text import render
from emopi.device.board import BoardState, board_state
from emopi.device.board_span import BoardSpan, was_throttled
from emopi.device.contract import read
from emopi.device.errors import ComparisonError, ModelError, SpecError
from emopi.device.sources.audio import AudioBlock
from tests.device.test_board import PI, laid_out, says_nothing

INT8 = MODELS / "cnn-int8.tflite"
QUICK = ("--runs", 1, "--decisions", 2, "--paced", 0)
COOL = BoardState(1500, "ondemand", 48.0, (), 0.5, 4)
HOT = BoardState(
    600, "ondemand", 84.6, ("throttled now", "under-voltage since boot"), 0.5, 4
)  # fmt: skip
SILENT = BoardState(None, None, None, None, None, 4)


def a_slice(total_ms: list[float], board: BoardState = COOL) -> Slice:
    """Decisions, half of each the network's."""
    total = np.array(total_ms, np.float32)
    shares = {"frontend": 0.25, "detector": 0.2, "speech": 0.1, "model": 0.5, "interpreter": 0.4}
    passed = {stage: share * total for stage, share in shares.items()} | {"total": total}
    return Slice(1.0, passed, 0.9 * total, board, 50.0)


def a_run(*slices: Slice) -> Run:
    first_ms = dict.fromkeys(slices[0].passed_ms, 9.0)
    return Run(12.0, "Silero", first_ms, 0.1, slices)


def a_bench(
    *runs: Run, before: BoardState = COOL, after: BoardState = COOL, **settings: Any
) -> Bench:
    """As measured on another machine."""
    model = Measured("cnn-int8", read(INT8)[1], 1000, list(runs))
    facts = {"name": "Raspberry Pi 4", "architecture": "aarch64", "cores": "4", "kernel": "Linux"}
    return Bench(
        BenchSettings(**settings), "2026-11-25T10:00:00+00:00", facts, [model], before, after
    )


# On this machine


@pytest.fixture(scope="module")
def found() -> Bench:
    settings = BenchSettings(hop_s=0.25, runs=4, decisions=6, paced_s=0.3, minutes=0.01)
    return bench([INT8], settings)


def test_every_decision_of_every_process_counts(found: Bench) -> None:
    (model,) = found.models
    assert [len(run.passed_ms["total"]) for run in model.runs] == [6] * 4
    assert len(model.every_run.passed_ms["total"]) == 24
    assert model.paced
    assert model.sustained
    assert len(model.sustained.slices) == 1
    for run in (*model.runs, model.paced, model.sustained):
        passed = run.passed_ms
        told = passed["frontend"] + passed["model"] + passed.get("detector", 0)
        assert (told < passed["total"]).all()
        assert (passed["interpreter"] < passed["model"]).all()
        assert (passed["speech"] < passed["detector"]).all()
        assert min(times.min() for times in passed.values()) > 0
        assert run.cpu_ms > 0
        assert run.load_ms > 0


def test_json_of_one_model(found: Bench) -> None:
    fields = json.loads(json.dumps(to_json(found), allow_nan=False))
    assert fields["name"] == "cnn-int8"
    assert "models" not in fields
    for part in (fields, fields["paced"], fields["sustained"]):
        for stage in ("frontend", "model", "total"):
            times = part["stages"][stage]
            assert list(times) == ["p50_ms", "p90_ms", "p95_ms", "p99_ms", "max_ms", "first_ms"]
            assert 0 < times["p50_ms"] <= times["p99_ms"] <= times["max_ms"]
    assert fields["first_ms"] == fields["stages"]["model"]["first_ms"]
    assert 0 <= fields["python_share"] < 1
    assert fields["rss_mb"] > 10
    assert fields["cpu_share"] > 0
    assert len(fields["runs"]) == 4
    assert fields["machine"]["numpy"] == np.__version__
    assert set(fields["board"]) == {"before", "during", "after", "throttled", "busy"}


def test_text_says_where_and_how(found: Bench) -> None:
    text = render(found)
    for word in (np.__version__, "before ", "during ", "after ", "a decision every 0.25 s",
                 "4 fresh processes", "whole hop", "Real-time factor", "Python's share",
                 "Throttled: "):  # fmt: skip
        assert word in text
    assert max(map(len, text.splitlines())) <= 120


def test_needs_no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "socket", None)
    monkeypatch.setitem(sys.modules, "pyaudio", None)
    order = Order(str(INT8), detector="none", decisions=3)
    started, one = measure(dataclasses.asdict(order))
    assert started["detector"] == "none"
    assert len(one["cpu_ms"]) == 3
    assert "detector" not in one["passed_ms"]


def test_a_broken_model_is_told_before_anything_is_measured(tmp_path: Path) -> None:
    broken = tmp_path / "broken.tflite"
    broken.write_bytes(INT8.read_bytes()[:-1000])
    with pytest.raises(ModelError, match="has no contract that can be read"):
        bench([INT8, broken], BenchSettings())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"hop_s": 0.0}, "hop_s is 0.0; expected 0.05 to 60 seconds"),
        ({"detector": "cat"}, "detector is 'cat'; expected one of"),
        ({"threads": 0}, "threads is 0; expected 1 to 64"),
        ({"runs": 21}, "runs is 21; expected 1 to 20"),
        ({"minutes": -1.0}, "minutes is -1.0; expected 0 to 1440"),
        ({"minutes": float("nan")}, "minutes is nan"),
        ({"paced_s": float("inf")}, "paced_s is inf"),
    ],
)
def test_settings_out_of_range(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        BenchSettings(**settings)


# How it measures


class Timepiece:
    """Stands still, but while somebody sleeps or works."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def monotonic(self) -> float:
        return self.now_s

    def perf_counter_ns(self) -> int:
        return round(self.now_s * 1e9)

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Timepiece:
    timepiece = Timepiece()
    monkeypatch.setattr(bench_run, "time", timepiece)
    return timepiece


def test_blocks_come_at_the_pace_of_a_microphone(clock: Timepiece) -> None:
    came_s = []
    for number, _ in enumerate(at_pace([AudioBlock(np.zeros(1600, np.float32))] * 5)):
        came_s.append(clock.now_s - 100)
        clock.sleep(0.24 if number == 1 else 0.01)  # one takes longer than two blocks
    assert came_s == pytest.approx([0.1, 0.2, 0.44, 0.45, 0.5])


def test_stopwatch(clock: Timepiece) -> None:
    class Worker:
        def work(self, seconds: float) -> float:
            clock.sleep(seconds)
            if seconds > 1:
                raise ZeroDivisionError
            return seconds

    worker, watch = Worker(), Stopwatch()
    watch.watch("work", worker, "work")
    assert worker.work(0.5) == 0.5
    assert worker.work(0.25) == 0.25
    with pytest.raises(ZeroDivisionError):
        worker.work(2)
    clock.sleep(7)
    assert watch.take_ms() == {"work": 2750.0}
    assert watch.take_ms() == {"work": 0.0}


@pytest.mark.parametrize(
    ("seconds", "slices"), [(0, 1), (0.3, 1), (1.5, 2), (90, 90), (86_400, 120)]
)
def test_slices(seconds: float, slices: int) -> None:
    assert Order("m", seconds=seconds).slices == slices


def test_what_runs_come_to() -> None:
    runs = [a_run(a_slice([1.0, 3.0])), a_run(a_slice([2.0, 6.0]), a_slice([8.0]))]
    runs[1] = dataclasses.replace(runs[1], load_ms=20.0)
    both = together(runs)
    assert both.passed_ms["total"].tolist() == [1, 3, 2, 6, 8]
    assert both.load_ms == 16
    assert both.stages["total"].p50_ms == 3
    assert both.cpu_ms == pytest.approx(0.9 * 4)
    # neither 0.4 interpreter nor 0.1 detector, of 3 ms; 0.1 ms are arithmetic
    assert both.python_share == pytest.approx(0.5 - 0.1 / 3, rel=1e-5)
    assert (both.late(0.0025), both.late(0.5)) == (3, 0)


# Interrupted


def told(*, interrupted_at: int) -> Any:
    """In place of fresh processes: some tell of a decision, then comes Ctrl-C."""
    count = iter(range(1000))

    def answers(_module: str, order: dict[str, Any]) -> Iterator[Any]:
        run = a_run(a_slice([1.0]))
        yield {name: value for name, value in vars(run).items() if name in (
            "load_ms", "detector", "first_ms", "arithmetic_ms")}  # fmt: skip
        while True:
            if next(count) == interrupted_at:
                raise KeyboardInterrupt
            yield {
                "seconds": 1.0,
                "passed_ms": {s: ms.tolist() for s, ms in a_slice([1.0]).passed_ms.items()},
                "cpu_ms": [0.9], "board": COOL.to_json(), "rss_mb": 50.0,
            }  # fmt: skip
            if not order["seconds"]:
                return

    return answers


def test_what_was_measured_until_then(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = BenchSettings(runs=2, paced_s=0, minutes=60)
    models = [INT8, MODELS / "lstm-int8.tflite"]
    monkeypatch.setattr(bench_measure, "answers", told(interrupted_at=9))
    found = bench(models, settings)
    assert found.interrupted
    first, second = found.models
    assert (len(first.runs), len(second.runs)) == (2, 2)
    assert first.sustained
    assert len(first.sustained.slices) == 5
    assert second.sustained is None
    assert "Interrupted" in render(found)
    assert to_json(found)["models"][1]["sustained"] is None
    monkeypatch.setattr(bench_measure, "answers", told(interrupted_at=1))
    found = bench(models, settings)
    assert [model.name for model in found.models] == ["cnn-int8"]
    monkeypatch.setattr(bench_measure, "answers", told(interrupted_at=0))
    with pytest.raises(KeyboardInterrupt):
        bench(models, settings)


def test_ctrl_c_prints_what_there_is() -> None:
    arguments = ["bench", "cnn-int8", *map(str, QUICK), "--minutes", "60", "--json"]
    with subprocess.Popen(
        [sys.executable, "-m", "emopi.device.cli", *arguments],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, process_group=0,
    ) as process:  # fmt: skip
        assert process.stderr
        assert process.stdout
        while "sustained" not in (line := process.stderr.readline()):
            assert line
        os.killpg(process.pid, signal.SIGINT)
        fields = json.loads(process.stdout.read())
        assert process.wait() == 1
        assert process.stderr.read() == "interrupted\n"
    assert fields["interrupted"] is True
    assert fields["stages"]["total"]["p50_ms"] > 0


# What boards tell


def test_a_board_over_time() -> None:
    span = BoardSpan.of([COOL, HOT])
    complaints = "throttled now, under-voltage since boot"
    assert span.describe() == f"600 to 1500 MHz (ondemand), 48 to 85 °C, {complaints}"
    assert BoardSpan.of([COOL]).describe() == "1500 MHz (ondemand), 48 °C, not throttled"
    nothing = BoardSpan.of([SILENT, SILENT])
    assert not nothing.told
    assert nothing.describe() == "the machine tells neither clock nor temperature"
    assert nothing.to_json()["throttling"] is None


def test_a_board_of_files(tmp_path: Path) -> None:
    state = board_state(laid_out(tmp_path, PI), says_nothing)
    assert BoardState.from_json(json.loads(json.dumps(state.to_json()))) == state
    text = render(a_bench(a_run(a_slice([1.0], state)), before=state, after=state))
    assert "during      2400 MHz (ondemand), 49 °C, under-voltage now, throttled now" in text
    assert "Throttled: YES." in text


@pytest.mark.parametrize(
    ("before", "during", "after", "expected"),
    [
        ((), [()], (), False),
        ((), [("throttled now",)], (), True),
        ((), [()], ("soft temperature limit now",), True),
        # of a moment that no look has seen
        ((), [()], ("throttled since boot",), True),
        # long ago
        (("throttled since boot",), [("throttled since boot",)], ("throttled since boot",), False),
        (None, [("throttled since boot",)], None, False),
        (("throttled now",), [()], (), False),
        (None, [None], None, None),
        ((), [None], None, None),
    ],
)
def test_throttled(before: Any, during: Any, after: Any, expected: bool | None) -> None:
    states = [dataclasses.replace(SILENT, throttling=words) for words in (before, *during, after)]
    assert was_throttled(states[0], states[1:-1], states[-1]) is expected


def test_the_table_of_a_sustained_run_shows_heat() -> None:
    found = a_bench(a_run(a_slice([1.0])))
    found.models[0].sustained = a_run(*[a_slice([2.0])] * 30, *[a_slice([3.0], HOT)] * 30)
    text = render(found)
    rows = [line for line in text.splitlines() if line.startswith("to ")]
    assert len(rows) == 10
    assert rows[0].split()[:5] == ["to", "0.10", "2", "2", "2"]
    assert rows[-1].split()[:5] == ["to", "1.00", "3", "3", "3"]
    assert rows[-1].endswith("600 MHz (ondemand), 85 °C, throttled now, under-voltage since boot")
    assert "takes 1.50 times what it took at its beginning" in text
    assert "Throttled: YES." in text
    assert to_json(found)["sustained"]["slowdown"] == 1.5


def test_a_silent_board_has_no_column() -> None:
    found = a_bench(a_run(a_slice([1.0], SILENT)), before=SILENT, after=SILENT)
    found.models[0].sustained = a_run(a_slice([2.0], SILENT))
    text = render(found)
    assert "memory, MiB\n" in text
    assert "Throttled: this machine does not tell." in text
    assert to_json(found)["board"]["throttled"] is None


def test_late_and_busy_are_said() -> None:
    crowded = dataclasses.replace(a_slice([600.0, 400.0]), cpu_ms=np.array([200.0, 200.0]))
    found = a_bench(a_run(crowded))
    assert found.taken_by_others == pytest.approx(0.6)
    assert "1 decisions TOOK LONGER THAN A HOP" in render(found)
    assert "Busy: YES." in render(found)
    assert not a_bench(a_run(a_slice([1.0]))).busy
    assert a_bench(a_run(a_slice([1.0])), after=dataclasses.replace(COOL, load=5.0)).busy
    # of several threads the CPU time says nothing of others
    assert not a_bench(a_run(crowded), threads=2).busy


# The command


def test_command_for_one_and_for_several(tmp_path: Path) -> None:
    done = run_emopi("bench", "cnn-int8", "lstm-int8", *QUICK, "--json", "--detector", "none")
    assert done.returncode == 0, done.stderr
    fields = json.loads(done.stdout)
    assert [model["name"] for model in fields["models"]] == ["cnn-int8", "lstm-int8"]
    assert "stages" not in fields
    assert fields["models"][0]["cpu_share"] is None
    old = tmp_path / "old.json"
    old.write_text(done.stdout)
    done = run_emopi("bench", INT8, *QUICK, "--compare", old, "--json", "--threads", 2)
    assert done.returncode == 0, done.stderr
    against = json.loads(done.stdout)["against"]
    assert list(against) == ["total_ms", "frontend_ms", "model_ms", "load_ms", "rss_mb"]
    assert {change["verdict"] for change in against.values()} == {"too few runs"}


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (("absent",), 1, "'absent': no such model file; expected a path, or one of: cnn-float32"),
        (("cnn-int8", INT8), 2, "is named twice"),
        (("--minutes", "soon"), 2, "'soon' is not a valid float"),
        (("--hop", "0"), 1, "hop_s is 0.0; expected 0.05 to 60 seconds"),
        (("--compare", "absent.json"), 1, "absent.json cannot be read: No such file"),
        (("--compare", "/"), 1, "/ cannot be read: Is a directory"),
        (("--compare", INT8), 1, "is not what emopi bench --json prints"),
    ],
)
def test_bad_usage(arguments: tuple[object, ...], status: int, message: str) -> None:
    done = run_emopi("bench", *arguments)
    assert done.returncode == status
    assert message in done.stderr
    assert done.stdout == ""


def test_a_failure_in_the_process_is_told(tmp_path: Path) -> None:
    with pytest.raises(ComparisonError, match="no such model file"):
        list(bench_measure.answers("emopi.device.bench.run", {"model": str(tmp_path / "no")}))
