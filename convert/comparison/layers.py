"""What happens inside the models: where quantization costs, and which values come up."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emopi.convert.comparison.interpreters import placed_tensors, plain_interpreter
from emopi.convert.comparison.twins import float_twins
from emopi.convert.layer_noise import MOVERS, LayerNoise, layer_noise
from emopi.convert.operators import Operator, operators
from emopi.device.classifier import to_tensor
from emopi.device.contract import Contract, read
from emopi.device.errors import ComparisonError, ModelError
from emopi.device.frontend import Floats, extract
from emopi.device.normalization import fit_window
from emopi.device.progress import track
from emopi.device.sources.audio import read_clip

WINDOWS = 16
"""Of test clips, from which ratios and ranges are drawn."""


@dataclasses.dataclass(frozen=True, slots=True)
class LayerRange:
    """Values of one layer, as real numbers."""

    layer: str
    operator: str
    weights: tuple[float, float] | None
    """Least and greatest, biases apart; None if it has none."""
    outputs: tuple[float, float]
    """Least and greatest that came up."""
    room: tuple[float, float] | None
    """What the output's integers can stand for; None for floats."""
    clipped: float
    """Share of the outputs at either end of `room`; 0 for floats."""

    def to_json(self) -> dict[str, Any]:
        """The fields by name."""
        return dataclasses.asdict(self)


@dataclasses.dataclass(frozen=True, slots=True)
class Inside:
    """One model's layers."""

    name: str
    ranges: tuple[LayerRange, ...]
    float_name: str | None
    """The float32 model of the same training, if it is there and this one is quantized."""
    noise: tuple[LayerNoise, ...]
    """Beside that one; empty without, or if it has other layers."""

    def to_json(self) -> dict[str, Any]:
        """The fields by name, of JSON types."""
        return {
            "model": self.name,
            "against": self.float_name,
            "noise": [layer.to_json() for layer in self.noise],
            "ranges": [layer.to_json() for layer in self.ranges],
        }


def check_explainable(models: Sequence[Path]) -> None:
    """Raise `ComparisonError` unless one model is quantized and has its float twin beside it.

    Raises `ModelError` where the two have other layers, or the interpreter cannot look into them.
    """
    loaded = [read(path) for path in models]
    twins = float_twins([contract for _, contract in loaded])
    if not any(twin is not None for twin in twins):
        raise ComparisonError(
            f"none of {', '.join(path.name for path in models)} is quantized and has the float32 "
            "model of the same training beside it, which --explain needs, as cnn-int8 has "
            "cnn-float32; name both"
        )
    for (flatbuffer, contract), twin in zip(loaded, twins, strict=True):
        if twin is not None:
            nothing = np.zeros((1, contract.window_frames, contract.frontend.n_mfcc), np.float32)
            layer_noise(loaded[twin][0], flatbuffer, nothing)


def can_look_inside() -> bool:
    """Whether the interpreter that is installed shows a model's layers: LiteRT does."""
    return find_spec("ai_edge_litert") is not None


