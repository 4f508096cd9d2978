"""From a trained Keras model to a TFLite flatbuffer of one precision."""

from __future__ import annotations

import contextlib
import tempfile
import warnings
from collections.abc import Callable, Iterator
from typing import Any

from emopi.convert.precisions import CALIBRATED, checked
from emopi.device.errors import ConversionError
from emopi.device.frontend import Floats
from emopi.device.precision import Precision
from emopi.device.quiet import quiet_stderr

ToTflite = Callable[[Precision, Floats], bytes]
"""The flatbuffer of a model in a precision.

Takes (n, window_frames, n_mfcc) normalized windows of training clips, from which the converter
takes the range of every activation of the `CALIBRATED` precisions; the others ignore them. Raises
`ConversionError` with the converter's own words where it fails.
"""


@contextlib.contextmanager
def converter_of(model: Any, network: str) -> Iterator[ToTflite]:
    """Converts a Keras 3 `model` of kind `network`, as often as one likes, while this is open.

    The LSTM becomes the fused UNIDIRECTIONAL_SEQUENCE_LSTM.
    """
    with tempfile.TemporaryDirectory() as folder:
        with _quiet():
            make = _converters(_twin(model, network), network, folder)

        def to_tflite(precision: Precision, calibration: Floats) -> bytes:
            checked(network, [precision])
            with _quiet():
                return _convert(make(), network, precision, calibration)

        yield to_tflite


def _convert(converter: Any, network: str, precision: Precision, calibration: Floats) -> bytes:
    from tensorflow.lite.python.convert import ConverterError

    _set_precision(converter, precision, calibration)
    try:
        flatbuffer: bytes = converter.convert()
    except (ConverterError, RuntimeError, ValueError) as error:
        raise ConversionError(
            f"{network} cannot be converted to {precision}: {error} "
            "(EMOPI_DEBUG=1 shows what the converter says)"
        ) from error
    return flatbuffer


def _converters(twin: Any, network: str, folder: str) -> Callable[[], Any]:
    """Makes TensorFlow's converters of a tf_keras model; `folder` is theirs.

    Only in a SavedModel is an LSTM recognized. Without, conversion takes a tenth of the time.
    """
    import tensorflow as tf

    traced = tf.function(lambda mfcc: twin(mfcc, training=False)).get_concrete_function(
        tf.TensorSpec(twin.input_shape, tf.float32, name="mfcc")
    )
    if network == "lstm":
        tf.saved_model.save(twin, folder, signatures=traced)
        return lambda: tf.lite.TFLiteConverter.from_saved_model(folder)

    def from_graph() -> Any:
        converter = tf.lite.TFLiteConverter.from_concrete_functions([traced], twin)
        converter.experimental_lower_to_saved_model = False
        return converter

    return from_graph


def _twin(model: Any, network: str) -> Any:
    """The same in tf_keras, with a batch of one.

    From Keras 3 an LSTM becomes a WHILE loop, which cannot be quantized.
    """
    import tf_keras

    from emopi.train.topology import build, transfer_weights, views_of

    tf_keras.backend.reset_uids()  # layers are named alike in every conversion
    _, window_frames, n_mfcc = model.input_shape
    twin = build(
        network,
        tf_keras,
        window_frames=window_frames,
        n_mfcc=n_mfcc,
        n_labels=model.output_shape[-1],
        batch=1,
        n_views=views_of(model),
    )
    transfer_weights(model, twin)
    return twin


def _set_precision(converter: Any, precision: Precision, calibration: Floats) -> None:
    """Tell TensorFlow's converter what to make."""
    import tensorflow as tf

    if precision == "float32":
        return
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if precision == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if precision == "dynamic-int8":
        # with a scale a channel the dense layer is an operator that tflite-runtime 2.14 lacks
        converter._experimental_disable_per_channel_quantization_for_dense_layers = True
    if precision in CALIBRATED:
        converter.representative_dataset = lambda: ([window[None]] for window in calibration)
        kind = tf.int8 if precision == "int8" else tf.int16
        converter.inference_input_type = converter.inference_output_type = kind
        ops = tf.lite.OpsSet
        converter.target_spec.supported_ops = [
            ops.TFLITE_BUILTINS_INT8
            if precision == "int8"
            else ops.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8
        ]


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """TensorFlow's converter talks much and warns of what is meant to be."""
    with quiet_stderr(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
