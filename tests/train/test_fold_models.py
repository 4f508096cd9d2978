"""The fold models in models/folds/: what they are, and that the published results are theirs."""

from __future__ import annotations

from pathlib import Path

import pytest
from support import RAVDESS_16K, ROOT, needs_16k

from emopi.convert.reproduction.results import read_result
from emopi.device.classifier import Classifier
from emopi.device.contract import read
from emopi.train.corpora import read_corpora
from emopi.train.evaluation.evaluate import classify_all, training_clips
from emopi.train.splits import load_protocol, split

FOLDS = ROOT / "models" / "folds"
RESULTS = ROOT / "models" / "results" / "upm-5"
MODELS = sorted(FOLDS.glob("*.tflite"))
MOST_BYTES = 600_000
CLIPS = 12
STEPS = 0.01
"""Another processor rounds the features' last bit differently, and with it a few steps of int8: up
to 0.004 between AVX2 and AVX-512."""


def test_every_fold_is_there() -> None:
    """Five models of each network, named as their folds are."""
    folds = load_protocol("upm-5").folds
    expected = {f"{network}-{fold.name}" for network in ("cnn", "lstm") for fold in folds}
    assert {path.stem for path in MODELS} == expected


@pytest.mark.parametrize("path", MODELS, ids=lambda path: path.stem)
def test_contract_names_its_fold(path: Path) -> None:
    """int8, small, with the figures of the result beside it."""
    _, contract = read(path)
    assert path.stem == f"{contract.network}-{contract.training['fold']}"
    assert contract.training["protocol"] == "upm-5"
    assert contract.precision == "int8"
    assert path.stat().st_size <= MOST_BYTES
    assert "CC BY-NC-SA" in contract.licence
    result = read_result(RESULTS / f"{path.stem}.json")
    (score,) = contract.scores
    assert score.uar == pytest.approx(result.outcomes["int8"].figures.uar)
    assert result.bytes["int8"] == path.stat().st_size
    assert result.commit == contract.training["commit"]
    assert not result.quick


@pytest.mark.parametrize("network", ["cnn", "lstm"])
def test_a_float32_model_of_the_same_training_is_there(network: str) -> None:
    """What `emopi compare` sets the int8 model against."""
    name = f"{network}-fold1.tflite"
    its, int8 = (read(folder / name)[1] for folder in (FOLDS.parent / "unquantized", FOLDS))
    assert its.precision == "float32"
    assert its.training == int8.training
    result = read_result(RESULTS / f"{network}-fold1.json")
    assert its.scores[0].uar == pytest.approx(result.outcomes["float32"].figures.uar)


@needs_16k
@pytest.mark.parametrize("path", MODELS, ids=lambda path: path.stem)
def test_results_are_what_the_device_says(path: Path) -> None:
    """Clips spread over the fold's test side get the published probabilities; none was seen."""
    classifier = Classifier(path)
    training = classifier.contract.training
    utterances = read_corpora(RAVDESS_16K).utterances
    test = split(utterances, load_protocol("upm-5").fold(training["fold"])).test
    seen = training_clips(classifier.contract, utterances)
    assert {u.speaker for u in test}.isdisjoint(u.speaker for u in utterances if u.clip_id in seen)
    outcome = read_result(RESULTS / f"{path.stem}.json").outcomes["int8"]
    assert outcome.clip_ids == tuple(u.clip_id for u in test)
    chosen = test[:: len(test) // CLIPS]
    published = dict(zip(outcome.clip_ids, outcome.probabilities, strict=True))
    for utterance, decision in zip(chosen, classify_all(classifier, chosen), strict=True):
        assert list(decision.probabilities.values()) == pytest.approx(
            published[utterance.clip_id], abs=STEPS
        )
