"""Where quantization costs: signal to noise ratio behind every layer, float beside quantized.

Needs LiteRT alone, no TensorFlow.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from emopi.convert.operators import Operator, operators
from emopi.device.classifier import from_tensor, to_tensor
from emopi.device.errors import ModelError
from emopi.device.frontend import Floats
from emopi.device.quiet import quiet_stderr

LIMIT_DB = 120.0
"""Ratios beyond ±this are given as this: float32 itself is no more exact."""

CLEAN_DB = 50.0
"""What a full-scale sine has in 8 bits (6.02 bits + 1.76 dB): what is cleaner has lost nothing."""

MOVERS = frozenset({"RESHAPE", "SQUEEZE", "EXPAND_DIMS", "TRANSPOSE", "QUANTIZE", "DEQUANTIZE"})
"""Operators that compute nothing: no layers. Their noise counts to the layer that follows."""


@dataclasses.dataclass(frozen=True, slots=True)
class LayerNoise:
    """What quantization has done up to the output of one layer, over all windows."""

    name: str
    """The layer's name in Keras, such as "conv2d_3"; "input" for what goes into the first."""
    operator: str
    """Of TFLite, such as "CONV_2D"; "QUANTIZE" for the input."""
    sqnr_db: float
    """Power of the float output over the power of the difference, within ±`LIMIT_DB`."""
    given_db: float
    """The same, of the worst of what the layer was given; `LIMIT_DB` for the input itself."""

    @property
    def loss_db(self) -> float:
        """What the layer itself costs: how far it falls below what it was given, if at all.

        Ratios above `CLEAN_DB` count as that, and those below 0 as 0: what is lost is lost.
        """
        given, kept = (min(max(db, 0.0), CLEAN_DB) for db in (self.given_db, self.sqnr_db))
        return max(given - kept, 0.0)

    def to_json(self) -> dict[str, Any]:
        """The fields by name, and `loss_db`."""
        return dataclasses.asdict(self) | {"loss_db": self.loss_db}


def layer_noise(float_model: bytes, quantized_model: bytes, windows: Floats) -> list[LayerNoise]:
    """The input and every layer, in order of execution: signal to quantization noise ratio.

    Both flatbuffers (with or without contract behind them) are of the same weights and run on the
    same `windows`, (n, window_frames, n_mfcc) float32 normalized MFCCs, each from a fresh state.
    Noise adds up along the network; see `where_noise_starts`. Raises `ModelError` if the two do
    not have the same layers, or cannot be run.
    """
    pairs = _pairs(operators(float_model), operators(quantized_model))
    exact, rough = _Interpreted(float_model), _Interpreted(quantized_model)
    tensors = [(exact.input, rough.input)] + [(a.outputs[0], b.outputs[0]) for a, b in pairs]
    powers = np.zeros((len(tensors), 2))
    for window in windows:
        exact.run(window)
        rough.run(window)
        for k, (a, b) in enumerate(tensors):
            expected, found = exact.value(a), rough.value(b)
            powers[k] += np.square(expected).sum(), np.square(found - expected).sum()
    ratios = [_ratio_db(signal, noise) for signal, noise in powers.tolist()]
    behind = dict(zip((a for a, _ in tensors), ratios, strict=True))
    found_noise = [LayerNoise("input", "QUANTIZE", ratios[0], LIMIT_DB)]
    for given, operator in _with_sources(operators(float_model), behind):
        worst = min((behind[tensor] for tensor in given), default=LIMIT_DB)
        found_noise.append(
            LayerNoise(operator.layer, operator.name, behind[operator.outputs[0]], worst)
        )
    return found_noise


def where_noise_starts(noise: Sequence[LayerNoise]) -> LayerNoise:
    """The layer that costs most by itself; of equals the first."""
    return max(noise, key=lambda layer: layer.loss_db)


def _pairs(exact: list[Operator], rough: list[Operator]) -> list[tuple[Operator, Operator]]:
    """Operators of the same layer of both graphs."""
    layers = [[one for one in graph if one.name not in MOVERS] for graph in (exact, rough)]
    names = [[one.name for one in graph] for graph in layers]
    if names[0] != names[1]:
        raise ModelError(
            f"the two models have different layers: {_differ(*names)}; expected one network, "
            "converted twice"
        )
    return list(zip(*layers, strict=True))


def _differ(exact: list[str], rough: list[str]) -> str:
    for number, (a, b) in enumerate(zip(exact, rough, strict=False), start=1):
        if a != b:
            return f"operator {number} is {a} and {b}"
    return f"they have {len(exact)} and {len(rough)} operators"


def _with_sources(
    graph: list[Operator], known: Mapping[int, float]
) -> Iterator[tuple[list[int], Operator]]:
    """Each layer with the tensors of `known` that it computes from, through movers."""
    source: dict[int, int] = {tensor: tensor for tensor in known}
    for operator in graph:
        given = [source[tensor] for tensor in operator.inputs if tensor in source]
        if operator.name not in MOVERS:
            yield given, operator
        elif given:
            source[operator.outputs[0]] = given[0]


def _ratio_db(signal: float, noise: float) -> float:
    if not noise:
        return LIMIT_DB
    if not signal:
        return -LIMIT_DB
    return min(max(10 * math.log10(signal / noise), -LIMIT_DB), LIMIT_DB)


class _Interpreted:
    """A flatbuffer on LiteRT's plain operators, every tensor kept."""

    def __init__(self, flatbuffer: bytes) -> None:
        try:
            from ai_edge_litert.interpreter import Interpreter, OpResolverType
        except ImportError:
            raise ModelError(
                "looking into a model's layers needs ai-edge-litert, which is not installed; do "
                "it on a 64-bit machine"
            ) from None
        try:
            with quiet_stderr():
                self._interpreter = Interpreter(
                    model_content=flatbuffer,
                    experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
                    experimental_preserve_all_tensors=True,
                )
                self._interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            raise ModelError(f"a model cannot be loaded by ai-edge-litert: {error}") from None
        details = self._interpreter.get_tensor_details()
        self._tensors = {tensor["index"]: tensor for tensor in details}
        self.input = int(self._interpreter.get_input_details()[0]["index"])

    def run(self, window: Floats) -> None:
        """Invoke on one window (window_frames, n_mfcc), with no memory of those before."""
        self._interpreter.reset_all_variables()
        quantized = to_tensor(window, self._tensors[self.input])
        self._interpreter.set_tensor(self.input, quantized[None])
        self._interpreter.invoke()

    def value(self, tensor: int) -> Floats:
        """The values of a tensor after `run`, flat, as real numbers."""
        return from_tensor(self._interpreter.get_tensor(tensor), self._tensors[tensor]).ravel()
