"""The counting of instructions: what can be tested without an emulated Raspberry Pi, and its
plugin on a program of a known number of instructions where QEMU is installed."""

from __future__ import annotations

import io
import json
import os
import shutil
import struct
import subprocess
from pathlib import Path

import pytest
from support import MODELS, ROOT

from emopi.device.decision import NO_SPEECH

if not (ROOT / "benchmarks").is_dir():
    pytest.skip("the benchmarks are not in this copy", allow_module_level=True)
with pytest.MonkeyPatch.context() as patch:
    patch.syspath_prepend(ROOT)
    from benchmarks.emulation.cores import CORES, Board, Core
    from benchmarks.emulation.machine import EmulationError, check_tools
    from benchmarks.instructions import emulation, guest
    from benchmarks.instructions.__main__ import COMMITTED, RESULTS
    from benchmarks.instructions.report import page
    from benchmarks.instructions.tally import AIMS, Aim, CountError, changes, per_call

STAGES = {
    "cnn-int8": {"network": 3_000_000, "hop": 6_000_000, "detector": 3_600_000},
    "cnn-float32": {"network": 10_000_000, "hop": 12_000_000, "detector": 4_000_000},
}
COUNTS = {model: {core.name: stages for core in CORES} for model, stages in STAGES.items()}
FOUND = {
    "versions": {"qemu": "7.2"},
    "models": {"cnn-int8": "cnn-int8-01234567", "cnn-float32": "cnn-float32-89abcdef"},
    "counts": COUNTS,
}


def test_counts_of_one_call() -> None:
    marks = "1000\n1300\n5000\n5601\n"
    assert per_call(marks, ["network", "hop"], 3) == {"network": 100, "hop": 200}


@pytest.mark.parametrize(
    ("marks", "says"),
    [
        ("1000\n1300\n5000\n", "3 marks"),
        ("", "0 marks"),
        ("1000\n1300\n1200\n1500\n", "larger than the one before"),
        ("1000\n1000\n1200\n1500\n", "larger than the one before"),
        ("1000\nwarning: x\n", "not numbers"),
    ],
)
def test_marks_that_are_none(marks: str, says: str) -> None:
    with pytest.raises(CountError, match=says):
        per_call(marks, ["network", "hop"], 3)


def test_only_growth_beyond_three_percent_fails() -> None:
    before = {"cnn-int8": {"cortex-a72": {"a": 1000, "b": 1000, "c": 1000, "gone": 5}}}
    now = {
        "cnn-int8": {"cortex-a72": {"a": 1030, "b": 1031, "c": 500, "new": 7}},
        "lstm-int8": {"cortex-a72": {"a": 9999}},
    }
    found = list(changes(before, now))
    assert [(change.stage, change.fails) for change in found] == [
        ("a", False),
        ("b", True),
        ("c", False),
    ]
    assert found[2].growth == -0.5


def test_aims_as_share_and_as_number() -> None:
    share = Aim("cnn-int8", ("network",), "cortex-a76", 0.3, "cnn-float32")
    assert share.found(COUNTS) == 0.3
    assert Aim("cnn-int8", ("hop", "detector"), "cortex-a72", 20e6).found(COUNTS) == 9.6e6
    assert share.found({"cnn-int8": COUNTS["cnn-int8"]}) is None
    assert Aim("lstm-int8", ("hop",), "cortex-a72", 1).found(COUNTS) is None


def test_every_aim_is_of_a_shipped_model_and_a_known_core() -> None:
    for aim in AIMS:
        assert aim.core in {core.name for core in CORES}
        for name in filter(None, (aim.model, aim.reference)):
            assert (MODELS / f"{name}.tflite").is_file()


def test_milliseconds_bracket() -> None:
    core = Core("cortex-a72", (), (0.5, 2.0))
    assert core.milliseconds(3e6, Board("4 B", 1.5)) == (1.0, 4.0)


def test_page_says_what_is_met_missed_and_grown() -> None:
    before = {"cnn-int8": {"cortex-a53": {"network": 2_000_000, "hop": 6_000_000}}}
    text = page(FOUND, list(changes(before, COUNTS)))
    assert "| cnn-int8 | network | 3.00 | 3.00 | 3.00 |" in text
    assert "| cnn-int8 | network | cortex-a53 | 2.00 | 3.00 | +50.0% |" in text
    assert "| cnn-int8 / cnn-float32, network | cortex-a76 | 0.30 | 0.30 | met |" in text
    assert "| cnn-int8, hop + detector | cortex-a76 | 9.6 M | 8.0 M | **missed** |" in text
    assert "| cnn-int8, hop | cortex-a72 | 6.0 M | 20.0 M | met |" in text
    assert "| Raspberry Pi Zero 2 W, 3 B | cortex-a53 | 0.30 | 0.50 |" in text
    assert "lstm" not in text
    assert "| Raspberry Pi 5 | cortex-a76, 2.4 GHz | 1.0 to 3.0 | 1.3 to 4.0 | 2.2 to 6.7 |" in text


