"""The recording that --record asks for."""

from __future__ import annotations

import os
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from emopi.device.errors import SpecError
from emopi.device.recording import Recording

RATE_HZ = 1000


def ramp(start: int, n: int) -> np.ndarray:
    """Samples that say which they are."""
    return (np.arange(start, start + n) / 32768).astype(np.float32)


@pytest.mark.parametrize("block", [1, 7, 999, 1000, 2000, 5003])
def test_keeps_the_newest_seconds(tmp_path: Path, block: int) -> None:
    recording = Recording(tmp_path / "a.wav", 2.0, RATE_HZ)
    for start in range(0, 5003, block):
        recording.push(ramp(start, min(block, 5003 - start)))
    assert recording.keep() == tmp_path / "a.wav"
    samples, rate_hz = sf.read(tmp_path / "a.wav", dtype="int16")
    assert rate_hz == RATE_HZ
    np.testing.assert_array_equal(samples, np.arange(3003, 5003))


def test_nothing_heard_is_no_file(tmp_path: Path) -> None:
    assert Recording(tmp_path / "a.wav", 2.0, RATE_HZ).keep() is None
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_written_before_keep(tmp_path: Path) -> None:
    recording = Recording(tmp_path / "a.wav", 2.0, RATE_HZ)
    recording.push(ramp(0, 5000))
    assert list(tmp_path.iterdir()) == []


def test_a_folder_gets_a_file_each_time_that_only_its_owner_reads(tmp_path: Path) -> None:
    times = iter(datetime(2026, 5, 4, tzinfo=UTC) + timedelta(seconds=k) for k in range(9))
    recording = Recording(tmp_path, 2.0, RATE_HZ, now=lambda: next(times))
    recording.push(ramp(0, 500))
    first = recording.keep()
    recording.push(ramp(500, 500))
    second = recording.keep()
    assert first
    assert second
    assert [path.name for path in sorted(tmp_path.iterdir())] == [first.name, second.name]
    assert second.name == "emopi-20260504T000002.000000Z.wav"
    assert stat.S_IMODE(first.stat().st_mode) == 0o600
    assert len(sf.read(second)[0]) == 1000  # what was kept before is still in memory


def test_loud_samples_are_clipped_and_do_not_wrap(tmp_path: Path) -> None:
    recording = Recording(tmp_path / "a.wav", 1.0, RATE_HZ)
    recording.push(np.array([2.0, -2.0, 1.0, -1.0, 0.5], np.float32))
    recording.keep()
    samples, _ = sf.read(tmp_path / "a.wav", dtype="int16")
    assert samples.tolist() == [32767, -32768, 32767, -32768, 16384]


@pytest.mark.parametrize("seconds", [0.0, 0.9, 601.0, float("nan"), float("inf")])
def test_seconds_out_of_range(tmp_path: Path, seconds: float) -> None:
    with pytest.raises(SpecError, match=rf"record_seconds is {seconds:g}; expected 1 to 600"):
        Recording(tmp_path, seconds, RATE_HZ)


def test_what_cannot_be_written_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Recording(tmp_path / "absent" / "a.wav", 2.0, RATE_HZ)


def test_a_failed_keep_leaves_the_older_recording(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recording = Recording(tmp_path / "a.wav", 2.0, RATE_HZ)
    recording.push(ramp(0, 500))
    recording.keep()
    before = (tmp_path / "a.wav").read_bytes()
    recording.push(ramp(500, 500))

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        recording.keep()
    assert (tmp_path / "a.wav").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["a.wav"]
