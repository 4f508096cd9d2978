"""The model card: what it says of models with test clips, without, and of several corpora."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from support import MODELS

from emopi.convert.bundled import Bundled
from emopi.convert.card import licence, render_card
from emopi.convert.operators import OLD_RUNTIME_KNOWS
from emopi.convert.parity import Parity
from emopi.device.contract import Contract, Score, read
from emopi.device.decision import Decision
from emopi.device.precision import Precision
from emopi.train.corpora import LABELS, EmoDb, Ravdess, Savee, Utterance
from emopi.train.evaluation.evaluate import Evaluation
from emopi.train.run_record import RunRecord

UPM = Score("upm-5", "mean", 1440, 0.7112, 0.6789)
RANDOM = Score("paper-80-20", "mean", 1440, 0.8681, 0.8642)


def utterance(clip_id: str, speaker: str, label: str) -> Utterance:
    return Utterance(clip_id, speaker, label, Path(f"{clip_id}.wav"))


SIDE = tuple(utterance(f"clip{k}", f"{k % 3:02}", LABELS[k % 8]) for k in range(48))


def record(protocol: str, fold: str, *, test: int, validation_share: float = 0.0) -> RunRecord:
    return RunRecord(
        network="cnn",
        protocol=protocol,
        fold=fold,
        validation_share=validation_share,
        recipe={"epochs": 300, "batch": 64, "seed": 3},
        corpus={"train": len(SIDE), "test": test},
        normalization={},
        command="",
        commit="0123456789ab",
        versions={"python": "3.11.2"},
        hardware="a computer",
        seconds=600.0,
    )


def contract(*scores: Score, corpus: str = "ravdess", precision: str = "int8") -> Contract:
    _, shipped = read(MODELS / f"cnn-{precision}.tflite")
    training = {"corpus": corpus, "corpus_source": "somebody (2000)"}
    return dataclasses.replace(shipped, training=training, scores=scores, licence="as you like")


def evaluation(its: Contract, clips: tuple[Utterance, ...]) -> Evaluation:
    """Sure of the right answer, but for the last clip: no speech."""
    decisions = []
    for number, clip in enumerate(clips):
        silent = number == len(clips) - 1
        probabilities = {label: float(label == clip.label and not silent) for label in LABELS}
        decisions.append(
            Decision(1.0, "no speech" if silent else clip.label, 1.0 - silent, probabilities,
                     -20.0, 1.0, 0, its.model_id)
        )  # fmt: skip
    return Evaluation(its, "upm-5", "fold1", clips, tuple(decisions))


def bundled(its: Contract, tested: Evaluation | None = None) -> Bundled:
    """The shipped file of that precision, or the int8 one, under another contract."""
    name = f"cnn-{its.precision}.tflite" if its.precision == "float32" else "cnn-int8.tflite"
    parity = Parity(its.precision, windows=192, probability=0.00123, agreement=0.984)
    return Bundled(read(MODELS / name)[0], its, parity, tested)


def card(its: Contract, its_record: RunRecord, tested: Evaluation | None, **more: Any) -> str:
    text = render_card(its_record, more.get("side", SIDE), [bundled(its, tested)], "by hand")
    assert "nan" not in text
    assert "\n\n\n" not in text
    assert "None" not in text
    for line in text.splitlines():
        if line.startswith("## "):
            assert f"\n\n{line}\n\n" in text
    return text


class TestWithTestClips:
    def test_strangers(self) -> None:
        clips = tuple(utterance(f"t{k}", f"1{k % 2}", LABELS[k % 2]) for k in range(4))
        its = contract()
        text = card(its, record("upm-5", "fold1", test=4), evaluation(its, clips))
        assert "Protocol upm-5, fold fold1: 4 test clips, 48 training clips." in text
        assert "| cnn-int8 | 75.0% (50.0% to 100.0%) | 75.0% (" in text
        assert "- The 2 test speakers are in no training clip: strangers' voices." in text
        assert "| neutral | 2 |  |  |  |  |  |  |  | 100% |" in text
        assert "| calm |  | 1 |  |  |  |  |  |  | 50% |" in text
        assert "| happy |  |  |  |  |  |  |  |  |  |" in text  # no test clip, so no recall
        assert "--protocol upm-5 --fold fold1 --epochs 300 --batch 64 --seed 3 --out RUN" in text
        assert "What to expect for a stranger's voice" not in text

    def test_known_voices(self) -> None:
        clips = tuple(utterance(f"t{k}", f"{k % 2:02}", LABELS[k % 2]) for k in range(4))
        its = contract(RANDOM, UPM)
        text = card(
            its, record("upm-5", "fold1", test=4, validation_share=0.1), evaluation(its, clips)
        )
        assert "**The same 2 actors are on both sides of this split.**" in text
        assert "--seed 3 --validation 0.1 --out RUN" in text
        assert "## What to expect for a stranger's voice" in text

    @pytest.mark.parametrize(
        ("views", "said"),
        [((1.0,), "--views 1 "), ((0.88, 1.0, 1.12), ""), ((0.9, 1.1), "--views 2 ")],
    )
    def test_views_other_than_the_networks_own(self, views: tuple[float, ...], said: str) -> None:
        its = record("upm-5", "fold1", test=0)
        its.recipe["views"] = views
        assert f"--seed 3 {said}--out RUN" in card(contract(), its, None)

    def test_one_speaker(self) -> None:
        clips = tuple(utterance(f"t{k}", "10", LABELS[k % 2]) for k in range(4))
        its = contract()
        text = card(its, record("upm-5", "fold1", test=4), evaluation(its, clips))
        assert "| 75.0% (one speaker: no interval) |" in text


class TestWithoutTestClips:
    def test_with_expectations(self) -> None:
        text = card(contract(UPM, RANDOM), record("all", "all", test=0), None)
        for expected in (
            "Trained on all 48 clips: none was held out, so this very file has no test score",
            "## What to expect for a stranger's voice",
            "| cnn-int8 | upm-5 | mean | 1440 | 71.1% | 67.9% |",
            "| cnn-int8 | paper-80-20 | mean | 1440 | 86.8% | 86.4% |",
            "- upm-5: Unseen speakers: 5 folds",
            "The same speakers on both sides: figures are optimistic for a stranger's voice.",
            "- It knows the voices of 3 actors.",
            "two English sentences by 24 North American actors",
        ):
            assert expected in text
        assert "Confusion matrix" not in text
        assert "emopi evaluate" not in text

    def test_precisions_have_their_own_expectations(self) -> None:
        contracts = [contract(UPM, precision="float32"), contract(UPM, RANDOM)]
        models = [bundled(one) for one in contracts]
        text = render_card(record("all", "all", test=0), SIDE, models, "by hand")
        assert text.index("| cnn-float32 | upm-5 |") < text.index("| cnn-int8 | upm-5 |")
        assert "| cnn-float32 | paper-80-20 |" not in text
        assert text.count("- upm-5: ") == 1

    def test_without_expectations(self) -> None:
        text = card(contract(), record("all", "all", test=0), None)
        assert "What to expect" not in text
        assert "only a protocol that holds speakers out tells" in text


class TestFiles:
    def test_every_precision_is_listed(self) -> None:
        names: tuple[Precision, ...] = ("float32", "dynamic-int8", "int8", "int16x8")
        contracts = [dataclasses.replace(contract(), precision=name) for name in names]
        text = render_card(
            record("all", "all", test=0), SIDE, [bundled(one) for one in contracts], "by hand"
        )
        size = round(len(read(MODELS / "cnn-int8.tflite")[0]) / 1024)
        for row in (
            f"| cnn-dynamic-int8.tflite | {size} KB | int8 | float32 | 98.4% | 0.0012 | yes |",
            f"| cnn-int8.tflite | {size} KB | int8 | int8 | 98.4% | 0.0012 | yes |",
            f"| cnn-int16x8.tflite | {size} KB | int8 | int16 | 98.4% | 0.0012 | yes |",
        ):
            assert row in text
        assert "--precision dynamic-int8 --precision int8 --precision int16x8\n" in text
        clips = len(contracts[0].calibration)
        assert f"int8 and int16x8 ranges: from {clips} of the training clips, by hand" in text

    def test_a_file_that_the_old_runtime_cannot_load(self, monkeypatch: Any) -> None:
        monkeypatch.setitem(OLD_RUNTIME_KNOWS, "FULLY_CONNECTED", 3)
        text = card(contract(), record("all", "all", test=0), None)
        assert "| no: FULLY_CONNECTED version 4 |" in text

    def test_fine_tuning(self) -> None:
        training = contract().training | {"fine_tuning": {"epochs": 5, "learning_rate": 1e-4}}
        its = dataclasses.replace(contract(), training=training)
        text = card(its, record("all", "all", test=0), None)
        assert "\n- fine-tuning: 5 epochs more with the rounding of int8 (quantization-" in text
        assert "--out FOLDER --precision int8 --fine-tune 5\n" in text

    def test_confusion_is_that_of_int8(self) -> None:
        clips = tuple(utterance(f"t{k}", f"1{k % 2}", LABELS[k % 2]) for k in range(4))
        contracts = [
            dataclasses.replace(contract(), precision=name) for name in ("int8", "int16x8")
        ]
        models = [bundled(one, evaluation(one, clips)) for one in contracts]
        text = render_card(record("upm-5", "fold1", test=4), SIDE, models, "by hand")
        assert "Confusion matrix of the int8 model" in text
        text = render_card(record("upm-5", "fold1", test=4), SIDE, models[1:], "by hand")
        assert "Confusion matrix of the int16x8 model" in text


class TestCorpora:
    def test_what_each_says(self) -> None:
        side = tuple(u for u in SIDE if u.label not in ("calm", "surprised"))
        its = contract(corpus="emodb+savee")
        text = card(its, record("all", "all", test=0), None, side=side)
        assert "ten German sentences by ten actors; English sentences (TIMIT) by four" in text
        assert "- No training clip was labelled calm, surprised: it has not learned those." in text
        assert "emopi train cnn --corpus DIR --corpus DIR --protocol all" in text
        assert "RAVDESS" not in text

    def test_one_label_missing(self) -> None:
        side = tuple(u for u in SIDE if u.label != "calm")
        text = card(contract(), record("all", "all", test=0), None, side=side)
        assert "No training clip was labelled calm: it has not learned that." in text

    def test_licences(self) -> None:
        assert licence([Ravdess]).startswith("Trained on RAVDESS (CC BY-NC-SA 4.0, Livingstone")
        mixed = licence([Ravdess, EmoDb, Savee])
        for reader in (Ravdess, EmoDb, Savee):
            assert f"{reader.title} ({reader.licence})" in mixed
        assert "only as the terms of all of them allow" in mixed


@pytest.mark.parametrize("network", ["cnn", "lstm"])
def test_shipped_card_names_the_licence_of_its_corpus(network: str) -> None:
    assert "CC BY-NC-SA 4.0" in (MODELS / f"{network}.md").read_text()
