"""A model file and the TFLite interpreter: MFCCs of one window to the probability of each label."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emopi.device.contract import Contract, read
from emopi.device.errors import ModelError
from emopi.device.frontend import Floats
from emopi.device.quiet import quiet_stderr


class Classifier:
    """One loaded model. Not safe to share between threads.

    Raises `ModelError` for a file that `contract.read` refuses, that the interpreter cannot load,
    or whose tensors are not what its contract says.
    """

    def __init__(self, path: str | Path, *, threads: int = 1) -> None:
        self.path = str(path)
        flatbuffer, self.contract = read(path)
        if self.contract.streaming:
            raise ModelError(
                f"{path} is a streaming form, which takes frames as they come; use the model of "
                "whole windows beside it, or StreamingClassifier in Python"
            )
        self.runtime, self._interpreter = load(self.path, flatbuffer, threads)
        self._input = self._interpreter.get_input_details()[0]
        self._output = self._interpreter.get_output_details()[0]
        _check_tensors(self.path, self.contract, self._input, self._output)

    def logits(self, frames: Floats) -> Floats:
        """(labels,) float32 for (window_frames, n_mfcc) MFCCs; independent of earlier windows."""
        window = self.contract.normalization.apply(frames)
        # the fused LSTM keeps its state from one invocation to the next
        self._interpreter.reset_all_variables()
        self._interpreter.set_tensor(self._input["index"], to_tensor(window, self._input)[None])
        self._interpreter.invoke()
        return from_tensor(self._interpreter.get_tensor(self._output["index"])[0], self._output)

    def probabilities(self, frames: Floats) -> Floats:
        """(labels,) float32 that sum to 1: the softmax of `logits`."""
        return softmax(self.logits(frames))


def load(path: str, flatbuffer: bytes, threads: int) -> tuple[str, Any]:
    """Name of the runtime, and its interpreter with `flatbuffer`, the content of `path`, loaded.

    Raises `ModelError` for what it cannot load, and says what to do where it is too old for it.
    """
    runtime, interpreter_class = find_interpreter()
    try:
        with quiet_stderr():  # XNNPACK announces itself
            interpreter = interpreter_class(model_content=flatbuffer, num_threads=threads)
            interpreter.allocate_tensors()
    except (ValueError, RuntimeError) as error:
        if newer := re.search(r"builtin opcode '(\w+)' version '(\d+)'", str(error)):
            raise ModelError(
                f"{path} is too new for {runtime}, which does not know {newer[1]} version "
                f"{newer[2]}: use ai-edge-litert in its newest version (64-bit systems have it), "
                "or convert to a precision whose card says that it runs here, such as int8"
            ) from None
        raise ModelError(f"{path} cannot be loaded by {runtime}: {error}") from None
    return runtime, interpreter


def find_interpreter() -> tuple[str, Any]:
    """Name and class of the TFLite interpreter that is installed: LiteRT, or tflite-runtime."""
    try:
        from ai_edge_litert.interpreter import Interpreter

        return "ai-edge-litert", Interpreter
    except ImportError:
        pass
    try:
        from tflite_runtime.interpreter import Interpreter as OldInterpreter

        return "tflite-runtime", OldInterpreter
    except ImportError:
        raise ModelError(
            "no TFLite interpreter is installed; expected ai-edge-litert, or tflite-runtime on "
            "32-bit ARM. Install emopi with pip, which brings the right one"
        ) from None


def softmax(logits: Floats) -> Floats:
    """exp(logits) over its sum, over the last axis."""
    exponentials = np.exp(logits - logits.max(axis=-1, keepdims=True))
    probabilities: Floats = exponentials / exponentials.sum(axis=-1, keepdims=True)
    return probabilities


def to_tensor(values: Floats, tensor: dict[str, Any]) -> NDArray[Any]:
    """Real values as the tensor holds them; integers: round(v / scale) + zero point, saturated."""
    if tensor["dtype"] == np.float32:
        return values
    scale, zero_point = tensor["quantization"]
    limits = np.iinfo(tensor["dtype"])
    quantized = values / np.float32(scale)
    np.rint(quantized, out=quantized)
    quantized += np.float32(zero_point)
    np.clip(quantized, np.float32(limits.min), np.float32(limits.max), out=quantized)
    return quantized.astype(tensor["dtype"])


def from_tensor(values: NDArray[Any], tensor: dict[str, Any]) -> Floats:
    """What the tensor's values stand for: (q - zero point) * scale where they are integers."""
    if tensor["dtype"] == np.float32:
        return values.astype(np.float32)
    scale, zero_point = tensor["quantization"]
    return (values.astype(np.float32) - np.float32(zero_point)) * np.float32(scale)


def _check_tensors(
    path: str, contract: Contract, taken: dict[str, Any], given: dict[str, Any]
) -> None:
    expected = {
        "input": (1, contract.window_frames, contract.frontend.n_mfcc),
        "output": (1, len(contract.labels)),
    }
    for side, tensor in (("input", taken), ("output", given)):
        shape = tuple(int(size) for size in tensor["shape"])
        dtype = np.dtype(tensor["dtype"]).name
        if shape != expected[side] or dtype != contract.tensor_type:
            raise ModelError(
                f"{path}: its {side} is {dtype} {shape}, but its contract says "
                f"{contract.precision}, so {contract.tensor_type} {expected[side]}; convert anew"
            )
