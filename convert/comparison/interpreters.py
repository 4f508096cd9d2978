"""An interpreter that shows what is inside a model, rather than run it as fast as it can."""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emopi.device.classifier import find_interpreter
from emopi.device.quiet import quiet_stderr


def plain_interpreter(flatbuffer: bytes, *, keep_all: bool = False) -> Any:
    """A TFLite interpreter on one thread without XNNPACK, its tensors allocated.

    XNNPACK computes inside itself, so that tensors between layers have no memory to look at. With
    `keep_all` every tensor keeps its values after an inference, instead of making room for others.
    """
    _, interpreter_class = find_interpreter()
    kinds = importlib.import_module(interpreter_class.__module__).OpResolverType
    with quiet_stderr():
        interpreter = interpreter_class(
            model_content=flatbuffer,
            num_threads=1,
            experimental_op_resolver_type=kinds.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
            experimental_preserve_all_tensors=keep_all,
        )
        interpreter.allocate_tensors()
    return interpreter


def placed_tensors(
    interpreter: Any, flatbuffer: bytes
) -> Iterator[tuple[dict[str, Any], NDArray[Any], bool]]:
    """Every tensor that has memory: its details, a view of it, and whether it is a constant.

    Constants lie in the flatbuffer. The views must be gone before the interpreter runs again.
    """
    start = np.frombuffer(flatbuffer, np.uint8).__array_interface__["data"][0]
    for details in interpreter.get_tensor_details():
        with contextlib.suppress(ValueError, RuntimeError):  # it has no memory
            tensor = interpreter.tensor(details["index"])()
            address = tensor.__array_interface__["data"][0]
            yield details, tensor, start <= address < start + len(flatbuffer)
