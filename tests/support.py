"""What several tests need: real audio where it is, synthesized speech everywhere."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import click
import numpy as np
import pytest
from click.testing import CliRunner
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared"
RAVDESS_16K = SHARED / "ravdess16k"
RAVDESS_48K = SHARED / "ravdess48k"
MODELS = Path(str(files("emopi.models")))
SHIPPED = ("cnn-float32", "cnn-int8", "lstm-float32", "lstm-int8")

needs_16k = pytest.mark.skipif(
    not RAVDESS_16K.is_dir(), reason="RAVDESS at 16 kHz is not beside the checkout (../shared)"
)
needs_48k = pytest.mark.skipif(
    not RAVDESS_48K.is_dir(), reason="RAVDESS originals are not beside the checkout (../shared)"
)


def speech(seconds: float = 4.0, rate_hz: int = 16_000, seed: int = 0) -> NDArray[np.float32]:
    """(n,) float32 that moves like speech: a gliding voice, formants, syllables, breath, pauses.

    Made of sines and a fixed pseudo-random sequence, so the same on every machine to rounding.
    """
    t = np.arange(round(seconds * rate_hz)) / rate_hz
    pitch_hz = (140 + 60 * seed) * (1 + 0.25 * np.sin(2 * np.pi * 0.7 * t + seed))
    phase = 2 * np.pi * np.cumsum(pitch_hz) / rate_hz
    voice = np.zeros_like(t)
    for harmonic in range(1, 24):
        frequency = harmonic * pitch_hz
        formants = sum(
            np.exp(-(((frequency - centre) / width) ** 2))
            for centre, width in ((600 + 200 * np.sin(5 * t), 150), (1700, 300), (2800, 400))
        )
        voice += formants * np.sin(harmonic * phase)
    syllables = np.clip(np.sin(2 * np.pi * 3.1 * t), 0, None) * (np.sin(2 * np.pi * 0.3 * t) > -0.6)
    breath = np.sin(1e5 * np.sin(np.arange(len(t)) * 12.9898 + seed))
    return (0.1 * voice * syllables + 2e-3 * breath).astype(np.float32)


def run_emopi(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command line in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "emopi.device.cli", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=240,
        env={k: v for k, v in os.environ.items() if k != "EMOPI_DEBUG"} | environment,
        check=False,
    )


def invoke(command: click.Command, *arguments: object) -> str:
    """Run a command in this process, which may have TensorFlow already; what it printed."""
    done = CliRunner().invoke(command, list(map(str, arguments)), catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output
