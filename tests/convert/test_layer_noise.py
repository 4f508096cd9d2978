"""Signal to quantization noise ratio of every layer: of shipped models, sound and damaged."""

from __future__ import annotations

import math

import numpy as np
import pytest
from damage import damaged
from support import MODELS, speech

from emopi.convert.layer_noise import LIMIT_DB, LayerNoise, layer_noise, where_noise_starts
from emopi.device.classifier import Classifier, from_tensor, to_tensor
from emopi.device.contract import read
from emopi.device.errors import ModelError
from emopi.device.frontend import Floats, extract

pytest.importorskip("ai_edge_litert", reason="tflite-runtime has no schema to read models with")

NETWORKS = ("cnn", "lstm")


def model(name: str) -> bytes:
    return read(MODELS / f"{name}.tflite")[0]


@pytest.fixture(scope="module")
def windows() -> Floats:
    """(4, window_frames, n_mfcc) normalized, synthesized."""
    contract = read(MODELS / "cnn-int8.tflite")[1]
    frames = [extract(speech(4.0, seed=seed), contract.frontend) for seed in range(4)]
    return contract.normalization.apply(np.stack([one[: contract.window_frames] for one in frames]))


@pytest.mark.parametrize("network", NETWORKS)
def test_a_model_beside_itself_has_no_noise(network: str, windows: Floats) -> None:
    noise = layer_noise(model(f"{network}-float32"), model(f"{network}-float32"), windows)
    assert {layer.sqnr_db for layer in noise} == {LIMIT_DB}
    assert {layer.loss_db for layer in noise} == {0.0}


@pytest.mark.parametrize("network", NETWORKS)
def test_shipped_int8_models_are_sound(network: str, windows: Floats) -> None:
    noise = layer_noise(model(f"{network}-float32"), model(f"{network}-int8"), windows)
    assert all(15 < layer.sqnr_db < 60 for layer in noise)
    # an LSTM's error goes round with its state
    assert max(layer.loss_db for layer in noise[1:]) < {"cnn": 10, "lstm": 14}[network]
    assert noise[0].name == "input"
    names = [layer.name for layer in noise]
    assert len(set(names)) == len(names)
    assert ("lstm" in names, "views" in names) == (network == "lstm", network == "cnn")
    assert {"conv2d", "conv2d_1", "max_pooling2d", "logits"} <= set(names)


@pytest.mark.parametrize("network", NETWORKS)
def test_first_and_last_ratio_are_what_the_definition_says(network: str, windows: Floats) -> None:
    noise = layer_noise(model(f"{network}-float32"), model(f"{network}-int8"), windows)
    exact = Classifier(MODELS / f"{network}-float32.tflite")
    rough = Classifier(MODELS / f"{network}-int8.tflite")
    tensor = rough._interpreter.get_input_details()[0]
    quantized = from_tensor(to_tensor(windows, tensor), tensor)
    assert noise[0].sqnr_db == pytest.approx(ratio_db(windows, quantized), abs=1e-3)
    norm = exact.contract.normalization  # the classifiers apply it themselves
    frames = (windows * np.array(norm.std) + np.array(norm.mean)).astype(np.float32)
    logits = [np.stack([c.logits(window) for window in frames]) for c in (exact, rough)]
    assert noise[-1].sqnr_db == pytest.approx(ratio_db(*logits), abs=1.5)  # XNNPACK rounds anew


def ratio_db(signal: Floats, other: Floats) -> float:
    return 10 * math.log10(float(np.sum(signal**2) / np.sum((other - signal) ** 2)))


@pytest.mark.parametrize(
    ("network", "number", "layer"),
    [("cnn", 0, "views"), ("cnn", 1, "conv2d"), ("cnn", 4, "conv2d_3"), ("cnn", -1, "logits"),
     ("lstm", 1, "conv2d_1"), ("lstm", 6, "lstm"), ("lstm", -1, "logits")],
)  # fmt: skip
def test_a_damaged_layer_is_found(network: str, number: int, layer: str, windows: Floats) -> None:
    broken = damaged(model(f"{network}-int8"), number)
    noise = layer_noise(model(f"{network}-float32"), broken, windows)
    assert where_noise_starts(noise).name == layer
    assert where_noise_starts(noise).loss_db > 15


def test_loss_is_bounded() -> None:
    def loss(given_db: float, sqnr_db: float) -> float:
        return LayerNoise("a", "ADD", sqnr_db, given_db).loss_db

    assert loss(40, 30) == 10
    assert loss(30, 40) == 0
    assert loss(120, 60) == 0
    assert loss(120, 40) == 10
    assert loss(20, -30) == 20
    assert loss(-30, -60) == 0
    assert LayerNoise("a", "ADD", 30, 40).to_json() == {
        "name": "a", "operator": "ADD", "sqnr_db": 30, "given_db": 40, "loss_db": 10,
    }  # fmt: skip


def test_other_networks_are_refused(windows: Floats) -> None:
    with pytest.raises(ModelError, match="operator 2 is MAX_POOL_2D and CONV_2D"):
        layer_noise(model("lstm-int8"), model("cnn-int8"), windows)
    with pytest.raises(ModelError, match="different layers"):
        layer_noise(model("cnn-float32"), model("lstm-int8"), windows)
