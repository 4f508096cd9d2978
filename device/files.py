"""Files that are there whole or not at all."""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping
from pathlib import Path


def write_atomically(path: Path, content: bytes, *, mode: int = 0o644) -> None:
    """Replace `path` by `content`, or leave it as it was. Raises `OSError` as the system does."""
    write_together({path: content}, mode=mode)


def write_together(contents: Mapping[Path, bytes], *, mode: int = 0o644) -> None:
    """Replace each path by its content; where one cannot be written, leave all as they were."""
    written: dict[Path, Path] = {}
    try:
        for path, content in contents.items():
            descriptor, name = _temporary(path)
            written[path] = Path(name)
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            written[path].chmod(mode)
        for path, temporary in written.items():
            temporary.replace(path)
    except BaseException:
        for temporary in written.values():
            temporary.unlink(missing_ok=True)
        raise


def check_writable(path: Path) -> None:
    """Raise the `OSError` now that `write_atomically` would raise later; leaves nothing behind."""
    descriptor, name = _temporary(path)
    os.close(descriptor)
    Path(name).unlink()


def check_folder(folder: Path) -> None:
    """Raise the `OSError` now that making `folder`, or writing in it, would raise later."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    check_writable(folder / "file")


def _temporary(path: Path) -> tuple[int, str]:
    """Descriptor and name of a new file beside `path`, which must be no folder."""
    import tempfile

    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    return tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
