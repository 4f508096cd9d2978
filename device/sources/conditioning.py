"""From what a sound card delivers to what the model hears: samples, one channel, no DC.

    bytes -> decode -> ChannelPicker -> Resampler (audio.py) -> DcBlocker -> gain

Pure: no device, no clock but the count of samples.
"""

from __future__ import annotations

import functools
import math

import numpy as np
from numpy.typing import NDArray

from emopi.device.frontend import INT16_SCALE, Floats
from emopi.device.sources.settings import LOUDEST, MEAN

DC_CUTOFF_HZ = 3.0
"""Of the high-pass: settles in a sixth of a second and takes 0.02 dB off the 50 Hz where the
front end's lowest filter begins."""

LOUDER_DB = 10.0
"""Another channel must be louder by so much ..."""
FOR_S = 2.0
"""... for so long before it is heard instead; echoes of one voice in two microphones are not."""
SETTLE_S, SETTLE_DB = 0.5, 3.0
"""Before so much has been heard, a channel that is so much louder is taken at once."""
MEMORY_S = 1.0
"""Time constant of a channel's power."""

_PIECE = 4096
"""Samples that the high-pass takes at once: its powers stay within a factor of 130."""


def decode(raw: bytes, sample_format: str, channels: int, *, low_bits: bool = False) -> Floats:
    """(n, channels) float32, full scale ±1, of interleaved samples as PortAudio delivers them.

    `low_bits` for 24-bit samples in the low bits of int32 words, whatever stands in the high byte.
    What is not finite in float32 becomes 0, what is beyond ±1 is cut there.
    """
    samples: Floats
    if sample_format == "int16":
        samples = np.frombuffer(raw, np.int16).astype(np.float32) / np.float32(INT16_SCALE)
    elif sample_format == "float32":
        samples = _repaired(np.frombuffer(raw, np.float32))
    else:
        words = _words24(raw) if sample_format == "int24" else np.frombuffer(raw, np.int32)
        words = words << 8 if low_bits else words
        samples = np.multiply(words, np.float32(2**-31), dtype=np.float32, casting="unsafe")
    return samples.reshape(-1, channels)


def _repaired(samples: Floats) -> Floats:
    """Within ±1, and 0 where a sample is not finite."""
    repaired: Floats = np.clip(np.nan_to_num(samples, posinf=0, neginf=0), -1, 1)
    return repaired


def _words24(raw: bytes) -> NDArray[np.int32]:
    """Packed little-endian 24-bit samples as the high bits of int32."""
    packed = np.frombuffer(raw, np.uint8).reshape(-1, 3)
    padded = np.zeros((len(packed), 4), np.uint8)
    padded[:, 1:] = packed
    return padded.view("<i4")[:, 0]


class ChannelPicker:
    """One channel of several: a fixed one, the mean, or the loudest, which is not left lightly.

    A channel that is constant is silent, whatever its offset. The loudest is left at once when it
    goes dead while another lives, and else when another is louder by `LOUDER_DB` for `FOR_S`.
    """

    def __init__(self, channel: int | str, rate_hz: int) -> None:
        """`channel` as in `SourceSettings`."""
        self.current = channel - 1 if isinstance(channel, int) else 0
        """Index of the channel that is heard; meaningless for the mean."""
        self._channel = channel
        self._rate_hz = rate_hz
        self._heard = 0
        self._louder_for = 0
        self._power: Floats | None = None

    def push(self, samples: Floats) -> Floats:
        """(n,) of (n, channels)."""
        if samples.shape[1] == 1:
            return samples[:, 0]
        if self._channel == MEAN:
            mean: Floats = samples.mean(axis=1, dtype=np.float32)
            return mean
        if self._channel == LOUDEST and len(samples) > 1:
            self._choose(samples)
        return samples[:, self.current]

    def _choose(self, samples: Floats) -> None:
        moved = samples - samples[0]  # exactly 0 in a channel that is constant
        mean = np.einsum("ij->j", moved) / len(moved)
        power = np.maximum(np.einsum("ij,ij->j", moved, moved) / len(moved) - mean * mean, 0)
        share = 1 - math.exp(-len(samples) / (MEMORY_S * self._rate_hz))
        before = self._power
        self._power = power if before is None else before + share * (power - before)
        self._heard += len(samples)
        settling = self._heard <= SETTLE_S * self._rate_hz
        margin = 10 ** ((SETTLE_DB if settling else LOUDER_DB) / 10)
        loudest = int(np.argmax(np.where(power > 0, self._power, 0)))
        louder = self._power[loudest] > margin * self._power[self.current]
        self._louder_for = self._louder_for + len(samples) if louder else 0
        dead = not power[self.current] and power[loudest]
        if dead or (louder and (settling or self._louder_for >= FOR_S * self._rate_hz)):
            self.current, self._louder_for = loudest, 0


class DcBlocker:
    """One-pole high-pass at `DC_CUTOFF_HZ`: each sample less the running mean so far.

    The mean starts at the first sample, so that an offset makes no step.
    """

    def __init__(self, rate_hz: int) -> None:
        self._keep = math.exp(-2 * math.pi * DC_CUTOFF_HZ / rate_hz)
        self._gain = (1 + self._keep) / (2 * self._keep)
        self._mean: float | None = None

    def push(self, samples: Floats) -> Floats:
        """(n,) float32 of (n,), without its mean; the same however the stream is cut."""
        pieces = [
            self._piece(samples[start : start + _PIECE]) for start in range(0, len(samples), _PIECE)
        ]
        return np.concatenate(pieces) if len(pieces) > 1 else (pieces or [samples])[0]

    def _piece(self, samples: Floats) -> Floats:
        if self._mean is None:
            self._mean = float(samples[0])
        decay = _powers(self._keep)[: len(samples)]
        # mean[n] = keep * mean[n - 1] + (1 - keep) * x[n], summed up from the piece's start
        means = decay * (self._mean + (1 - self._keep) * np.cumsum(samples / decay))
        self._mean = float(means[-1])
        return (self._gain * (samples - means)).astype(np.float32)  # 1 at half the rate


@functools.lru_cache(maxsize=4)
def _powers(keep: float) -> NDArray[np.float64]:
    """keep ** 1, keep ** 2, ... keep ** _PIECE."""
    return np.power(keep, np.arange(1, _PIECE + 1))


class ZeroWatch:
    """Notices digital silence: every sample the same for long.

    How long doubles with each silence that ended, up to `MOST_S`, so that a microphone with a
    noise gate does not tell of every pause.
    """

    FIRST_S = 2.5
    MOST_S = 3600.0

    def __init__(self, rate_hz: int) -> None:
        self._rate_hz = rate_hz
        self._same = 0
        self._value: float | None = None
        self._patience_s = self.FIRST_S
        self.silent = False

    def push(self, samples: Floats) -> bool | None:
        """True when silence has just been found, False when it has just ended, else None."""
        if not len(samples):
            return None
        self._value = float(samples[0]) if self._value is None else self._value
        different = np.flatnonzero(samples != np.float32(self._value))
        if not different.size:
            self._same += len(samples)
        else:
            self._value = float(samples[-1])
            tail = np.flatnonzero(samples != np.float32(self._value))
            self._same = len(samples) - 1 - int(tail[-1]) if tail.size else len(samples)
        if self.silent and different.size:
            self.silent = False
            self._patience_s = min(2 * self._patience_s, self.MOST_S)
            return False
        if not self.silent and self._same >= self._patience_s * self._rate_hz:
            self.silent = True
            return True
        return None
