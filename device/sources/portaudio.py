"""PortAudio through PyAudio: the inputs that there are, choosing one, opening it as well as it can.

PortAudio knows the devices of the moment when it was started, and is not safe to share between
threads: who starts it asks, opens and terminates it, all in one thread.
"""

from __future__ import annotations

import contextlib
import dataclasses
import re
from collections.abc import Callable, Mapping
from typing import Any

from emopi.device.errors import MicrophoneError, MissingExtraError
from emopi.device.quiet import quiet_stderr
from emopi.device.sources.settings import LOUDEST, MAX_CHANNELS, MEAN, SourceSettings

RATES_HZ = (48_000, 44_100, 96_000, 32_000, 22_050, 16_000, 11_025, 8_000, 192_000)
"""That are tried behind the device's own, best first for a model of 16 kHz."""

FORMATS = {"int32": "paInt32", "float32": "paFloat32", "int24": "paInt24", "int16": "paInt16"}
"""Sample formats, best first, and PyAudio's names for them."""

SERVER_CHANNELS = 2
"""That are opened of a device with more than `MAX_CHANNELS`."""

_WRONG_CHANNELS, _WRONG_FORMAT, _WRONG_RATE = -9998, -9994, -9997

Deliver = Callable[[bytes, int, Mapping[str, float], int], tuple[None, int]]
"""PyAudio's callback: raw samples, frames, times, flags; returns data and whether to go on."""


@dataclasses.dataclass(frozen=True, slots=True)
class InputDevice:
    """An input as PortAudio lists it."""

    index: int
    name: str
    channels: int
    """All that it claims; a sound server claims 32 or 128, mostly copies."""
    rate_hz: int
    """Its own rate, or what PortAudio takes for it."""
    is_default: bool


@dataclasses.dataclass(frozen=True, slots=True)
class StreamFormat:
    """What an opened device delivers."""

    name: str
    rate_hz: int
    channels: int
    sample_format: str
    """A key of `FORMATS`."""

    def describe(self) -> str:
        """In a few words, such as "48000 Hz, 2 channels, int32"."""
        plural = "s" if self.channels > 1 else ""
        return f"{self.rate_hz} Hz, {self.channels} channel{plural}, {self.sample_format}"


def load_pyaudio() -> Any:
    """The module; `MissingExtraError` without it."""
    try:
        import pyaudio
    except ImportError as error:
        raise MissingExtraError("the microphone", "mic", f"PyAudio ({error})") from None
    return pyaudio


def start() -> Any:
    """PortAudio, started; it knows the devices of this moment. Ended by `terminate`."""
    pyaudio = load_pyaudio()
    try:
        with quiet_stderr():
            return pyaudio.PyAudio()
    except OSError as error:
        raise MicrophoneError(
            f"PortAudio cannot start ({error}); expected a working sound system: "
            "check it with: arecord -l"
        ) from None


def terminate(audio: Any) -> None:
    """Close PortAudio's streams and PortAudio; a device that is lost already is no error."""
    with contextlib.suppress(OSError), quiet_stderr():
        audio.terminate()


def inputs(audio: Any) -> list[InputDevice]:
    """The inputs, perhaps none."""
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


def choose_again(devices: list[InputDevice], wanted: str | None, before: str) -> InputDevice:
    """The device that was called `before`, also where it is another card's number now.

    Where it is not there: the default one if any will do (`wanted` None), else as `choose` by
    name; never by an index, which may be another device's now.
    """
    same = [device for device in devices if device.name == before] or [
        device for device in devices if _without_card(device.name) == _without_card(before)
    ]
    if len(same) == 1:
        return same[0]
    if wanted is None:
        return choose(devices, None)
    return choose(devices, before if wanted.isdecimal() else wanted)


def open_best(
    audio: Any,
    device: InputDevice,
    settings: SourceSettings,
    block_s: float,
    deliver: Callable[[StreamFormat], Deliver],
) -> tuple[Any, StreamFormat]:
    """The started stream, in the best rate, channels and format that the device supports.

    `deliver` gives the callback for blocks of `block_s` in that format. Raises `MicrophoneError`
    if the device supports nothing that the settings allow, or is in use.
    """
    problem: OSError | None = None
    rates = _rates_hz(device, settings)
    channels, formats = _channels(device, settings), _formats(settings)
    while rates and channels and formats:
        wanted = StreamFormat(device.name, rates[0], channels[0], formats[0])
        try:
            return _open(audio, device, wanted, block_s, deliver(wanted)), wanted
        except OSError as error:
            problem = error
            if error.errno == _WRONG_RATE:
                rates = rates[1:]
            elif error.errno == _WRONG_CHANNELS:
                channels = channels[1:]
            elif error.errno == _WRONG_FORMAT:
                formats = formats[1:]
            else:
                break
    raise _cannot_open(device, wanted, problem)


def supported(audio: Any, device: InputDevice, wanted: StreamFormat) -> bool:
    """Whether the device can be opened so; asking may wait for a device that is in use."""
    try:
        with quiet_stderr():
            return bool(
                audio.is_format_supported(
                    wanted.rate_hz,
                    input_device=device.index,
                    input_channels=wanted.channels,
                    input_format=getattr(load_pyaudio(), FORMATS[wanted.sample_format]),
                )
            )
    except (ValueError, OSError):
        return False


def _open(
    audio: Any, device: InputDevice, wanted: StreamFormat, block_s: float, deliver: Deliver
) -> Any:
    with quiet_stderr():
        return audio.open(
            format=getattr(load_pyaudio(), FORMATS[wanted.sample_format]),
            channels=wanted.channels,
            rate=wanted.rate_hz,
            input=True,
            input_device_index=device.index,
            frames_per_buffer=max(1, round(block_s * wanted.rate_hz)),
            stream_callback=deliver,
        )


def _rates_hz(device: InputDevice, settings: SourceSettings) -> list[int]:
    if settings.rate_hz:
        return [settings.rate_hz]
    return list(dict.fromkeys((device.rate_hz, *RATES_HZ)))


def _channels(device: InputDevice, settings: SourceSettings) -> list[int]:
    """Counts to try: all channels, as some cards know no less, then fewer."""
    least = settings.channel if isinstance(settings.channel, int) else 1
    if least > device.channels:
        raise MicrophoneError(
            f"the microphone {device.name!r} has {device.channels} channels; expected channel "
            f"{least}: choose another one, {LOUDEST} or {MEAN}"
        )
    every = device.channels if device.channels <= MAX_CHANNELS else max(SERVER_CHANNELS, least)
    return [n for n in dict.fromkeys((every, 2, 1)) if least <= n <= every]


def _formats(settings: SourceSettings) -> list[str]:
    if settings.low_bits:
        return ["int32"]
    return list(FORMATS) if settings.sample_format == "auto" else [settings.sample_format]


def _cannot_open(
    device: InputDevice, wanted: StreamFormat, problem: OSError | None
) -> MicrophoneError:
    return MicrophoneError(
        f"the microphone {device.name!r} cannot be opened at {wanted.describe()} ({problem}); is "
        "it plugged in, and does no other program use it? emopi devices lists what each supports"
    )


def _without_card(name: str) -> str:
    """The name without ALSA's number of the card, which changes when it is plugged in again."""
    return re.sub(r" \(hw:\d+,\d+\)$", "", name)
