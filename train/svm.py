"""The baseline of the paper's survey: a support vector machine on statistics of a clip's MFCCs.

It shares the device's front end and the protocols with the networks, and nothing else: it is no
model for a device, but what the networks have to beat.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from emopi.device.errors import MissingExtraError, SpecError
from emopi.device.frontend import Floats, FrontendSpec
from emopi.device.normalization import c0_range, relative_level
from emopi.train.augment import Perturbation
from emopi.train.corpora import LABELS, Utterance
from emopi.train.dataset import FeatureSet, features
from emopi.train.evaluation import scores
from emopi.train.evaluation.scores import Ints, Reals
from emopi.train.evaluation.summary import Outcome
from emopi.train.recipe import default_recipe
from emopi.train.splits import load_protocol, split

NETWORK = "svm"
"""Its name among the networks."""

PRECISION = "float64"
"""What scikit-learn computes in."""

PICKED_ON = "upm-5"
"""The protocol whose validation actors the settings below were picked on."""


def _frontend() -> FrontendSpec:
    return default_recipe("cnn", epochs=None, batch=64, seed=0).frontend


@dataclasses.dataclass(frozen=True, slots=True)
class SvmRecipe:
    """Everything that decides what the baseline is, apart from the clips.

    `cost` and `gamma` are the best of 20 pairs (1, 3, 10, 30 by 2e-4, 5e-4, 1e-3, 2e-3, 4e-3) on
    the two validation actors of each `upm-5` fold, trained without them and without the test
    actors: mean UAR 55 %, 45 to 55 % over the grid. `sharpness` has the least cross-entropy there
    of 0.25, 0.5, 0.75, 1, 1.25, 1.5, 2 and 3. `validation` computes both figures.
    """

    cost: float = 10.0
    """C of the support vector machine, positive."""
    gamma: float = 1e-3
    """Of the radial basis function exp(-gamma |x - y|²), positive."""
    sharpness: float = 0.75
    """Factor of the decision values in the softmax that makes probabilities of them, positive."""
    loudest_db: float = 40.0
    """Frames further than this below the clip's loudest take no part."""
    percentiles: tuple[float, ...] = (25.0, 50.0, 75.0)
    """Functionals beside mean, standard deviation, least and greatest value."""
    with_validation: bool = True
    """Whether the fold's validation clips are trained on too: its settings are chosen."""
    frontend: FrontendSpec = dataclasses.field(default_factory=_frontend)

    def __post_init__(self) -> None:
        """Raise `SpecError` for a value out of range."""
        for name in ("cost", "gamma", "sharpness", "loudest_db"):
            if not (value := getattr(self, name)) > 0:
                raise SpecError(f"{name} is {value}; expected a positive number")


@dataclasses.dataclass(frozen=True, slots=True)
class Vectors:
    """One vector a clip: all that the baseline knows of it."""

    utterances: tuple[Utterance, ...]
    values: Reals
    """(clips, features), not standardized."""

    @property
    def classes(self) -> Ints:
        """(clips,) index of each clip's label."""
        return np.array([LABELS.index(utterance.label) for utterance in self.utterances], np.int64)

    def rows(self, side: Iterable[Utterance]) -> Ints:
        """Where the clips of one side stand."""
        index = {utterance.clip_id: row for row, utterance in enumerate(self.utterances)}
        return np.array([index[utterance.clip_id] for utterance in side], np.int64)


@dataclasses.dataclass(frozen=True, slots=True)
class Svm:
    """A fitted machine, and the standardization that belongs to it."""

    scaler: Any
    machine: Any
    recipe: SvmRecipe

    def decide(self, values: Reals) -> Reals:
        """(clips, labels) decision values for (clips, features)."""
        return np.asarray(self.machine.decision_function(self.scaler.transform(values)), np.float64)

    def probabilities(self, values: Reals) -> Reals:
        """(clips, labels) softmax of the decision values times `sharpness`; rows sum to 1."""
        return _softmax(self.recipe.sharpness * self.decide(values))


def clip_vectors(
    utterances: Sequence[Utterance],
    corpus_sha256: str,
    recipe: SvmRecipe,
    *,
    cache: Path,
    jobs: int | None = None,
) -> Vectors:
    """The vectors of `utterances`; the MFCCs are kept in `cache`, as those for the networks are.

    Raises `CorpusError` naming the first clip that cannot be read.
    """
    clean = Perturbation(copies=0)
    data = features(utterances, corpus_sha256, recipe.frontend, clean, cache=cache, jobs=jobs)
    return vectors_of(utterances, data, recipe)


