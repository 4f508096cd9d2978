"""The networks. The same code builds a Keras 3 model for training and, with tf_keras and a fixed
batch of one, the twin that converts to the fused LSTM operator of TFLite."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

NETWORKS = ("cnn", "lstm")

CELL_CLIP = 10.0
"""What TFLite's converter sets as the cell clip of UNIDIRECTIONAL_SEQUENCE_LSTM."""


def build(
    network: str,
    keras: ModuleType,
    *,
    window_frames: int,
    n_mfcc: int,
    n_labels: int,
    batch: int | None = None,
) -> Any:
    """A model from (batch, window_frames, n_mfcc) normalized MFCCs to (batch, n_labels) logits.

    `keras` is the module `keras` or `tf_keras`; weights go from one's model to the other's in
    order (`transfer_weights`).
    """
    builders: dict[str, Callable[[Any, Any], Any]] = {"cnn": _cnn, "lstm": _lstm}
    layers = keras.layers
    inputs = keras.Input((window_frames, n_mfcc), batch_size=batch, name="mfcc")
    embedding = builders[network](layers, inputs)
    logits = layers.Dense(n_labels, name="logits")(embedding)
    return keras.Model(inputs, logits, name=network)


def transfer_weights(source: Any, target: Any) -> None:
    """Give `target` the weights of `source`, leaving out the seeds that Keras 3 counts in."""
    weights = [w for w in source.get_weights() if w.dtype.kind == "f"]
    target.set_weights(weights)


def _cnn(layers: Any, x: Any) -> Any:
    """Residual one-dimensional convolutions over time: the coefficients are the channels."""
    x = _conv(layers, x, 96, 5, strides=2)
    for width in (96, 128, 160):
        x = layers.MaxPooling1D(2)(x)
        x = _residual(layers, x, width)
        x = layers.Dropout(0.05)(x)
    x = layers.Concatenate()([layers.GlobalAveragePooling1D()(x), layers.GlobalMaxPooling1D()(x)])
    return layers.Dropout(0.3)(x)


def _lstm(layers: Any, x: Any) -> Any:
    """Two convolutions that shorten the sequence eightfold, then two LSTMs, pooled over time."""
    x = _conv(layers, x, 64, 5, strides=2)
    x = layers.MaxPooling1D(2)(x)
    x = _conv(layers, x, 96, 3)
    x = layers.MaxPooling1D(2)(x)
    x = _lstm_layer(layers, 128)(x)
    x = layers.Dropout(0.3)(x)
    x = _lstm_layer(layers, 128)(x)
    x = layers.GlobalAveragePooling1D()(x)
    return layers.Dropout(0.3)(x)


def _lstm_layer(layers: Any, units: int) -> Any:
    """An LSTM that gives every step; its cell state stays within ±`CELL_CLIP`.

    TFLite's converter writes that clip into the fused operator. A network trained without it
    accumulates larger states, and its TFLite form then differs (by 0.1 in a logit, measured). So
    Keras 3 trains with the clip, while the tf_keras twin is a plain LSTM, which the converter
    recognizes and clips by itself.
    """
    if layers.__name__.startswith("tf_keras"):
        return layers.LSTM(units, return_sequences=True)
    from emopi.train.clipped_lstm import ClippedLSTMCell

    return layers.RNN(ClippedLSTMCell(units, clip=CELL_CLIP), return_sequences=True)


def _residual(layers: Any, x: Any, width: int) -> Any:
    """Two convolutions and a way around them (He et al. 2016)."""
    around = x
    if x.shape[-1] != width:
        around = _conv(layers, x, width, 1, activation=None)
    x = _conv(layers, x, width, 3)
    x = _conv(layers, x, width, 3, activation=None)
    return layers.ReLU()(layers.Add()([x, around]))


def _conv(
    layers: Any,
    x: Any,
    width: int,
    kernel: int,
    *,
    strides: int = 1,
    activation: str | None = "relu",
) -> Any:
    """Convolution, batch normalization (folded away by the converter), ReLU."""
    x = layers.Conv1D(width, kernel, strides=strides, padding="same", use_bias=False)(x)
    x = layers.BatchNormalization(momentum=0.98)(x)
    return layers.ReLU()(x) if activation else x
