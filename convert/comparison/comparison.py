"""Several models on the same test clips: what each says and costs, and each pair's difference."""

from __future__ import annotations

import dataclasses
import platform
from collections.abc import Sequence
from functools import cached_property
from itertools import combinations
from pathlib import Path
from typing import Any

from emopi.convert.comparison import ROUNDS
from emopi.convert.comparison.footprint import Footprint, footprints
from emopi.convert.comparison.hearing import hear
from emopi.convert.comparison.instructions import counted, ratios
from emopi.convert.comparison.layers import can_look_inside
from emopi.convert.comparison.loading import load
from emopi.convert.comparison.paired import Paired, paired
from emopi.convert.comparison.timing import Timing, ratio_of_medians, timings
from emopi.convert.comparison.twins import float_twins
from emopi.device.board import BoardState, board_state
from emopi.device.contract import read
from emopi.device.decision import Decision
from emopi.device.model_files import model_names
from emopi.device.progress import track
from emopi.device.versions import versions
from emopi.train.corpora import Utterance, read_corpora
from emopi.train.evaluation.evaluate import Evaluation, training_clips, unseen_clips
from emopi.train.evaluation.summary import Outcome
from emopi.train.run_record import hardware
from emopi.train.splits import description


@dataclasses.dataclass(frozen=True)
class Compared:
    """One model: what it says of the clips and what it costs."""

    name: str
    """Unlike those of the others: the file's name without its suffix, or its path."""
    path: Path
    n_bytes: int
    """Of the file, contract included."""
    evaluation: Evaluation
    seen: int
    """Test clips that it was trained on; 0 unless that was allowed."""
    footprint: Footprint
    timing: Timing
    instructions: dict[str, int] | None = None
    """Of the network on each core of a Raspberry Pi; None if they were not counted."""

    @property
    def outcome(self) -> Outcome:
        """What accuracy is drawn from."""
        return self.evaluation.outcome

    def to_json(self) -> dict[str, Any]:
        """What `emopi evaluate --json` has, and the costs."""
        return {
            "name": self.name,
            "file": str(self.path),
            **self.evaluation.to_json(),
            "seen": self.seen,
            "bytes": self.n_bytes,
            **self.footprint.to_json(),
            "latency": self.timing.to_json(),
            "instructions": self.instructions,
        }


@dataclasses.dataclass(frozen=True, slots=True)
class ChangedClip:
    """A clip that two models call differently."""

    clip: str
    """Its id."""
    label: str
    """What it is."""
    a: str
    """What model a says."""
    a_confidence: float
    b: str
    b_confidence: float

    @property
    def kind(self) -> str:
        """Whether b is better off: "mended", "broken", or "still wrong"."""
        if self.b == self.label:
            return "mended"
        return "broken" if self.a == self.label else "still wrong"

    def to_json(self) -> dict[str, Any]:
        """The fields by name."""
        return dataclasses.asdict(self)