def vectors_of(utterances: Sequence[Utterance], data: FeatureSet, recipe: SvmRecipe) -> Vectors:
    """The vectors of `utterances` from their features, which are in the same order."""
    if tuple(utterance.clip_id for utterance in utterances) != data.clip_ids:
        raise SpecError(
            f"the features are of {len(data.clip_ids)} clips, which are not the "
            f"{len(utterances)} utterances; expected those of the same clips in the same order"
        )
    rows = [functionals(np.asarray(data.clip(k)), recipe) for k in range(len(utterances))]
    return Vectors(tuple(utterances), np.stack(rows))


def functionals(frames: Floats, recipe: SvmRecipe) -> Reals:
    """(features,) statistics over the loud frames of one clip's (frames, n_mfcc) MFCCs.

    Mean, standard deviation, least, greatest and percentiles of every coefficient and of its
    delta. c0 is relative to the loudest frame, so that the recording's gain does not matter.
    """
    below = c0_range(recipe.loudest_db, recipe.frontend)
    # pauses stay in while deltas are taken, but no digital silence rules them
    relative = relative_level(frames, 2 * below)
    loud = relative[:, 0] > -below
    both = np.concatenate([relative, deltas(relative)], axis=1)[loud].astype(np.float64)
    percentiles = np.percentile(both, recipe.percentiles, axis=0)
    moments = [both.mean(axis=0), both.std(axis=0), both.min(axis=0), both.max(axis=0)]
    return np.concatenate([*moments, *percentiles])


def deltas(frames: Floats) -> Floats:
    """(frames, n_mfcc) slope over five frames (The HTK Book, 3.4, eq. 5.16), ends repeated."""
    padded = np.pad(frames, ((2, 2), (0, 0)), mode="edge")
    slope = (padded[3:-1] - padded[1:-3] + 2 * (padded[4:] - padded[:-4])) / 10
    return np.asarray(slope, np.float32)


def fit_svm(values: Reals, classes: Ints, recipe: SvmRecipe) -> Svm:
    """Fit on the training side: (clips, features) and (clips,) classes, which must be all labels.

    Standardization uses these clips alone; rare labels weigh as much as frequent ones. Raises
    `MissingExtraError` without scikit-learn.
    """
    try:
        from sklearn.preprocessing import StandardScaler
        from sklearn.svm import SVC
    except ImportError:
        raise MissingExtraError("the svm baseline", "train", "scikit-learn") from None

    if missing := sorted(set(range(len(LABELS))) - set(classes.tolist())):
        raise SpecError(f"no training clip is {LABELS[missing[0]]}; expected all {len(LABELS)}")
    scaler = StandardScaler().fit(values)
    machine = SVC(C=recipe.cost, gamma=recipe.gamma, class_weight="balanced")
    return Svm(scaler, machine.fit(scaler.transform(values), classes), recipe)


def svm_outcome(vectors: Vectors, protocol: str, fold: str | None, recipe: SvmRecipe) -> Outcome:
    """Fit on the training side of a fold, as the networks, and answer for its test clips."""
    chosen = load_protocol(protocol).fold(fold)
    sides = split(vectors.utterances, chosen)
    side = sides.train + (sides.validation if recipe.with_validation else ())
    training, test = vectors.rows(side), vectors.rows(sides.test)
    fitted = fit_svm(vectors.values[training], vectors.classes[training], recipe)
    probabilities = fitted.probabilities(vectors.values[test])
    return Outcome(
        network=NETWORK,
        precision=PRECISION,
        protocol=protocol,
        fold=chosen.name,
        seed=None,
        labels=LABELS,
        clip_ids=tuple(utterance.clip_id for utterance in sides.test),
        speakers=tuple(utterance.speaker for utterance in sides.test),
        truth=tuple(vectors.classes[test].tolist()),
        answers=tuple(probabilities.argmax(axis=1).tolist()),
        probabilities=tuple(map(tuple, probabilities.tolist())),
    )


def validation(vectors: Vectors, recipe: SvmRecipe) -> tuple[float, float]:
    """UAR and cross-entropy in nats on the validation actors of `PICKED_ON`: means over folds.

    Each fold's machine is fitted without that fold's validation and test actors.
    """
    uars, entropies = [], []
    for fold in load_protocol(PICKED_ON).folds:
        sides = split(vectors.utterances, fold)
        training, held_out = vectors.rows(sides.train), vectors.rows(sides.validation)
        truth = vectors.classes[held_out]
        fitted = fit_svm(vectors.values[training], vectors.classes[training], recipe)
        probabilities = fitted.probabilities(vectors.values[held_out])
        uars.append(scores.uar(truth, probabilities.argmax(axis=1), len(LABELS)))
        entropies.append(-np.mean(np.log(probabilities[np.arange(len(truth)), truth])))
    return float(np.mean(uars)), float(np.mean(entropies))


def _softmax(values: Reals) -> Reals:
    exponentials = np.exp(values - values.max(axis=1, keepdims=True))
    return np.asarray(exponentials / exponentials.sum(axis=1, keepdims=True), np.float64)
