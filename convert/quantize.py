"""From a trained Keras model to TFLite flatbuffers: float32, and int8 throughout."""

from __future__ import annotations

import warnings
from typing import Any

from emopi.device.contract import Precision
from emopi.device.errors import ConversionError
from emopi.device.frontend import Floats
from emopi.device.quiet import quiet_stderr
from emopi.train.topology import build, transfer_weights


def to_tflite(model: Any, network: str, precision: Precision, calibration: Floats) -> bytes:
    """The flatbuffer of a Keras 3 `model` of kind `network`.

    `calibration` is (n, window_frames, n_mfcc) normalized windows of training clips, from which
    the converter takes the range of every activation; float32 ignores it. int8 has int8 input and
    output and no float operator; the LSTM is the fused UNIDIRECTIONAL_SEQUENCE_LSTM. Raises
    `ConversionError` with the converter's own words where it fails.

    The conversion starts from a tf_keras twin with a batch of one: from Keras 3 an LSTM becomes a
    WHILE loop, which cannot be quantized.
    """
    import tensorflow as tf
    import tf_keras
    from tensorflow.lite.python.convert import ConverterError

    _, window_frames, n_mfcc = model.input_shape
    twin = build(
        network,
        tf_keras,
        window_frames=window_frames,
        n_mfcc=n_mfcc,
        n_labels=model.output_shape[-1],
        batch=1,
    )
    transfer_weights(model, twin)
    with quiet_stderr(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        converter = tf.lite.TFLiteConverter.from_keras_model(twin)
        if precision == "int8":
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
            converter.representative_dataset = lambda: ([w[None]] for w in calibration)
            converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
            converter.inference_input_type = tf.int8
            converter.inference_output_type = tf.int8
        try:
            flatbuffer: bytes = converter.convert()
        except (ConverterError, RuntimeError, ValueError) as error:
            raise ConversionError(
                f"{network} cannot be converted to {precision}: {error} "
                "(EMOPI_DEBUG=1 shows what the converter says)"
            ) from error
    return flatbuffer
