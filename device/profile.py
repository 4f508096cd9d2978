"""A wearer's profile: what a model says of the wearer's ordinary voice, and of labelled clips.

The profile keeps those answers, a few numbers a clip and no audio. From them comes a linear map
of the model's log-probabilities that turns its answers towards the wearer: ordinary speech towards
`ORDINARY`, labelled clips towards their labels.
"""

from __future__ import annotations

import dataclasses
import functools
import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emopi.device.contract import Contract
from emopi.device.errors import ProfileError, SpecError
from emopi.device.files import write_atomically
from emopi.device.frontend import Floats, checked_fields

VERSION = 1
FLOOR = 1e-4
"""Probabilities below this count as this: their logarithms would outweigh all others."""

ORDINARY = "neutral"
"""The label that a wearer's ordinary speech should get."""

WEIGHT_PENALTY = 3.0
BIAS_PENALTY = 0.3
ORDINARY_PENALTY = 1.6
"""How strongly the map is held to the model's own answer: half the penalty times the squared
distance from identity and from 0 (without labelled clips: the bias alone moves, against the last
one), beside the cross-entropy: of each labelled clip, and of all ordinary ones together as one.
Chosen from 0.3 to 30 on the validation actors of upm-5."""

Reals = NDArray[np.float64]


@dataclasses.dataclass(frozen=True, slots=True)
class Example:
    """One clip of the wearer."""

    label: str
    """What the wearer calls it."""
    probabilities: tuple[float, ...]
    """What the model alone said of it, in the order of its labels."""


@dataclasses.dataclass(frozen=True)
class Profile:
    """What one model says of one wearer. Raises `ProfileError` for what does not fit."""

    model: str
    """`Contract.model_id`: another model errs in other ways."""
    labels: tuple[str, ...]
    """The model's, in its order."""
    examples: tuple[Example, ...] = ()
    ordinary: tuple[tuple[float, ...], ...] = ()
    """What the model alone says of recordings of the wearer's ordinary voice."""

    def __post_init__(self) -> None:
        """Check that labels and probabilities fit."""
        object.__setattr__(self, "labels", tuple(self.labels))
        object.__setattr__(self, "examples", tuple(self.examples))
        object.__setattr__(self, "ordinary", tuple(map(tuple, self.ordinary)))
        for example in self.examples:
            if example.label not in self.labels:
                raise ProfileError(
                    f"the label is {example.label!r}; expected one of: {', '.join(self.labels)}"
                )
        if self.ordinary and ORDINARY not in self.labels:
            raise ProfileError(
                f"the model has no label {ORDINARY!r}, so it cannot learn from ordinary speech; "
                "give clips with labels"
            )
        for row in (*(example.probabilities for example in self.examples), *self.ordinary):
            if len(row) != len(self.labels):
                raise ProfileError(
                    f"a clip has {len(row)} probabilities; expected {len(self.labels)}, one a label"
                )
            if not all(0 <= p <= 1 for p in row):
                raise ProfileError("a clip has a probability outside 0 to 1")

    @classmethod
    def empty(cls, contract: Contract) -> Profile:
        """One without examples, for that model."""
        return cls(contract.model_id, contract.labels)

    def with_example(self, label: str | None, probabilities: Mapping[str, float]) -> Profile:
        """This profile and one more clip; without a label it is ordinary speech."""
        row = tuple(round(float(probabilities[name]), 6) for name in self.labels)
        if label is None:
            return dataclasses.replace(self, ordinary=(*self.ordinary, row))
        return dataclasses.replace(self, examples=(*self.examples, Example(label, row)))

    @property
    def counts(self) -> dict[str, int]:
        """How many examples each label has."""
        found = Counter(example.label for example in self.examples)
        return {label: found[label] for label in self.labels}

    def adjust(self, probabilities: Floats) -> Floats:
        """(labels,) probabilities turned towards the wearer: (labels,) that sum to 1."""
        weights, bias = self._map
        logits = weights @ _centred_logs(np.asarray(probabilities, np.float64)) + bias
        adjusted = _softmax(logits)
        return adjusted.astype(np.float32)

    def left_out(self) -> tuple[int, int]:
        """How many examples the model alone gets right, and the profile without that example."""
        alone = adjusted = 0
        for index, example in enumerate(self.examples):
            rest = self.examples[:index] + self.examples[index + 1 :]
            row = np.asarray(example.probabilities, np.float32)
            truth = self.labels.index(example.label)
            alone += int(np.argmax(row)) == truth
            others = dataclasses.replace(self, examples=rest)
            adjusted += int(np.argmax(others.adjust(row))) == truth
        return alone, adjusted

    @functools.cached_property
    def _map(self) -> tuple[Reals, Reals]:
        """Weights (labels, labels) and bias (labels,) of the map on log-probabilities."""
        start = np.zeros(len(self.labels))
        if self.ordinary:
            rows = _centred_logs(np.array(self.ordinary))
            start = fit_bias(rows, self.labels.index(ORDINARY))
        if not self.examples:
            return np.eye(len(self.labels)), start
        rows = _centred_logs(np.array([example.probabilities for example in self.examples]))
        return fit_map(rows, [self.labels.index(one.label) for one in self.examples], start)

    def check_model(self, contract: Contract) -> None:
        """Raise `ProfileError` unless the profile is for that model."""
        if self.model != contract.model_id:
            raise ProfileError(
                f"the profile was made with the model {self.model}, and this is "
                f"{contract.model_id}: calibrate anew with --model"
            )

    def to_json(self) -> dict[str, Any]:
        """The profile as JSON types."""
        return {"version": VERSION} | dataclasses.asdict(self)

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Profile:
        """The profile that `to_json` described; `ProfileError` if it is not one."""
        content = dict(fields)
        if (found := content.pop("version", None)) != VERSION:
            raise ProfileError(
                f"its version is {found!r}; this emopi knows {VERSION}: update emopi"
            )
        try:
            checked = checked_fields(cls, content)
            examples = tuple(
                Example(one["label"], tuple(map(float, one["probabilities"])))
                for one in checked["examples"]
            )
            ordinary = tuple(tuple(map(float, row)) for row in checked["ordinary"])
        except (SpecError, TypeError, KeyError, ValueError) as error:
            raise ProfileError(f"it is malformed: {error}; calibrate anew") from None
        return cls(str(checked["model"]), tuple(checked["labels"]), examples, ordinary)


