"""Keeps what C++ libraries print on stderr away from a person who did not ask for it."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def quiet_stderr() -> Iterator[Path]:
    """Send file descriptor 2 to a file while in this context; yield the file's path."""
    with tempfile.TemporaryDirectory() as folder:
        said = Path(folder) / "stderr"
        sys.stderr.flush()
        kept = os.dup(2)
        with said.open("wb") as file:
            os.dup2(file.fileno(), 2)
        try:
            yield said
        finally:
            os.dup2(kept, 2)
            os.close(kept)


def import_tensorflow() -> None:
    """Import TensorFlow and Keras without their banner."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    with quiet_stderr():
        import keras
        import tensorflow
    _ = keras, tensorflow
