"""How far from Keras a conversion may be: labels that nearly tie are no disagreement."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from emopi.convert.parity import Parity, compare_with_keras
from emopi.device.frontend import Floats


class Converted:
    """Gives `answers` one after the other."""

    def __init__(self, answers: Floats) -> None:
        normalization = SimpleNamespace(apply=lambda windows: windows)
        self.contract = SimpleNamespace(normalization=normalization, precision="int8")
        self._answers = iter(answers)

    def probabilities(self, _window: Floats) -> Floats:
        return next(self._answers)


def test_counts_same_labels_and_ties() -> None:
    trained = np.array([[0.6, 0.3, 0.1], [0.41, 0.39, 0.2], [0.6, 0.3, 0.1], [0.2, 0.2, 0.6]])
    answers = np.array([[0.5, 0.4, 0.1], [0.39, 0.41, 0.2], [0.4, 0.5, 0.1], [0.2, 0.2, 0.6]])
    model = SimpleNamespace(predict=lambda _windows, **_: np.log(trained))
    found = compare_with_keras(model, Converted(answers), np.zeros((4, 300, 40), np.float32))
    assert (found.windows, found.agreement, found.ties) == (4, 0.5, 0.25)
    assert found.probability == pytest.approx((0.2 + 0.04 + 0.4) / 12)


@pytest.mark.parametrize(
    ("probability", "agreement", "ties", "sufficient"),
    [(0.01, 0.96, 0.0, True), (0.01, 0.87, 0.12, True), (0.01, 0.87, 0.05, False),
     (0.03, 1.0, 0.0, False)],
)  # fmt: skip
def test_is_sufficient_by_both(
    probability: float, agreement: float, ties: float, sufficient: bool
) -> None:
    parity = Parity("int8", 100, probability, agreement, ties)
    assert parity.sufficient == sufficient
    assert f"{agreement:.1%} of labels agree, {ties:.1%} more nearly" in str(parity)
