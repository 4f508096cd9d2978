"""Models of everything that there is, and of other corpora, from end to end."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
from support import invoke, run_emopi

from emopi.convert.commands import convert
from emopi.device.contract import read
from emopi.device.errors import ModelError
from emopi.train.commands import train
from emopi.train.evaluation.command import evaluate

pytest.importorskip("tensorflow", reason="conversion needs TensorFlow")


EXPECTED = [
    {"protocol": "upm-5", "fold": "mean", "n": 1440, "accuracy": 0.711, "uar": 0.679},
    {"protocol": "paper-80-20", "fold": "mean", "n": 1440, "accuracy": 0.868, "uar": 0.864,
     "precision": "int8"},
]  # fmt: skip


@pytest.fixture(scope="module")
def everything(train_briefly: Callable[..., None], runs: Path) -> Path:
    """A folder with the models of a run that held nothing out."""
    run, expect = runs / "everything", runs / "expect.json"
    train_briefly("cnn", "all", run, runs / "cache")
    record = json.loads((run / "run.json").read_text())
    assert (record["protocol"], record["fold"]) == ("all", "all")
    sides = [record["corpus"][side] for side in ("train", "validation", "test")]
    assert sides == [1440, 0, 0]
    expect.write_text(json.dumps(EXPECTED))
    out = runs / "everything-models"
    printed = invoke(convert, run, "--out", out, "--json", "--expect", expect)
    for line in printed.splitlines()[-2:]:
        facts = json.loads(line)
        assert (facts["accuracy"], facts["uar"], facts["n"]) == (None, None, 0)
        assert facts["keras_agreement"] > 0.9
    return out


class TestModelTrainedOnEverything:
    def test_contract_has_the_scores_of_others(self, everything: Path) -> None:
        for precision, protocols in (
            ("float32", ["upm-5"]), ("int8", ["upm-5", "paper-80-20"]),
        ):  # fmt: skip
            contract = read(everything / f"cnn-{precision}.tflite")[1]
            assert [score.protocol for score in contract.scores] == protocols
            score = contract.scores[0]
            assert (score.fold, score.n, score.accuracy, score.uar) == ("mean", 1440, 0.711, 0.679)
            assert contract.training["clips"] == 1440
            assert contract.training["protocol"] == "all"

    def test_card(self, everything: Path) -> None:
        card = (everything / "cnn.md").read_text()
        for text in (
            "Trained on all 1440 clips: none was held out, so this very file has no test score",
            "## What to expect for a stranger's voice",
            "| cnn-float32 | upm-5 | mean | 1440 | 71.1% | 67.9% |",
            "| cnn-int8 | upm-5 | mean | 1440 | 71.1% | 67.9% |",
            "| cnn-int8 | paper-80-20 | mean | 1440 | 86.8% | 86.4% |",
            "- upm-5: Unseen speakers: 5 folds",
            "- paper-80-20: Random, stratified by emotion, 20 % test",
            "It knows the voices of 24 actors.",
            "--protocol all --fold all --epochs 2",
        ):
            assert text in card
        assert "| cnn-float32 | paper-80-20" not in card
        assert "Confusion matrix" not in card
        assert "nan" not in card

    def test_no_clip_is_left_to_evaluate_it_on(self, everything: Path, tiny_corpus: Path) -> None:
        model = everything / "cnn-int8.tflite"
        done = run_emopi("evaluate", model, "--corpus", tiny_corpus, "--protocol", "upm-5")
        assert done.returncode == 1
        assert "so a figure on them would say nothing of new clips" in done.stderr

    def test_wrong_expectations_stop_it_at_once(self, runs: Path, tmp_path: Path) -> None:
        wrong = tmp_path / "expect.json"
        wrong.write_text(json.dumps([EXPECTED[0] | {"accuracy": 71.1}]))
        done = run_emopi("convert", runs / "cnn", "--out", tmp_path / "out", "--expect", wrong)
        assert done.returncode == 1
        assert "score 1: accuracy is 71.1; expected 0 to 1" in done.stderr
        assert not (tmp_path / "out").exists()


def tone(path: Path, pitch_hz: float) -> None:
    """A second of a tone that tells the emotion, in noise that differs from file to file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(list(path.name.encode() + path.parent.name.encode()))
    samples = 0.2 * np.sin(2 * np.pi * pitch_hz * np.arange(16_000) / 16_000)
    sf.write(path, samples + 0.01 * rng.normal(size=16_000), 16_000)


def test_other_corpora_from_end_to_end(tmp_path: Path) -> None:
    """Two corpora without RAVDESS, one with clips of boredom: train, convert, evaluate."""
    savee, emodb = tmp_path / "savee", tmp_path / "emodb"
    emotions = ("a", "h", "n", "sa", "su")
    for speaker in ("DC", "JE", "JK", "KL"):
        for emotion in emotions:
            tone(savee / speaker / f"{emotion}01.wav", 300 * (1 + emotions.index(emotion)))
    for name, pitch_hz in (
        ("03a01Wa", 300), ("03a01Na", 900), ("08a01Wa", 300), ("08a01Lb", 50), ("16b10Lc", 50),
    ):  # fmt: skip
        tone(emodb / f"{name}.wav", pitch_hz)
    corpora = ("--corpus", savee, "--corpus", emodb)
    run, out = tmp_path / "run", tmp_path / "models"
    printed = invoke(
        train, "cnn", *corpora, "--out", run, "--protocol", "speakers-5", "--fold", "fold2",
        "--epochs", 20, "--batch", 8, "--cache", tmp_path / "cache",
    )  # fmt: skip
    assert "\nepoch 20/20  loss" in printed
    assert f"{emodb}: 2 clips of EmoDB are left out: boredom is none of the labels" in printed
    record = json.loads((run / "run.json").read_text())["corpus"]
    assert record["name"] == "emodb+savee"
    assert record["train"] + record["test"] == 23
    # found again where the run found them, whatever their order
    invoke(convert, run, "--out", out)
    contract = read(out / "cnn-int8.tflite")[1]
    assert contract.training["corpus"] == "emodb+savee"
    assert contract.scores[0].fold == "fold2"
    assert contract.scores[0].n == record["test"]
    assert "EmoDB (free with citation" in contract.licence
    assert "SAVEE (for research, on registration)" in contract.licence
    assert all(clip_id.startswith(("emodb/", "savee/")) for clip_id in contract.calibration)
    card = (out / "cnn.md").read_text()
    assert "- No training clip was labelled calm, fearful, disgust: it has not learned" in card
    assert "ten German sentences by ten actors; English sentences (TIMIT) by four" in card
    assert "emopi train cnn --corpus DIR --corpus DIR --protocol speakers-5 --fold fold2" in card
    assert str(tmp_path) not in json.dumps(contract.to_json()) + card
    printed = invoke(evaluate, out, *corpora, "--protocol", "speakers-5", "--jobs", 1, "--json")
    content = json.loads(printed)
    assert [(one["file"], one["n"]) for one in content["folds"]] == [
        (str(out / f"cnn-{p}.tflite"), record["test"]) for p in ("float32", "int8")
    ]
    assert content["folds"][1]["accuracy"] == contract.scores[0].accuracy
    with pytest.raises(ModelError, match="was trained on"):  # of SAVEE alone other folds are made
        invoke(evaluate, out / "cnn-int8.tflite", "--corpus", savee, "--protocol", "speakers-5")
