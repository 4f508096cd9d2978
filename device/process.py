"""Fresh processes, so that what is measured of one model owes nothing to what ran before."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from emopi.device.errors import ComparisonError, EmopiError

ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
"""Environment in which NumPy's matrix products use one thread, as the network does."""


def answers(module: str, order: Any) -> Iterator[Any]:
    """Every JSON value that `python -m module ORDER` prints, one a line, as it comes.

    `order` is passed as JSON; the process has one thread for matrix products and ends with this
    iterator. Raises `ComparisonError` with its last words if it fails.
    """
    command = [sys.executable, "-m", module, json.dumps(order)]
    with (
        tempfile.TemporaryFile("w+", errors="replace") as said,
        subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=said, text=True,
            env=os.environ | ONE_THREAD,
        ) as process,
    ):  # fmt: skip
        assert process.stdout
        try:
            for line in process.stdout:
                yield json.loads(line)
            if status := process.wait():
                said.seek(0)
                words = said.read().strip().splitlines() or ["it said nothing"]
                raise ComparisonError(f"measuring failed ({_ended(status)}): {words[-1]}")
        finally:
            process.kill()


def serve(answer: Callable[[Any], Iterable[Any]]) -> int:
    """The other side: print `answer` of the order on the command line; return the exit status."""
    try:
        for value in answer(json.loads(sys.argv[1])):
            print(json.dumps(value), flush=True)
    except (KeyboardInterrupt, BrokenPipeError):
        return 1  # whoever asked has gone
    except EmopiError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _ended(status: int) -> str:
    return f"signal {-status}" if status < 0 else f"exit status {status}"
