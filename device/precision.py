"""In which ways a network's numbers are stored and computed."""

from __future__ import annotations

from typing import Literal, get_args

Precision = Literal["float32", "float16", "dynamic-int8", "int8", "int16x8"]
"""float32; float16 weights, computed in float32; int8 weights, computed in float or in int8 as the
runtime sees fit ("dynamic range"); int8 throughout; int8 weights with int16 between the layers."""

PRECISIONS: tuple[Precision, ...] = get_args(Precision)
"""All that there are, in the order of files and tables."""

TENSOR_TYPES: dict[Precision, str] = {
    "float32": "float32",
    "float16": "float32",
    "dynamic-int8": "float32",
    "int8": "int8",
    "int16x8": "int16",
}
"""What goes into a network of each and comes out of it, as NumPy names it."""
