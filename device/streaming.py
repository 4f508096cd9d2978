"""The streaming form of a model: it takes only the new frames and carries what it needs of others.

    frames -> stage -> stage -> ... -> one row a step -> their mean -> head -> logits

Each stage slides over the rows that the one before it gives, keeps those that it needs again, and
computes every row once; a whole-window model computes all of them anew for every window.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emopi.device.classifier import from_tensor, load, softmax, to_tensor
from emopi.device.contract import HEAD, Stage, read
from emopi.device.errors import AudioError, ModelError, SpecError
from emopi.device.frontend import Floats
from emopi.device.normalization import Normalization

Rows = NDArray[Any]
"""(rows, channels) as a tensor holds them: float32, or quantized."""


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
            self._stages = [_Sliding(self._interpreter, one) for one in self.contract.streaming]
            self._head = _Signature(self._interpreter, HEAD)
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
        self._sum = np.zeros(1)
        self.steps = 0
        """Of which the answer is the mean: one every few frames."""

    def push(self, frames: Floats) -> None:
        """Take in the next (n, n_mfcc) MFCCs, any number; `SpecError` after `finish`."""
        if self._ended:
            raise SpecError("the utterance has ended; reset before you push another's frames")
        if len(frames):
            levels = np.maximum.accumulate(np.maximum(frames[:, 0], self._loudest_c0))
            self._loudest_c0 = levels[-1]
            normalized = relative_to(levels, frames, self.contract.normalization)
            self._carry(to_tensor(normalized, self._stages[0].taken), ended=False)

    def finish(self) -> None:
        """The utterance has ended: compute the steps that still waited for frames.

        After `window_frames` frames the answer is then that of the whole window.
        """
        self._ended = True
        self._carry(self._stages[0].zeros(0), ended=True)

    def logits(self) -> Floats:
        """(labels,) float32 for the utterance up to now; `AudioError` while `steps` is 0."""
        if not self.steps:
            raise AudioError("these are too few frames for an answer: push more")
        mean = to_tensor(np.asarray(self._sum / self.steps, np.float32), self._head.taken)
        logits: Floats = from_tensor(self._head(mean), self._head.given)[0]
        return logits

    def probabilities(self) -> Floats:
        """(labels,) float32 that sum to 1: the softmax of `logits`."""
        return softmax(self.logits())

    def _carry(self, rows: Rows, *, ended: bool) -> None:
        """Through all stages, and add up what comes out."""
        for stage in self._stages:
            rows = stage.push(np.concatenate([rows, stage.after]) if ended else rows)
        self._sum = self._sum + from_tensor(rows, self._stages[-1].given).sum(axis=0, dtype=float)
        self.steps += len(rows)


def relative_to(levels: Floats, frames: Floats, normalization: Normalization) -> Floats:
    """(n, n_mfcc) MFCCs normalized as in a window whose loudest frame has c0 `levels`, (n,)."""
    loudest = frames.copy()
    loudest[:, 0] = levels
    return normalization.apply(np.stack([loudest, frames], axis=1))[:, 1]


class _Signature:
    """One of the flatbuffer's functions, of one tensor."""

    def __init__(self, interpreter: Any, name: str) -> None:
        self._run = interpreter.get_signature_runner(name)
        self.taken: dict[str, Any] = self._run.get_input_details()["rows"]
        self.given: dict[str, Any] = self._run.get_output_details()["row"]
        # before it has run once, its state cannot be reset
        self(np.zeros(self.taken["shape"], self.taken["dtype"]))

    def __call__(self, rows: Rows) -> Rows:
        """(1, channels) for what the tensor takes."""
        row: Rows = self._run(rows=rows.reshape(self.taken["shape"]))["row"]
        return row.reshape(1, -1)


class _Sliding(_Signature):
    """A stage, and the rows that it has taken and needs again."""

    def __init__(self, interpreter: Any, stage: Stage) -> None:
        super().__init__(interpreter, stage.signature)
        if math.prod(self.taken["shape"][:-1]) != stage.taken:
            raise ValueError(f"{stage.signature} takes other than {stage.taken} rows")
        self._stage = stage
        self.after = self.zeros(stage.after)
        """Rows that stand behind the last."""

    def zeros(self, n: int) -> Rows:
        """(n, channels) rows that stand for zero."""
        _, zero_point = self.taken["quantization"]
        return np.full((n, self.taken["shape"][-1]), zero_point, self.taken["dtype"])

    def reset(self) -> None:
        """Start anew."""
        self._rows = self.zeros(self._stage.before)

    def push(self, rows: Rows) -> Rows:
        """(n, channels) that these rows complete, perhaps none."""
        self._rows = np.concatenate([self._rows, rows])
        given = [np.empty((0, self.given["shape"][-1]), self.given["dtype"])]
        start, taken = 0, self._stage.taken
        while start + taken <= len(self._rows):
            given.append(self(self._rows[start : start + taken]))
            start += self._stage.step
        self._rows = self._rows[start:]
        return np.concatenate(given)
