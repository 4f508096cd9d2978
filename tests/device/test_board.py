"""What the machine says of itself, from files laid out as the kernel does."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from emopi.device import board
from emopi.device.board import BoardState, ask_vcgencmd, board_state, resident_mb

PI = {
    "sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq": "1500000\n",
    "sys/devices/system/cpu/cpu1/cpufreq/scaling_cur_freq": "2400000\n",
    "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor": "ondemand\n",
    "sys/class/thermal/thermal_zone0/temp": "61338\n",
    "sys/class/thermal/thermal_zone0/type": "gpu-thermal\n",
    "sys/class/thermal/thermal_zone1/temp": "48686\n",
    "sys/class/thermal/thermal_zone1/type": "cpu-thermal\n",
    "sys/devices/platform/soc/soc:firmware/get_throttled": "50005\n",
    "proc/loadavg": "0.52 0.40 0.30 1/150 999\n",
}
CORES = os.cpu_count()


def laid_out(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def says_nothing(_query: str) -> None:
    return None


def test_a_raspberry_pi(tmp_path: Path) -> None:
    state = board_state(laid_out(tmp_path, PI), says_nothing)
    complaints = ("under-voltage now", "throttled now", "under-voltage since boot",
                  "throttled since boot")  # fmt: skip
    assert state == BoardState(2400, "ondemand", 48.686, complaints, 0.52, CORES)
    assert state.told
    assert state.throttled_now
    assert state.to_json()["throttling"] == list(complaints)
    assert state.describe().startswith("2400 MHz (ondemand), 49 °C, under-voltage now, throttled")


def test_a_raspberry_pi_that_is_well(tmp_path: Path) -> None:
    files = PI | {"sys/devices/platform/soc/soc:firmware/get_throttled": "0\n"}
    state = board_state(laid_out(tmp_path, files), says_nothing)
    assert state.throttling == ()
    assert not state.throttled_now
    told = f"2400 MHz (ondemand), 49 °C, not throttled, load 0.5 on {CORES} cores"
    assert state.describe() == told


def test_throttled_before_is_not_now(tmp_path: Path) -> None:
    files = {"sys/devices/platform/soc/soc:firmware/get_throttled": "40000"}
    state = board_state(laid_out(tmp_path, files), says_nothing)
    assert state.throttling == ("throttled since boot",)
    assert not state.throttled_now


def test_the_firmware_is_asked_where_the_kernel_is_silent(tmp_path: Path) -> None:
    answers = {"measure_clock arm": "frequency(48)=1500398464", "get_throttled": "throttled=0x4"}
    state = board_state(tmp_path, answers.get)
    assert state == BoardState(1500, None, None, ("throttled now",), None, CORES)


def test_a_machine_that_tells_nothing(tmp_path: Path) -> None:
    state = board_state(tmp_path, says_nothing)
    assert state == BoardState(None, None, None, None, None, CORES)
    assert not state.told
    assert state.describe() == "the machine tells neither clock nor temperature"


@pytest.mark.parametrize("nonsense", ["", "unknown", "0x"])
def test_nonsense_is_not_told(tmp_path: Path, nonsense: str) -> None:
    state = board_state(laid_out(tmp_path, dict.fromkeys(PI, nonsense)), lambda _: nonsense)
    assert (state.clock_mhz, state.temperature_c, state.throttling) == (None, None, None)
    assert state.load is None


def test_hottest_zone_where_none_is_the_processors(tmp_path: Path) -> None:
    files = {f"sys/class/thermal/thermal_zone{k}/temp": f"{t}" for k, t in ((0, 3e4), (1, 5e4))}
    files = {name: text.removesuffix(".0") for name, text in files.items()}
    assert board_state(laid_out(tmp_path, files), says_nothing).temperature_c == 50


@pytest.mark.parametrize(
    ("load", "cores", "busy"), [(1.2, 1, False), (3.0, 2, True), (4.2, 4, False), (None, 4, False)]
)
def test_busy(load: float | None, cores: int, busy: bool) -> None:
    """The one that measures counts, and so does a little of everything else."""
    assert BoardState(None, None, None, None, load, cores).busy is busy


def test_vcgencmd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert ask_vcgencmd("get_throttled") is None
    fake = tmp_path / "vcgencmd"
    fake.write_text('#!/bin/sh\n[ "$1" = get_throttled ] && echo throttled=0x0\n')
    fake.chmod(0o755)
    assert ask_vcgencmd("get_throttled") == "throttled=0x0"
    assert ask_vcgencmd("measure_clock arm") is None  # it failed


def test_resident_memory_of_this_process() -> None:
    before_mb, source = resident_mb()
    held = np.ones(2**23)  # 64 MiB, every page touched
    grown_mb, _ = resident_mb()
    assert 56 < grown_mb - before_mb < 80
    assert held[-1] == 1
    assert "VmRSS" in source or os.uname().sysname != "Linux"


def test_resident_memory_without_proc(tmp_path: Path) -> None:
    most_mb, source = resident_mb(tmp_path)
    assert source == "maximum of getrusage"
    assert most_mb >= resident_mb(board.ROOT)[0] * 0.9
