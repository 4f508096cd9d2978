"""What a network can be converted to."""

from __future__ import annotations

from collections.abc import Iterable

from emopi.device.errors import ConversionError
from emopi.device.precision import PRECISIONS, Precision

DEFAULT: tuple[Precision, ...] = ("float32", "int8")

CALIBRATED: frozenset[Precision] = frozenset({"int8", "int16x8"})
"""Those whose ranges come from calibration clips."""

IMPOSSIBLE: dict[tuple[str, Precision], str] = {
    ("lstm", "int16x8"): "TFLite's fused LSTM takes no 16-bit activations",
}
"""Why a network cannot be converted to a precision."""


STREAMABLE = frozenset({"lstm"})
"""Networks that have a streaming form."""


def possible(network: str) -> tuple[Precision, ...]:
    """The precisions that `network` can be converted to."""
    return tuple(one for one in PRECISIONS if (network, one) not in IMPOSSIBLE)


def checked(network: str, wanted: Iterable[Precision]) -> tuple[Precision, ...]:
    """`wanted`, each once, in the order of `PRECISIONS`.

    Raises `ConversionError` for one that the network cannot be converted to.
    """
    chosen = set(wanted)
    for precision in chosen:
        if why := IMPOSSIBLE.get((network, precision)):
            raise ConversionError(
                f"the {network} cannot be converted to {precision}: {why}. "
                f"Choose from {', '.join(possible(network))}"
            )
    return tuple(one for one in PRECISIONS if one in chosen)


def check_streamable(network: str) -> None:
    """Raise `ConversionError` for a network without streaming form."""
    if network not in STREAMABLE:
        raise ConversionError(
            f"the {network} has no streaming form: a whole window takes it less time than a hop "
            "row by row would. Leave out --streaming, or train an lstm"
        )
