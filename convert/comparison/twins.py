"""Which models are conversions of one training, so that quantization alone is between them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from emopi.device.contract import Contract

CONVERSION = ("conversion_commit",)
"""What a contract's provenance says of the conversion rather than of the training."""


def float_twins(contracts: Sequence[Contract]) -> list[int | None]:
    """For each model the place of the float32 model of the same training; None for that itself."""
    exact = {
        place: _training(contract)
        for place, contract in enumerate(contracts)
        if contract.precision == "float32"
    }
    return [
        None
        if place in exact
        else next((k for k, training in exact.items() if training == _training(contract)), None)
        for place, contract in enumerate(contracts)
    ]


def _training(contract: Contract) -> tuple[Any, ...]:
    facts = {k: v for k, v in contract.training.items() if k not in CONVERSION}
    return contract.network, contract.frontend, contract.normalization, facts
