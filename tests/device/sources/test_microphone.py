"""The microphone with the device in the test's hands: blocks, losses, its going and coming."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from emopi.device.errors import MicrophoneError, MissingExtraError
from emopi.device.sources import capture
from emopi.device.sources.audio import AudioBlock
from emopi.device.sources.microphone import Microphone
from emopi.device.sources.notice import Notice, NoticeKind
from emopi.device.sources.settings import SourceSettings
from tests.device.fake_pyaudio import (
    BUILT_IN,
    DEVICES,
    OVERFLOW,
    SERVER,
    FakePyAudio,
    FakeStream,
    wait_until,
)

RATE_HZ = 16_000


class Opened:
    """A microphone on the fake, as it is: no DC removal unless asked for."""

    def __init__(self, name: str = "mic:pulse", **options: Any) -> None:
        own = {key: options.pop(key) for key in ("block_s", "buffer_s") if key in options}
        settings = SourceSettings(name, **{"remove_dc": False, "retry_s": 0.1} | options)
        self.told: list[Notice] = []
        self.source = Microphone(settings, RATE_HZ, tell=self.told.append, **own)
        self.blocks = self.source.blocks()

    @property
    def kinds(self) -> list[NoticeKind]:
        return [notice.kind for notice in self.told]

    def read(self, n: int) -> list[tuple[list[float], int]]:
        """The next n blocks with samples as (samples as int16, overflows)."""
        return [((b.samples * 32768).tolist(), b.overflows) for b in self.take(n)]

    def take(self, n: int) -> list[AudioBlock]:
        """The next n blocks with samples."""
        filled = (block for block in self.blocks if len(block.samples))
        return [next(filled) for _ in range(n)]

    def wait_for(self, kind: NoticeKind) -> Notice:
        """Read until there is such a notice."""
        for _ in self.blocks:
            if kind in self.kinds:
                return self.told[self.kinds.index(kind)]
        raise AssertionError("the microphone has ended")


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakePyAudio:
    fake = FakePyAudio()
    monkeypatch.setitem(sys.modules, "pyaudio", fake)
    monkeypatch.setattr(capture, "IDLE_S", 0.02)
    monkeypatch.setattr(capture, "POLL_S", 0.01)
    monkeypatch.setattr(capture, "FIRST_RETRY_S", 0.02)
    return fake


@pytest.fixture
def opened(fake: FakePyAudio) -> Iterator[Opened]:
    """The server's device, of 16 kHz and two channels."""
    opened = Opened()
    assert fake.streams[0].settings["rate"] == RATE_HZ
    yield opened
    opened.source.close()


# Blocks


def test_blocks_are_what_was_delivered(fake: FakePyAudio, opened: Opened) -> None:
    fake.streams[0].say(1000, -3000, 32767)
    fake.streams[0].say(5)
    assert opened.read(2) == [([1000, -3000, 32767], 0), ([5], 0)]
    assert opened.source.name == SERVER.name
    assert opened.source.stream
    assert opened.source.stream.describe() == "16000 Hz, 2 channels, int32"


def test_counts_what_portaudio_lost_at_its_place_and_tells_once(
    fake: FakePyAudio, opened: Opened
) -> None:
    for value, status in ((1, 0), (3, 0), (7, OVERFLOW), (9, 0), (11, OVERFLOW)):
        fake.streams[0].say(value, status=status)
    assert opened.read(5) == [([1], 0), ([3], 0), ([7], 1), ([9], 0), ([11], 1)]
    assert opened.kinds == [NoticeKind.OVERFLOW]


def test_a_slow_reader_loses_the_oldest_blocks_and_is_told(fake: FakePyAudio) -> None:
    opened = Opened(block_s=0.05, buffer_s=0.15)
    fake.streams[0].say(0)
    assert opened.read(1) == [([0], 0)]
    for value in range(1, 10):
        fake.streams[0].say(value, status=OVERFLOW if value == 5 else 0)
    assert opened.read(3) == [([7], 7), ([8], 0), ([9], 0)]  # six blocks and the overflow
    fake.streams[0].say(10)
    assert opened.read(1) == [([10], 0)]
    opened.source.close()


