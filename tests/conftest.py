"""Fixtures that several folders of tests share."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
from hypothesis import settings

settings.register_profile("unhurried", deadline=None)  # no test fails for a busy machine
settings.load_profile("unhurried")

# emopi is to work with what Python buffers for stdout, as it does where nobody asks for less
os.environ.pop("PYTHONUNBUFFERED", None)

# a shell starts background jobs with SIGINT ignored, and what they start inherits that
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def tiny_corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All 1440 names of RAVDESS, each half a second of synthesized sound that tells its emotion."""
    from emopi.train.corpora import Ravdess

    folder = tmp_path_factory.mktemp("tiny") / "corpus"
    t = np.arange(8000) / 16_000
    harmonics = np.arange(1, 20)
    pitches_hz = {actor: 100 + 4 * actor for actor in range(1, 25)}
    tones = {
        actor: np.sin(2 * np.pi * pitch_hz * harmonics[:, None] * t)
        for actor, pitch_hz in pitches_hz.items()
    }
    for number, clip_id in enumerate(Ravdess.published()):
        emotion, actor = int(clip_id[6:8]), int(clip_id[-2:])
        rng = np.random.default_rng(number)
        weights = np.exp(-(((harmonics * pitches_hz[actor] - 300 * emotion) / 300) ** 2))
        voice = weights @ tones[actor]
        voice *= 0.2 * np.clip(np.sin(2 * np.pi * (2 + emotion) * t), 0, None)
        samples = voice + 0.002 * rng.standard_normal(len(t))
        path = folder / f"Actor_{actor:02}" / f"{clip_id}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        sf.write(path, samples, 16_000)
    return folder
