"""From corpus to model files by the command line, on synthesized clips, for both networks."""

from __future__ import annotations

import contextlib
import hashlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from damage import damaged
from support import ROOT, invoke, run_emopi

from emopi.convert import bundle as bundle_module
from emopi.convert.bundle import bundle
from emopi.convert.calibration import calibration_windows
from emopi.convert.commands import convert
from emopi.convert.frozen_calibration import frozen_clips
from emopi.convert.operators import WEIGHTED, check_operators, graphs
from emopi.convert.precisions import possible
from emopi.convert.quantize import ToTflite, converter_of
from emopi.device.classifier import Classifier, softmax
from emopi.device.contract import read
from emopi.device.errors import ConversionError
from emopi.device.frontend import Floats
from emopi.device.precision import Precision
from emopi.device.streaming import StreamingClassifier
from emopi.train.backend import load_model
from emopi.train.corpora import LABELS, Ravdess
from emopi.train.evaluation.command import evaluate
from emopi.train.splits import load_protocol
from emopi.train.training import MODEL

pytest.importorskip("tensorflow", reason="conversion needs TensorFlow")

NETWORKS = ("cnn", "lstm")
EVERY = [f"{network}-{precision}" for network in NETWORKS for precision in possible(network)]
STREAMING = [f"lstm-{precision}-streaming" for precision in possible("lstm")]


@pytest.fixture(scope="module")
def models(runs: Path) -> Path:
    """A folder with the models in every precision that each network can have."""
    _as_before(runs / "lstm" / "run.json")
    for network in NETWORKS:
        printed = invoke(
            convert, runs / network, "--out", runs / "models", "--json", "--precision", "all",
            *(["--streaming"] if network == "lstm" else []),
        )  # fmt: skip
        assert "192 of 1152 training clips, frozen for paper-80-20 seed0" in printed
        facts = [json.loads(line) for line in printed.splitlines() if line.startswith("{")]
        names = {Path(fact["model"]).stem for fact in facts}
        assert names == {name for name in EVERY + STREAMING if name.startswith(network)}
        for fact in facts:
            assert fact["bytes"] == Path(fact["model"]).stat().st_size
            assert fact["runtimes"] == ["ai-edge-litert", "tflite-runtime 2.14"]
            assert fact["n"] == (0 if fact["streaming"] else 288)
            assert fact["streaming"] == fact["model"].endswith("-streaming.tflite")
        assert facts[0]["keras_agreement"] == 1.0
    return runs / "models"


def _as_before(record: Path) -> None:
    """Rewrite a run's record to what emopi wrote when it knew one corpus."""
    content = json.loads(record.read_text())
    (content["corpus"]["folder"],) = content["corpus"].pop("folders")
    del content["corpus"]["ids_sha256"]
    record.write_text(json.dumps(content))


def test_files(models: Path) -> None:
    assert sorted(p.name for p in models.iterdir()) == sorted(
        [f"{name}.tflite" for name in EVERY + STREAMING] + ["cnn.md", "lstm.md"]
    )


@pytest.mark.parametrize("name", EVERY + STREAMING)
def test_tensors_are_of_the_types_that_the_precision_says(models: Path, name: str) -> None:
    flatbuffer, contract = read(models / f"{name}.tflite")
    assert name == contract.name
    every = [one for graph in graphs(flatbuffer) for one in graph]
    weighted = [one for one in every if one.name in WEIGHTED]
    names = [one.name for one in every]
    assert names.count("UNIDIRECTIONAL_SEQUENCE_LSTM") == (contract.network == "lstm")
    assert "WHILE" not in names
    types = {kind for one in every for kind in one.types}
    floats = {kind for kind in types if kind.startswith("FLOAT")}
    if contract.precision in ("int8", "int16x8"):
        assert not floats
        assert all("INT8" in one.types for one in weighted)
        assert ("INT16" in weighted[0].types) == (contract.precision == "int16x8")
    else:
        assert floats == {"FLOAT32"} | ({"FLOAT16"} if contract.precision == "float16" else set())
        assert ("INT8" in types) == (contract.precision == "dynamic-int8")


