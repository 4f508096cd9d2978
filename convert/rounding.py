"""int8 rounding as a network can be trained with it: forward as on the device, backward ignored.

The straight-through estimator (Bengio, Léonard and Courville 2013) for values between layers, and
BinaryConnect's way for weights (Courbariaux, Bengio and David 2015): gradients are taken at the
rounded weights and applied to the exact ones. Imports Keras.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import keras
import numpy as np

from emopi.device.frontend import Floats
from emopi.train.topology import VIEWS

WEIGHT_STEPS = 127
"""Of an int8 weight to each side of zero."""

VALUE_STEPS = 255
"""Of an int8 value between layers, from its least to its greatest."""


class Rounded(keras.layers.Layer):  # type: ignore[misc]
    """Values as int8 holds them that reaches from `low` to `high`, zero among its values."""

    def __init__(self, low: float, high: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._low, self._high = min(low, 0.0), max(high, 0.0)

    def call(self, values: Any) -> Any:
        """Same shape; gradients pass as they are, but for values beyond the range."""
        return _rounded(values, self._low, self._high)


def with_rounding(model: Any, windows: Floats) -> Any:
    """A copy of a Keras model that rounds what goes in and what lies between its layers.

    The ranges are those that the model itself has on normalized `windows`. Batch normalization
    stays as it is. Layers have the names of the original's. What an LSTM keeps from step to step
    is exact here; on the device it is int8 (hidden) and int16 (cell).
    """
    tensors = {layer.name: layer.output for layer in _ends(model)}
    values = keras.Model(model.input, list(tensors.values()))(windows, training=False)
    ranges = {
        name: (float(keras.ops.min(its)), float(keras.ops.max(its)))
        for name, its in zip(tensors, values, strict=True)
    }
    names = {layer.name for layer in model.layers if layer.input is model.input}

    def call(layer: Any, *arguments: Any, **options: Any) -> Any:
        if layer.name in names and not isinstance(layer, keras.layers.InputLayer):
            rounded = Rounded(float(windows.min()), float(windows.max()))
            arguments = (rounded(arguments[0]), *arguments[1:])
        given = layer(*arguments, **options)
        return Rounded(*ranges[layer.name])(given) if layer.name in ranges else given

    copy = keras.models.clone_model(model, call_function=call)
    for layer in copy.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.trainable = False
    copy_weights(model, copy)
    return copy


def copy_weights(source: Any, target: Any) -> None:
    """Give each layer of `target` the weights of the layer of that name, if `source` has it."""
    known = {layer.name: layer for layer in source.layers}
    for layer in target.layers:
        if layer.name in known and layer.get_weights():
            layer.set_weights(known[layer.name].get_weights())


def round_weights(layer: Any) -> dict[str, Any]:
    """Path of each weight of a layer that TFLite stores as int8 to its rounded value.

    One scale an output channel of a convolution or a dense layer, one a gate of an LSTM. That a
    batch normalization is folded into a convolution changes nothing: it scales whole channels.
    """
    ops = keras.ops
    kernels: tuple[Any, ...]
    if isinstance(layer, keras.layers.RNN):
        kernels = (layer.cell.kernel, layer.cell.recurrent_kernel)
        shapes = [(kernel.shape[0], 4, -1) for kernel in kernels]
        axes: tuple[int, ...] = (0, 2)
    elif isinstance(layer, keras.layers.Conv2D | keras.layers.Dense):
        kernels = (layer.kernel,)
        shapes = [tuple(layer.kernel.shape)]
        axes = tuple(range(len(layer.kernel.shape) - 1))
    else:
        return {}
    rounded = {}
    for kernel, shape in zip(kernels, shapes, strict=True):
        weights = ops.reshape(kernel, shape)
        scale = ops.max(ops.abs(weights), axis=axes, keepdims=True) / WEIGHT_STEPS + 1e-12
        rounded[kernel.path] = ops.reshape(ops.round(weights / scale) * scale, kernel.shape)
    return rounded


def _ends(model: Any) -> list[Any]:
    """Layers whose output TFLite stores: not those that are fused with what follows them.

    It fuses a convolution with its batch normalization, and either or a sum with a ReLU; pooling
    and dropout keep the scale of what they are given, and what is concatenated has one scale.
    """
    layers = keras.layers
    followers = defaultdict(list)
    for layer in model.layers:
        if not isinstance(layer, layers.InputLayer):
            for tensor in keras.tree.flatten(layer.input):
                followers[id(tensor)].append(layer)
    stored = (layers.BatchNormalization, layers.Add, layers.ReLU, layers.RNN, layers.Dense)
    pooled = (layers.GlobalAveragePooling1D, layers.GlobalAveragePooling2D)
    shaped = (*pooled, layers.Concatenate)
    joins = (layers.ReLU, layers.Concatenate)
    return [
        layer
        for layer in model.layers
        if (isinstance(layer, (*stored, *shaped)) or layer.name == VIEWS)
        and not any(isinstance(next_, joins) for next_ in followers[id(layer.output)])
    ]


def _rounded(values: Any, low: float, high: float) -> Any:
    ops = keras.ops
    step = max(high - low, 1e-9) / VALUE_STEPS
    zero = float(np.rint(low / step)) * step
    clipped = ops.clip(values, zero, zero + VALUE_STEPS * step)
    exact = ops.stop_gradient(clipped)
    return clipped + ops.stop_gradient(ops.round(exact / step) * step - exact)
