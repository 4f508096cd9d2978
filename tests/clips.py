"""Files that look like RAVDESS, for tests of what reads and checks it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile

from emopi.train.corpora import Ravdess

A, B = "03-01-01-01-01-01-01", "03-01-05-02-02-01-12"


def write(
    path: Path, seed: int = 0, *, n: int = 480, rate_hz: int = 48_000, channels: int = 1
) -> Path:
    """A file of noise; its samples depend on `seed` and `n`, all channels are the same."""
    path.parent.mkdir(parents=True, exist_ok=True)
    mono = np.random.default_rng(seed).integers(-9000, 9000, n, dtype=np.int16)
    soundfile.write(path, np.stack([mono] * channels, axis=1), rate_hz, subtype="PCM_16")
    return path


def write_corpus(folder: Path, skip: Callable[[str], bool] = lambda _: False) -> None:
    """All 1440 clips, 24 samples long and each another recording, but those to `skip`."""
    folder.mkdir(exist_ok=True)
    one = write(folder / "template.wav", n=24)
    header = one.read_bytes()[:-48]
    one.unlink()
    for number, clip_id in enumerate(Ravdess.published()):
        if not skip(clip_id):
            path = folder / f"Actor_{clip_id[-2:]}" / f"{clip_id}.wav"
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(header + (number + np.arange(24, dtype="<i2")).tobytes())