@pytest.mark.parametrize("network", NETWORKS)
def test_wrong_operators_are_refused(models: Path, network: str) -> None:
    def flatbuffer(name: str) -> bytes:
        return read(models / f"{name}.tflite")[0]

    for precision, wrong, message in (
        ("int8", "float32", r"int8 has a .* on FLOAT32 tensors; expected none"),
        ("float32", "int8", r"float32 has a .* on INT8 tensors; expected none"),
        ("float16", "float32", "float16 has no FLOAT16 weights"),
        ("dynamic-int8", "float32", "dynamic-int8 has no INT8 weights"),
        ("dynamic-int8", "float16", "DEQUANTIZE on FLOAT16 tensors"),
        ("int16x8", "int8", r"int16x8 has a CONV_2D without INT16 tensors: INT32, INT8"),
    ):
        with pytest.raises(ConversionError, match=message):
            check_operators(flatbuffer(f"{network}-{wrong}"), network, precision)
    with pytest.raises(ConversionError, match="lstm int8 has no fused LSTM"):
        check_operators(flatbuffer("cnn-int8"), "lstm", "int8")


@pytest.mark.parametrize("network", NETWORKS)
def test_smaller_precisions_are_smaller(models: Path, network: str) -> None:
    size = {p: (models / f"{network}-{p}.tflite").stat().st_size for p in possible(network)}
    assert size["float16"] < 0.6 * size["float32"]
    for precision in set(size) - {"float32", "float16"}:
        assert size[precision] < 0.4 * size["float32"]


