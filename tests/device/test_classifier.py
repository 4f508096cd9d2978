"""Shipped models on the interpreter: quantization, independence of windows, int8 beside float."""

from __future__ import annotations

import dataclasses
import struct
from pathlib import Path

import numpy as np
import pytest
from support import MODELS, SHIPPED, speech

from emopi.device.classifier import Classifier, from_tensor, softmax, to_tensor
from emopi.device.contract import attach, read
from emopi.device.errors import ModelError
from emopi.device.frontend import extract
from emopi.device.precision import Precision

INT8 = {"dtype": np.int8, "quantization": (0.5, 3)}
INT16 = {"dtype": np.int16, "quantization": (0.001, 0)}
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


def test_int16_has_its_own_range() -> None:
    values = np.array([0.0, 0.0004, 0.0006, -1.5, 100.0, -100.0], np.float32)
    found = to_tensor(values, INT16)
    assert found.dtype == np.int16
    assert found.tolist() == [0, 0, 1, -1500, 32767, -32768]
    np.testing.assert_allclose(from_tensor(found, INT16)[:4], values[:4], atol=0.0005)


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


@pytest.mark.parametrize(
    ("precision", "tensors"),
    [("float16", "float32"), ("dynamic-int8", "float32"), ("int16x8", "int16")],
)
def test_tensors_must_be_those_of_the_precision(
    tmp_path: Path, precision: Precision, tensors: str
) -> None:
    path = tmp_path / "model.tflite"
    flatbuffer, contract = read(MODELS / "cnn-int8.tflite")
    path.write_bytes(attach(flatbuffer, dataclasses.replace(contract, precision=precision)))
    with pytest.raises(ModelError, match=f"input is int8 .* says {precision}, so {tensors} .1, 3"):
        Classifier(path)
    flatbuffer, contract = read(MODELS / "cnn-float32.tflite")
    path.write_bytes(attach(flatbuffer, dataclasses.replace(contract, precision=precision)))
    if tensors == "float32":
        assert Classifier(path).contract.tensor_type == "float32"
    else:
        with pytest.raises(ModelError, match=f"input is float32 .* so {tensors}"):
            Classifier(path)


def test_operators_that_the_runtime_is_too_old_for(tmp_path: Path) -> None:
    """What tflite-runtime says of files of newer converters, with a version that nothing knows."""
    flatbuffer, contract = read(MODELS / "cnn-int8.tflite")
    path = tmp_path / "model.tflite"
    path.write_bytes(attach(with_versions(flatbuffer, 99), contract))
    with pytest.raises(ModelError) as error:
        Classifier(path)
    assert "model.tflite is too new for " in str(error.value)
    assert " version 99: use ai-edge-litert in its newest version" in str(error.value)
    assert "or convert to a precision whose card says that it runs here" in str(error.value)


def with_versions(flatbuffer: bytes, version: int) -> bytes:
    """`flatbuffer` with this version of its operators, where it had one above 1.

    Model.operator_codes is the second field of the root table, OperatorCode.version the third.
    """
    changed = bytearray(flatbuffer)

    def field(table: int, number: int) -> int:
        """Where the field's value lies; `table` itself if it is absent."""
        vtable = table - struct.unpack_from("<i", changed, table)[0]
        size = struct.unpack_from("<H", changed, vtable)[0]
        slot = 4 + 2 * number
        return table + (struct.unpack_from("<H", changed, vtable + slot)[0] if slot < size else 0)

    def follow(place: int) -> int:
        return place + int(struct.unpack_from("<I", changed, place)[0])

    codes = follow(field(follow(0), 1))
    for number in range(struct.unpack_from("<I", changed, codes)[0]):
        code = follow(codes + 4 + 4 * number)
        if (place := field(code, 2)) != code:
            struct.pack_into("<i", changed, place, version)
    return bytes(changed)


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
    assert contract.training["protocol"] == "all"
    assert (contract.scores[0].protocol, contract.scores[0].fold) == ("upm-5", "mean")
    assert contract.scores[0].n == 1440
    assert len(contract.calibration) == (192 if contract.precision == "int8" else 0)
