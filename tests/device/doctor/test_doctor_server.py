"""`emopi devices` and `emopi doctor` on a real sound server with the real PyAudio."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator

import numpy as np
import pytest
from support import speech

from tests.device.pulse import PulseServer, pulse_server, why_not

pytestmark = pytest.mark.skipif(bool(why_not()), reason=f"no sound server: {why_not()}")

HANG_S = 120
RATE_HZ = 48_000


@pytest.fixture(scope="module")
def server() -> Iterator[PulseServer]:
    with pulse_server(RATE_HZ, 2) as started:
        yield started


def emopi(server: PulseServer, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "emopi.device.cli", *arguments]
    return subprocess.Popen(
        command, env=server.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def test_devices(server: PulseServer) -> None:
    stdout, stderr = emopi(server, "devices", "--json").communicate(timeout=HANG_S)
    assert stderr == ""
    found = json.loads(stdout)["devices"]
    assert [device["name"] for device in found] == ["mic", "default"]
    assert [device["is_default"] for device in found] == [False, True]
    assert {16_000, 44_100, 48_000} <= set(found[0]["rates_hz"])
    assert {1, 2} <= set(found[0]["channel_counts"])
    assert found[0]["formats"] == ["int32", "float32", "int24", "int16"]


def test_doctor_hears_the_live_channel(server: PulseServer) -> None:
    arguments = ("--source", "mic:mic", "--rate", str(RATE_HZ), "--seconds", "3", "--json")
    process = emopi(server, "doctor", *arguments)
    voice = np.zeros((4 * RATE_HZ, 2))
    voice[:, 1] = speech(4.0, RATE_HZ)
    assert process.stderr
    for line in process.stderr:
        if "please speak" in line:
            break
    while process.poll() is None:
        server.play((voice * 32767).astype(np.int16), RATE_HZ)
    stdout, stderr = process.communicate(timeout=HANG_S)
    report = json.loads(stdout)
    microphone = report["microphone"]
    assert microphone["heard"] == 2, stderr
    assert (microphone["rate_hz"], microphone["sample_format"]) == (RATE_HZ, "int32")
    assert microphone["delivered_s"] == 3.0
    left, right = microphone["channels"]
    assert left["dead"]
    assert right["peak_dbfs"] > -30
    assert not any(finding["verdict"] == "problem" for finding in microphone["findings"])
    assert report["works"] == all(
        finding["verdict"] != "problem"
        for part in ("software", "model", "speed", "machine")
        for finding in report[part]["findings"]
    )
    assert process.returncode == (0 if report["works"] else 1)


def test_doctor_of_a_silent_microphone(server: PulseServer) -> None:
    """A server's monitor gives zeros where nothing plays."""
    process = emopi(server, "doctor", "--seconds", "1")
    stdout, _ = process.communicate(timeout=HANG_S)
    assert process.returncode == 1
    ill = [line for line in stdout.splitlines() if line.startswith("microphone problem")]
    assert ill == ["microphone problem  every sample is the same: this is digital silence"]