def test_page_without_growth_or_without_committed_counts() -> None:
    assert "None of 18 differs" in page(FOUND, list(changes(COUNTS, COUNTS)))
    assert "There are none of these models" in page(FOUND, [])
    assert "committed" not in page(FOUND)


def test_committed_counts_are_of_every_shipped_model() -> None:
    committed = json.loads(COMMITTED.read_text())
    names = {path.stem for path in MODELS.glob("*.tflite")}
    assert set(committed["counts"]) == set(committed["models"]) == names
    assert committed["boards"] == {core.name: [b.name for b in core.boards] for core in CORES}
    assert page(committed) in RESULTS.read_text()
    for cores in committed["counts"].values():
        assert list(cores) == [core.name for core in CORES]
        for stages in cores.values():
            assert stages["classifier"] > stages["network"] > 0
            assert stages["hop"] > stages["classifier"] + stages["frontend_hop"]
            assert stages["detector"] > 0


def test_guest_marks_begin_and_end_of_every_stage(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    marks: list[int] = []
    monkeypatch.setattr(os, "getppid", lambda: marks.append(len(marks)))
    guest.main(str(MODELS / "cnn-int8.tflite"))
    told = json.loads(capsys.readouterr().out)
    assert told["stages"][-3:] == ["network", "classifier", "hop"]
    assert len(marks) == 2 * len(told["stages"])
    assert told["repeats"] == guest.REPEATS


def test_guest_hop_decides_once() -> None:
    lines = io.StringIO()
    hop = guest.stages(str(MODELS / "cnn-int8.tflite"), lines)["hop"]
    filled = len(lines.getvalue().splitlines())
    for _ in range(guest.REPEATS + 1):
        hop()
    decisions = [json.loads(line) for line in lines.getvalue().splitlines()[filled:]]
    assert filled >= 6  # the windows of 3 s, which are averaged
    assert len(decisions) == guest.REPEATS + 1
    assert all(decision["label"] != NO_SPEECH for decision in decisions)  # the network has run


def test_missing_tools_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        shutil, "which", lambda tool: None if tool in ("qemu-aarch64", "gcc") else "/bin/" + tool
    )
    with pytest.raises(EmulationError, match="sudo apt install qemu-user gcc"):
        check_tools("qemu-aarch64", "mmdebstrap", "gcc")


@pytest.mark.skipif(
    not (shutil.which("qemu-aarch64") and shutil.which("gcc")),
    reason="QEMU's user-mode emulator or gcc is not installed (apt install qemu-user gcc)",
)
def test_plugin_counts_a_known_number_of_instructions(tmp_path: Path) -> None:
    getppid, call = 0xD28015A8, 0xD4000001
    exit_0 = [0xD2800000, 0xD2800BA8, call]
    loop = [0xD2807D01, 0xF1000421, 0x54FFFFE1]  # x1 = 1000; do x1 -= 1; while x1
    program = tmp_path / "program"
    program.write_bytes(_elf([getppid, call, *loop, call, call, *exit_0]))
    program.chmod(0o755)
    plugin, marks = tmp_path / "count.so", tmp_path / "marks"
    strict = ("-Wall", "-Wextra", "-Werror")
    source = emulation.SOURCE
    subprocess.run(["gcc", "-shared", "-fPIC", *strict, "-o", plugin, source], check=True)
    command = ["qemu-aarch64", "-d", "plugin", "-D", marks, "-plugin", plugin, program]
    subprocess.run(command, check=True, timeout=60)
    first, second, third = (int(line) for line in marks.read_text().split())
    assert second - first == 1 + 2 * 1000 + 1
    assert third - second == 1


def _elf(code: list[int]) -> bytes:
    """A static aarch64 program of these instructions."""
    base, header_bytes = 0x400000, 64 + 56
    size = header_bytes + 4 * len(code)
    ident = b"\x7fELF" + bytes([2, 1, 1]) + bytes(9)
    header = struct.pack(
        "<HHIQQQIHHHHHH", 2, 183, 1, base + header_bytes, 64, 0, 0, 64, 56, 1, 0, 0, 0
    )
    segment = struct.pack("<IIQQQQQQ", 1, 5, 0, base, base, size, size, 0x1000)
    return ident + header + segment + struct.pack(f"<{len(code)}I", *code)
