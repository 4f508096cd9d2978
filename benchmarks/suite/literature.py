"""Published small networks for speech emotion, rebuilt from their papers' descriptions.

Each takes what our networks take, (batch, frames, coefficients), so that training, folds and
features are the same; in their papers TIM-Net had 39 MFCCs, ResLSTM-SA 34 MFCCs and 12 chroma
features. None of it is the authors' code.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def tim_net(keras: Any, frames: int, width: int, n_labels: int) -> Any:
    """TIM-Net: J. Ye et al., "Temporal modeling matters: a novel temporal emotional modeling
    approach for speech emotion recognition", ICASSP 2023.

    Eight temporal-aware blocks with dilations 1 to 128, on the frames as they come and reversed;
    the means over time of the sums of both, weighted by what is learnt.
    """
    layers = keras.layers
    inputs = keras.Input((frames, width))
    forward = layers.Conv1D(width, 1, padding="causal")(inputs)
    backward = layers.Conv1D(width, 1, padding="causal")(keras.ops.flip(inputs, axis=1))
    levels = []
    for power in range(8):
        forward = _temporal_aware(layers, forward, 2**power)
        backward = _temporal_aware(layers, backward, 2**power)
        pooled = layers.GlobalAveragePooling1D()(layers.Add()([forward, backward]))
        levels.append(layers.Reshape((width, 1))(pooled))
    weighted = layers.Dense(1, use_bias=False)(layers.Concatenate(axis=-1)(levels))
    logits = layers.Dense(n_labels)(layers.Reshape((width,))(weighted))
    return keras.Model(inputs, logits, name="tim_net")


def _temporal_aware(layers: Any, x: Any, dilation: int) -> Any:
    """What comes in, times a gate of two dilated causal convolutions of it."""
    gate = x
    for _ in range(2):
        gate = layers.Conv1D(x.shape[-1], 2, dilation_rate=dilation, padding="causal")(gate)
        gate = layers.BatchNormalization()(gate)
        gate = layers.SpatialDropout1D(0.1)(layers.ReLU()(gate))
    return layers.Multiply()([x, layers.Activation("sigmoid")(gate)])


def light_sernet(keras: Any, frames: int, width: int, n_labels: int) -> Any:
    """LIGHT-SERNET: A. Aftab et al., "Light-SERNet: a lightweight fully convolutional neural
    network for speech emotion recognition", ICASSP 2022.

    Three receptive fields beside each other (along time, along frequency, both), then five
    convolutions.
    """
    layers = keras.layers
    inputs = keras.Input((frames, width))
    image = layers.Reshape((frames, width, 1))(inputs)
    paths = [
        layers.AveragePooling2D(2)(_convolved(layers, image, 32, kernel))
        for kernel in ((11, 1), (1, 9), (3, 3))
    ]
    x = layers.Concatenate()(paths)
    for channels, pooling in ((64, (2, 2)), (96, (2, 2)), (128, (2, 1)), (160, (2, 1))):
        x = layers.AveragePooling2D(pooling)(_convolved(layers, x, channels, (3, 3)))
    x = layers.GlobalAveragePooling2D()(_convolved(layers, x, 320, (1, 1)))
    logits = layers.Dense(n_labels)(layers.Dropout(0.3)(x))
    return keras.Model(inputs, logits, name="light_sernet")


def _convolved(layers: Any, x: Any, channels: int, kernel: tuple[int, int]) -> Any:
    x = layers.Conv2D(channels, kernel, padding="same", use_bias=False)(x)
    return layers.ReLU()(layers.BatchNormalization()(x))


def res_lstm(keras: Any, frames: int, width: int, n_labels: int) -> Any:
    """ResLSTM-SA-h64: D. Krasnoproshin and M. Vashkevich, "Speech emotion recognition using
    attention-based LSTM-network with residual connection", DSPA 2026.

    An LSTM added to its own input, a second one, soft attention over time. In Keras an LSTM has
    one bias where theirs has two.
    """
    layers = keras.layers
    inputs = keras.Input((frames, width))
    x = layers.Add()([inputs, layers.LSTM(width, return_sequences=True)(inputs)])
    x = layers.LSTM(64, return_sequences=True)(layers.BatchNormalization()(x))
    attention = layers.Softmax(axis=1)(layers.Dense(1, use_bias=False)(x))
    context = layers.Reshape((64,))(layers.Dot(axes=1)([attention, x]))
    context = layers.Dropout(0.3)(layers.BatchNormalization()(context))
    return keras.Model(inputs, layers.Dense(n_labels)(context), name="res_lstm")


NETWORKS: dict[str, Callable[[Any, int, int, int], Any]] = {
    "tim-net": tim_net,
    "light-sernet": light_sernet,
    "res-lstm": res_lstm,
}


def macs(model: Any) -> int:
    """Multiply-accumulates of a Keras model for one window, of convolutions, LSTMs and products."""
    return sum(_macs(layer) for layer in model.layers)


def _macs(layer: Any) -> int:
    kind = type(layer).__name__
    if kind not in ("Conv1D", "Conv2D", "Dense", "LSTM"):
        return 0
    matrices = [weight for weight in layer.get_weights() if weight.ndim > 1]
    points = 1
    for size in layer.output.shape[1:-1]:
        points *= size
    return points * sum(matrix.size for matrix in matrices)