def test_an_offset_is_removed_and_gain_added(fake: FakePyAudio) -> None:
    opened = Opened(remove_dc=True, gain_db=20.0)
    tone = 300 * np.sin(2 * np.pi * 500 / RATE_HZ * np.arange(RATE_HZ))
    fake.streams[0].say(*np.rint(tone + 2000).astype(int))
    samples = opened.take(1)[0].samples * 32768
    opened.source.close()
    assert abs(samples[RATE_HZ // 2 :].mean()) < 20
    assert np.ptp(samples[RATE_HZ // 2 :]) == pytest.approx(2 * 300 * 10, rel=0.02)


def test_the_live_channel_is_heard(fake: FakePyAudio) -> None:
    opened = Opened()
    frames = np.zeros((800, 2), np.int32)
    frames[:, 1] = np.arange(800) << 16
    fake.streams[0].deliver(frames)
    np.testing.assert_array_equal(opened.take(1)[0].samples * 32768, np.arange(800))
    opened.source.close()


# Digital silence


@pytest.mark.parametrize("value", [0, -1])
def test_only_zeros_are_named_within_three_seconds(
    fake: FakePyAudio, opened: Opened, value: int
) -> None:
    for _ in range(30):
        fake.streams[0].say(*[value] * 1600)
    opened.take(30)
    assert opened.kinds == [NoticeKind.ZEROS]
    assert "nothing except digital silence" in opened.told[0].text
    fake.streams[0].say(*range(1600))
    opened.take(1)
    assert opened.kinds == [NoticeKind.ZEROS, NoticeKind.SOUND_AGAIN]


def test_pauses_of_digital_silence_are_not_named(fake: FakePyAudio, opened: Opened) -> None:
    for _ in range(4):  # no more than the buffer holds
        for _ in range(20):
            fake.streams[0].say(*[0] * 1600)
        fake.streams[0].say(0, 0, 7, 0)
    opened.take(4 * 21)
    assert opened.kinds == []


# Going and coming


def test_a_device_that_stops_delivering_comes_back(fake: FakePyAudio) -> None:
    opened = Opened("mic:hw:0", lost_after_s=0.2, rate_hz=RATE_HZ)
    fake.streams[0].say(1)
    first = opened.take(1)[0]
    fake.devices = []  # is_active stays True, as with a real card
    notice = opened.wait_for(NoticeKind.LOST)
    assert notice.text.startswith("the microphone 'Built-in: ALC (hw:0,0)' has delivered nothing")
    assert "is it still plugged in" in notice.text
    wait_until(lambda: fake.started >= 4)  # looks for it, tells no more
    fake.devices = DEVICES
    back = fake.wait_for_stream(2)
    back.say(2)
    back.say(3)
    blocks = [first, *opened.take(2)]
    opened.source.close()
    assert [block.fresh for block in blocks] == [False, True, False]
    assert opened.kinds == [NoticeKind.LOST, NoticeKind.BACK]
    assert fake.started == fake.terminated
    assert "at 16000 Hz, 2 channels, int32" in opened.told[1].text


def test_a_stream_that_ends_is_lost_at_once(fake: FakePyAudio) -> None:
    opened = Opened(lost_after_s=60.0)
    fake.streams[0].say(1)
    opened.take(1)
    fake.streams[0].active = False
    opened.wait_for(NoticeKind.LOST)
    fake.wait_for_stream(2).say(2)
    assert opened.take(1)[0].fresh
    opened.source.close()


def test_each_loss_is_told_once_however_long_and_often_opening_fails(fake: FakePyAudio) -> None:
    opened = Opened(lost_after_s=0.2)
    for n in range(1, 4):
        stream = fake.wait_for_stream(n)
        stream.say(n)
        assert opened.read(1) == [([n], 0)]
        fake.refuse = lambda *_asked: -9985
        stream.active = False
        attempts = len(fake.asked)
        wait_until(lambda n=attempts: len(fake.asked) >= n + 3)
        fake.refuse = lambda *_asked: None
    assert opened.kinds == [NoticeKind.LOST, NoticeKind.BACK] * 2  # not read since the third
    opened.source.close()


def test_a_device_that_opens_but_never_delivers_is_lost_again_silently(fake: FakePyAudio) -> None:
    opened = Opened(lost_after_s=0.2)
    fake.streams[0].say(1)
    opened.take(1)
    opened.wait_for(NoticeKind.LOST)
    fake.wait_for_stream(4).say(4)
    assert opened.take(1)[0].fresh
    assert opened.kinds == [NoticeKind.LOST, NoticeKind.BACK]
    opened.source.close()


def test_the_reader_goes_on_while_the_device_is_lost(fake: FakePyAudio) -> None:
    """Empty blocks, so that a loop over them can do other things, such as feed a watchdog."""
    opened = Opened(lost_after_s=0.2)
    fake.refuse = lambda *_asked: -9985
    for _ in range(3):
        assert not len(next(opened.blocks).samples)
    opened.wait_for(NoticeKind.LOST)
    for _ in range(3):
        assert not len(next(opened.blocks).samples)
    opened.source.close()


def test_late_callbacks_of_a_lost_stream_do_no_harm(fake: FakePyAudio) -> None:
    opened = Opened(lost_after_s=0.2)
    fake.streams[0].say(1)
    opened.take(1)
    opened.wait_for(NoticeKind.LOST)
    fake.streams[0].say(99)
    fake.wait_for_stream(2).say(2)
    values = [samples for samples, _ in opened.read(2)]
    assert values == [[99], [2]]
    opened.source.close()


def test_waits_for_a_device_that_is_not_there_yet(fake: FakePyAudio) -> None:
    fake.devices = []
    opened = Opened(wait=True)
    assert opened.source.name == "pulse"
    assert opened.source.stream is None
    notice = opened.wait_for(NoticeKind.LOST)
    assert notice.text.startswith("no microphone was found")
    fake.devices = DEVICES
    fake.wait_for_stream(1).say(7)
    assert opened.read(1) == [([7], 0)]
    assert opened.kinds == [NoticeKind.LOST, NoticeKind.BACK]
    assert opened.source.name == SERVER.name
    opened.source.close()


def test_conditions_what_comes_back_in_another_format_anew(fake: FakePyAudio) -> None:
    opened = Opened("mic:hw:0", rate_hz=0)
    fake.refuse = lambda rate, *_rest: None if rate == RATE_HZ else -9997
    fake.streams[0].say(*[100] * 4800)  # at 48 kHz
    fake.streams[0].active = False
    fake.wait_for_stream(2).say(7)
    blocks = opened.take(2)
    opened.source.close()
    assert 0 < len(blocks[0].samples) < 1600
    assert blocks[1].samples.tolist() == [7 / 32768]


# Ending


def test_close_ends_a_reader_that_waits(fake: FakePyAudio, opened: Opened) -> None:
    fake.streams[0].say(1)
    opened.read(1)
    closing = threading.Timer(0.1, opened.source.close)
    closing.start()
    assert all(not len(block.samples) for block in opened.blocks)
    closing.join()
    opened.source.close()
    assert fake.terminated == 1
    assert list(opened.source.blocks()) == []


def test_close_gives_up_on_a_server_that_hangs(
    fake: FakePyAudio, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(capture, "CLOSE_S", 0.1)
    opened = Opened()
    fake.hang.clear()
    opened.source.close()
    assert fake.terminated == 0
    fake.hang.set()  # lets its thread end


def test_a_server_that_hangs_while_the_device_is_lost(
    fake: FakePyAudio, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(capture, "STUCK_S", 0.2)
    monkeypatch.setattr(capture, "CLOSE_S", 0.1)
    opened = Opened(lost_after_s=0.2)
    fake.hang.clear()
    with pytest.raises(MicrophoneError, match=r"has not answered for 0.2 s about 'pulse'.*restart"):
        list(opened.blocks)
    assert opened.kinds == [NoticeKind.LOST]
    opened.source.close()
    fake.hang.set()


# What cannot be opened at all


def test_an_index_out_of_range_is_never_opened(fake: FakePyAudio) -> None:
    with pytest.raises(MicrophoneError, match="no microphone matches '99'"):
        Opened("mic:99")
    assert not fake.asked
    assert fake.terminated == 1


def test_a_device_in_use(fake: FakePyAudio) -> None:
    fake.refuse = lambda *_asked: -9985
    with pytest.raises(MicrophoneError, match=f"{BUILT_IN.name[:8]}.*cannot be opened"):
        Opened("mic:0")
    assert fake.terminated == 1


def test_portaudio_that_does_not_answer_at_the_start(
    fake: FakePyAudio, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(capture, "OPEN_S", 0.2)
    monkeypatch.setattr(capture, "CLOSE_S", 0.1)
    going = threading.Event()
    monkeypatch.setattr(fake, "PyAudio", lambda: going.wait() and fake)
    with pytest.raises(MicrophoneError, match=r"has not answered for 0.2 s"):
        Opened()
    going.set()
    wait_until(lambda: fake.terminated)  # its thread would import PyAudio into the next test


def test_without_pyaudio(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyaudio", None)
    with pytest.raises(MissingExtraError, match="the microphone needs PyAudio"):
        Opened()


def test_blocks_of_every_format(fake: FakePyAudio) -> None:
    values = np.array([[-8], [0], [1000]])
    types = {"int16": np.int16, "int32": np.int32, "float32": np.float32}
    for n, (sample_format, kind) in enumerate(types.items()):
        opened = Opened("mic:hw:1", rate_hz=RATE_HZ, sample_format=sample_format)
        stream: FakeStream = fake.streams[n]
        scale = {"int16": 1, "int32": 65_536, "float32": 1 / 32_768}[sample_format]
        stream.deliver((values * scale).astype(kind))
        assert opened.read(1) == [([-8, 0, 1000], 0)]
        opened.source.close()
