"""The microphone with the device in the test's hands: choosing one, blocks, losses, errors."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from emopi.device import microphone
from emopi.device.errors import MicrophoneError, MissingExtraError
from emopi.device.microphone import InputDevice, Microphone, choose

BUILT_IN = InputDevice(0, "Built-in: ALC (hw:0,0)", channels=2, rate_hz=48_000, is_default=False)
USB = InputDevice(2, "USB Microphone: Audio (hw:1,0)", channels=1, rate_hz=44_100, is_default=True)
SERVER = InputDevice(3, "pulse", channels=32, rate_hz=16_000, is_default=False)
PLUGIN = InputDevice(4, "pulse usb", channels=32, rate_hz=16_000, is_default=False)
DEVICES = [BUILT_IN, USB, SERVER, PLUGIN]

HANG_S = 60
"""Time after which a process that should have ended is taken to hang."""


# Choosing a device


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (None, USB),
        ("0", BUILT_IN),
        ("2", USB),
        ("USB Microphone: Audio (hw:1,0)", USB),
        ("usb micro", USB),
        ("hw:0", BUILT_IN),
        ("pulse", SERVER),  # the exact name, although it is part of another
        ("Pulse U", PLUGIN),
    ],
)
def test_choose(wanted: str | None, found: InputDevice) -> None:
    assert choose(DEVICES, wanted) == found


def test_choose_takes_the_first_where_none_is_the_default() -> None:
    assert choose([BUILT_IN, SERVER], None) == BUILT_IN


LISTING = "0: Built-in: ALC (hw:0,0); 2: USB Microphone: Audio (hw:1,0); 3: pulse; 4: pulse usb"


@pytest.mark.parametrize(
    ("wanted", "problem"),
    [
        ("1", "no microphone matches '1'"),  # an output has this index
        ("99", "no microphone matches '99'"),
        ("-1", "no microphone matches '-1'"),
        ("bluetooth", "no microphone matches 'bluetooth'"),
        ("usb", "2 microphones match 'usb'"),
        ("PULSE", "2 microphones match 'PULSE'"),
    ],
)
def test_choose_lists_the_devices(wanted: str, problem: str) -> None:
    with pytest.raises(MicrophoneError) as caught:
        choose(DEVICES, wanted)
    assert str(caught.value) == f"{problem}; give the number or name of one of: {LISTING}"


@pytest.mark.parametrize("wanted", [None, "0", "usb"])
def test_choose_without_devices(wanted: str | None) -> None:
    with pytest.raises(MicrophoneError, match=r"no microphone was found.*arecord -l.*--source"):
        choose([], wanted)


# A fake PyAudio: the callback in the test's hands

OVERFLOW = 2


class FakePyAudio:
    """PyAudio as the microphone sees it: module, PortAudio and stream in one."""

    paInt16, paContinue, paInputOverflow = 8, 0, OVERFLOW

    def __init__(self) -> None:
        self.devices = DEVICES
        self.opened: dict[str, Any] = {}
        self.terminated = 0
        self.start_error: OSError | None = None
        self.open_error: OSError | None = None
        self.hang = threading.Event()
        self.hang.set()

    def PyAudio(self) -> FakePyAudio:
        if self.start_error:
            raise self.start_error
        return self

    def get_default_input_device_info(self) -> dict[str, Any]:
        for device in self.devices:
            if device.is_default:
                return self.get_device_info_by_index(device.index)
        raise OSError("No Default Input Device Available")

    def get_device_count(self) -> int:
        return 5 if self.devices else 0

    def get_device_info_by_index(self, index: int) -> dict[str, Any]:
        output = InputDevice(index, "HDMI", channels=0, rate_hz=48_000, is_default=False)
        device = next((d for d in self.devices if d.index == index), output)
        return {
            "index": index,
            "name": device.name,
            "maxInputChannels": device.channels,
            "defaultSampleRate": float(device.rate_hz),
        }

    def open(self, **settings: Any) -> None:
        if self.open_error:
            raise self.open_error
        self.opened = settings

    def terminate(self) -> None:
        self.hang.wait()
        self.terminated += 1

    def deliver(self, *values: int, status: int = 0) -> None:
        """Hand over a block of such frames, each value in all channels."""
        block = np.repeat(np.asarray(values, np.int16), self.opened["channels"])
        answer = self.opened["stream_callback"](block.tobytes(), len(values), {}, status)
        assert answer == (None, self.paContinue)


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakePyAudio:
    fake = FakePyAudio()
    monkeypatch.setitem(sys.modules, "pyaudio", fake)
    return fake


def read(blocks: Iterator[Any], n: int) -> list[tuple[list[float], int]]:
    """The next n blocks as (samples as int16, overflows)."""
    taken = [next(blocks) for _ in range(n)]
    return [((block.samples * 32768).tolist(), block.overflows) for block in taken]


def test_input_devices(fake: FakePyAudio) -> None:
    assert microphone.input_devices() == DEVICES
    assert fake.terminated == 1


def test_opens_the_device_as_it_is(fake: FakePyAudio) -> None:
    source = Microphone("usb micro", 16_000, block_s=0.1)
    assert (source.name, source.sample_rate_hz) == (USB.name, 16_000)
    settings = {key: value for key, value in fake.opened.items() if key != "stream_callback"}
    assert settings == {
        "format": fake.paInt16,
        "channels": 1,
        "rate": 44_100,
        "input": True,
        "input_device_index": 2,
        "frames_per_buffer": 4_410,
    }


def test_records_the_mean_of_two_channels_of_a_device_that_claims_many(fake: FakePyAudio) -> None:
    source = Microphone("pulse", 16_000)
    assert fake.opened["channels"] == 2
    frames = np.array([[1000, 0], [-3000, 1000], [32767, 32767]], np.int16)
    fake.opened["stream_callback"](frames.tobytes(), 3, {}, 0)
    block = next(source.blocks())
    assert block.samples.dtype == np.float32
    np.testing.assert_array_equal(block.samples * 32768, [500, -1000, 32767])


def test_counts_what_portaudio_lost_at_its_place(fake: FakePyAudio) -> None:
    source = Microphone("pulse", 16_000)
    fake.deliver(1, 2)
    fake.deliver(3, 4)
    fake.deliver(7, 8, status=OVERFLOW)
    fake.deliver(9, 10)
    expected = [([1.0, 2.0], 0), ([3.0, 4.0], 0), ([7.0, 8.0], 1), ([9.0, 10.0], 0)]
    assert read(source.blocks(), 4) == expected


def test_a_slow_reader_loses_the_oldest_blocks_and_is_told(fake: FakePyAudio) -> None:
    source = Microphone("pulse", 16_000, block_s=0.05, buffer_s=0.15)
    blocks = source.blocks()
    fake.deliver(0)
    assert read(blocks, 1) == [([0.0], 0)]
    for value in range(1, 10):
        fake.deliver(value, status=OVERFLOW if value == 5 else 0)
    assert read(blocks, 3) == [([7.0], 7), ([8.0], 0), ([9.0], 0)]  # six blocks and the overflow
    fake.deliver(10)
    assert read(blocks, 1) == [([10.0], 0)]


def test_losses_are_counted_once_when_reading_goes_on_anew(fake: FakePyAudio) -> None:
    source = Microphone("pulse", 16_000)
    for value in range(3):
        fake.deliver(value)
    assert read(source.blocks(), 2) == [([0.0], 0), ([1.0], 0)]
    assert read(source.blocks(), 1) == [([2.0], 0)]


def test_a_device_that_stops_delivering(fake: FakePyAudio, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(microphone, "SILENT_S", 0.25)
    source = Microphone("pulse", 16_000)
    fake.deliver(1)
    blocks = source.blocks()
    next(blocks)
    with pytest.raises(MicrophoneError) as caught:
        next(blocks)
    assert str(caught.value) == (
        "the microphone 'pulse' has delivered nothing for 0.25 s; "
        "is it still plugged in, and the sound server running?"
    )


def test_close_ends_a_reader_that_waits(fake: FakePyAudio) -> None:
    source = Microphone("pulse", 16_000)
    fake.deliver(1)
    blocks = source.blocks()
    next(blocks)
    closing = threading.Timer(0.2, source.close)
    closing.start()
    assert list(blocks) == []
    closing.join()
    source.close()
    assert fake.terminated == 1
    assert list(source.blocks()) == []


def test_close_gives_up_on_a_server_that_hangs(
    fake: FakePyAudio, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(microphone, "CLOSE_S", 0.1)
    source = Microphone("pulse", 16_000)
    fake.hang.clear()
    source.close()
    assert fake.terminated == 0
    fake.hang.set()  # lets its thread end


def test_a_device_that_cannot_be_opened(fake: FakePyAudio) -> None:
    fake.open_error = OSError(-9985, "Device unavailable")
    with pytest.raises(MicrophoneError) as caught:
        Microphone("hw:0", 16_000)
    assert str(caught.value) == (
        "the microphone 'Built-in: ALC (hw:0,0)' cannot be opened at 48000 Hz with 2 channels "
        "([Errno -9985] Device unavailable); is it plugged in, and does no other program use it? "
        "Name another one with: emopi listen --source mic:NAME"
    )
    assert fake.terminated == 1


def test_an_index_out_of_range_is_never_opened(fake: FakePyAudio) -> None:
    with pytest.raises(MicrophoneError, match="no microphone matches '99'"):
        Microphone("99", 16_000)
    assert not fake.opened
    assert fake.terminated == 1


def test_portaudio_that_cannot_start(fake: FakePyAudio) -> None:
    fake.start_error = OSError(-9999, "Unanticipated host error")
    with pytest.raises(MicrophoneError, match=r"PortAudio cannot start \(.*\); .* arecord -l"):
        Microphone(None, 16_000)


def test_no_devices(fake: FakePyAudio) -> None:
    fake.devices = []
    assert microphone.input_devices() == []
    with pytest.raises(MicrophoneError, match="no microphone was found"):
        Microphone(None, 16_000)


def test_without_pyaudio(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyaudio", None)
    for use in (lambda: Microphone(None, 16_000), microphone.input_devices):
        with pytest.raises(MissingExtraError) as caught:
            use()
        assert str(caught.value).startswith("the microphone needs PyAudio (")
        assert str(caught.value).endswith("Install it with: pip install 'emopi[mic]'")
