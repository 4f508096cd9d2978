"""The networks. The same code builds a Keras 3 model for training and, with tf_keras and a fixed
batch of one, the twin that converts to the fused LSTM operator of TFLite."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

NETWORKS = ("cnn", "lstm")

VIEWS = "views"
"""Name of the layer that makes a window's views."""

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
    n_views: int = 1,
    width: float = 1.0,
) -> Any:
    """A model from (batch, window_frames, n_mfcc) normalized MFCCs to (batch, n_labels) logits.

    `keras` is the module `keras` or `tf_keras`; weights go from one's model to the other's in
    order (`transfer_weights`). It can look at the window in `n_views` ways: the layer `VIEWS` that
    makes them comes first, with weights of its own (`emopi.train.views`). `width` is a share of
    the channels and units that a shipped network has.
    """
    builders: dict[str, Callable[[Any, Any, int, float], Any]] = {"cnn": _cnn, "lstm": _lstm}
    layers = keras.layers
    inputs = keras.Input((window_frames, n_mfcc), batch_size=batch, name="mfcc")
    embedding = builders[network](layers, inputs, n_views, width)
    logits = layers.Dense(n_labels, name="logits")(embedding)
    return keras.Model(inputs, logits, name=network)


def views_of(model: Any) -> int:
    """In how many views a model that `build` made looks at a window."""
    return next(
        (la.output.shape[-1] // la.input.shape[-1] for la in model.layers if la.name == VIEWS), 1
    )


def transfer_weights(source: Any, target: Any, *, first: Sequence[Any] = ()) -> None:
    """Give `target` the weights `first`, then those of `source` without the seeds of Keras 3."""
    own = [w for w in source.get_weights() if w.dtype.kind == "f"]
    weights = iter([*first, *own])
    for layer in target.layers:
        layer.set_weights(
            [w if w.dtype.kind != "f" else next(weights) for w in layer.get_weights()]
        )
    if left := list(weights):
        raise ValueError(f"{len(left)} weights are left over")


def _cnn(layers: Any, x: Any, n_views: int, width: float) -> Any:
    """Residual convolutions over time: the coefficients are the channels, the views the rows."""
    x = _residuals(layers, _views(layers, x, n_views), (96, 128, 160), width)
    return _pooled(layers, x)


def _views(layers: Any, x: Any, n_views: int) -> Any:
    """(batch, n_views, frames, n_mfcc) of (batch, frames, n_mfcc)."""
    frames, n_mfcc = x.shape[1:]
    x = layers.Reshape((1, frames, n_mfcc))(x)
    if n_views == 1:
        return x
    x = layers.Conv2D(n_views * n_mfcc, 1, name=VIEWS, trainable=False)(x)
    return layers.Permute((2, 1, 3))(layers.Reshape((frames, n_views, n_mfcc))(x))


def _lstm(layers: Any, x: Any, n_views: int, width: float) -> Any:
    """The cnn's first residual convolutions, an LSTM on what is left of the frames, an eighth.

    To the LSTM each view is a sequence of its own.
    """
    x = _residuals(layers, _views(layers, x, n_views), (96, 128), width)
    lstm = _lstm_layer(layers, round(128 * width))
    if n_views == 1:
        x = lstm(layers.Reshape(x.shape[2:])(x))
        pools = layers.GlobalAveragePooling1D(), layers.GlobalMaxPooling1D()
        return layers.Dropout(0.3)(layers.Concatenate()([pool(x) for pool in pools]))
    x = lstm(_reshape(layers, x, (-1, *x.shape[2:])))
    return _pooled(layers, _reshape(layers, x, (-1, n_views, *x.shape[1:])))


def _pooled(layers: Any, x: Any) -> Any:
    """Over time the mean and the maximum, over the views the mean of both."""
    loudest = layers.MaxPooling2D((1, x.shape[2]))(x)
    pool = layers.GlobalAveragePooling2D
    return layers.Dropout(0.3)(layers.Concatenate()([pool()(x), pool()(loudest)]))


def _reshape(layers: Any, x: Any, shape: tuple[int, ...]) -> Any:
    """In another shape, batch and all, which no layer can do."""
    if layers.__name__.startswith("tf_keras"):
        import tensorflow

        return tensorflow.reshape(x, shape)
    import keras

    return keras.ops.reshape(x, shape)


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


def _residuals(layers: Any, x: Any, channels: Sequence[int], width: float) -> Any:
    """Half the frames, then half of what there is and a residual block for each of `channels`.

    Of those and of the first 96 there is a share of `width`.
    """
    x = _conv(layers, x, round(96 * width), 5, strides=2)
    for n in channels:
        x = layers.MaxPooling2D((1, 2))(x)
        x = layers.Dropout(0.05)(_residual(layers, x, round(n * width)))
    return x


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
    """Convolution over time, batch normalization (folded away by the converter), ReLU."""
    x = layers.Conv2D(width, (1, kernel), strides=(1, strides), padding="same", use_bias=False)(x)
    x = layers.BatchNormalization(momentum=0.98)(x)
    return layers.ReLU()(x) if activation else x
