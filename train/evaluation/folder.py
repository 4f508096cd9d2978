"""Score a folder of models, one a fold, each on its own fold's test clips, on all cores."""

from __future__ import annotations

import dataclasses
import functools
import multiprocessing
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any

from emopi.device.classifier import Classifier
from emopi.device.contract import Contract, read
from emopi.device.decision import Decision
from emopi.device.errors import ModelError
from emopi.device.progress import track
from emopi.train.corpora import Utterance, read_corpora
from emopi.train.evaluation.evaluate import Evaluation, classify_all, unseen_clips
from emopi.train.evaluation.summary import Summary, summarize
from emopi.train.splits import Protocol, load_protocol

CLIPS_AT_ONCE = 16
"""That a process classifies before it asks for more."""


@dataclasses.dataclass(frozen=True, slots=True)
class FolderEvaluation:
    """Every model of a folder on its own fold, and what that adds up to."""

    protocol: Protocol
    files: tuple[Path, ...]
    evaluations: tuple[Evaluation, ...]
    """One a file; by network, precision, fold (in the protocol's order) and seed."""
    summary: Summary

    @property
    def missing(self) -> dict[str, tuple[str, ...]]:
        """Model, such as "cnn-int8", to the protocol's folds that it lacks, if any."""
        folds = [fold.name for fold in self.protocol.folds]
        lacks = {f"{m.network}-{m.precision}": m.missing(folds) for m in self.summary.models}
        return {name: missing for name, missing in lacks.items() if missing}

    def to_json(self) -> dict[str, Any]:
        """What `emopi evaluate FOLDER --json` prints."""
        content = self.summary.to_json()
        for model in content["models"]:
            name = f"{model['network']}-{model['precision']}"
            model["missing"] = list(self.missing.get(name, ()))
        pairs = zip(self.files, self.evaluations, strict=True)
        return content | {"folds": [{"file": str(file)} | one.to_json() for file, one in pairs]}


def evaluate_folder(
    folder: Path,
    corpus: Path | Sequence[Path],
    protocol: str,
    *,
    jobs: int | None = None,
) -> FolderEvaluation:
    """Evaluate every `*.tflite` below `folder` on the fold that its contract names.

    Uses `jobs` processes, by default one a core; a script must call it below
    `if __name__ == "__main__":`. Raises `ModelError` if there is no model, one of another
    protocol, two of the same network, precision, fold and seed, or one that has seen test clips.
    """
    contracts = _contracts(folder, protocol)
    utterances = read_corpora(corpus).utterances
    divided = load_protocol(protocol, utterances)
    tasks = _tasks(contracts, utterances, divided)
    said = iter(list(_decide(tasks, jobs or os.cpu_count() or 1)))
    evaluations = tuple(
        Evaluation(
            task.contract, protocol, task.fold, task.clips, tuple(islice(said, len(task.clips)))
        )
        for task in tasks
    )
    return FolderEvaluation(
        divided,
        tuple(task.path for task in tasks),
        evaluations,
        summarize(evaluation.outcome for evaluation in evaluations),
    )


@dataclasses.dataclass(frozen=True, slots=True)
class _Task:
    """One model and what it is to classify."""

    path: Path
    contract: Contract
    fold: str
    clips: tuple[Utterance, ...]


def _contracts(folder: Path, protocol: str) -> dict[Path, Contract]:
    """The contract of each model below `folder`, all trained for `protocol`, none twice."""
    paths = sorted(p for p in folder.rglob("*.tflite") if not p.name.startswith("."))
    # a streaming form is another file of a model that is there as well
    contracts = {path: its for path in paths if not (its := read(path)[1]).streaming}
    if not contracts:
        raise ModelError(f"{folder} holds no model; expected .tflite files that emopi convert made")
    known: dict[tuple[Any, ...], Path] = {}
    for path, contract in contracts.items():
        training = contract.training
        if training.get("protocol") != protocol or not training.get("fold"):
            raise ModelError(
                f"{path} was trained for {training.get('protocol')} {training.get('fold')}, not "
                f"for a fold of {protocol}; take it out of {folder}, or choose its --protocol"
            )
        other = known.setdefault(_identity(contract), path)
        if other != path:
            raise ModelError(
                f"{other} and {path} are both {contract.network} {contract.precision} of "
                f"{protocol} {training['fold']} with the same seed, so a mean would count its "
                "clips twice; take one out"
            )
    return contracts


def _identity(contract: Contract) -> tuple[Any, ...]:
    training = contract.training
    seed = training.get("recipe", {}).get("seed")
    return contract.network, contract.precision, training["fold"], seed


def _tasks(
    contracts: dict[Path, Contract], utterances: Sequence[Utterance], protocol: Protocol
) -> list[_Task]:
    """One a model; by network, precision, fold in the protocol's order, and seed."""
    order = {fold.name: k for k, fold in enumerate(protocol.folds)}

    def rank(path: Path) -> tuple[Any, ...]:
        network, precision, fold, seed = _identity(contracts[path])
        return network, precision, order.get(fold, -1), -1 if seed is None else seed

    tasks = []
    for path in sorted(contracts, key=rank):
        fold, clips = unseen_clips(path, contracts[path], utterances, protocol.name)
        tasks.append(_Task(path, contracts[path], fold.name, clips))
    return tasks


def _decide(tasks: Sequence[_Task], jobs: int) -> Iterator[Decision]:
    """One decision a clip, task after task, with one progress bar over all."""
    pieces = [
        (task.path, task.clips[start : start + CLIPS_AT_ONCE])
        for task in tasks
        for start in range(0, len(task.clips), CLIPS_AT_ONCE)
    ]
    yield from track(_classified(pieces, jobs), sum(len(task.clips) for task in tasks), "clips")


def _classified(
    pieces: Sequence[tuple[Path, tuple[Utterance, ...]]], jobs: int
) -> Iterator[Decision]:
    if jobs == 1:
        _classifier.cache_clear()  # a file may have changed since
        for piece in pieces:
            yield from _classify(piece)
        return
    # not forked: the caller may have threads, which do not survive a fork
    with ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn")) as pool:
        for decisions in pool.map(_classify, pieces):
            yield from decisions


def _classify(piece: tuple[Path, tuple[Utterance, ...]]) -> list[Decision]:
    path, clips = piece
    return list(classify_all(_classifier(path), clips))


@functools.lru_cache(maxsize=2)
def _classifier(path: Path) -> Classifier:
    return Classifier(path)
