"""Choosing an input and opening it in the best way that it supports."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from emopi.device.errors import MicrophoneError, MissingExtraError
from emopi.device.sources import microphone, portaudio
from emopi.device.sources.portaudio import (
    InputDevice,
    StreamFormat,
    choose,
    choose_again,
    open_best,
)
from emopi.device.sources.settings import SourceSettings
from tests.device.fake_pyaudio import BUILT_IN, DEVICES, PLUGIN, SERVER, USB, FakePyAudio


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakePyAudio:
    fake = FakePyAudio()
    monkeypatch.setitem(sys.modules, "pyaudio", fake)
    return fake


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


MOVED = InputDevice(5, "USB Microphone: Audio (hw:3,0)", 1, 44_100, is_default=False)


@pytest.mark.parametrize(
    ("devices", "wanted", "found"),
    [
        (DEVICES, None, USB),
        ([BUILT_IN, MOVED], "2", MOVED),  # now another card
        ([BUILT_IN, MOVED], "usb", MOVED),
        ([BUILT_IN, MOVED], None, MOVED),
        ([BUILT_IN, SERVER], None, BUILT_IN),  # any will do
    ],
)
def test_choose_again(devices: list[InputDevice], wanted: str | None, found: InputDevice) -> None:
    assert choose_again(devices, wanted, USB.name) == found


@pytest.mark.parametrize("wanted", ["2", "usb micro", USB.name])
def test_no_other_device_is_taken_for_the_one_that_was_named(wanted: str) -> None:
    other = InputDevice(2, "Webcam: USB Audio (hw:1,0)", 1, 44_100, is_default=True)
    with pytest.raises(MicrophoneError, match="no microphone matches"):
        choose_again([BUILT_IN, other], wanted, USB.name)


def opened(fake: FakePyAudio, device: InputDevice, **settings: Any) -> StreamFormat:
    def deliver(_raw: bytes, _frames: int, _times: Any, _flags: int) -> tuple[None, int]:
        return None, 0

    stream, found = open_best(
        fake, device, SourceSettings(**settings), 0.1, lambda _stream: deliver
    )
    assert stream is fake.streams[-1]
    assert stream.settings == {
        "format": getattr(fake, portaudio.FORMATS[found.sample_format]),
        "channels": found.channels,
        "rate": found.rate_hz,
        "input": True,
        "input_device_index": device.index,
        "frames_per_buffer": round(found.rate_hz / 10),
        "stream_callback": deliver,
    }
    assert found.name == device.name
    return found


def test_opens_the_device_as_it_is(fake: FakePyAudio) -> None:
    found = opened(fake, BUILT_IN)
    assert (found.rate_hz, found.channels, found.sample_format) == (48_000, 2, "int32")
    assert found.describe() == "48000 Hz, 2 channels, int32"
    assert len(fake.asked) == 1


def test_two_channels_of_a_server_that_claims_many(fake: FakePyAudio) -> None:
    assert opened(fake, SERVER).channels == 2
    assert opened(fake, SERVER, channel=5).channels == 5


def test_all_channels_of_an_array(fake: FakePyAudio) -> None:
    array = InputDevice(7, "array", channels=8, rate_hz=16_000, is_default=False)
    assert opened(fake, array).channels == 8


def test_settings_decide(fake: FakePyAudio) -> None:
    found = opened(fake, USB, rate_hz=22_050, sample_format="int24")
    assert (found.rate_hz, found.sample_format) == (22_050, "int24")
    assert opened(fake, USB, low_bits=True).sample_format == "int32"


def test_the_best_that_the_device_can(fake: FakePyAudio) -> None:
    """A card of 16 kHz mono int16 that describes itself wrongly."""

    def refuse(rate: int, channels: int, sample_format: int) -> int | None:
        if sample_format != fake.paInt16:
            return -9994
        if channels != 1:
            return -9998
        return None if rate == 16_000 else -9997

    fake.refuse = refuse
    found = opened(fake, BUILT_IN)
    assert (found.rate_hz, found.channels, found.sample_format) == (16_000, 1, "int16")
    assert len(fake.asked) < 16  # not every combination


def test_a_device_that_supports_nothing(fake: FakePyAudio) -> None:
    fake.refuse = lambda *_asked: -9997
    with pytest.raises(MicrophoneError, match=r"'Built-in.*cannot be opened at 192000 Hz.*-9997"):
        opened(fake, BUILT_IN)


def test_a_device_in_use_is_not_tried_in_every_way(fake: FakePyAudio) -> None:
    fake.refuse = lambda *_asked: -9985
    with pytest.raises(MicrophoneError) as caught:
        opened(fake, BUILT_IN)
    assert str(caught.value) == (
        "the microphone 'Built-in: ALC (hw:0,0)' cannot be opened at 48000 Hz, 2 channels, int32 "
        "([Errno -9985] refused by the fake); is it plugged in, and does no other program use it? "
        "emopi devices lists what each supports"
    )
    assert len(fake.asked) == 1


def test_a_channel_that_the_device_does_not_have(fake: FakePyAudio) -> None:
    with pytest.raises(MicrophoneError, match=r"has 1 channels; expected channel 2: choose"):
        opened(fake, USB, channel=2)
    assert not fake.asked


def test_supported(fake: FakePyAudio) -> None:
    fake.refuse = lambda rate, *_rest: None if rate == 48_000 else -9997
    assert portaudio.supported(fake, USB, StreamFormat(USB.name, 48_000, 1, "int16"))
    assert not portaudio.supported(fake, USB, StreamFormat(USB.name, 44_100, 1, "int16"))


def test_input_devices(fake: FakePyAudio) -> None:
    assert microphone.input_devices() == DEVICES
    assert fake.terminated == 1


def test_portaudio_that_cannot_start(fake: FakePyAudio) -> None:
    fake.start_error = OSError(-9999, "Unanticipated host error")
    with pytest.raises(MicrophoneError, match=r"PortAudio cannot start \(.*\); .* arecord -l"):
        portaudio.start()


def test_without_pyaudio(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyaudio", None)
    with pytest.raises(MissingExtraError) as caught:
        microphone.input_devices()
    assert str(caught.value).startswith("the microphone needs PyAudio (")
    assert str(caught.value).endswith("Install it with: pip install 'emopi[mic]'")
