"""The streaming form of a model: it takes only the new frames and carries what it needs of others.

    frames -> stage -> stage -> ... -> one row a step -> mean, maximum -> head -> logits

Each stage slides over the rows that one or two others before it give, keeps those that it needs
again, and computes every row once; a whole-window model computes all of them anew for every window.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emopi.device.classifier import from_tensor, load, softmax, to_tensor
from emopi.device.contract import FRAMES, HEAD, ROW, Stage, read
from emopi.device.errors import AudioError, ModelError, SpecError
from emopi.device.frontend import Floats
from emopi.device.normalization import Normalization

POOLED = ("mean", "max")
"""Over all steps: what a head may take."""

Rows = NDArray[Any]
"""(rows, views * channels) as a tensor holds them: float32, or quantized."""


class StreamingClassifier:
    """One utterance at a time, from its first frame on. Not safe to share between threads.

    However the frames are cut into pieces, the answer is the same. Raises `ModelError` as
    `Classifier` does, and for a file that does not hold a streaming form.
    """

    def __init__(self, path: str | Path, *, threads: int = 1) -> None:
        flatbuffer, self.contract = read(path)
        if not self.contract.streaming:
            raise ModelError(
                f"{path} takes whole windows; an lstm's streaming form is made with: "
                "emopi convert RUN --out FOLDER --streaming"
            )
        self.runtime, self._interpreter = load(str(path), flatbuffer, threads)
        try:
            self._stages: list[_Sliding] = []
            for stage in self.contract.streaming:
                known = [FRAMES, *(earlier.name for earlier in self._stages)]
                self._stages.append(_Sliding(self._interpreter, stage, known))
            self._head = _Signature(self._interpreter, HEAD, POOLED)
            self._frames = self._stages[0].taken[FRAMES]
        except (ValueError, KeyError) as error:
            raise ModelError(
                f"{path} lacks a part of its streaming form ({error}); convert anew"
            ) from None
        self.reset()

    def reset(self, loudest_c0: float = -math.inf) -> None:
        """Start anew, with another utterance.

        A frame's level counts relative to the loudest that was heard up to it. A whole window has
        its loudest frame's from the start: where that is known, `loudest_c0` is its first MFCC.
        """
        self._interpreter.reset_all_variables()
        for stage in self._stages:
            stage.reset()
        self._loudest_c0 = np.float32(loudest_c0)
        self._ended = False
        self._sum, self._most = np.zeros(1), np.full(1, -np.inf)
        self.steps = 0
        """Over which the network pools: one every few frames."""

    def push(self, frames: Floats) -> None:
        """Take in the next (n, n_mfcc) MFCCs, any number; `SpecError` after `finish`."""
        if self._ended:
            raise SpecError("the utterance has ended; reset before you push another's frames")
        if len(frames):
            levels = np.maximum.accumulate(np.maximum(frames[:, 0], self._loudest_c0))
            self._loudest_c0 = levels[-1]
            normalized = relative_to(levels, frames, self.contract.normalization)
            self._carry(normalized, ended=False)

    def finish(self) -> None:
        """The utterance has ended: compute the steps that still waited for frames.

        After `window_frames` frames the answer is then that of the whole window.
        """
        self._ended = True
        self._carry(np.empty((0, self.contract.frontend.n_mfcc), np.float32), ended=True)

    def logits(self) -> Floats:
        """(labels,) float32 for the utterance up to now; `AudioError` while `steps` is 0."""
        if not self.steps:
            raise AudioError("these are too few frames for an answer: push more")
        channels = self._stages[-1].given["shape"][-1]
        mean = (self._sum / self.steps).reshape(-1, channels).mean(axis=0)  # over views, too
        pooled = dict(zip(POOLED, (mean, self._most), strict=True))
        rows = {
            name: to_tensor(np.asarray(pooled[name][None], np.float32), tensor)
            for name, tensor in self._head.taken.items()
        }
        logits: Floats = from_tensor(self._head(rows), self._head.given)[0]
        return logits

    def probabilities(self) -> Floats:
        """(labels,) float32 that sum to 1: the softmax of `logits`."""
        return softmax(self.logits())

    def _carry(self, frames: Floats, *, ended: bool) -> None:
        """Normalized frames through all stages, and pool what comes out of the last."""
        known = {FRAMES: to_tensor(frames, self._frames)}
        for stage in self._stages:
            known[stage.name] = rows = stage.push(known, ended=ended)
        given = from_tensor(rows, self._stages[-1].given)
        self._sum = self._sum + given.sum(axis=0, dtype=float)
        self._most = np.maximum(self._most, given.max(axis=0, initial=-np.inf))
        self.steps += len(rows)


def relative_to(levels: Floats, frames: Floats, normalization: Normalization) -> Floats:
    """(n, n_mfcc) MFCCs normalized as in a window whose loudest frame has c0 `levels`, (n,)."""
    loudest = frames.copy()
    loudest[:, 0] = levels
    return normalization.apply(np.stack([loudest, frames], axis=1))[:, 1]


class _Signature:
    """One of the flatbuffer's functions: of one or more tensors by name, one tensor."""

    def __init__(self, interpreter: Any, name: str, known: Collection[str]) -> None:
        """Raise `ValueError` if it takes other than what is `known`."""
        self.name = name
        self._run = interpreter.get_signature_runner(name)
        self.taken: dict[str, dict[str, Any]] = self._run.get_input_details()
        self.given: dict[str, Any] = self._run.get_output_details()[ROW]
        if strange := set(self.taken) - set(known):
            raise ValueError(f"{name} takes {min(strange)}, which nothing gives")
        # before it has run once, its state cannot be reset
        self({name: np.zeros(one["shape"], one["dtype"]) for name, one in self.taken.items()})

    def __call__(self, rows: Mapping[str, Rows]) -> Rows:
        """(1, views * channels) for the rows that each tensor takes."""
        shaped = {name: _shaped(rows[name], one["shape"]) for name, one in self.taken.items()}
        row: Rows = self._run(**shaped)[ROW]
        return row.reshape(1, -1)