@dataclasses.dataclass(frozen=True)
class Pair:
    """Model b against model a: ratios are b's figure over a's."""

    a: Compared
    b: Compared

    @cached_property
    def says(self) -> Paired:
        """What b says against what a says."""
        return paired([self.a.outcome], [self.b.outcome])

    @cached_property
    def latency(self) -> tuple[float, tuple[float, float]]:
        """Ratio of the networks' median CPU times, front end apart, and its 95 % interval."""
        a, b = self.a.timing.computing, self.b.timing.computing
        return ratio_of_medians(b.model_ms, a.model_ms)

    @property
    def changed_clips(self) -> tuple[ChangedClip, ...]:
        """Those that b calls otherwise than a, the surest of a's answers first."""
        found = [self._changed(place) for place in self.says.changed]
        return tuple(sorted(found, key=lambda clip: (-clip.a_confidence, clip.clip)))

    def _changed(self, place: int) -> ChangedClip:
        a, b = (model.evaluation.decisions[place] for model in (self.a, self.b))
        clip = self.a.evaluation.utterances[place]
        return ChangedClip(
            clip.clip_id, clip.label, a.label, round(a.confidence, 4), b.label,
            round(b.confidence, 4),
        )  # fmt: skip

    @property
    def size_ratio(self) -> float:
        """Of the files."""
        return self.b.n_bytes / self.a.n_bytes

    @property
    def instruction_ratio(self) -> dict[str, float] | None:
        """Of the networks on each core of a Raspberry Pi; None if they were not counted."""
        return ratios(self.b.instructions, self.a.instructions)

    def to_json(self) -> dict[str, Any]:
        """The pair's figures; a and b are names of models."""
        ratio, interval = self.latency
        says = self.says.to_json()
        intervals = says.pop("intervals") | {"latency_ratio": list(interval)}
        return {
            "a": self.a.name,
            "b": self.b.name,
            **says,
            "size_ratio": self.size_ratio,
            "latency_ratio": ratio,
            "total_latency_ratio": self.b.timing.cpu_ms["total"] / self.a.timing.cpu_ms["total"],
            "instruction_ratio": self.instruction_ratio,
            "model_mb_change": self.b.footprint.model_mb - self.a.footprint.model_mb,
            "intervals": intervals,
            "changed_clips": [clip.to_json() for clip in self.changed_clips],
        }


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Two or more models on one fold's test clips, on one machine, in one run."""

    protocol: str
    fold: str
    models: tuple[Compared, ...]
    """In the order in which they were named; the first is what the others are set against."""
    rounds: int
    """Times that each latency is drawn from."""
    before: BoardState
    """The machine before the latencies were measured."""
    after: BoardState

    @property
    def clips(self) -> tuple[Utterance, ...]:
        """The test clips, the same for all models."""
        return self.models[0].evaluation.utterances

    @property
    def labels(self) -> tuple[str, ...]:
        """What all models can say."""
        return self.models[0].outcome.labels

    @cached_property
    def pairs(self) -> tuple[Pair, ...]:
        """Every two models, the one named earlier as a."""
        return tuple(Pair(a, b) for a, b in combinations(self.models, 2))

    @cached_property
    def told(self) -> tuple[Pair, ...]:
        """The pairs that a person is told of: every model but the first has one.

        It is set against the float32 model of its own training, if that is there, so that all
        that is between them is quantization; otherwise against the first.
        """
        twins = float_twins([model.evaluation.contract for model in self.models])
        return tuple(
            self.pair(self.models[0 if twin is None else twin], model)
            for twin, model in zip(twins[1:], self.models[1:], strict=True)
        )

    def pair(self, a: Compared, b: Compared) -> Pair:
        """Model b against model a, whichever of them was named earlier."""
        return next((pair for pair in self.pairs if pair.a is a and pair.b is b), Pair(a, b))

    @cached_property
    def machine(self) -> dict[str, str]:
        """What the figures are of, for a person to read."""
        packages = ("emopi", "numpy", "ai-edge-litert", "tflite-runtime")
        return {"processor": hardware(), "architecture": platform.machine(), **versions(*packages)}

    def to_json(self) -> dict[str, Any]:
        """What `emopi compare --json` prints, apart from verdict and layers."""
        return {
            "protocol": self.protocol,
            "fold": self.fold,
            "description": description(self.protocol),
            "n": len(self.clips),
            "speakers": len({clip.speaker for clip in self.clips}),
            "labels": list(self.labels),
            "models": [model.to_json() for model in self.models],
            "pairs": [pair.to_json() for pair in self.pairs],
            "rounds": self.rounds,
            "machine": self.machine,
            "board": {"before": self.before.to_json(), "after": self.after.to_json()},
        }


def compare(
    models: Sequence[Path],
    corpus: Path | Sequence[Path],
    protocol: str,
    fold: str | None = None,
    *,
    allow_seen: bool = False,
    rounds: int = ROUNDS,
) -> Comparison:
    """Hear the test clips of a fold with every model, then measure what each costs.

    Without `fold`, the one that the first model was trained on. Raises as `load` and
    `evaluate` do.
    """
    classifiers = load(models)
    utterances = read_corpora(corpus).utterances
    first = classifiers[0].contract.training
    if fold is None and first.get("protocol") == protocol:
        fold = first.get("fold")
    for path, classifier in zip(models, classifiers, strict=True):
        chosen, clips = unseen_clips(
            path, classifier.contract, utterances, protocol, fold, allow_seen=allow_seen
        )
        fold = chosen.name
    said = list(track(hear(classifiers, clips), len(clips), "clips, all models"))
    evaluations = [
        Evaluation(classifier.contract, protocol, chosen.name, clips, decisions)
        for classifier, decisions in zip(classifiers, _by_model(said), strict=True)
    ]
    before = board_state()
    timed = timings(models, [clip.path for clip in clips], rounds)
    after = board_state()
    costs = zip(footprints(models), timed, strict=True)
    compared = (
        Compared(
            name, path, path.stat().st_size, evaluation,
            len(chosen.test & training_clips(evaluation.contract, utterances)), footprint, timing,
            counted(read(path)[0]) if can_look_inside() else None,
        )
        for name, path, evaluation, (footprint, timing)
        in zip(model_names(models), models, evaluations, costs, strict=True)
    )  # fmt: skip
    return Comparison(protocol, chosen.name, tuple(compared), rounds, before, after)


def _by_model(said: Sequence[tuple[Decision, ...]]) -> list[tuple[Decision, ...]]:
    return [tuple(decisions) for decisions in zip(*said, strict=True)]
