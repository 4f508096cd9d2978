"""What there is to reproduce: one job for each protocol, fold and network, and where it is kept."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from emopi.device.errors import SpecError
from emopi.train import svm
from emopi.train.recipe import Recipe, default_recipe
from emopi.train.splits import load_protocol
from emopi.train.svm import SvmRecipe
from emopi.train.teacher import Teaching
from emopi.train.topology import NETWORKS as TRAINED

PROTOCOLS = ("paper-80-20", "paper-70-30", "random-10fold", "upm-5", "emobox-6")
"""In the order of the work and of the report."""

SEEDED = ("paper-80-20", "paper-70-30")
"""Protocols whose folds are repetitions: each trains with a seed of its own, the fold's index."""

NETWORKS = (svm.NETWORK, *TRAINED)
TAUGHT_BY = {"lstm": "cnn"}
"""Networks that learn from another one of the same fold."""

BATCH = 64
QUICK_EPOCHS, QUICK_BATCH = 5, 8
"""Of a trial. With larger batches a network has seen too little to be quantized well."""


@dataclasses.dataclass(frozen=True, slots=True)
class Job:
    """One network to train, convert and score on one fold."""

    network: str
    protocol: str
    fold: str
    seed: int
    """Of weights, augmentation and order; without effect on the svm."""
    quick: bool = False
    """A trial of `QUICK_EPOCHS` epochs."""

    @property
    def name(self) -> str:
        """Such as "upm-5/cnn-fold1": unique in a plan, and a relative path."""
        return f"{self.protocol}/{self.network}-{self.fold}"

    @property
    def recipe(self) -> Recipe | SvmRecipe:
        """What decides the outcome, apart from the clips."""
        if self.network == svm.NETWORK:
            return SvmRecipe()
        epochs, batch = (QUICK_EPOCHS, QUICK_BATCH) if self.quick else (None, BATCH)
        return default_recipe(
            self.network, epochs=epochs, batch=batch, seed=self.seed, with_validation=True
        )

    @property
    def teacher(self) -> Job | None:
        """The job of the network that this one learns from, if it does; that must be done first."""
        network = TAUGHT_BY.get(self.network)
        return dataclasses.replace(self, network=network) if network else None

    @property
    def epochs(self) -> int:
        """How long the training is; 0 for the svm, which has no epochs."""
        recipe = self.recipe
        return recipe.epochs if isinstance(recipe, Recipe) else 0

    @property
    def recipe_sha256(self) -> str:
        """Of `recipe` and the teacher's, as JSON: with the same, two jobs train in the same way."""
        fields = dataclasses.asdict(self.recipe)
        if self.teacher:
            fields |= {"teacher": self.teacher.recipe_sha256} | dataclasses.asdict(Teaching())
        return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()

    def to_json(self) -> dict[str, Any]:
        """The fields by name."""
        return dataclasses.asdict(self)


@dataclasses.dataclass(frozen=True, slots=True)
class Places:
    """Where everything is kept. Nothing is made before it is needed."""

    work: Path
    """Run folders, logs, models: large."""
    results: Path
    """One small JSON file a finished job."""
    cache: Path
    """Features."""

    def run(self, job: Job) -> Path:
        """Run folder of the training."""
        return self.work / "runs" / job.name

    def log(self, job: Job) -> Path:
        """What the job's process printed."""
        return self.work / "logs" / f"{job.name}.log"

    def model(self, job: Job) -> Path:
        """The int8 model."""
        return self.work / "models" / f"{job.name}.tflite"

    def result(self, job: Job) -> Path:
        """The finished job's result."""
        return self.results / f"{job.name}.json"

    def aside(self, path: Path, tag: str) -> Path:
        """Move a file or folder that no longer counts to a free name below "stale"; return it."""
        wanted = self.work / "stale" / path.parent.name / f"{path.stem}-{tag}{path.suffix}"
        number, free = 1, wanted
        while free.exists():
            number += 1
            free = wanted.with_stem(f"{wanted.stem}-{number}")
        free.parent.mkdir(parents=True, exist_ok=True)
        return path.rename(free)


def plan(
    protocols: Iterable[str] = PROTOCOLS, networks: Iterable[str] = NETWORKS, *, quick: bool = False
) -> tuple[Job, ...]:
    """Every fold of `protocols` with each of `networks`; the first fold alone if `quick`.

    Protocols come one after the other, the fast svm first in each. Raises `SpecError` for an
    unknown protocol or network.
    """
    protocols, networks = list(dict.fromkeys(protocols)), list(dict.fromkeys(networks))
    for names, known in ((protocols, PROTOCOLS), (networks, NETWORKS)):
        if unknown := sorted(set(names) - set(known)):
            raise SpecError(f"cannot reproduce {unknown[0]!r}; expected one of: {', '.join(known)}")
    return tuple(
        Job(network, protocol, fold.name, index if protocol in SEEDED else 0, quick)
        for protocol in PROTOCOLS
        if protocol in protocols
        for network in NETWORKS
        if network in networks
        for index, fold in enumerate(load_protocol(protocol).folds)
        if not (quick and index)
    )
