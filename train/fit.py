"""Fit one network on the training side of one fold, to the last epoch, with no look at the test."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emopi.device.frontend import Floats
from emopi.device.versions import versions
from emopi.train.corpora import (
    LABELS,
    Corpora,
    Utterance,
    corpus_hash,
    ids_hash,
    read_corpora,
)
from emopi.train.dataset import FeatureSet, WindowSampler, centred, features, statistics
from emopi.train.recipe import Recipe
from emopi.train.run_record import RunRecord, commit, hardware, own_folder
from emopi.train.splits import Fold, Split, hold_out, load_protocol, split
from emopi.train.teacher import Teacher
from emopi.train.training import Training


def fit(
    recipe: Recipe,
    corpus: Path | Sequence[Path],
    protocol: str,
    fold: str | None,
    out: Path,
    *,
    validation_share: float = 0.0,
    teacher: Path | None = None,
    resume: bool = False,
    cache: Path,
    jobs: int | None = None,
    command: str = "",
    watch: Callable[[dict[str, float]], None] = lambda _: None,
    tell: Callable[[str], None] = lambda _: None,
) -> RunRecord:
    """Train into the run folder `out` and return its record: `prepared`, and run."""
    with prepared(
        recipe, corpus, protocol, fold, out, validation_share=validation_share, teacher=teacher,
        resume=resume, cache=cache, jobs=jobs, command=command, watch=watch, tell=tell,
    ) as training:  # fmt: skip
        return training.run()


@contextlib.contextmanager
def prepared(
    recipe: Recipe,
    corpus: Path | Sequence[Path],
    protocol: str,
    fold: str | None,
    out: Path,
    *,
    validation_share: float = 0.0,
    teacher: Path | None = None,
    resume: bool = False,
    cache: Path,
    jobs: int | None = None,
    command: str = "",
    watch: Callable[[dict[str, float]], None] = lambda _: None,
    tell: Callable[[str], None] = lambda _: None,
) -> Iterator[Training]:
    """A training into the run folder `out`, which is its own within this context.

    `watch` is told of each epoch.

    Each folder of `corpus` holds one corpus; `tell` is told what of it is left out. `teacher` is
    the run folder of a network to learn from, trained on the very same clips. The model is
    that of the last epoch. Interrupted (Ctrl-C too), the folder keeps a checkpoint from which
    `resume` goes on to the very model that an undisturbed run would have given, as far as
    TensorFlow's own arithmetic repeats. Raises `RunError` where `out` does not fit.
    """
    corpora = read_corpora(corpus)
    for note in corpora.notes:
        tell(note)
    utterances = corpora.utterances
    chosen = load_protocol(protocol, utterances).fold(fold)
    sides = _sides(
        utterances, chosen, validation_share, recipe.seed, with_validation=recipe.with_validation
    )
    with own_folder(out, resume):
        sha256 = corpus_hash(utterances)
        data = features(
            utterances,
            sha256,
            recipe.frontend,
            recipe.perturbation,
            cache=cache,
            jobs=jobs,
        )
        sampler = _sampler(recipe, data, _indices(utterances, sides.train))
        record = RunRecord(
            network=recipe.network,
            protocol=protocol,
            fold=chosen.name,
            validation_share=validation_share,
            recipe=dataclasses.asdict(recipe),
            corpus=_provenance(corpora, sha256, sides),
            normalization=sampler.normalization.to_json(),
            command=command,
            commit=commit(),
            versions=versions("emopi", "tensorflow", "jax", "keras", "numpy", "soundfile", "soxr"),
            hardware=hardware(),
        )
        teaching = Teacher(teacher) if teacher else None
        if teaching:
            teaching.check(record)
            record = dataclasses.replace(record, teacher=teaching.to_json())
        if resume:
            record = RunRecord.read(out).matching(record)
        if not record.finished:
            record.write(out)
        validation = _validation(recipe, sampler, _indices(utterances, sides.validation))
        yield Training(recipe, record, sampler, validation, out, watch, teaching)


def _provenance(corpora: Corpora, sha256: str, sides: Split) -> dict[str, Any]:
    """What the run record says of the clips."""
    return {
        "name": corpora.name,
        "folders": [str(folder.resolve()) for folder in corpora.folders],
        "sha256": sha256,
        "ids_sha256": ids_hash(corpora.utterances),
        "train": len(sides.train),
        "validation": len(sides.validation),
        "test": len(sides.test),
    }


def _sampler(recipe: Recipe, data: FeatureSet, training: tuple[int, ...]) -> WindowSampler:
    """Batches of the clips `training`, normalized with their own statistics."""
    return WindowSampler(
        data=data,
        indices=training,
        spec=recipe.frontend,
        normalization=statistics(data, training, recipe.frontend, recipe.window_frames),
        window_frames=recipe.window_frames,
        augmentation=recipe.augmentation,
        batch=recipe.batch,
        seed=recipe.seed,
    )


def _validation(
    recipe: Recipe, sampler: WindowSampler, indices: tuple[int, ...]
) -> tuple[Floats, NDArray[np.int64]] | None:
    """Windows and classes of the clips `indices`, or None if there are none."""
    if not indices:
        return None
    windows = centred(sampler.data, indices, recipe.window_frames, recipe.frontend)
    classes = np.array([LABELS.index(sampler.data.labels[k]) for k in indices])
    return sampler.normalization.apply(windows), classes


def training_side(utterances: tuple[Utterance, ...], record: RunRecord) -> tuple[Utterance, ...]:
    """The clips that a run was trained on: neither test nor validation."""
    fold = load_protocol(record.protocol, utterances).fold(record.fold)
    return _sides(
        utterances,
        fold,
        record.validation_share,
        record.recipe["seed"],
        with_validation=record.recipe.get("with_validation", False),
    ).train


def _sides(
    utterances: tuple[Utterance, ...],
    fold: Fold,
    validation_share: float,
    seed: int,
    *,
    with_validation: bool,
) -> Split:
    """A fold's sides, its validation joined to the training side if it is to be trained on.

    A share of the training side is moved to validation.
    """
    sides = split(utterances, fold)
    if with_validation:
        sides = Split(train=sides.train + sides.validation, validation=(), test=sides.test)
    if not validation_share:
        return sides
    held_out = hold_out(sides.train, validation_share, seed)
    return Split(
        train=tuple(u for u in sides.train if u.clip_id not in held_out),
        validation=sides.validation + tuple(u for u in sides.train if u.clip_id in held_out),
        test=sides.test,
    )


def _indices(utterances: tuple[Utterance, ...], side: tuple[Utterance, ...]) -> tuple[int, ...]:
    """Where the clips of one side stand among all."""
    wanted = {u.clip_id for u in side}
    return tuple(k for k, u in enumerate(utterances) if u.clip_id in wanted)
