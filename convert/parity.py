"""Proof that a converted model computes what the Keras model does, on the device's own adapter."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from emopi.convert.layer_noise import layer_noise, where_noise_starts
from emopi.device.classifier import Classifier, softmax
from emopi.device.frontend import Floats
from emopi.device.precision import Precision
from emopi.device.streaming import StreamingClassifier

EXPLAINED = 32
"""Windows that are enough to find the layer where a difference starts."""


TIE = 0.05
"""Labels whose probabilities differ by no more are a tie: either may win, in an early training."""


@dataclasses.dataclass(frozen=True, slots=True)
class Tolerance:
    """How far a converted model may be from Keras on training clips that did not calibrate it."""

    probability: float
    """Largest mean change of a label's probability."""
    agreement: float
    """Least share of windows with the same label, or one that ties with it in Keras."""


TOLERANCES: dict[Precision, Tolerance] = {
    "float32": Tolerance(probability=1e-4, agreement=1.0),
    "float16": Tolerance(probability=1e-3, agreement=0.99),
    "dynamic-int8": Tolerance(probability=0.02, agreement=0.95),
    "int8": Tolerance(probability=0.02, agreement=0.95),
    "int16x8": Tolerance(probability=0.01, agreement=0.97),
}


@dataclasses.dataclass(frozen=True, slots=True)
class Parity:
    """A converted model beside Keras on the same windows."""

    precision: Precision
    windows: int
    probability: float
    """Mean absolute change of a label's probability."""
    agreement: float
    """Share of windows with the same label."""
    ties: float = 0.0
    """Share of windows with another label, which by Keras is less likely by `TIE` at most."""

    @property
    def sufficient(self) -> bool:
        """Whether it is within the precision's tolerance."""
        tolerance = TOLERANCES[self.precision]
        agreed = self.agreement + self.ties
        return self.probability <= tolerance.probability and agreed >= tolerance.agreement

    def __str__(self) -> str:
        """What was found and what was expected."""
        tolerance = TOLERANCES[self.precision]
        return (
            f"probabilities differ by {self.probability:.2g} in the mean and {self.agreement:.1%} "
            f"of labels agree, {self.ties:.1%} more nearly; expected at most "
            f"{tolerance.probability:g} and together at least {tolerance.agreement:.0%}"
        )


def compare_with_keras(
    model: Any, classifier: Classifier | StreamingClassifier, windows: Floats
) -> Parity:
    """Run both on (n, window_frames, n_mfcc) MFCCs that are not normalized yet."""
    contract = classifier.contract
    normalized = contract.normalization.apply(windows)
    expected = softmax(model.predict(normalized, batch_size=64, verbose=0))
    if isinstance(classifier, StreamingClassifier):
        found = np.stack([_in_pieces(classifier, window) for window in windows])
    else:
        found = np.stack([classifier.probabilities(window) for window in windows])
    label = found.argmax(axis=1)
    same = label == expected.argmax(axis=1)
    behind = expected.max(axis=1) - expected[np.arange(len(label)), label]
    return Parity(
        precision=contract.precision,
        windows=len(windows),
        probability=float(np.abs(found - expected).mean()),
        agreement=float(np.mean(same)),
        ties=float(np.mean(~same & (behind <= TIE))),
    )


def _in_pieces(classifier: StreamingClassifier, window: Floats) -> Floats:
    """(labels,) probabilities of a window that comes in pieces which no layer's step divides."""
    classifier.reset(loudest_c0=float(window[:, 0].max()))
    for piece in np.array_split(window, 7):
        classifier.push(piece)
    classifier.finish()
    return classifier.probabilities()


def where_it_starts(float_model: bytes, quantized_model: bytes, windows: Floats) -> str:
    """A sentence on the layer whose quantization costs most, on normalized `windows`."""
    step = max(1, len(windows) // EXPLAINED)
    layer = where_noise_starts(layer_noise(float_model, quantized_model, windows[::step]))
    if layer.name == "input":
        return (
            "The error starts at the input: as the network takes it in, the signal is only "
            f"{layer.sqnr_db:.0f} dB above the error, so the calibration clips are unlike these"
        )
    return (
        f"The error starts at layer {layer.name} ({layer.operator}): it is given a signal "
        f"{layer.given_db:.0f} dB above the error and gives one {layer.sqnr_db:.0f} dB above it"
    )
