"""Clips to compare on."""

from __future__ import annotations

from pathlib import Path

import pytest
import soundfile
from support import speech


@pytest.fixture(scope="session")
def voices(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """56 clips of SAVEE: four speakers, seven emotions, a second of synthesized sound each."""
    folder = tmp_path_factory.mktemp("voices")
    number = 0
    for speaker in ("DC", "JE", "JK", "KL"):
        for emotion in ("a", "d", "f", "h", "n", "sa", "su"):
            for take in ("01", "02"):
                path = folder / f"{speaker}_{emotion}{take}.wav"
                soundfile.write(path, speech(1.0, seed=number % 9), 16_000)
                number += 1
    return folder