def test_every_model_says_the_same_on_tflite_runtime(models: Path) -> None:
    """Both runtimes, on one window: stated tolerance of the probabilities 0.03, 1e-4 for float."""
    python = ROOT / ".venv-tflite" / "bin" / "python"
    code = """
import json, sys
import numpy as np
sys.path.insert(0, sys.argv[1])
from support import speech
from emopi.device.classifier import Classifier
from emopi.device.frontend import extract
from emopi.device.streaming import StreamingClassifier
for path in sys.argv[2:]:
    streaming = "streaming" in path
    one = StreamingClassifier(path) if streaming else Classifier(path)
    frames = extract(speech(3.5), one.contract.frontend)[: one.contract.window_frames]
    if streaming:
        one.reset(float(frames[:, 0].max()))
        for piece in np.array_split(frames, 7):
            one.push(piece)
        one.finish()
        said = one.probabilities()
    else:
        said = one.probabilities(frames)
    print(json.dumps([one.runtime, said.tolist()]))
"""
    if not python.exists() or subprocess.run([python, "-c", "import tflite_runtime"]).returncode:
        pytest.skip("there is no .venv-tflite with tflite-runtime beside the tests: make test")
    names = EVERY + STREAMING
    paths = [models / f"{name}.tflite" for name in names]
    said = []
    for interpreter in (python, Path(sys.executable)):
        done = subprocess.run(
            [interpreter, "-c", code, ROOT / "tests", *paths],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        said.append([json.loads(line) for line in done.stdout.splitlines()])
    for name, (old, its), (new, others) in zip(names, *said, strict=True):
        assert (old, new) == ("tflite-runtime", "ai-edge-litert")
        tolerance = 1e-4 if "float" in name else 0.03
        np.testing.assert_allclose(its, others, atol=tolerance, err_msg=name)


@pytest.mark.parametrize("network", NETWORKS)
def test_keras_and_every_precision_agree_on_synthesized_clips(
    models: Path, runs: Path, tiny_corpus: Path, network: str
) -> None:
    """Stated tolerance of the probabilities: 1e-4 for float32, 0.01 for float16, else 0.1."""
    every = [Classifier(models / f"{network}-{p}.tflite") for p in possible(network)]
    contract = every[0].contract
    clips = Ravdess.read(tiny_corpus)[::90]
    windows = calibration_windows(clips, contract.frontend, contract.window_frames)
    model = load_model(runs / network / MODEL)
    expected = softmax(model.predict(contract.normalization.apply(windows), verbose=0))
    assert expected.std(axis=0).max() > 1e-3  # the clips are told apart
    tolerances = {"float32": 1e-4, "float16": 0.01}
    for classifier in every:
        found = np.stack([classifier.probabilities(window) for window in windows])
        tolerance = tolerances.get(classifier.contract.precision, 0.1)
        np.testing.assert_allclose(found, expected, atol=tolerance)


@pytest.mark.parametrize("network", NETWORKS)
def test_contract_and_card(models: Path, runs: Path, network: str) -> None:
    contracts = [read(models / f"{network}-{p}.tflite")[1] for p in possible(network)]
    record = (runs / network / "run.json").read_bytes()
    model = (runs / network / "model.keras").read_bytes()
    for contract in contracts:
        assert contract.labels == LABELS
        assert contract.training["fold"] == "seed0"
        assert contract.training["commit"] == json.loads(record)["commit"]
        assert contract.training["recipe"]["epochs"] == 2
        assert contract.training["run_sha256"] == hashlib.sha256(record + model).hexdigest()
        assert contract.scores[0].n == 288
        assert "folder" not in json.dumps(contract.to_json())  # no path of the training machine
        calibrated = contract.precision in ("int8", "int16x8")
        assert set(contract.calibration) == (
            frozen_clips("paper-80-20", "seed0") if calibrated else set()
        )
    int8 = next(contract for contract in contracts if contract.precision == "int8")
    assert not set(int8.calibration) & load_protocol("paper-80-20").fold("seed0").test
    card = (models / f"{network}.md").read_text()
    assert f"| {network}-int8 | {int8.scores[0].accuracy:.1%} (" in card
    for text in ("CC BY-NC-SA", "EU AI Act", "Confusion matrix of the int8", "same 24 actors"):
        assert text in card
    for name in [name for name in EVERY + STREAMING if name.startswith(network)]:
        row = next(row for row in card.splitlines() if f"| {name}.tflite |" in row)
        assert row.endswith(" | yes |")
    assert ("takes frames as they come" in card) == (network == "lstm")


@pytest.mark.parametrize("name", ["cnn-int8", "lstm-float32"])
def test_evaluate_prints_what_the_contract_says(
    models: Path, tiny_corpus: Path, tmp_path: Path, name: str
) -> None:
    done = run_emopi(
        "evaluate", models / f"{name}.tflite", "--corpus", tiny_corpus, "--json",
        "--protocol", "paper-80-20", "--clips", tmp_path / "clips.csv",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    _, contract = read(models / f"{name}.tflite")
    assert result["accuracy"] == contract.scores[0].accuracy
    assert result["uar"] == contract.scores[0].uar
    assert result["n"] == sum(map(sum, result["confusion"])) == 288
    assert result["network"] == contract.network
    low, high = result["intervals"]["accuracy"]
    assert low <= result["accuracy"] <= high
    assert 0 <= result["ece"] <= 1
    rows = [line.split(",") for line in (tmp_path / "clips.csv").read_text().splitlines()]
    assert len(rows) == 289
    right = sum(row[1] == row[2] for row in rows[1:])
    assert right / 288 == pytest.approx(result["accuracy"])
    recalls = [
        np.mean([row[2] == label for row in rows[1:] if row[1] == label]) for label in LABELS
    ]
    assert np.mean(recalls) == pytest.approx(result["uar"])


def test_streaming_forms_say_what_whole_windows_say(models: Path, tiny_corpus: Path) -> None:
    """Stated tolerances of a probability. Dynamic scales are of as many frames as come at once."""
    tolerances = {"int8": 0.02, "dynamic-int8": 0.03}
    clips = Ravdess.read(tiny_corpus)[::144]
    for precision in possible("lstm"):
        whole = Classifier(models / f"lstm-{precision}.tflite")
        streaming = StreamingClassifier(models / f"lstm-{precision}-streaming.tflite")
        contract = whole.contract
        windows = calibration_windows(clips, contract.frontend, contract.window_frames)
        for window in windows:
            streaming.reset(loudest_c0=float(window[:, 0].max()))
            for piece in np.array_split(window, 11):
                streaming.push(piece)
            streaming.finish()
            np.testing.assert_allclose(
                streaming.probabilities(), whole.probabilities(window),
                atol=tolerances.get(precision, 1e-5), err_msg=precision,
            )  # fmt: skip


def test_evaluate_leaves_streaming_forms_out(
    models: Path, tiny_corpus: Path, tmp_path: Path
) -> None:
    for name in ("lstm-int8", "lstm-int8-streaming"):
        (tmp_path / f"{name}.tflite").symlink_to(models / f"{name}.tflite")
    printed = invoke(
        evaluate, tmp_path, "--corpus", tiny_corpus, "--protocol", "paper-80-20", "--jobs", 1,
        "--json",
    )  # fmt: skip
    (one,) = json.loads(printed)["folds"]
    assert one["file"] == str(tmp_path / "lstm-int8.tflite")


def test_evaluate_refuses_clips_of_the_training(models: Path, tiny_corpus: Path) -> None:
    model = models / "cnn-int8.tflite"
    done = run_emopi("evaluate", model, "--corpus", tiny_corpus, "--protocol", "upm-5")
    assert done.returncode == 1
    assert "test clips of upm-5 fold1, so a figure on them would say nothing" in done.stderr
    allowed = run_emopi("evaluate", model, "--corpus", tiny_corpus, "--protocol", "upm-5",
                        "--allow-seen")  # fmt: skip
    assert allowed.returncode == 0
    assert "300 test clips" in allowed.stdout


class TestDamagedConversion:
    """It says in which layer the error starts, and writes nothing."""

    @pytest.mark.parametrize(
        ("network", "precision", "number", "layer"),
        [
            ("cnn", "int8", 0, "views"),
            ("cnn", "int8", 6, "conv2d_5"),
            ("cnn", "int16x8", 4, "conv2d_3"),
            ("lstm", "int8", 7, "lstm"),
            ("lstm", "dynamic-int8", -1, "logits"),
        ],
    )
    def test_weights(
        self, runs: Path, models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
        network: str, precision: Precision, number: int, layer: str,
    ) -> None:  # fmt: skip
        @contextlib.contextmanager
        def broken(_model: Any, network: str) -> Iterator[ToTflite]:
            def convert(wanted: Precision, _windows: Floats) -> bytes:
                flatbuffer = read(models / f"{network}-{wanted}.tflite")[0]
                return damaged(flatbuffer, number) if wanted == precision else flatbuffer

            yield convert

        monkeypatch.setattr(bundle_module, "converter_of", broken)
        with pytest.raises(ConversionError) as error:
            bundle(runs / network, tmp_path / "out", None, precisions=[precision])
        assert str(error.value).startswith(f"{network} {precision} is not what Keras computes: pr")
        assert f"The error starts at layer {layer} (" in str(error.value)
        assert str(error.value).endswith("Nothing was written")
        assert not (tmp_path / "out").exists()

    def test_calibration_with_silence_alone(
        self, runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        @contextlib.contextmanager
        def deaf(model: Any, network: str) -> Iterator[ToTflite]:
            with converter_of(model, network) as to_tflite:

                def convert(precision: Precision, windows: Floats) -> bytes:
                    silence = np.zeros_like(windows) + windows.min(axis=(0, 1))
                    return to_tflite(precision, silence)

                yield convert

        monkeypatch.setattr(bundle_module, "converter_of", deaf)
        with pytest.raises(ConversionError, match="The error starts at the input: as the network"):
            bundle(runs / "cnn", tmp_path / "out", None, precisions=["int8"])
        assert not (tmp_path / "out").exists()