def look_inside(
    models: Sequence[Path], names: Sequence[str], clips: Sequence[Path]
) -> list[Inside]:
    """One a model, over the middle windows of (up to `WINDOWS`) clips."""
    loaded = [read(path) for path in models]
    twins = float_twins([contract for _, contract in loaded])
    step = -(-len(clips) // WINDOWS)
    found = []
    for place in track(range(len(models)), len(models), "layers"):
        flatbuffer, contract = loaded[place]
        windows = _windows(contract, clips[::step])
        twin = twins[place]
        noise: list[LayerNoise] = []
        if twin is not None:
            with contextlib.suppress(ModelError):  # other layers: nothing to set side by side
                noise = layer_noise(loaded[twin][0], flatbuffer, windows)
        found.append(
            Inside(
                names[place],
                tuple(layer_ranges(flatbuffer, windows)),
                None if twin is None else names[twin],
                tuple(noise),
            )
        )
    return found


def layer_ranges(flatbuffer: bytes, windows: Floats) -> list[LayerRange]:
    """Every layer in order of execution, over normalized (n, window_frames, n_mfcc) windows."""
    interpreter = plain_interpreter(flatbuffer, keep_all=True)
    tensors = {tensor["index"]: tensor for tensor in interpreter.get_tensor_details()}
    taken = interpreter.get_input_details()[0]
    every = operators(flatbuffer)
    graph = [one for one in every if one.name not in MOVERS]
    moved = {one.outputs[0]: one.inputs[0] for one in every if one.name in MOVERS}
    weights = _weights(interpreter, flatbuffer)
    seen: list[list[NDArray[Any]]] = [[] for _ in graph]
    for window in windows:
        interpreter.reset_all_variables()
        interpreter.set_tensor(taken["index"], to_tensor(window, taken)[None])
        interpreter.invoke()
        for number, one in enumerate(graph):
            seen[number].append(interpreter.get_tensor(one.outputs[0]).ravel())
    return [
        _range(
            one,
            [weights[k] for tensor in one.inputs if (k := moved.get(tensor, tensor)) in weights],
            np.stack(outputs),
            tensors[one.outputs[0]],
        )
        for one, outputs in zip(graph, seen, strict=True)
    ]


def _range(
    operator: Operator,
    weights: Sequence[tuple[float, float]],
    outputs: NDArray[Any],
    tensor: dict[str, Any],
) -> LayerRange:
    room, clipped = None, 0.0
    if np.issubdtype(outputs.dtype, np.integer):
        limits = np.iinfo(outputs.dtype)
        room = _span(real_values(np.array([limits.min, limits.max], outputs.dtype), tensor))
        # 0, where a ReLU ends, is no value that was cut off
        cut = (outputs == limits.max) | ((outputs == limits.min) & (room[0] < 0))
        clipped = float(np.mean(cut))
    return LayerRange(
        operator.layer,
        operator.name,
        (min(low for low, _ in weights), max(high for _, high in weights)) if weights else None,
        _span(real_values(outputs, tensor)),
        room,
        clipped,
    )


def _weights(interpreter: Any, flatbuffer: bytes) -> dict[int, tuple[float, float]]:
    """Least and greatest value of every matrix and kernel, by the tensor's index."""
    return {
        details["index"]: _span(real_values(tensor, details))
        for details, tensor, constant in placed_tensors(interpreter, flatbuffer)
        if constant and tensor.ndim > 1 and tensor.dtype in (np.float32, np.float16, np.int8)
    }


def real_values(values: NDArray[Any], tensor: dict[str, Any]) -> Floats:
    """What a tensor's values stand for, each channel by its own scale where it has one."""
    scales = tensor["quantization_parameters"]["scales"]
    zero_points = tensor["quantization_parameters"]["zero_points"]
    if not len(scales):
        return np.asarray(values, np.float32)
    if len(scales) > 1:
        shape = [1] * values.ndim
        shape[tensor["quantization_parameters"]["quantized_dimension"]] = len(scales)
        scales, zero_points = scales.reshape(shape), zero_points.reshape(shape)
    return np.asarray((values.astype(np.float32) - zero_points) * scales, np.float32)


def _windows(contract: Contract, clips: Sequence[Path]) -> Floats:
    """(clips, window_frames, n_mfcc) normalized, the middle of each clip."""
    spec, n_frames = contract.frontend, contract.window_frames
    windows = []
    for clip in clips:
        frames = extract(read_clip(clip, spec.sample_rate_hz), spec)
        if len(frames) < n_frames:
            frames = fit_window(frames, n_frames, spec)
        start = (len(frames) - n_frames) // 2
        windows.append(frames[start : start + n_frames])
    return contract.normalization.apply(np.stack(windows))


def _span(values: Floats) -> tuple[float, float]:
    return float(values.min()), float(values.max())
