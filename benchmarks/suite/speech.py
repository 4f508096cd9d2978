"""The audio that everything is measured on."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import numpy as np

from emopi.device.errors import CorpusError
from emopi.device.frontend import Floats
from emopi.device.sources.audio import read_clip

RATE_HZ = 16_000
WINDOW_S = 3.0
WINDOWS = 24


def windows(corpus: str | None, n: int = WINDOWS) -> list[Floats]:
    """`n` pieces of `WINDOW_S`, (48000,) float32 at `RATE_HZ`.

    The middle of clips that are spread over the corpus, so over its speakers; without one they are
    cut from the bundled recording. Raises `CorpusError` for a folder with too few clips.
    """
    if corpus is None:
        recording = bundled()
        starts = np.linspace(0, len(recording) - samples_in_window(), n).astype(int)
        return [recording[start : start + samples_in_window()].copy() for start in starts]
    clips = sorted(Path(corpus).rglob("*.wav"))
    if len(clips) < n:
        raise CorpusError(
            f"{corpus} holds {len(clips)} WAV files; expected {n} at least: name the folder of "
            "RAVDESS, or leave --corpus out"
        )
    chosen = [clips[k * len(clips) // n] for k in range(n)]
    return [_middle(read_clip(path, RATE_HZ)) for path in chosen]


def stream(corpus: str | None) -> Floats:
    """All windows after each other, as if someone spoke on."""
    return np.concatenate(windows(corpus))


def bundled() -> Floats:
    """(n,) the recording that emopi brings, at `RATE_HZ`."""
    return read_clip(Path(str(files("emopi.models"))) / "example.wav", RATE_HZ)


def samples_in_window() -> int:
    """Of every piece."""
    return round(WINDOW_S * RATE_HZ)


def _middle(clip: Floats) -> Floats:
    n = samples_in_window()
    if len(clip) < n:
        return np.pad(clip, (0, n - len(clip)))
    start = (len(clip) - n) // 2
    return clip[start : start + n].copy()
