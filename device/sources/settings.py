"""The settings of a source: the table [source] of the settings file, options of `emopi listen`."""

from __future__ import annotations

import dataclasses
import math
from typing import Literal, get_args

from emopi.device.errors import SpecError

SampleFormat = Literal["auto", "int16", "int24", "int32", "float32"]
LOUDEST, MEAN = "loudest", "mean"

MAX_CHANNELS = 8
"""Of a device that are recorded; one with more is a sound server, which claims 32 or 128."""


@dataclasses.dataclass(frozen=True, slots=True)
class SourceSettings:
    """What is listened to, and how; all but the name concern a microphone.

    Immutable; raises `SpecError` for a value out of range, with the value and the bound.
    """

    name: str = "mic"
    """"mic" is the default microphone, "mic:NAME" one by its index or (part of) its name, "auto"
    the default one or else a bundled recording; anything else is an audio file."""
    rate_hz: int = 0
    """Rate at which the device is opened, 4000 to 384000; 0 for the device's own."""
    sample_format: SampleFormat = "auto"
    """In which the device is opened; "auto" for the best that it can."""
    low_bits: bool = False
    """Its 32-bit words hold 24-bit samples in their low bits: 48 dB too quiet otherwise."""
    channel: int | str = LOUDEST
    """Which one is heard: "loudest", "mean" of all, or a number from 1 to 8."""
    gain_db: float = 0.0
    """Added to the level, -60 to 60. The models hear loudness as well as manner."""
    remove_dc: bool = True
    """Whether a constant offset, which cheap microphones have, is taken off."""
    lost_after_s: float = 3.0
    """A device that delivers nothing for so long is taken for lost, 0.2 to 60."""
    retry_s: float = 30.0
    """Longest pause between attempts to get a lost device back, 0.1 to 3600."""
    wait: bool = False
    """Whether a device that is not there at the start is waited for, rather than an error."""

    def __post_init__(self) -> None:
        """Check every field against its range."""
        if not isinstance(self.name, str) or self.name in ("", "mic:"):
            raise SpecError(f"name is {self.name!r}; expected mic, mic:NAME, auto or a file")
        if self.rate_hz != 0:
            _check("rate_hz", self.rate_hz, 4_000, 384_000)
        if self.sample_format not in get_args(SampleFormat):
            raise SpecError(
                f"sample_format is {self.sample_format!r}; expected one of {get_args(SampleFormat)}"
            )
        if self.channel not in (LOUDEST, MEAN):
            _check("channel", self.channel, 1, MAX_CHANNELS, f"{LOUDEST!r}, {MEAN!r} or ")
        _check("gain_db", self.gain_db, -60, 60)
        _check("lost_after_s", self.lost_after_s, 0.2, 60)
        _check("retry_s", self.retry_s, 0.1, 3600)
        for name in ("low_bits", "remove_dc", "wait"):
            if not isinstance(value := getattr(self, name), bool):
                raise SpecError(f"{name} is {value!r}; expected true or false")
        if self.low_bits and self.sample_format not in ("auto", "int32"):
            raise SpecError(f"low_bits needs sample_format int32; it is {self.sample_format!r}")

    @property
    def is_microphone(self) -> bool:
        """Whether `name` is a microphone for certain; "auto" may be one."""
        return self.name == "mic" or self.name.startswith("mic:")

    @property
    def device(self) -> str | None:
        """Name or index of the microphone, None for the default one."""
        return self.name.partition(":")[2] or None if self.is_microphone else None


def _check(name: str, value: float | str, least: float, most: float, otherwise: str = "") -> None:
    """Raise `SpecError` unless the value is a number in range, whole where the bounds of that
    setting are counted."""
    whole = name in ("rate_hz", "channel")
    fits = isinstance(value, int if whole else int | float) and not isinstance(value, bool)
    if not fits or not math.isfinite(float(value)) or not least <= float(value) <= most:
        kind = "an integer" if whole else "a number"
        raise SpecError(f"{name} is {value!r}; expected {otherwise}{kind} from {least} to {most}")
