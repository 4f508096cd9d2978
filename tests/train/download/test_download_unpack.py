"""Unpacking: archives that are not what they should be, and folders that hold something."""

from __future__ import annotations

import errno
import shutil
from pathlib import Path
from typing import IO

import pytest
from archive_server import ARCHIVE, CLIPS, WAVS, Fetch, fail, zipped

from emopi.train.corpora import Ravdess
from emopi.train.download import PART


@pytest.mark.parametrize(
    "name",
    [
        f"../{CLIPS[0]}.wav",
        f"/tmp/{CLIPS[0]}.wav",
        f"a/../../{CLIPS[0]}.wav",
        f"C:\\{CLIPS[0]}.wav",
        f"C:{CLIPS[0]}.wav",
        f"..\\{CLIPS[0]}.wav",
        f"\\\\host\\share\\{CLIPS[0]}.wav",
        "../../etc/passwd",
    ],
)
def test_an_archive_that_leads_out_is_refused(fetch: Fetch, name: str) -> None:
    text = fail(lambda: fetch.serving(zipped({f"Actor_24/{CLIPS[2]}.wav": b"ok", name: b"evil"})))
    assert f"its entry {name!r} leads out of the folder) and is removed: download" in text
    everything = {path for path in fetch.folder.parents[1].rglob("*") if path.is_file()}
    assert everything == set()


def test_not_a_zip(fetch: Fetch) -> None:
    assert fail(lambda: fetch.serving(b"no zip" * 1000)) == (
        f"{fetch.part} cannot be unpacked (File is not a zip file) and is removed: "
        "download it again"
    )
    assert fetch.files() == {}


def test_a_zip_without_clips(fetch: Fetch) -> None:
    songs = zipped({"Actor_01/03-02-01-01-01-01-01.wav": b"song"})
    assert "(it holds no RAVDESS speech clip)" in fail(lambda: fetch.serving(songs))


def test_a_damaged_entry_leaves_no_clip_behind(fetch: Fetch) -> None:
    damaged = bytearray(ARCHIVE)
    second = ARCHIVE.index(f"{CLIPS[1]}.wav".encode())
    damaged[second + 10_000] ^= 0xFF
    text = fail(lambda: fetch.serving(bytes(damaged)))
    assert text.startswith(f"{fetch.part} cannot be unpacked (")
    assert fetch.files() == {f"Actor_01/{CLIPS[0]}.wav": WAVS[CLIPS[0]]}


def complete(folder: Path) -> None:
    for clip in Ravdess.published():
        (folder / f"Actor_{clip[-2:]}").mkdir(parents=True, exist_ok=True)
        (folder / f"Actor_{clip[-2:]}" / f"{clip}.wav").write_bytes(b"mine")


def test_a_complete_corpus_is_left_alone(fetch: Fetch) -> None:
    complete(fetch.folder / "anyhow" / "nested")
    before = fetch.files()
    fetch.begin_with(b"left over")
    assert fetch() == 1440
    assert fetch.said == [f"{fetch.folder} has all of RAVDESS already; nothing to download"]
    assert fetch.server.ranges == []
    assert fetch.files() == before


def test_a_corpus_that_lacks_a_clip_is_replaced(fetch: Fetch) -> None:
    complete(fetch.folder)
    (fetch.folder / "Actor_01" / f"{CLIPS[0]}.wav").unlink()
    assert fetch() == 1440
    files = fetch.files()
    assert len(files) == 1440
    for clip, content in WAVS.items():
        assert files[f"Actor_{clip[-2:]}/{clip}.wav"] == content


def test_interrupted_while_unpacking(fetch: Fetch, monkeypatch: pytest.MonkeyPatch) -> None:
    copied: list[int] = []

    def copy_one_and_a_half(source: IO[bytes], target: IO[bytes], length: int) -> None:
        copied.append(length)
        if len(copied) == 2:
            target.write(source.read(1000))
            target.flush()
            report = Ravdess.scan(fetch.folder)  # as it would be found after a power cut
            assert [u.clip_id for u in report.utterances] == [CLIPS[0]]
            assert report.foreign == ()
            raise KeyboardInterrupt
        target.write(source.read())

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "copyfileobj", copy_one_and_a_half)
        with pytest.raises(KeyboardInterrupt):
            fetch()
    assert fetch.files() == {PART: ARCHIVE, f"Actor_01/{CLIPS[0]}.wav": WAVS[CLIPS[0]]}
    assert fetch() == len(CLIPS)
    fetch.assert_unpacked()
    assert fetch.server.ranges == [None]


def test_disk_full_while_unpacking(fetch: Fetch, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "copyfileobj", full)
        assert fail(fetch) == (
            f"{fetch.folder}: No space left on device; make room (0.9 GB in all), "
            "then the same command goes on from here"
        )
    assert fetch.files() == {PART: ARCHIVE}
    assert fetch() == len(CLIPS)