def read_profile(path: Path, contract: Contract) -> Profile:
    """The profile in that file, checked against the model that it is to serve.

    Raises `ProfileError` if it cannot be read, is no profile, or is another model's.
    """
    try:
        profile = Profile.from_json(json.loads(path.read_text()))
        profile.check_model(contract)
    except OSError as error:
        raise ProfileError(
            f"{path} cannot be read: {error.strerror}; expected a file of emopi calibrate"
        ) from None
    except ProfileError as error:
        raise ProfileError(f"{path}: {error}") from None
    except (ValueError, AttributeError, TypeError):
        raise ProfileError(f"{path} is not a profile that emopi calibrate wrote") from None
    return profile


def write_profile(profile: Profile, path: Path) -> None:
    """Write it whole or not at all."""
    try:
        write_atomically(path, json.dumps(profile.to_json(), indent=1).encode() + b"\n")
    except OSError as error:
        raise ProfileError(
            f"{path} cannot be written: {error.strerror}; choose another --out"
        ) from None


def fit_bias(rows: Reals, label: int) -> Reals:
    """(labels,) bias that turns (n, labels) centred log-probabilities towards one label.

    Minimizes the mean cross-entropy of softmax(x + b) plus the penalty on b.
    """
    target = np.eye(rows.shape[1])[label]

    def gradient_and_hessian(bias: Reals) -> tuple[Reals, Reals]:
        found = _softmax(rows + bias)
        spread = np.diag(found.mean(axis=0)) - found.T @ found / len(rows)
        gradient = found.mean(axis=0) - target + ORDINARY_PENALTY * bias
        return gradient, spread + ORDINARY_PENALTY * np.eye(len(bias))

    def loss(bias: Reals) -> float:
        likely = np.log(_softmax(rows + bias)[:, label]).mean()
        return float(ORDINARY_PENALTY / 2 * np.square(bias).sum() - likely)

    return _newton(loss, gradient_and_hessian, np.zeros(rows.shape[1]))


def fit_map(rows: Reals, truth: Sequence[int], start_bias: Reals) -> tuple[Reals, Reals]:
    """Weights and bias of a multinomial logistic regression held to identity and `start_bias`.

    `rows` is (n, labels) centred log-probabilities. Minimizes the summed cross-entropy of
    softmax(W x + b) plus the penalties; strictly convex, so there is one answer.
    """
    n, n_labels = rows.shape
    inputs = np.hstack([rows, np.ones((n, 1))])
    targets = np.eye(n_labels)[list(truth)]
    start = np.hstack([np.eye(n_labels), start_bias[:, None]])
    penalty = np.full_like(start, WEIGHT_PENALTY)
    penalty[:, -1] = BIAS_PENALTY

    def gradient_and_hessian(flat: Reals) -> tuple[Reals, Reals]:
        theta = flat.reshape(start.shape)
        found = _softmax(inputs @ theta.T)
        gradient = (found - targets).T @ inputs + penalty * (theta - start)
        spread = found[:, :, None] * (np.eye(n_labels) - found[:, None, :])
        hessian = np.einsum("nkl,ni,nj->kilj", spread, inputs, inputs).reshape(flat.size, -1)
        return gradient.ravel(), hessian + np.diag(penalty.ravel())

    def loss(flat: Reals) -> float:
        theta = flat.reshape(start.shape)
        likely = np.sum(np.log(_softmax(inputs @ theta.T)) * targets)
        return float(np.sum(penalty * np.square(theta - start)) / 2 - likely)

    theta = _newton(loss, gradient_and_hessian, start.ravel()).reshape(start.shape)
    return theta[:, :-1], theta[:, -1]


def _newton(
    loss: Callable[[Reals], float],
    gradient_and_hessian: Callable[[Reals], tuple[Reals, Reals]],
    start: Reals,
) -> Reals:
    """The minimum of a strictly convex `loss`: Newton's steps, halved where they overshoot."""
    at = start
    for _ in range(100):
        gradient, hessian = gradient_and_hessian(at)
        step = np.linalg.solve(hessian, gradient)
        if np.abs(step).max() < 1e-9:
            break
        size = 1.0
        while loss(at - size * step) > loss(at) and size > 1e-9:
            size /= 2
        at = at - size * step
    return at


def _centred_logs(probabilities: Reals) -> Reals:
    logs = np.log(np.maximum(probabilities, FLOOR))
    centred: Reals = logs - logs.mean(axis=-1, keepdims=True)
    return centred


def _softmax(logits: Reals) -> Reals:
    exponentials = np.exp(logits - logits.max(axis=-1, keepdims=True))
    shares: Reals = exponentials / exponentials.sum(axis=-1, keepdims=True)
    return shares
