"""Proof that a converted model computes what the Keras model does, on the device's own adapter."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from emopi.device.classifier import Classifier, softmax
from emopi.device.contract import Precision
from emopi.device.errors import ConversionError
from emopi.device.frontend import Floats


@dataclasses.dataclass(frozen=True, slots=True)
class Tolerance:
    """How far a converted model may be from Keras on the calibration windows."""

    probability: float
    """Largest mean change of a label's probability."""
    agreement: float
    """Least share of windows with the same label."""


TOLERANCES: dict[Precision, Tolerance] = {
    "float32": Tolerance(probability=1e-4, agreement=1.0),
    "int8": Tolerance(probability=0.02, agreement=0.95),
}


@dataclasses.dataclass(frozen=True, slots=True)
class Parity:
    """A converted model beside Keras on the same windows."""

    windows: int
    probability: float
    """Mean absolute change of a label's probability."""
    agreement: float
    """Share of windows with the same label."""


def compare_with_keras(model: Any, classifier: Classifier, windows: Floats) -> Parity:
    """Run both on (n, window_frames, n_mfcc) MFCCs that are not normalized yet.

    Raises `ConversionError` if they differ by more than the precision's tolerance.
    """
    contract = classifier.contract
    normalized = contract.normalization.apply(windows)
    expected = softmax(model.predict(normalized, batch_size=64, verbose=0))
    found = np.stack([classifier.probabilities(window) for window in windows])
    change = np.abs(found - expected)
    parity = Parity(
        windows=len(windows),
        probability=float(change.mean()),
        agreement=float(np.mean(found.argmax(axis=1) == expected.argmax(axis=1))),
    )
    tolerance = TOLERANCES[contract.precision]
    if parity.probability > tolerance.probability or parity.agreement < tolerance.agreement:
        raise ConversionError(
            f"{contract.network} {contract.precision} is not what Keras computes: probabilities "
            f"differ by {parity.probability:.2g} in the mean and {parity.agreement:.1%} of labels "
            f"agree; expected at most {tolerance.probability:g} and at least "
            f"{tolerance.agreement:.0%}. Nothing was written"
        )
    return parity
