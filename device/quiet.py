"""Keeps what C and C++ libraries print on stderr away from a person who did not ask for it."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

_lock = threading.Lock()
"""Two threads that turn stderr away at once would never turn it back."""


@contextlib.contextmanager
def quiet_stderr() -> Iterator[Path]:
    """Send file descriptor 2 to a file for the moment, for all threads; yield the file's path.

    Libraries write to the descriptor, past `sys.stderr`. With EMOPI_DEBUG=1 they may, and the
    file stays empty.
    """
    with tempfile.TemporaryDirectory() as folder:
        said = Path(folder) / "stderr"
        said.touch()
        if os.environ.get("EMOPI_DEBUG") == "1":
            yield said
            return
        with _lock, said.open("wb") as file:
            sys.stderr.flush()
            kept = os.dup(2)
            os.dup2(file.fileno(), 2)
            try:
                yield said
            finally:
                os.dup2(kept, 2)
                os.close(kept)
