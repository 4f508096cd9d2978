"""`emopi devices` with devices in the test's hands; with a real server in test_doctor_server."""

from __future__ import annotations

import dataclasses
import json
import sys

import pytest
from click.testing import CliRunner

from emopi.device.commands.devices import devices, table
from emopi.device.errors import MicrophoneError
from emopi.device.sources.devices import DeviceReport, device_reports
from tests.device.fake_pyaudio import BUILT_IN, SERVER, USB, FakePyAudio


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakePyAudio:
    fake = FakePyAudio()
    fake.devices = [BUILT_IN, USB, SERVER]
    monkeypatch.setitem(sys.modules, "pyaudio", fake)
    return fake


def i2s(fake: FakePyAudio) -> None:
    """48 kHz, two channels, 32 bits or 16."""

    def refuse(rate: float, channels: int, sample_format: int) -> int | None:
        if rate not in (44_100, 48_000):
            return -9997
        if channels != 2:
            return -9998
        return None if sample_format in (fake.paInt32, fake.paInt16) else -9994

    fake.refuse = refuse
    fake.devices = [BUILT_IN]


def test_what_a_device_can(fake: FakePyAudio) -> None:
    i2s(fake)
    assert device_reports() == [DeviceReport(BUILT_IN, (44_100, 48_000), (2,), ("int32", "int16"))]
    assert fake.terminated == 1


def test_table(fake: FakePyAudio) -> None:
    i2s(fake)
    star = dataclasses.replace(BUILT_IN, is_default=True)
    fake.devices = [star]
    assert table(device_reports()) == [
        "   #  NAME                    CHANNELS  RATES IN HZ (* ITS OWN)  FORMATS",
        "*  0  Built-in: ALC (hw:0,0)  2         44100 48000*             int32 int16",
    ]


def test_a_server_claims_many_channels(fake: FakePyAudio) -> None:
    fake.devices = [SERVER]
    report = device_reports()[0]
    assert report.channels == tuple(range(1, 9))
    assert "  1-8 of 32  " in table([report])[1]


def test_a_device_in_use(fake: FakePyAudio) -> None:
    fake.refuse = lambda *_asked: -9985
    report = device_reports()[0]
    assert not report.can_be_opened
    assert "cannot be opened now, in use? (claims 48000 Hz)" in table([report])[1]


def test_command(fake: FakePyAudio) -> None:
    listed = CliRunner().invoke(devices, catch_exceptions=False).stdout.splitlines()
    assert len(listed) == 4
    assert [line[0] for line in listed[1:]] == [" ", "*", " "]
    done = CliRunner().invoke(devices, ["--json"], catch_exceptions=False)
    found = json.loads(done.stdout)["devices"]
    assert [device["index"] for device in found] == [0, 2, 3]
    assert found[1] == {
        "index": 2,
        "name": "USB Microphone: Audio (hw:1,0)",
        "channels": 1,
        "rate_hz": 44_100,
        "is_default": True,
        "rates_hz": [8000, 11025, 16000, 22050, 32000, 44100, 48000, 88200, 96000, 192000],
        "channel_counts": [1],
        "formats": ["int32", "float32", "int24", "int16"],
    }
    assert fake.terminated == 2


def test_no_device(fake: FakePyAudio) -> None:
    fake.devices = []
    done = CliRunner().invoke(devices, ["--json"])
    assert json.loads(done.stdout) == {"devices": []}
    assert isinstance(done.exception, MicrophoneError)
    assert "no microphone was found" in str(done.exception)
