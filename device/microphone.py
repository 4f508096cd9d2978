"""A microphone through PyAudio, at the rate that it has and with at most two of its channels."""

from __future__ import annotations

import contextlib
import dataclasses
import queue
import threading
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from emopi.device.audio import AudioBlock, Resampler
from emopi.device.errors import MicrophoneError, MissingExtraError
from emopi.device.frontend import INT16_SCALE
from emopi.device.quiet import quiet_stderr

BUFFER_S = 10.0
"""Audio that waits for a slow reader before blocks are dropped, the oldest first."""

SILENT_S = 3.0
"""A device that delivers no block for so long is taken for lost."""

CLOSE_S = 2.0
"""Closing a device that does not answer is given up after so long."""

MAX_CHANNELS = 2
"""Channels that are recorded and averaged: a sound server claims 32 or 128, mostly copies."""


@dataclasses.dataclass(frozen=True, slots=True)
class InputDevice:
    """An input as PortAudio lists it."""

    index: int
    name: str
    channels: int
    """All that it claims; a `Microphone` records the first `MAX_CHANNELS`."""
    rate_hz: int
    is_default: bool


class Microphone:
    """Blocks of `block_s` from an input device, mono, at `sample_rate_hz`.

    The device is opened at its own rate, because soxr resamples better than most sound servers;
    of its channels the first two, or the one, are averaged. PortAudio's own thread fills a queue
    of `buffer_s`, so that slow inference never stalls the capture; what does not fit is dropped,
    the oldest first, and counted in `AudioBlock.overflows`.

    Raises `MicrophoneError` if there is no such device, it cannot be opened, or it stops
    delivering; `MissingExtraError` without PyAudio.
    """

    def __init__(
        self,
        device: str | None,
        sample_rate_hz: int,
        *,
        block_s: float = 0.05,
        buffer_s: float = BUFFER_S,
    ) -> None:
        """`device` is a name, part of one, an index, or None for the default input."""
        pyaudio = _pyaudio()
        self.sample_rate_hz = sample_rate_hz
        self._closed = False
        self._last_number, self._expected_number = 0, 1
        self._queue: queue.Queue[tuple[int, bytes]] = queue.Queue(max(1, round(buffer_s / block_s)))
        self._continue = pyaudio.paContinue
        self._overflow_flag = pyaudio.paInputOverflow
        self._audio = _portaudio(pyaudio)
        try:
            chosen = choose(_inputs(self._audio), device)
            self.name = chosen.name
            self.device_rate_hz = chosen.rate_hz
            self.channels = min(chosen.channels, MAX_CHANNELS)
            self._open(chosen.index, pyaudio.paInt16, max(1, round(block_s * chosen.rate_hz)))
        except BaseException:
            self.close()
            raise

    def blocks(self) -> Iterator[AudioBlock]:
        """Yield blocks until `close`; raises `MicrophoneError` when the device falls silent.

        Silent means no samples at all, not samples of zero.
        """
        resampler = Resampler(self.device_rate_hz, self.sample_rate_hz)
        while not self._closed:
            number, raw = self._next()
            if self._closed:
                break
            lost, self._expected_number = number - self._expected_number, number + 1
            samples = np.frombuffer(raw, np.int16).reshape(-1, self.channels)
            as_float = samples.astype(np.float32) / np.float32(INT16_SCALE)
            yield AudioBlock(resampler.push(as_float), lost)

    def close(self) -> None:
        """Release the device and end `blocks`; safe to call twice and from any thread.

        Takes at most `CLOSE_S`: a sound server that hangs would hold PortAudio for ever.
        """
        if self._closed:
            return
        self._closed = True
        closing = threading.Thread(target=_terminate, args=(self._audio,), daemon=True)
        closing.start()
        closing.join(CLOSE_S)
        self._put(0, b"")  # wakes a reader that waits

    def _open(self, index: int, sample_format: int, block_samples: int) -> None:
        try:
            with quiet_stderr():
                self._audio.open(
                    format=sample_format,
                    channels=self.channels,
                    rate=self.device_rate_hz,
                    input=True,
                    input_device_index=index,
                    frames_per_buffer=block_samples,
                    stream_callback=self._deliver,
                )
        except OSError as error:
            raise MicrophoneError(
                f"the microphone {self.name!r} cannot be opened at {self.device_rate_hz} Hz with "
                f"{self.channels} channels ({error}); is it plugged in, and does no other program "
                "use it? Name another one with: emopi listen --source mic:NAME"
            ) from None

    def _deliver(
        self, raw: bytes, _frames: int, _times: Mapping[str, float], status: int
    ) -> tuple[None, int]:
        """PortAudio's callback, in its own thread: never waits for the reader, never raises.

        Blocks are numbered, and a number is left out where PortAudio lost samples, so that the
        reader sees every loss, also of blocks dropped here, as a gap at its place in the stream.
        """
        self._last_number += 2 if status & self._overflow_flag else 1
        self._put(self._last_number, raw)
        return None, self._continue

    def _put(self, number: int, raw: bytes) -> None:
        while True:
            try:
                self._queue.put_nowait((number, raw))
                return
            except queue.Full:
                with contextlib.suppress(queue.Empty):
                    self._queue.get_nowait()

    def _next(self) -> tuple[int, bytes]:
        try:
            return self._queue.get(timeout=SILENT_S)
        except queue.Empty:
            raise MicrophoneError(
                f"the microphone {self.name!r} has delivered nothing for {SILENT_S:g} s; "
                "is it still plugged in, and the sound server running?"
            ) from None


