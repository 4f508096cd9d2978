"""The model file: what goes in comes out, and nothing damaged or foreign is accepted."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import MODELS, SHIPPED

from emopi.device.classifier import Classifier
from emopi.device.contract import ENTRY, VERSION, Contract, Score, Stage, attach, read
from emopi.device.errors import ModelError, SpecError
from emopi.device.frontend import FrontendSpec
from emopi.device.normalization import Normalization
from emopi.device.precision import PRECISIONS, TENSOR_TYPES, Precision

FLATBUFFER = b"\x1c\x00\x00\x00TFL3" + bytes(range(256)) * 4
CONTRACT = Contract(
    network="cnn",
    precision="int8",
    labels=("happy", "sad"),
    frontend=FrontendSpec(n_mfcc=3),
    normalization=Normalization((0.0, 1.0, 2.0), (1.0, 1.0, 1.0), 50.0),
    window_frames=300,
    training={"corpus": "ravdess", "protocol": "paper-80-20", "fold": "seed0"},
    calibration=("03-01-01-01-01-01-01",),
    scores=(Score("paper-80-20", "seed0", 288, 0.8125, 0.8),),
    licence="CC BY-NC-SA 4.0",
    model_sha256="",
)


STAGE = {"signature": "a", "taken": 7, "step": 4, "before": 1, "after": 2}


def write_model(folder: Path, **changes: object) -> Path:
    """A model file whose contract has other fields."""
    fields = CONTRACT.to_json() | changes
    path = folder / "model.tflite"
    path.write_bytes(FLATBUFFER)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(ENTRY, json.dumps(fields))
    return path


def test_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "model.tflite"
    path.write_bytes(attach(FLATBUFFER, CONTRACT))
    flatbuffer, contract = read(path)
    assert flatbuffer == FLATBUFFER
    assert len(contract.model_sha256) == 64
    assert dataclasses.replace(contract, model_sha256="") == CONTRACT
    assert contract.model_id == f"cnn-int8-{contract.model_sha256[:8]}"
    assert contract.window_s == pytest.approx((299 * 160 + 400) / 16_000)


@pytest.mark.parametrize(
    ("precision", "tensors"),
    [("float32", "float32"), ("float16", "float32"), ("dynamic-int8", "float32"), ("int8", "int8"),
     ("int16x8", "int16")],
)  # fmt: skip
def test_every_precision_has_its_tensors(precision: Precision, tensors: str) -> None:
    contract = dataclasses.replace(CONTRACT, precision=precision)
    assert contract.tensor_type == tensors
    assert Contract.from_json(json.loads(json.dumps(contract.to_json()))) == contract
    assert contract.model_id == f"cnn-{precision}-"
    assert set(TENSOR_TYPES) == set(PRECISIONS)


def test_same_contract_same_bytes() -> None:
    assert attach(FLATBUFFER, CONTRACT) == attach(FLATBUFFER, CONTRACT)


def test_every_class_round_trips_through_json() -> None:
    assert Contract.from_json(json.loads(json.dumps(CONTRACT.to_json()))) == CONTRACT
    score = CONTRACT.scores[0]
    assert Score.from_json(json.loads(json.dumps(score.to_json()))) == score


def test_unzip_shows_the_contract(tmp_path: Path) -> None:
    path = tmp_path / "model.tflite"
    path.write_bytes(attach(FLATBUFFER, CONTRACT))
    with zipfile.ZipFile(path) as archive:
        assert archive.namelist() == [ENTRY]
        assert json.loads(archive.read(ENTRY))["labels"] == ["happy", "sad"]
    try:
        done = subprocess.run(["unzip", "-p", path, ENTRY], capture_output=True, check=False)
    except FileNotFoundError:
        pytest.skip("unzip is not installed")
    assert json.loads(done.stdout)["network"] == "cnn"


def test_streaming_form_round_trips() -> None:
    stages = (Stage("streaming_0", 7, 4, 1, 2), Stage("streaming_1", 1, 1, 0, 0))
    contract = dataclasses.replace(CONTRACT, streaming=stages)
    assert Contract.from_json(json.loads(json.dumps(contract.to_json()))) == contract
    assert contract.model_id == "cnn-int8-streaming-"
    assert "streaming" not in CONTRACT.to_json()  # as before there was such a form


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"version": VERSION + 1}, f"version {VERSION + 1}; this emopi knows 1 to {VERSION}: upd"),
        ({"version": "1"}, "a contract of version '1'"),
        ({"precision": "int4"}, "malformed: precision is 'int4'"),
        ({"version": 0}, "a contract of version 0"),
        ({"version": True}, "a contract of version True"),
        ({"labels": "abcdefgh"}, "malformed: labels is 'abcdefgh'; expected a list"),
        ({"training": []}, "malformed: training is []; expected an object"),
        ({"network": None}, "malformed: network is None; expected a string"),
        ({"labels": ["happy", "happy"]}, "malformed: labels are ('happy', 'happy')"),
        ({"window_frames": 0}, "malformed: window_frames is 0"),
        ({"mood": 1}, "malformed: unknown field 'mood' in Contract"),
        ({"frontend": {}}, "malformed: field"),
        ({"frontend": None}, "malformed"),
        ({"scores": [3]}, "malformed"),
        ({"streaming": 3}, "malformed"),
        ({"streaming": [{"signature": "a"}]}, "malformed: field 'after' is missing in Stage"),
        ({"streaming": [STAGE | {"step": 0}]}, "malformed: step is 0; expected 1 to 10000"),
        ({"streaming": [STAGE | {"taken": 0}]}, "malformed: taken is 0; expected 1 to 10000"),
        ({"streaming": [STAGE | {"after": True}]}, "malformed: after is True; expected 0 to 7"),
        (
            {"normalization": Normalization((0.0,), (1.0,), 5.0).to_json()},
            "has 1 coefficients",
        ),
        ({}, "is damaged: its SHA-256 is not the one in its contract"),
    ],
)
def test_refuses(tmp_path: Path, changes: dict[str, object], message: str) -> None:
    path = write_model(tmp_path, **changes)
    with pytest.raises(ModelError) as error:
        read(path)
    assert message in str(error.value)
    assert str(path) in str(error.value)


def test_refuses_a_model_without_contract(tmp_path: Path) -> None:
    path = tmp_path / "bare.tflite"
    path.write_bytes(FLATBUFFER)
    with pytest.raises(ModelError, match="has no contract that can be read"):
        read(path)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("labels.txt", "happy\nsad\n")
    with pytest.raises(ModelError, match="has no contract that can be read"):
        read(path)


def test_refuses_what_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no such model file"):
        read(tmp_path / "absent.tflite")
    (tmp_path / "a.tflite").write_bytes(b"")
    with pytest.raises(ModelError, match="is not a TFLite model"):
        read(tmp_path / "a.tflite")
    path = write_model(tmp_path)
    path.write_bytes(path.read_bytes().replace(b'"version"', b'"versi0n"'))
    with pytest.raises(ModelError):
        read(path)


def test_contract_refuses_labels_that_are_no_strings() -> None:
    with pytest.raises(SpecError, match="expected strings"):
        dataclasses.replace(CONTRACT, labels=(1, 2))


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_flipped_bytes_are_noticed(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    content = bytearray(attach(FLATBUFFER, CONTRACT))
    position = data.draw(st.integers(0, len(content) - 1))
    content[position] ^= data.draw(st.integers(1, 255))
    path = tmp_path_factory.mktemp("flipped") / "model.tflite"
    path.write_bytes(content)
    try:
        flatbuffer, contract = read(path)
    except ModelError:
        return
    # a zip archive has fields that mean nothing to its content, such as the date
    assert flatbuffer == FLATBUFFER
    assert dataclasses.replace(contract, model_sha256="") == CONTRACT


@pytest.mark.parametrize("name", SHIPPED)
def test_flipped_bytes_of_a_shipped_model_never_reach_the_interpreter(
    tmp_path: Path, name: str
) -> None:
    content = bytearray((MODELS / f"{name}.tflite").read_bytes())
    content[len(content) // 2] ^= 0x10
    path = tmp_path / "damaged.tflite"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=r"damaged: its SHA-256 .* Copy it again"):
        Classifier(path)


@pytest.mark.parametrize("name", SHIPPED)
def test_truncated_shipped_model(tmp_path: Path, name: str) -> None:
    content = (MODELS / f"{name}.tflite").read_bytes()
    path = tmp_path / "short.tflite"
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(ModelError, match="has no contract that can be read"):
        Classifier(path)
