"""The baseline: its functionals, what it is fitted on, and that it repeats."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

import numpy as np
import pytest
from support import RAVDESS_16K, needs_16k, speech

from emopi.device.errors import MissingExtraError, SpecError
from emopi.device.frontend import extract
from emopi.train import svm
from emopi.train.corpora import LABELS, corpus_hash, read_corpora
from emopi.train.splits import load_protocol, split
from emopi.train.svm import SvmRecipe, Vectors, deltas, fit_svm, functionals, svm_outcome

pytest.importorskip("sklearn", reason="the baseline needs scikit-learn")

RECIPE = SvmRecipe()


@pytest.fixture(scope="module")
def vectors(tiny_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Vectors:
    utterances = read_corpora(tiny_corpus).utterances
    cache = tmp_path_factory.mktemp("cache")
    return svm.clip_vectors(utterances, corpus_hash(utterances), RECIPE, cache=cache)


def test_deltas_are_slopes() -> None:
    ramp = np.arange(9, dtype=np.float32)[:, None] * np.array([3.0, -1.0], np.float32)
    slopes = deltas(ramp)
    np.testing.assert_allclose(slopes[2:-2], np.tile([3.0, -1.0], (5, 1)), rtol=1e-6)
    # at the ends HTK repeats the outermost frame: (0 - 0 + 3 + 2 * 6 - 0) / 10 of a ramp by 3
    np.testing.assert_allclose(slopes[0], [1.5, -0.5], rtol=1e-6)
    assert slopes.shape == ramp.shape


def test_functionals_by_hand() -> None:
    spec = RECIPE.frontend
    frames = np.zeros((6, spec.n_mfcc), np.float32)
    frames[:, 1] = [5, 1, 2, 3, 4, 900]
    frames[:, 0] = [10, 12, 12, 12, 12, -1000]  # the last is a pause: far below 40 dB
    found = functionals(frames, RECIPE).reshape(7, 2 * spec.n_mfcc)
    mean, std, least, greatest, lower, median, upper = found[:, 1]
    assert (mean, least, greatest, median) == (3, 1, 5, 3)
    assert (lower, upper) == (2, 4)
    assert std == pytest.approx(np.sqrt(2))
    assert found[3, 0] == 0  # c0 is relative to the loudest frame
    assert found[2, 0] == -2


def test_functionals_do_not_depend_on_gain_and_pauses() -> None:
    # the floor would raise the empty bands of synthesized speech, the more the quieter it is
    spec = dataclasses.replace(RECIPE.frontend, energy_floor=0.0)
    recipe = dataclasses.replace(RECIPE, frontend=spec)
    samples = speech(3.0)
    pause = np.zeros(spec.sample_rate_hz, np.float32)
    clip = np.concatenate([pause, samples, pause])
    plain = functionals(extract(clip, spec), recipe)
    quieter = functionals(extract(clip * np.float32(0.25), spec), recipe)
    np.testing.assert_allclose(quieter, plain, rtol=1e-3, atol=1e-2)
    longer = functionals(extract(np.concatenate([pause, pause, clip, pause]), spec), recipe)
    np.testing.assert_allclose(longer, plain, rtol=1e-4, atol=1e-3)
    assert plain.shape == (2 * 7 * spec.n_mfcc,)


def test_outcome(vectors: Vectors) -> None:
    outcome = svm_outcome(vectors, "upm-5", "fold2", RECIPE)
    fold = load_protocol("upm-5").fold("fold2")
    assert set(outcome.clip_ids) == fold.test
    assert (outcome.network, outcome.precision, outcome.seed) == ("svm", "float64", None)
    assert (outcome.protocol, outcome.fold) == ("upm-5", "fold2")
    truth = [int(clip_id[6:8]) - 1 for clip_id in outcome.clip_ids]
    assert list(outcome.truth) == truth
    assert outcome.figures.accuracy > 0.5  # the sounds tell their emotion; chance is 0.13
    probabilities = np.array(outcome.probabilities)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-3)
    assert svm_outcome(vectors, "upm-5", "fold2", RECIPE) == outcome


def test_fits_on_the_training_side_alone(vectors: Vectors, monkeypatch: pytest.MonkeyPatch) -> None:
    fold = load_protocol("upm-5").fold("fold1")
    given = []

    def caught(values: np.ndarray, classes: np.ndarray, recipe: SvmRecipe) -> svm.Svm:
        given.append(values)
        return fit_svm(values, classes, recipe)

    monkeypatch.setattr(svm, "fit_svm", caught)
    outcome = svm_outcome(vectors, "upm-5", "fold1", RECIPE)
    sides = split(vectors.utterances, fold)
    side = sides.train + sides.validation  # nothing is left to choose
    assert not {u.clip_id for u in side} & fold.test
    np.testing.assert_array_equal(given[0], vectors.values[vectors.rows(side)])
    # whatever the test clips are, machine and standardization are the same
    fitted = fit_svm(given[0], vectors.classes[vectors.rows(side)], RECIPE)
    np.testing.assert_allclose(fitted.scaler.mean_, given[0].mean(axis=0))
    row = vectors.rows(u for u in vectors.utterances if u.clip_id == outcome.clip_ids[0])
    alone = fitted.probabilities(vectors.values[row])
    np.testing.assert_allclose(alone[0], outcome.probabilities[0], atol=1e-4)


def test_sharpness_changes_confidence_and_no_label(vectors: Vectors) -> None:
    blunt = svm_outcome(vectors, "upm-5", "fold1", dataclasses.replace(RECIPE, sharpness=0.1))
    sharp = svm_outcome(vectors, "upm-5", "fold1", dataclasses.replace(RECIPE, sharpness=3.0))
    assert blunt.answers == sharp.answers
    assert np.max(blunt.probabilities) < 0.3 < np.max(sharp.probabilities)


def test_refusals(vectors: Vectors, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SpecError, match=r"gamma is 0\.0; expected a positive number"):
        SvmRecipe(gamma=0.0)
    some = vectors.classes != LABELS.index("calm")
    with pytest.raises(SpecError, match="no training clip is calm; expected all 8"):
        fit_svm(vectors.values[some], vectors.classes[some], RECIPE)
    with pytest.raises(SpecError, match="expected those of the same clips in the same order"):
        svm.vectors_of(vectors.utterances[::-1], _features(vectors), RECIPE)
    monkeypatch.setitem(sys.modules, "sklearn.svm", None)
    with pytest.raises(MissingExtraError, match=r"scikit-learn, .* pip install 'emopi\[train\]'"):
        fit_svm(vectors.values, vectors.classes, RECIPE)


def _features(vectors: Vectors) -> svm.FeatureSet:
    ids = tuple(u.clip_id for u in vectors.utterances)
    nothing = np.empty((0, 0), np.int64)
    return svm.FeatureSet(ids, ids, nothing, nothing, np.empty((0, 0), np.float32))


@needs_16k
def test_docstring_tells_what_validation_gives(tmp_path: Path) -> None:
    utterances = read_corpora(RAVDESS_16K).utterances
    real = svm.clip_vectors(utterances, corpus_hash(utterances), RECIPE, cache=tmp_path)
    uar, cross_entropy = svm.validation(real, RECIPE)
    assert uar == pytest.approx(0.55, abs=0.01)
    for sharpness in (0.5, 1.0):
        other = dataclasses.replace(RECIPE, sharpness=sharpness)
        assert svm.validation(real, other)[1] > cross_entropy
