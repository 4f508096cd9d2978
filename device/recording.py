"""The last seconds that were heard, for who asks for them with `--record`: off otherwise."""

from __future__ import annotations

import io
from collections import deque
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from emopi.device.errors import SpecError
from emopi.device.files import check_writable, write_atomically
from emopi.device.frontend import INT16_SCALE, Floats
from emopi.device.sinks import Now, utc_now

MAX_S = 600.0
"""Longest recording: 18 MB of memory at 16 kHz."""


class Recording:
    """The newest `seconds` of what the model hears, in memory, as 16-bit samples.

    Nothing is on disk before `keep`. Audio that was lost leaves no gap in it. Raises `SpecError`
    for seconds out of range, `OSError` where `path` could not be written.
    """

    def __init__(
        self, path: Path, seconds: float, sample_rate_hz: int, *, now: Now = utc_now
    ) -> None:
        """`path` is a folder, which gets a new file each time, or a file, which is replaced."""
        if not 1 <= seconds <= MAX_S:
            raise SpecError(f"record_seconds is {seconds:g}; expected 1 to {MAX_S:g}")
        self._path = path
        self._now = now
        self._rate_hz = sample_rate_hz
        self._limit = round(seconds * sample_rate_hz)
        self._pieces: deque[NDArray[np.int16]] = deque()
        self._samples = 0
        check_writable(self._target())

    def push(self, samples: Floats) -> None:
        """Take in (n,) float32, full scale ±1; what is older than the limit is forgotten."""
        limits = np.iinfo(np.int16)
        scaled = np.clip(np.rint(samples * np.float32(INT16_SCALE)), limits.min, limits.max)
        self._pieces.append(scaled.astype("<i2"))
        self._samples += len(samples)
        while self._samples > self._limit:
            excess = self._samples - self._limit
            oldest = self._pieces.popleft()
            if len(oldest) > excess:
                self._pieces.appendleft(oldest[excess:].copy())
            self._samples -= min(excess, len(oldest))

    def keep(self) -> Path | None:
        """Write a WAV file that only its owner may read; its path, None if nothing was heard.

        It is there whole or not at all. Raises `OSError` as the system does.
        """
        if not self._samples:
            return None
        import wave

        content, target = io.BytesIO(), self._target()
        with wave.open(content, "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(self._rate_hz)
            file.writeframes(np.concatenate(self._pieces).tobytes())
        write_atomically(target, content.getvalue(), mode=0o600)
        return target

    def _target(self) -> Path:
        if self._path.is_dir():
            return self._path / f"emopi-{self._now():%Y%m%dT%H%M%S.%f}Z.wav"
        return self._path