def _shaped(rows: Rows, shape: Sequence[int]) -> Rows:
    """Rows as a tensor takes them: (..., rows, channels), the views before the rows."""
    by_view = rows.reshape(len(rows), -1, shape[-1]).swapaxes(0, 1)
    return by_view.reshape(shape)


class _Sliding(_Signature):
    """A stage, and the rows that it has taken and needs again."""

    def __init__(self, interpreter: Any, stage: Stage, known: Collection[str]) -> None:
        super().__init__(interpreter, stage.signature, known)
        for tensor in self.taken.values():
            if stage.taken not in tensor["shape"][:-1]:
                raise ValueError(f"{stage.signature} takes other than {stage.taken} rows")
        self._stage = stage

    def reset(self) -> None:
        """Start anew."""
        self._rows = self._zeros(self._stage.before)
        self._start = 0
        """Of the rows: where those begin that the next is computed from; it may lie ahead."""

    def push(self, rows: Mapping[str, Rows], *, ended: bool) -> Rows:
        """(n, views * channels) rows that the new rows of others complete, perhaps none."""
        after = self._zeros(self._stage.after if ended else 0)
        for name, old in self._rows.items():
            self._rows[name] = np.concatenate([old, rows[name], after[name]])
        given = [np.empty((0, math.prod(self.given["shape"])), self.given["dtype"])]
        start, taken = self._start, self._stage.taken
        while start + taken <= min(map(len, self._rows.values())):
            given.append(self({name: r[start : start + taken] for name, r in self._rows.items()}))
            start += self._stage.step
        done = min(start, *map(len, self._rows.values()))
        self._rows = {name: r[done:] for name, r in self._rows.items()}
        self._start = start - done
        return np.concatenate(given)

    def _zeros(self, n: int) -> dict[str, Rows]:
        """(n, views * channels) rows that stand for zero, of each that it takes."""
        return {
            name: np.full(
                (n, math.prod(one["shape"]) // self._stage.taken),
                one["quantization"][1],
                one["dtype"],
            )
            for name, one in self.taken.items()
        }
