"""The archive behind a model, read without zipfile, whatever zipfile has made of it."""

from __future__ import annotations

import io
import zipfile

import pytest

from emopi.device.archive import read_archived

FRONT = bytes(1000)
TEXT = b'{"version": 1}\n'


def archived(files: dict[str, bytes], *, method: int = zipfile.ZIP_STORED, note: str = "") -> bytes:
    """`FRONT` with an archive behind it."""
    file = io.BytesIO(FRONT)
    with zipfile.ZipFile(file, "a", method) as archive:
        archive.comment = note.encode()
        for name, content in files.items():
            archive.writestr(name, content)
    return file.getvalue()


@pytest.mark.parametrize("text", [TEXT, b"", TEXT * 10_000, b"PK\5\6" + bytes(22) + b"PK\1\2"])
def test_reads_what_zipfile_wrote(text: bytes) -> None:
    assert read_archived(archived({"a.json": text}), "a.json") == (len(FRONT), text)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "no zip archive|damaged"),
        (FRONT, "no zip archive stands at its end"),
        (archived({}), "not one of a.json alone"),
        (archived({"a.json": TEXT, "b.json": TEXT}), "not one of a.json alone"),
        (archived({"b.json": TEXT}), "damaged"),
        (archived({"a.json": TEXT * 9}, method=zipfile.ZIP_DEFLATED), "damaged"),
        (archived({"a.json": TEXT}, note="by hand"), "no zip archive stands at its end"),
        (archived({"a.json": TEXT})[1:], "damaged|not one of"),
        (archived({"a.json": TEXT})[:-1], "no zip archive stands at its end"),
        (archived({"a.json": TEXT})[-22:], "damaged|not one of"),
        (archived({"a.json": TEXT}).replace(TEXT, TEXT.replace(b"1", b"2")), "damaged"),
    ],
)
def test_refuses_anything_else(content: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_archived(content, "a.json")
