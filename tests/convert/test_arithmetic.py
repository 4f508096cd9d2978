"""Multiply-accumulates, beside sums by hand."""

from __future__ import annotations

import pytest


@pytest.mark.parametrize(("network", "n_views"), [("cnn", 1), ("cnn", 2), ("lstm", 1), ("lstm", 2)])
def test_counts_every_weight_as_often_as_it_is_used(network: str, n_views: int) -> None:
    pytest.importorskip("tensorflow", reason="conversion needs TensorFlow")
    import keras
    import numpy as np

    from emopi.convert.arithmetic import multiplications
    from emopi.convert.quantize import converter_of
    from emopi.train.topology import build

    frames, n_mfcc, n_labels = 80, 10, 3
    model = build(
        network, keras, window_frames=frames, n_mfcc=n_mfcc, n_labels=n_labels, n_views=n_views
    )
    with converter_of(model, network) as to_tflite:
        flatbuffer = to_tflite("float32", np.zeros((0, frames, n_mfcc), np.float32))
    expected = 40 * n_mfcc * 96 * 5  # every second frame
    expected += 20 * 2 * 96 * 96 * 3  # behind each pooling half the frames
    expected += 10 * (96 * 128 + 96 * 128 * 3 + 128 * 128 * 3)
    if network == "cnn":
        expected += 5 * (128 * 160 + 128 * 160 * 3 + 160 * 160 * 3)
    else:
        expected += 10 * 4 * 128 * (128 + 128)
    expected *= n_views
    expected += frames * n_mfcc * n_views * n_mfcc if n_views > 1 else 0
    expected += {"cnn": 320, "lstm": 256}[network] * n_labels
    assert list(multiplications(flatbuffer).values()) == [expected]
