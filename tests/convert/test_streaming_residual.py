"""The streaming form of a network with residual blocks, an LSTM, and mean and maximum over time."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import MODELS

from emopi.convert.operators import check_operators
from emopi.convert.quantize import converter_of
from emopi.convert.streaming import streaming_form
from emopi.device.classifier import Classifier
from emopi.device.contract import attach, read
from emopi.device.frontend import Floats
from emopi.device.precision import Precision
from emopi.device.streaming import StreamingClassifier
from emopi.train import topology

keras = pytest.importorskip("keras", reason="conversion needs TensorFlow")

FRAMES = 75
N_MFCC = 40
PRECISIONS: tuple[Precision, ...] = ("float32", "int8")
VIEWS = (1, 2)


def residual_lstm(layers: Any, x: Any, n_views: int, _width: float) -> Any:
    """Blocks around which nothing, a convolution and one that skips every other frame leads."""
    x = topology._views(layers, x, n_views)
    x = topology._conv(layers, x, 12, 5, strides=2)
    x = block(layers, x, 12)
    x = layers.MaxPooling2D((1, 2))(x)
    x = block(layers, x, 16)
    x = block(layers, x, 20, strides=2)
    x = topology._reshape(layers, x, (-1, *x.shape[2:]))
    x = layers.MaxPooling1D(2, strides=1)(x)
    x = topology._lstm_layer(layers, 10)(x)
    x = topology._lstm_layer(layers, 10)(x)
    if n_views > 1:
        return topology._pooled(layers, topology._reshape(layers, x, (-1, n_views, *x.shape[1:])))
    return layers.Concatenate()(
        [layers.GlobalAveragePooling1D()(x), layers.GlobalMaxPooling1D()(x)]
    )


def block(layers: Any, x: Any, width: int, strides: int = 1) -> Any:
    around = x
    if x.shape[-1] != width:
        around = topology._conv(layers, x, width, 1, strides=strides, activation=None)
    x = topology._conv(layers, x, width, 3, strides=strides)
    x = topology._conv(layers, x, width, 3, activation=None)
    return layers.ReLU()(layers.Add()([x, around]))


def windows(n: int, seed: int = 0) -> Floats:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, FRAMES, N_MFCC)).astype(np.float32)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both forms in both precisions, of random weights, of one view of the window or two."""
    folder = tmp_path_factory.mktemp("residual")
    _, shipped = read(MODELS / "lstm-int8.tflite")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(topology, "_lstm", residual_lstm)
        for n_views in VIEWS:
            keras.utils.set_random_seed(3)
            shape: dict[str, Any] = {"window_frames": FRAMES, "n_mfcc": N_MFCC, "n_labels": 8}
            model = topology.build("lstm", keras, **shape, n_views=n_views)
            with converter_of(model, "lstm") as to_tflite:
                for precision in PRECISIONS:
                    flatbuffer = to_tflite(precision, windows(16))
                    contract = dataclasses.replace(
                        shipped, precision=precision, window_frames=FRAMES, calibration=()
                    )
                    name = f"{precision}-{n_views}"
                    (folder / f"{name}.tflite").write_bytes(attach(flatbuffer, contract))
                    small, stages = streaming_form(flatbuffer)
                    check_operators(small, "lstm", precision)
                    other = dataclasses.replace(contract, streaming=stages)
                    (folder / f"{name}-streaming.tflite").write_bytes(attach(small, other))
    return folder


@pytest.fixture(scope="module", params=[f"{p}-{n_views}" for p in PRECISIONS for n_views in VIEWS])
def both(folder: Path, request: pytest.FixtureRequest) -> tuple[Classifier, StreamingClassifier]:
    return (
        Classifier(folder / f"{request.param}.tflite"),
        StreamingClassifier(folder / f"{request.param}-streaming.tflite"),
    )


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, FRAMES), max_size=30), st.integers(0, 5))
def test_a_window_in_pieces_is_the_whole_window(
    both: tuple[Classifier, StreamingClassifier], cuts: list[int], seed: int
) -> None:
    """Stated tolerance of a logit: 1e-5, for int8 two steps of the output (the mean's rounding)."""
    whole, streaming = both
    norm = whole.contract.normalization
    frames = windows(1, 100 + seed)[0] * np.float32(norm.std) + np.float32(norm.mean)
    streaming.reset(loudest_c0=float(frames[:, 0].max()))
    for piece in np.split(frames, sorted(cuts)):
        streaming.push(piece)
    streaming.finish()
    scale = whole._output["quantization"][0] if whole.contract.precision == "int8" else 0
    np.testing.assert_allclose(
        streaming.logits(), whole.logits(frames), atol=max(1e-5, 2.001 * scale), rtol=0
    )


def test_stages_are_a_graph(both: tuple[Classifier, StreamingClassifier]) -> None:
    _, streaming = both
    taken = {stage.name: set(stage.taken) for stage in streaming._stages}
    assert [name for name, its in taken.items() if "frames" in its] == ["streaming_0"]
    assert sum(len(names) == 2 for names in taken.values()) == 3  # the sums
    assert set(streaming._head.taken) == {"mean", "max"}
    skipping = [one for one in streaming.contract.streaming if one.step > one.taken]
    assert [(one.taken, one.step) for one in skipping] == [(1, 2)]
    halving = [one for one in streaming.contract.streaming if one.taken == one.step == 2]
    assert len(halving) == 1
