"""What the streaming form of an lstm saves: arithmetic and time, one decision after another.

    python benchmarks/streaming_lstm.py [MODEL...] [--hop 0.5]

MODEL is a file of whole windows, by default the two shipped ones; its streaming form is cut out of
it here. A listener that decides every 0.5 s computes a window of 3 s each time, the streaming form
only the 0.5 s that are new. Time is that of the thread that computes, the least of many: what else
the machine does hardly counts. Needs LiteRT, no TensorFlow.
"""

from __future__ import annotations

import dataclasses
import tempfile
import time
from collections.abc import Callable, Sequence
from importlib.resources import files
from pathlib import Path

import click
import numpy as np

from emopi.convert.arithmetic import multiplications
from emopi.convert.operators import schema_module
from emopi.convert.streaming import streaming_form
from emopi.device.classifier import Classifier
from emopi.device.contract import FRAMES, HEAD, Stage, attach, read
from emopi.device.streaming import StreamingClassifier
from emopi.device.versions import versions
from emopi.train.run_record import commit, hardware

SHIPPED = ("lstm-float32.tflite", "lstm-int8.tflite")
REPEATS = 200
HOPS = 8
"""Timed together: some complete one step more than others."""


def frames_a_row(flatbuffer: bytes, stages: Sequence[Stage]) -> dict[str, int]:
    """Frames from one row of each stage to the next, by its signature."""
    schema = schema_module()
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(flatbuffer, 0))
    first_taken = {one.signatureKey.decode(): one.inputs[0].name for one in model.signatureDefs}
    frames = {FRAMES: 1}
    for stage in stages:
        frames[stage.signature] = stage.step * frames[first_taken[stage.signature].decode()]
    del frames[FRAMES]
    return frames


def least_ms(action: Callable[[], object]) -> float:
    """Of `REPEATS` calls."""
    took = []
    for _ in range(REPEATS):
        started = time.thread_time()
        action()
        took.append(1000 * (time.thread_time() - started))
    return min(took)


def row(path: Path, hop_s: float) -> str:
    """A line of the table."""
    flatbuffer, contract = read(path)
    small, stages = streaming_form(flatbuffer)
    spec = contract.frontend
    hop = round(hop_s * spec.sample_rate_hz / spec.hop_samples)
    (window_macs,) = multiplications(flatbuffer).values()
    macs = multiplications(small)
    hop_macs = macs[HEAD] + sum(
        macs[name] * hop / frames for name, frames in frames_a_row(small, stages).items()
    )
    rng = np.random.default_rng(0)
    frames = rng.normal(0, 20, (contract.window_frames, spec.n_mfcc)).astype(np.float32)
    whole = Classifier(path)
    with tempfile.TemporaryDirectory() as folder:
        other = Path(folder) / "streaming.tflite"
        other.write_bytes(attach(small, dataclasses.replace(contract, streaming=stages)))
        streaming = StreamingClassifier(other)

    def hear() -> None:
        for _ in range(HOPS):
            streaming.push(frames[:hop])
            streaming.logits()

    streaming.push(frames)
    window_ms, hop_ms = least_ms(lambda: whole.logits(frames)), least_ms(hear) / HOPS
    return (
        f"| {contract.name} | {window_macs / 1e6:.2f} M | {hop_macs / 1e6:.2f} M "
        f"| {window_macs / hop_macs:.1f} | {window_ms:.2f} ms | {hop_ms:.2f} ms "
        f"| {window_ms / hop_ms:.1f} |"
    )


@click.command()
@click.argument("models", nargs=-1, type=click.Path(path_type=Path, exists=True))
@click.option("--hop", "hop_s", default=0.5, show_default=True, help="Seconds between decisions.")
def main(models: tuple[Path, ...], hop_s: float) -> None:
    """Print a table."""
    shipped = [Path(str(files("emopi.models"))) / name for name in SHIPPED]
    print(f"commit {commit()}, {hardware()}, 1 used")
    print(", ".join(f"{name} {version}" for name, version in versions("ai-edge-litert").items()))
    print("\n| model | MACs, window | MACs, hop | saves | time, window | time, hop | saves |")
    print("|---|---|---|---|---|---|---|")
    for path in models or shipped:
        print(row(path, hop_s))


if __name__ == "__main__":
    main()
