"""Keeps what C and C++ libraries print on stderr away from a person who did not ask for it."""

from __future__ import annotations

import contextlib
import io
import os
import sys
import threading
from collections.abc import Iterator

_lock = threading.Lock()
_users = 0
"""Threads that want quiet: the first turns stderr away, the last turns it back."""
_kept = -1
"""Where stderr went before."""


@contextlib.contextmanager
def quiet_stderr() -> Iterator[None]:
    """Turn file descriptor 2 to the null device for the moment, for all threads.

    Libraries write to the descriptor, past `sys.stderr`. With EMOPI_DEBUG=1 they may. No thread
    waits for another: a library may hang in here.
    """
    if os.environ.get("EMOPI_DEBUG") == "1":
        yield
        return
    _enter()
    try:
        yield
    finally:
        _leave()


def keep_own_stderr() -> None:
    """Give `sys.stderr` a descriptor of its own: what emopi says is never turned away."""
    before = sys.stderr
    if before is not sys.__stderr__ or not isinstance(before, io.TextIOWrapper):
        return  # none, or somebody's own already
    own = os.fdopen(os.dup(2), "wb", buffering=0)
    sys.stderr = io.TextIOWrapper(
        own, encoding=before.encoding, errors="backslashreplace", write_through=True
    )


def _enter() -> None:
    global _users, _kept
    with _lock:
        if not _users:
            _kept = os.dup(2)
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, 2)
            os.close(null)
        _users += 1


def _leave() -> None:
    global _users
    with _lock:
        _users -= 1
        if not _users:
            os.dup2(_kept, 2)
            os.close(_kept)
