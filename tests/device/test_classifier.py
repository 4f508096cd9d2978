"""Shipped models on the interpreter: quantization, independence of windows, int8 beside float."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from support import MODELS, SHIPPED, speech

from emopi.device.classifier import Classifier, from_tensor, softmax, to_tensor
from emopi.device.contract import attach, read
from emopi.device.errors import ModelError
from emopi.device.frontend import extract

INT8 = {"dtype": np.int8, "quantization": (0.5, 3)}
FLOAT = {"dtype": np.float32, "quantization": (0.0, 0)}


def window(classifier: Classifier, seed: int = 0) -> np.ndarray:
    contract = classifier.contract
    frames = extract(speech(4.0, seed=seed), contract.frontend)
    return frames[: contract.window_frames]


def test_quantization_rounds_to_even_and_saturates() -> None:
    values = np.array([0.0, 0.24, 0.25, 0.26, 0.75, -0.25, 1e9, -1e9], np.float32)
    found = to_tensor(values, INT8)
    assert found.dtype == np.int8
    assert found.tolist() == [3, 3, 3, 4, 5, 3, 127, -128]
    np.testing.assert_array_equal(to_tensor(values, FLOAT), values)


def test_dequantization() -> None:
    found = from_tensor(np.array([-128, 3, 127], np.int8), INT8)
    assert found.dtype == np.float32
    assert found.tolist() == [-65.5, 0, 62]


def test_every_int8_value_survives_the_way_there_and_back() -> None:
    values = np.arange(-128, 128).astype(np.int8)
    np.testing.assert_array_equal(to_tensor(from_tensor(values, INT8), INT8), values)


def test_softmax() -> None:
    found = softmax(np.array([[1000.0, 1000.0, -1000.0]], np.float32))
    np.testing.assert_allclose(found, [[0.5, 0.5, 0]])


@pytest.mark.parametrize("name", SHIPPED)
def test_windows_are_independent(name: str) -> None:
    classifier = Classifier(MODELS / f"{name}.tflite")
    first = classifier.logits(window(classifier))
    for seed in range(1, 4):
        classifier.logits(window(classifier, seed))
    np.testing.assert_array_equal(classifier.logits(window(classifier)), first)
    fresh = Classifier(MODELS / f"{name}.tflite")
    np.testing.assert_array_equal(fresh.logits(window(classifier)), first)


@pytest.mark.parametrize("network", ["cnn", "lstm"])
def test_int8_is_close_to_float(network: str) -> None:
    float32 = Classifier(MODELS / f"{network}-float32.tflite")
    int8 = Classifier(MODELS / f"{network}-int8.tflite")
    for seed in range(4):
        frames = window(float32, seed)
        change = np.abs(float32.probabilities(frames) - int8.probabilities(frames))
        assert change.max() < 0.1


@pytest.mark.parametrize("name", SHIPPED)
def test_threads_do_not_change_the_answer(name: str) -> None:
    one = Classifier(MODELS / f"{name}.tflite")
    two = Classifier(MODELS / f"{name}.tflite", threads=2)
    np.testing.assert_allclose(one.logits(window(one)), two.logits(window(one)), atol=1e-4)


def test_model_that_is_not_what_its_contract_says(tmp_path: Path) -> None:
    flatbuffer, contract = read(MODELS / "cnn-int8.tflite")
    path = tmp_path / "model.tflite"
    path.write_bytes(attach(flatbuffer, dataclasses.replace(contract, window_frames=299)))
    with pytest.raises(ModelError, match=r"its input is int8 \(1, 300, 40\), but its contract"):
        Classifier(path)
    path.write_bytes(attach(flatbuffer, dataclasses.replace(contract, labels=("a", "b"))))
    with pytest.raises(ModelError, match=r"its output is int8 \(1, 8\), but its contract says"):
        Classifier(path)
    path.write_bytes(attach(flatbuffer, dataclasses.replace(contract, precision="float32")))
    with pytest.raises(ModelError, match="convert anew"):
        Classifier(path)


def test_valid_contract_around_garbage(tmp_path: Path) -> None:
    _, contract = read(MODELS / "cnn-int8.tflite")
    path = tmp_path / "model.tflite"
    path.write_bytes(attach(b"\x1c\x00\x00\x00TFL3" + bytes(400), contract))
    with pytest.raises(ModelError, match="cannot be loaded by"):
        Classifier(path)


@pytest.mark.parametrize("name", SHIPPED)
def test_contracts_of_shipped_models(name: str) -> None:
    _, contract = read(MODELS / f"{name}.tflite")
    assert name == f"{contract.network}-{contract.precision}"
    assert contract.labels == ("neutral", "calm", "happy", "sad", "angry", "fearful", "disgust",
                               "surprised")  # fmt: skip
    assert "CC BY-NC-SA" in contract.licence
    assert contract.training["protocol"] == "paper-80-20"
    assert contract.scores[0].n == 288
    assert len(contract.calibration) == (192 if contract.precision == "int8" else 0)
