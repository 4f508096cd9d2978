"""The windows of many trainings, drawn an epoch ahead in processes of their own."""

from __future__ import annotations

import dataclasses
import multiprocessing
import signal
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing.shared_memory import SharedMemory

import numpy as np
from numpy.typing import NDArray

from emopi.device.frontend import Floats
from emopi.train.corpora import LABELS
from emopi.train.dataset import WindowSampler, one_thread_each

SLOTS = 2
"""Epochs whose windows are kept: one is learnt from while the next are drawn."""


class Feed:
    """Draws every member's windows, an epoch ahead, in processes of its own."""

    def __init__(self, samplers: Sequence[WindowSampler], jobs: int) -> None:
        first = samplers[0]
        steps = (SLOTS, first.steps, len(samplers), first.batch)
        shapes = (*steps, first.window_frames, first.spec.n_mfcc), (*steps, len(LABELS))
        self._n = len(samplers)
        self._memory = [SharedMemory(create=True, size=int(np.prod(shape)) * 4) for shape in shapes]
        self._buffers = [
            np.ndarray(shape, np.float32, one.buf)
            for shape, one in zip(shapes, self._memory, strict=True)
        ]
        names = [one.name for one in self._memory]
        with one_thread_each():
            self._pool = ProcessPoolExecutor(
                min(jobs, SLOTS * self._n),
                multiprocessing.get_context("spawn"),  # not forked: JAX's threads do not survive it
                _start_drawing,
                (samplers, names, shapes),
            )
            self._pool.submit(int).result()

    def epochs(self, first: int, end: int) -> Iterator[tuple[Floats, Floats]]:
        """The windows and labels of all members for each epoch; valid until the next is asked for.

        (steps, members, batch, frames, n_mfcc) and (steps, members, batch, labels).
        """
        drawn: dict[int, list[Future[None]]] = {}

        def draw(epoch: int) -> None:
            if epoch < end:
                drawn[epoch] = [self._pool.submit(_draw, k, epoch) for k in range(self._n)]

        for epoch in range(first, first + SLOTS):
            draw(epoch)
        for epoch in range(first, end):
            for future in drawn.pop(epoch):
                future.result()
            windows, labels = (buffer[epoch % SLOTS] for buffer in self._buffers)
            yield windows, labels
            draw(epoch + SLOTS)

    def close(self) -> None:
        """End the processes and free the memory."""
        self._pool.shutdown(cancel_futures=True)
        self._buffers.clear()
        for one in self._memory:
            one.close()
            one.unlink()


@dataclasses.dataclass(frozen=True, slots=True)
class _Drawing:
    """What a process of a feed works with."""

    samplers: Sequence[WindowSampler]
    memory: list[SharedMemory]
    buffers: list[NDArray[np.float32]]


_drawing: _Drawing


def _start_drawing(
    samplers: Sequence[WindowSampler], names: Sequence[str], shapes: Sequence[tuple[int, ...]]
) -> None:
    global _drawing
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that takes the steps
    memory = [SharedMemory(name) for name in names]
    buffers = [
        np.ndarray(shape, np.float32, one.buf) for shape, one in zip(shapes, memory, strict=True)
    ]
    _drawing = _Drawing(samplers, memory, buffers)


def _draw(member: int, epoch: int) -> None:
    windows, labels = (buffer[epoch % SLOTS] for buffer in _drawing.buffers)
    batches = _drawing.samplers[member].epoch(epoch)
    for step, (drawn, targets) in enumerate(batches):
        windows[step, member, : len(drawn)] = drawn
        labels[step, member, : len(drawn)] = targets
