"""Inference alone, all models and numbers of threads in turns: see `network.py`.

python -m benchmarks.suite.network_run ORDER
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.suite.making import PEAK_MACS, ROWS, SIZE
from benchmarks.suite.speech import windows
from benchmarks.suite.timing import Call, interleaved
from emopi.convert.arithmetic import multiplications
from emopi.device.classifier import load, to_tensor
from emopi.device.contract import Contract, read
from emopi.device.frontend import Floats, extract
from emopi.device.latency import Percentiles
from emopi.device.process import serve

BLAS = "matrix product of NumPy, float32"


def run(fields: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """One object: times of every model by threads, multiplications, and the machine's peaks."""
    models = {name: read(path) for name, path in fields["models"].items()}
    audio = windows(fields["corpus"])
    calls: dict[str, Call] = {}
    for threads in fields["threads"]:
        for name, (flatbuffer, contract) in models.items():
            calls[f"{name}/{threads}"] = _network(name, flatbuffer, contract, threads, audio)
    peaks = {BLAS: _numpy_product()}
    for precision, path in fields["peaks"].items():
        peaks[f"matrix product of LiteRT, {precision}"] = _litert_product(path)
    taken = interleaved(calls | peaks, fields["rounds"])
    yield {
        "macs": {name: sum(multiplications(one).values()) for name, (one, _) in models.items()},
        "bytes": {name: Path(path).stat().st_size for name, path in fields["models"].items()},
        "times_ms": {name: Percentiles.of(taken[name]).to_json() for name in calls},
        # the best, as it is what the machine can do
        "best_ms": {name: min(taken[name]) for name in calls},
        "rounds": len(next(iter(taken.values()))),
        "peak_gmacs_s": {name: PEAK_MACS / min(taken[name]) / 1e6 for name in peaks},
    }


def _network(
    name: str, flatbuffer: bytes, contract: Contract, threads: int, audio: list[Floats]
) -> Call:
    """`invoke` on windows of speech; setting the input is in it, as a decision has to."""
    _, interpreter = load(name, flatbuffer, threads)
    taken = interpreter.get_input_details()[0]
    inputs = [to_tensor(_normalized(piece, contract), taken)[None] for piece in audio]

    def invoke(number: int) -> None:
        interpreter.reset_all_variables()
        interpreter.set_tensor(taken["index"], inputs[number % len(inputs)])
        interpreter.invoke()

    return invoke


def _normalized(piece: Floats, contract: Contract) -> Floats:
    """(window_frames, n_mfcc); what a window is longer than the audio begins with silence."""
    missing = contract.frontend.samples_in(contract.window_frames) - len(piece)
    frames = extract(np.pad(piece, (max(0, missing), 0)), contract.frontend)
    return contract.normalization.apply(frames[: contract.window_frames])


def _numpy_product() -> Call:
    rows, square = np.ones((ROWS, SIZE), np.float32), np.ones((SIZE, SIZE), np.float32)
    return lambda _: rows @ square


def _litert_product(path: str) -> Call:
    _, interpreter = load(path, Path(path).read_bytes(), 1)
    return lambda _: interpreter.invoke()


if __name__ == "__main__":
    sys.exit(serve(run))