def input_devices() -> list[InputDevice]:
    """The inputs that PortAudio finds, perhaps none; `MissingExtraError` without PyAudio."""
    audio = _portaudio(_pyaudio())
    try:
        return _inputs(audio)
    finally:
        _terminate(audio)


def choose(devices: list[InputDevice], wanted: str | None) -> InputDevice:
    """The device of that index or (part of a) name, or the default one.

    A name that matches exactly wins over others that contain it; case matters only then. Raises
    `MicrophoneError` that lists the devices if there is none such, or more than one.
    """
    if not devices:
        raise MicrophoneError(
            "no microphone was found; expected an input device. Plug one in (check with: "
            "arecord -l), or listen to a file: emopi listen --source FILE"
        )
    if wanted is None:
        return next((d for d in devices if d.is_default), devices[0])
    if wanted.isdecimal():
        matches = [d for d in devices if d.index == int(wanted)]
    else:
        matches = [d for d in devices if d.name == wanted]
        matches = matches or [d for d in devices if wanted.lower() in d.name.lower()]
    if len(matches) != 1:
        found = f"{len(matches)} microphones match" if matches else "no microphone matches"
        listing = "; ".join(f"{d.index}: {d.name}" for d in devices)
        raise MicrophoneError(f"{found} {wanted!r}; give the number or name of one of: {listing}")
    return matches[0]


def _inputs(audio: Any) -> list[InputDevice]:
    try:
        default = int(audio.get_default_input_device_info()["index"])
    except OSError:
        default = -1
    described = (audio.get_device_info_by_index(k) for k in range(audio.get_device_count()))
    return [
        InputDevice(
            index=int(info["index"]),
            name=str(info["name"]),
            channels=int(info["maxInputChannels"]),
            rate_hz=int(info["defaultSampleRate"]),
            is_default=int(info["index"]) == default,
        )
        for info in described
        if info["maxInputChannels"] > 0
    ]


def _pyaudio() -> Any:
    try:
        import pyaudio
    except ImportError as error:
        raise MissingExtraError("the microphone", "mic", f"PyAudio ({error})") from None
    return pyaudio


def _portaudio(pyaudio: Any) -> Any:
    """PortAudio, started; it knows the devices of this moment. Ended by `_terminate`."""
    try:
        with quiet_stderr():
            return pyaudio.PyAudio()
    except OSError as error:
        raise MicrophoneError(
            f"PortAudio cannot start ({error}); expected a working sound system: "
            "check it with: arecord -l"
        ) from None


def _terminate(audio: Any) -> None:
    """Close PortAudio's streams and PortAudio; a device that is lost already is no error."""
    with contextlib.suppress(OSError):
        audio.terminate()
