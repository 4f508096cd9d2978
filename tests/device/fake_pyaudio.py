"""PyAudio in the test's hands: devices to list, formats to refuse, blocks to deliver."""

from __future__ import annotations

import threading
import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emopi.device.sources.portaudio import InputDevice

BUILT_IN = InputDevice(0, "Built-in: ALC (hw:0,0)", channels=2, rate_hz=48_000, is_default=False)
USB = InputDevice(2, "USB Microphone: Audio (hw:1,0)", channels=1, rate_hz=44_100, is_default=True)
SERVER = InputDevice(3, "pulse", channels=32, rate_hz=16_000, is_default=False)
PLUGIN = InputDevice(4, "pulse usb", channels=32, rate_hz=16_000, is_default=False)
DEVICES = [BUILT_IN, USB, SERVER, PLUGIN]

OVERFLOW = 2
SOON_S = 60
"""Generous: for a machine under load."""


class FakeStream:
    """An opened stream."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self.settings = settings
        self.active = True

    def is_active(self) -> bool:
        return self.active

    def deliver(self, frames: NDArray[Any], status: int = 0) -> None:
        """Call back with (n, channels) of the stream's own type."""
        answer = self.settings["stream_callback"](frames.tobytes(), len(frames), {}, status)
        assert answer == (None, FakePyAudio.paContinue)

    def say(self, *values: int, status: int = 0) -> None:
        """Deliver such int16 values in all channels of a stream of int32."""
        frames = np.repeat(np.asarray(values, np.int32) << 16, self.settings["channels"])
        self.deliver(frames.reshape(len(values), -1), status)


class FakePyAudio:
    """Module and PortAudio in one; `streams` are those opened so far."""

    paFloat32, paInt32, paInt24, paInt16, paContinue, paInputOverflow = 1, 2, 4, 8, 0, OVERFLOW

    def __init__(self) -> None:
        self.devices = DEVICES
        self.streams: list[FakeStream] = []
        self.asked: list[tuple[int, int, int]] = []
        """Rate, channels and format of each attempt to open."""
        self.started = self.terminated = 0
        self.start_error: OSError | None = None
        self.refuse: Any = lambda _rate, _channels, _format: None
        """From rate, channels, format to the number of PortAudio's error, or None."""
        self.hang = threading.Event()
        """Cleared, PortAudio does not return from terminate."""
        self.hang.set()

    def PyAudio(self) -> FakePyAudio:
        if self.start_error:
            raise self.start_error
        self.started += 1
        return self

    def get_default_input_device_info(self) -> dict[str, Any]:
        for device in self.devices:
            if device.is_default:
                return self.get_device_info_by_index(device.index)
        raise OSError("No Default Input Device Available")

    def get_device_count(self) -> int:
        return max((device.index + 1 for device in self.devices), default=0)

    def get_device_info_by_index(self, index: int) -> dict[str, Any]:
        output = InputDevice(index, "HDMI", channels=0, rate_hz=48_000, is_default=False)
        device = next((d for d in self.devices if d.index == index), output)
        return {
            "index": index,
            "name": device.name,
            "maxInputChannels": device.channels,
            "defaultSampleRate": float(device.rate_hz),
        }

    def open(self, **settings: Any) -> FakeStream:
        asked = settings["rate"], settings["channels"], settings["format"]
        self.asked.append(asked)
        if number := self.refuse(*asked):
            raise OSError(number, "refused by the fake")
        self.streams.append(FakeStream(settings))
        return self.streams[-1]

    def is_format_supported(
        self, rate: float, *, input_device: int, input_channels: int, input_format: int
    ) -> bool:
        assert input_device in [device.index for device in self.devices]
        if number := self.refuse(rate, input_channels, input_format):
            raise ValueError("refused by the fake", number)
        return True

    def terminate(self) -> None:
        self.hang.wait()
        self.terminated += 1

    def wait_for_stream(self, n: int) -> FakeStream:
        """The n-th opened stream, counted from 1, once it is there."""
        wait_until(lambda: len(self.streams) >= n)
        return self.streams[n - 1]


def wait_until(condition: Any) -> None:
    """Return when the condition holds; raises where it never does."""
    deadline_s = time.monotonic() + SOON_S
    while not condition():
        assert time.monotonic() < deadline_s, "what was waited for has not happened"
        time.sleep(0.005)
