"""What the scenarios share: their table, their speech, and a listener in a process of its own."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import click
import numpy as np
import soundfile as sf

from emopi.device.sources.audio import read_clip

RATE_HZ = 16_000
HOP_S = 0.5
PATIENCE_S = 120.0
"""After which a scenario is given up."""


def say(text: str) -> None:
    """Not part of the table."""
    click.echo(text, err=True)


def row(*cells: object) -> None:
    click.echo("| " + " | ".join(map(str, cells)) + " |")


def some_speech(seconds: float = 24.0) -> np.ndarray[Any, np.dtype[np.float32]]:
    """The bundled voice, then as much silence; again and again."""
    voice = read_clip(Path(str(files("emopi.models"))) / "example.wav", RATE_HZ)
    return np.resize(np.concatenate([voice, np.zeros_like(voice)]), round(seconds * RATE_HZ))


class Listening:
    """`emopi listen` in a process of its own; what it has said so far can be looked at."""

    def __init__(self, folder: Path, *arguments: object, **environment: str) -> None:
        self._stdout, self._stderr = folder / "stdout", folder / "stderr"
        command = [sys.executable, "-m", "emopi.device.cli", "listen", "--json"]
        with self._stdout.open("w") as stdout, self._stderr.open("w") as stderr:
            self.process = subprocess.Popen(
                [*command, *map(str, arguments)],
                stdout=stdout,
                stderr=stderr,
                env=os.environ | environment,
            )

    @property
    def decisions(self) -> list[dict[str, Any]]:
        """In order; without a line that is being written."""
        lines = self._stdout.read_text().rpartition("\n")[0].splitlines()
        return [json.loads(line) for line in lines]

    @property
    def said(self) -> str:
        """What is on stderr."""
        return self._stderr.read_text()

    def wait(self, what: str, come: Callable[[], bool]) -> None:
        """Until that has come; gives up when the process ends or after `PATIENCE_S`."""
        deadline = time.monotonic() + PATIENCE_S
        while not come():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise click.ClickException(f"waited in vain for {what}; it said: {self.said}")
            time.sleep(0.1)

    def wait_for_more(self, n: int = 3) -> None:
        """Until so many decisions more have come."""
        before = len(self.decisions)
        self.wait(f"{n} more decisions", lambda: len(self.decisions) >= before + n)

    def wait_for_said(self, text: str, times: int = 1) -> None:
        """Until it has been said so often."""
        self.wait(text, lambda: self.said.count(text) >= times)

    def stop(self) -> float:
        """Seconds from SIGTERM to the end."""
        self.process.send_signal(signal.SIGTERM)
        started_s = time.monotonic()
        if self.process.wait(PATIENCE_S):
            raise click.ClickException(f"it failed: {self.said}")
        return time.monotonic() - started_s


@contextlib.contextmanager
def listening(*arguments: object, **environment: str) -> Iterator[Listening]:
    """A process that listens; gone at the end."""
    with tempfile.TemporaryDirectory() as folder:
        found = Listening(Path(folder), *arguments, **environment)
        try:
            yield found
        finally:
            found.process.kill()
            found.process.wait()


@contextlib.contextmanager
def clip(seconds: float) -> Iterator[Path]:
    """A file with that much speech and silence."""
    with tempfile.TemporaryDirectory() as folder:
        sf.write(Path(folder) / "clip.flac", some_speech(seconds), RATE_HZ)
        yield Path(folder) / "clip.flac"


def gaps(decisions: list[dict[str, Any]]) -> list[float]:
    """Seconds of the sample clock between decisions that follow each other, if not the hop."""
    times_s = [decision["time_s"] for decision in decisions]
    steps = (later - earlier for earlier, later in itertools.pairwise(times_s))
    return [round(step, 3) for step in steps if abs(step - HOP_S) > 0.01]
