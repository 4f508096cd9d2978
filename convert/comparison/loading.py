"""The models of a comparison, checked that they can be set against each other."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from emopi.convert.comparison.layers import can_look_inside
from emopi.convert.operators import check_operators
from emopi.device.classifier import Classifier
from emopi.device.contract import read
from emopi.device.errors import ComparisonError, ConversionError, ModelError


def load(models: Sequence[Path]) -> list[Classifier]:
    """The models, in order.

    Raises `ComparisonError` for fewer than two, the same one twice, or different labels;
    `ModelError` as `Classifier` does, and for one whose operators are not what its contract says.
    """
    if len(models) < 2:
        raise ComparisonError(f"{len(models)} model; expected two or more to compare")
    classifiers = [Classifier(path) for path in models]
    first = classifiers[0]
    known: dict[str, Classifier] = {}
    for path, classifier in zip(models, classifiers, strict=True):
        twin = known.setdefault(classifier.contract.model_sha256, classifier)
        if twin is not classifier:
            raise ComparisonError(
                f"{twin.path} and {classifier.path} are the same model; name two that differ"
            )
        if classifier.contract.labels != first.contract.labels:
            raise ComparisonError(
                f"{first.path} knows the labels {', '.join(first.contract.labels)}, but "
                f"{classifier.path} knows {', '.join(classifier.contract.labels)}; expected the "
                "same in the same order"
            )
        if can_look_inside():
            _check_inside(path)
    return classifiers


def _check_inside(path: Path) -> None:
    """Raise `ModelError` for a model that is of another network or precision than it says.

    What goes in and out looks alike in several precisions.
    """
    flatbuffer, contract = read(path)
    try:
        check_operators(flatbuffer, contract.network, contract.precision)
    except ConversionError as error:
        raise ModelError(
            f"{path} is not the {contract.network} {contract.precision} that its contract says: "
            f"{error}. Convert anew"
        ) from None
