"""The shipped models on real test clips: what their contracts and cards say is what comes out."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
from support import MODELS, RAVDESS_16K, ROOT, SHIPPED, needs_16k, run_emopi

from emopi.device.classifier import Classifier, find_interpreter
from emopi.device.contract import read
from emopi.device.pipeline import classify
from emopi.device.sources.audio import FileSource
from emopi.train.splits import ALL, load_protocol

BAR = {"cnn": 0.80, "lstm": 0.75}
"""Least int8 accuracy on the test clips of paper-80-20."""

UNSEEN = {"upm-5", "emobox-6"}


SEEN = 0.9
"""Least accuracy of a model that was trained on everything, on what it was trained on."""


def holds_out(name: str) -> bool:
    """Whether the model has test clips of its own."""
    return read(MODELS / f"{name}.tflite")[1].training["protocol"] != ALL


@pytest.fixture(scope="module")
def evaluations() -> dict[str, dict]:
    """What the command prints; on clips that it knows if a model was trained on everything."""
    found = {}
    for name in SHIPPED:
        allow = () if holds_out(name) else ("--allow-seen",)
        done = run_emopi("evaluate", name, "--corpus", RAVDESS_16K, "--protocol", "paper-80-20",
                         "--json", *allow)  # fmt: skip
        assert done.returncode == 0, done.stderr
        found[name] = json.loads(done.stdout)
    return found


@needs_16k
@pytest.mark.parametrize("name", SHIPPED)
def test_contract_and_card_say_what_the_pipeline_prints(evaluations: dict, name: str) -> None:
    if not holds_out(name):
        pytest.skip("trained on everything: nothing is left to score it on")
    found = evaluations[name]
    score = read(MODELS / f"{name}.tflite")[1].scores[0]
    # a probability near a tie may fall the other way on another processor
    assert found["accuracy"] == pytest.approx(score.accuracy, abs=1.01 / 288)
    assert found["uar"] == pytest.approx(score.uar, abs=1.01 / 19 / 8)
    assert found["n"] == score.n == 288
    card = (MODELS / f"{found['network']}.md").read_text()
    assert f"| {name} | {score.accuracy:.1%} (" in card
    assert f") | {score.uar:.1%} (" in card


@pytest.mark.parametrize("name", SHIPPED)
def test_card_says_what_to_expect_of_others(name: str) -> None:
    """Of a model that cannot be scored itself, the scores of its recipe for unseen speakers."""
    contract = read(MODELS / f"{name}.tflite")[1]
    if holds_out(name):
        pytest.skip("it has test clips of its own")
    assert UNSEEN & {score.protocol for score in contract.scores}
    card = (MODELS / f"{contract.network}.md").read_text()
    assert "none was held out, so this very file has no test score" in card
    for score in contract.scores:
        assert (
            f"| {name} | {score.protocol} | {score.fold} | {score.n} | {score.accuracy:.1%} "
            f"| {score.uar:.1%} |"
        ) in card


@pytest.mark.parametrize("name", SHIPPED)
def test_readme_has_the_figures_of_the_contract(name: str) -> None:
    score = read(MODELS / f"{name}.tflite")[1].scores[0]
    kilobytes = (MODELS / f"{name}.tflite").stat().st_size / 1024
    row = f"| {name} | {kilobytes:.0f} KB | {score.accuracy:.1%} | {score.uar:.1%} |"
    assert row in (ROOT / "README.md").read_text()


@needs_16k
@pytest.mark.parametrize("network", sorted(BAR))
def test_accuracy_is_above_the_bar_and_int8_near_float(evaluations: dict, network: str) -> None:
    int8, float32 = (evaluations[f"{network}-{p}"] for p in ("int8", "float32"))
    assert int8["accuracy"] >= (BAR[network] if holds_out(f"{network}-int8") else SEEN)
    assert int8["accuracy"] >= float32["accuracy"] - 0.01


def psf_window(path: Path, contract, start: int) -> np.ndarray:
    """Normalized MFCCs of one window by python_speech_features and plain NumPy alone."""
    psf = pytest.importorskip("python_speech_features", reason="the reference is not installed")
    samples, rate_hz = sf.read(path)
    assert rate_hz == 16_000
    spec, normalization = contract.frontend, contract.normalization
    filters, _ = psf.fbank(samples, 16_000, 0.025, 0.01, spec.n_mels, spec.n_fft, spec.low_hz,
                           spec.high_hz, spec.preemphasis, np.hanning)  # fmt: skip
    logs = np.log(np.maximum(filters, spec.energy_floor))
    from scipy.fft import dct

    mfcc = psf.lifter(dct(logs, type=2, axis=1, norm="ortho")[:, : spec.n_mfcc], spec.lifter)
    window = mfcc[start : start + contract.window_frames].copy()
    window[:, 0] = np.maximum(window[:, 0] - window[:, 0].max(), -normalization.c0_range)
    return (window - np.array(normalization.mean)) / np.array(normalization.std)


@needs_16k
@pytest.mark.parametrize("name", ["cnn-float32", "lstm-float32", "cnn-int8"])
def test_an_independent_path_gives_the_same_answer(name: str) -> None:
    """python_speech_features, SciPy's DCT and the bare interpreter, against `emopi classify`."""
    flatbuffer, contract = read(MODELS / f"{name}.tflite")
    interpreter = find_interpreter()[1](model_content=flatbuffer)
    interpreter.allocate_tensors()
    taken, given = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    classifier = Classifier(MODELS / f"{name}.tflite")
    tests = sorted(load_protocol("paper-80-20").fold("seed0").test)[::14]
    assert len(tests) >= 20
    for clip_id in tests:
        path = RAVDESS_16K / f"Actor_{clip_id[-2:]}" / f"{clip_id}.wav"
        samples, _ = sf.read(path)
        ends = sorted({*range(48_240, len(samples) + 1, 8_000), len(samples)})
        if ends[0] < 48_240:  # shorter than the window: padded, a case of its own
            continue
        weights, answers = [], []
        for end in ends:
            # the last 300 frames that are complete at that sample
            window = psf_window(path, contract, (end - 400) // 160 + 1 - 300)
            if contract.precision == "int8":
                scale, zero_point = taken["quantization"]
                window = np.clip(np.rint(window / scale) + zero_point, -128, 127)
            interpreter.reset_all_variables()
            interpreter.set_tensor(taken["index"], window[None].astype(taken["dtype"]))
            interpreter.invoke()
            logits = interpreter.get_tensor(given["index"])[0].astype(float)
            if contract.precision == "int8":
                scale, zero_point = given["quantization"]
                logits = (logits - zero_point) * scale
            answers.append(np.exp(logits) / np.exp(logits).sum())
            weights.append(np.var(samples[end - 48_240 : end]))
        expected = np.average(answers, axis=0, weights=weights)
        found = list(classify(FileSource(path, 16_000), classifier).probabilities.values())
        np.testing.assert_allclose(found, expected, atol=0.03 if name.endswith("int8") else 2e-3)
