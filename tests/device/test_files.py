"""Files that are there whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from emopi.device.files import check_folder, check_writable, write_together


def test_all_of_them(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"old")
    write_together({tmp_path / "a": b"new", tmp_path / "b": b"other"})
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {
        "a": b"new", "b": b"other",
    }  # fmt: skip
    assert (tmp_path / "b").stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("name", ["folder", "missing/c"])
def test_none_of_them_where_one_cannot_be_written(tmp_path: Path, name: str) -> None:
    (tmp_path / "a").write_bytes(b"old")
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError, match="directory"):
        write_together({tmp_path / "a": b"new", tmp_path / name: b"other"})
    assert (tmp_path / "a").read_bytes() == b"old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "folder"]


def test_checks_leave_nothing_behind(tmp_path: Path) -> None:
    check_writable(tmp_path / "a")
    check_folder(tmp_path)
    check_folder(tmp_path / "not" / "yet")
    assert not list(tmp_path.iterdir())
    (tmp_path / "file").write_bytes(b"")
    for folder in (tmp_path / "file", tmp_path / "file" / "x", Path("/proc/x")):
        with pytest.raises(OSError, match=r"directory"):
            check_folder(folder)
    with pytest.raises(IsADirectoryError):
        check_writable(tmp_path)
