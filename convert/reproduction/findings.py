"""Results drawn together for the report: which models, in which order, with what missing."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

from emopi.convert.comparison.paired import Paired, paired
from emopi.convert.reproduction.plan import NETWORKS, PROTOCOLS, Job
from emopi.convert.reproduction.results import DEPLOYED, Result
from emopi.train.evaluation.figures import UNSEEN
from emopi.train.evaluation.summary import ModelSummary, summarize
from emopi.train.evaluation.wearer import DRAWS, EXAMPLES, calibrated
from emopi.train.topology import NETWORKS as DEVICE_NETWORKS

EXACT = "float32"
"""The precision that quantized ones are set against."""

WORN = "upm-5"
"""The protocol whose test speakers also stand for wearers."""


@dataclasses.dataclass(frozen=True)
class Findings:
    """All results of one report, in the order of the tables."""

    jobs: tuple[Job, ...]
    """What was to be done."""
    results: tuple[Result, ...]
    """What there is of it; all of the same corpus."""

    @property
    def quick(self) -> bool:
        """Whether this is only a trial."""
        return any(job.quick for job in self.jobs)

    @cached_property
    def models(self) -> tuple[ModelSummary, ...]:
        """Every network in every precision over each protocol's folds; the deployed one first."""
        outcomes = [o for result in self.results for o in result.outcomes.values()]
        return tuple(sorted(summarize(outcomes).models, key=_place))

    @property
    def deployed(self) -> tuple[ModelSummary, ...]:
        """One a network and protocol: int8, or the only precision."""
        first = {(model.network, model.protocol): model for model in reversed(self.models)}
        return tuple(reversed(first.values()))

    @property
    def protocols(self) -> tuple[str, ...]:
        """Those with a result."""
        return tuple(dict.fromkeys(model.protocol for model in self.models))

    @property
    def has_both_sides(self) -> bool:
        """Whether there are figures for known and for unseen speakers."""
        unseen = set(self.protocols) & set(UNSEEN)
        return bool(unseen) and unseen != set(self.protocols)

    @property
    def networks(self) -> tuple[str, ...]:
        """Those with a result."""
        found = {model.network for model in self.models}
        return tuple(network for network in NETWORKS if network in found)

    def find(self, network: str, protocol: str) -> ModelSummary | None:
        """The deployed model of a network on a protocol, if there is one."""
        wanted = (network, protocol)
        return next((m for m in self.deployed if (m.network, m.protocol) == wanted), None)

    def planned(self, network: str, protocol: str) -> tuple[str, ...]:
        """The folds that were to be done."""
        wanted = (network, protocol)
        return tuple(job.fold for job in self.jobs if (job.network, job.protocol) == wanted)

    def missing(self) -> Mapping[tuple[str, str], Sequence[str]]:
        """(protocol, network) to the folds that have no result, where there are any."""
        done = {(result.network, result.protocol, result.fold) for result in self.results}
        missing: dict[tuple[str, str], list[str]] = defaultdict(list)
        for job in self.jobs:
            if (job.network, job.protocol, job.fold) not in done:
                missing[job.protocol, job.network].append(job.fold)
        return missing

    @cached_property
    def heard(self) -> tuple[Heard, ...]:
        """Every deployed model under every condition that a result has."""
        groups = defaultdict(list)
        for result in self.results:
            for condition in result.conditions:
                groups[condition, result.protocol, result.network].append(result)
        return tuple(_heard(key[0], group) for key, group in groups.items())

    @cached_property
    def quantized(self) -> tuple[Quantized, ...]:
        """Every quantized model against its float32 form, on the folds that have both."""
        groups = defaultdict(list)
        for result in self.results:
            for precision in result.outcomes:
                if precision != EXACT and EXACT in result.outcomes:
                    groups[result.protocol, result.network, precision].append(result)
        return tuple(_quantized(key[2], group) for key, group in groups.items())

    @cached_property
    def worn(self) -> tuple[Worn, ...]:
        """Every deployed network calibrated to each of its test speakers, on `WORN`."""
        models = [m for m in self.deployed if m.protocol == WORN and m.network in DEVICE_NETWORKS]
        return tuple(_worn(model, given) for given in (0, *EXAMPLES) for model in models)


@dataclasses.dataclass(frozen=True, slots=True)
class Quantized:
    """One network in one quantized precision against float32: same trainings, same clips."""

    network: str
    protocol: str
    precision: str
    folds: tuple[str, ...]
    says: Paired
    """The quantized models as b, all clips of all folds together."""

    def to_json(self) -> dict[str, Any]:
        """The fields by name, those of `says` among them."""
        named = {name: getattr(self, name) for name in ("network", "protocol", "precision")}
        return named | {"folds": list(self.folds)} | self.says.to_json()


@dataclasses.dataclass(frozen=True, slots=True)
class Worn:
    """A deployed model without and with its wearers' profiles, on the same clips."""

    given: int
    """Labelled clips an emotion; 0 is ordinary speech without labels."""
    before: ModelSummary
    after: ModelSummary


@dataclasses.dataclass(frozen=True, slots=True)
class Heard:
    """A deployed model under a listening condition, and without it on the same folds."""

    condition: str
    under: ModelSummary
    clean: ModelSummary


def _quantized(precision: str, results: Sequence[Result]) -> Quantized:
    return Quantized(
        results[0].network,
        results[0].protocol,
        precision,
        tuple(result.fold for result in results),
        paired(
            [result.outcomes[EXACT] for result in results],
            [result.outcomes[precision] for result in results],
        ),
    )


def _worn(model: ModelSummary, given: int) -> Worn:
    pairs = [calibrated(o, given, draw) for o in model.outcomes for draw in range(DRAWS)]
    (before,) = summarize(pair[0] for pair in pairs).models
    (after,) = summarize(pair[1] for pair in pairs).models
    return Worn(given, before, after)


def _heard(condition: str, results: Sequence[Result]) -> Heard:
    (under,) = summarize(result.conditions[condition] for result in results).models
    (clean,) = summarize(result.deployed for result in results).models
    return Heard(condition, under, clean)


def _place(model: ModelSummary) -> tuple[int, int, int]:
    return (
        PROTOCOLS.index(model.protocol),
        NETWORKS.index(model.network),
        model.precision != DEPLOYED,
    )
