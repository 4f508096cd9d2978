"""The one file in the zip archive behind a model, as `attach` puts it there, without `zipfile`.

That brings compression, temporary folders and threads along: a sensor would hold 1.2 MB of them all
day for one file at its start.
"""

from __future__ import annotations

import struct
import zlib
from typing import Any

# .ZIP File Format Specification (APPNOTE 6.3), sections 4.3.16, 4.3.12 and 4.3.7
_END = struct.Struct("<4s4H2LH")
_LISTED = struct.Struct("<4s6H3L5H2L")
_FILE = struct.Struct("<4s5H3L2H")


def read_archived(content: bytes, name: str) -> tuple[int, bytes]:
    """Where the archive begins in `content`, and what its only file, called `name`, holds.

    Raises `ValueError` for anything else than an archive of that one file, not compressed, whole,
    at the very end of `content`.
    """
    at = len(content) - _END.size
    signature, _, _, _, files, _, listed, _ = _unpack(_END, content, at)
    if signature != b"PK\5\6":
        raise ValueError("no zip archive stands at its end")
    if files != 1 or at != listed + _LISTED.size + len(name):
        raise ValueError(f"the zip archive at its end is not one of {name} alone")
    fields = _unpack(_LISTED, content, listed)
    method, crc, size, start = fields[4], fields[7], fields[9], fields[16]
    begin = start + _FILE.size + len(name)
    text = content[begin:listed]
    if (
        (fields[0], content[listed + _LISTED.size : at]) != (b"PK\1\2", name.encode())
        or (method, size) != (0, len(text))
        or _unpack(_FILE, content, start)[0] != b"PK\3\4"
        or zlib.crc32(text) != crc
    ):
        raise ValueError(f"{name} in the zip archive at its end is damaged")
    return start, text


def _unpack(fields: struct.Struct, content: bytes, at: int) -> tuple[Any, ...]:
    if not 0 <= at <= len(content) - fields.size:
        raise ValueError("the zip archive at its end is damaged")
    return fields.unpack_from(content, at)
