"""How much room and time a model takes until its first answer, each in a process of its own."""

from __future__ import annotations

import dataclasses
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from emopi.convert.comparison.interpreters import placed_tensors, plain_interpreter
from emopi.device.board import resident_mb
from emopi.device.classifier import Classifier, find_interpreter
from emopi.device.contract import read
from emopi.device.process import answers, serve
from emopi.device.progress import track

PROCESSES = 3
"""Of which each figure is the median."""


@dataclasses.dataclass(frozen=True, slots=True)
class Footprint:
    """Medians over fresh processes that have imported the libraries but seen no model before."""

    load_ms: float
    """From the path to a model that is ready, its file in the system's cache."""
    first_ms: float
    """The first inference."""
    rss_mb: float
    """Resident memory of the process after it, in MiB: Python, NumPy, interpreter and model."""
    model_mb: float
    """By how much loading and the first inference raised it."""
    arena_kb: float
    """KiB that TFLite's own planner gives all activations together; XNNPACK plans its own."""
    memory_source: str
    """Where the system tells resident memory."""

    def to_json(self) -> dict[str, Any]:
        """The fields by name, rounded to what they are worth."""
        digits = {"load_ms": 2, "first_ms": 2, "rss_mb": 1, "model_mb": 2, "arena_kb": 0}
        fields = dataclasses.asdict(self)
        return fields | {name: round(fields[name], n) for name, n in digits.items()}


def footprints(models: Sequence[Path]) -> list[Footprint]:
    """One a model. The models take turns, so that a busy moment does not fall on one alone."""
    turns = [model for _ in range(PROCESSES) for model in models]
    found = [
        Footprint(**facts)
        for facts in track(_ask(turns), len(turns), "memory and loading, a process each")
    ]
    return [_median(found[k :: len(models)]) for k in range(len(models))]


def arena_kb(flatbuffer: bytes) -> float:
    """Extent of the activations in memory, in KiB.

    No interpreter tells the size of its arena, but each tells where a tensor lies. The weights lie
    in the flatbuffer; what lies closer together than the largest tensor is one arena.
    """
    spans = []
    for _, tensor, constant in placed_tensors(plain_interpreter(flatbuffer), flatbuffer):
        if not constant:
            address = tensor.__array_interface__["data"][0]
            spans.append((address, address + tensor.nbytes))
    largest = max((end - begin for begin, end in spans), default=0)
    arenas: list[list[int]] = []
    for begin, end in sorted(spans):
        if arenas and begin - arenas[-1][1] <= largest:
            arenas[-1][1] = max(arenas[-1][1], end)
        else:
            arenas.append([begin, end])
    return max((end - begin for begin, end in arenas), default=0) / 1024


def _ask(models: Sequence[Path]) -> Iterator[dict[str, Any]]:
    for model in models:
        yield from answers(__name__, str(model))


def _median(found: Sequence[Footprint]) -> Footprint:
    middle = {
        field.name: statistics.median(getattr(one, field.name) for one in found)
        for field in dataclasses.fields(Footprint)
        if field.name != "memory_source"
    }
    return dataclasses.replace(found[0], **middle)


def _measure(model: str) -> Iterator[dict[str, Any]]:
    """In the fresh process: one footprint as JSON types."""
    find_interpreter()  # imported before, as in a program that runs for long
    before_mb, source = resident_mb()
    started_s = time.perf_counter()
    classifier = Classifier(model)
    loaded_s = time.perf_counter()
    contract = classifier.contract
    classifier.probabilities(
        np.zeros((contract.window_frames, contract.frontend.n_mfcc), np.float32)
    )
    answered_s = time.perf_counter()
    after_mb, _ = resident_mb()
    yield {
        "load_ms": 1000 * (loaded_s - started_s),
        "first_ms": 1000 * (answered_s - loaded_s),
        "rss_mb": after_mb,
        "model_mb": after_mb - before_mb,
        "arena_kb": arena_kb(read(model)[0]),
        "memory_source": source,
    }


if __name__ == "__main__":
    sys.exit(serve(_measure))
