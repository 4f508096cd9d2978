"""Keeps what C and C++ libraries print on stderr away from a person who did not ask for it."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator

_lock = threading.Lock()
"""Two threads that turn stderr away at once would never turn it back."""


@contextlib.contextmanager
def quiet_stderr() -> Iterator[None]:
    """Turn file descriptor 2 to the null device for the moment, for all threads.

    Libraries write to the descriptor, past `sys.stderr`. With EMOPI_DEBUG=1 they may.
    """
    if os.environ.get("EMOPI_DEBUG") == "1":
        yield
        return
    with _lock:
        kept = os.dup(2)
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 2)
        os.close(null)
        try:
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)
