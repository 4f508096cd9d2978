"""The download: what it fetches, and what it refuses to keep."""

from __future__ import annotations

import errno
import hashlib
import inspect
from pathlib import Path

import pytest
from archive_server import ARCHIVE, CLIPS, FORWARD, WAVS, Fetch, fail, serve, zipped

from emopi.train import download
from emopi.train.download import download_ravdess


def test_fetches_checks_and_unpacks_only_the_clips(fetch: Fetch) -> None:
    assert fetch() == len(CLIPS)
    fetch.assert_unpacked()
    assert fetch.server.ranges == [None]
    assert fetch.said == ["MD5 is right; unpacking"]
    done = [done for done, _ in fetch.watched]
    assert done == sorted(done)
    assert fetch.watched[-1] == (len(ARCHIVE), len(ARCHIVE))
    assert {total for _, total in fetch.watched} == {len(ARCHIVE)}


def test_clips_are_told_by_their_names_at_any_depth(fetch: Fetch) -> None:
    names = (f"a/b/Actor_99/{CLIPS[0]}.WAV", f"{CLIPS[1]}.wav", f"x\\{CLIPS[2]}.wav")
    assert fetch.serving(zipped(dict(zip(names, WAVS.values(), strict=True)))) == len(CLIPS)
    fetch.assert_unpacked()


def test_talks_to_stderr(fetch: Fetch, capsys: pytest.CaptureFixture[str]) -> None:
    fetch(say=download._to_stderr)
    assert capsys.readouterr() == ("", "MD5 is right; unpacking\n")


def test_published_archive_is_the_default() -> None:
    parameters = inspect.signature(download_ravdess).parameters
    assert parameters["url"].default == (
        "https://zenodo.org/records/1188976/files/Audio_Speech_Actors_01-24.zip?download=1"
    )
    assert parameters["size"].default == 208_468_073
    assert parameters["md5"].default == "bc696df654c87fed845eb13823edef8a"


def test_wrong_bytes_are_removed(fetch: Fetch) -> None:
    wrong = bytes([ARCHIVE[0] ^ 1]) + ARCHIVE[1:]
    fetch.server.content = wrong
    assert fail(fetch) == (
        f"{fetch.part} has MD5 {hashlib.md5(wrong).hexdigest()}; "
        f"expected {hashlib.md5(ARCHIVE).hexdigest()}. It was damaged on its way and is removed: "
        "download it again"
    )
    assert fetch.files() == {}


@pytest.mark.parametrize("begun", [0, FORWARD])
def test_another_size_is_refused_before_a_byte_is_written(fetch: Fetch, begun: int) -> None:
    fetch.begin_with(ARCHIVE[:begun])
    fetch.server.content = ARCHIVE + b"x"
    assert fail(fetch).startswith(
        f"{fetch.server.url} has {len(ARCHIVE) + 1:,} bytes; expected {len(ARCHIVE):,}. "
        "It is not the published archive: get it by hand from"
    )
    assert fetch.part.read_bytes() == ARCHIVE[:begun]


def test_more_than_expected_of_unstated_length(fetch: Fetch) -> None:
    fetch.server.content = ARCHIVE + bytes(1 << 20)
    fetch.server.plan = [serve(promised=-1)]
    assert fail(fetch).startswith(
        f"{fetch.server.url} sent more than the expected {len(ARCHIVE):,} bytes; removed."
    )
    assert fetch.files() == {}
    assert max(done for done, _ in fetch.watched) == len(ARCHIVE)


def test_the_right_bytes_of_unstated_length(fetch: Fetch) -> None:
    fetch.server.plan = [serve(promised=-1)]
    assert fetch() == len(CLIPS)


def test_the_page_of_a_captive_portal_does_not_cost_the_part(fetch: Fetch) -> None:
    fetch.begin_with(ARCHIVE[:FORWARD])
    fetch.server.plan = [serve(resumable=False, kind="text/html; charset=utf-8")]
    assert "the answer is a web page, not the archive; if this network wants a login" in fail(fetch)
    assert fetch.part.read_bytes() == ARCHIVE[:FORWARD]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full, a full disk")
def test_disk_full_while_fetching(fetch: Fetch) -> None:
    fetch.folder.mkdir(parents=True)
    fetch.part.symlink_to("/dev/full")
    assert "No space left on device; make room" in fail(fetch)
    assert len(fetch.server.ranges) == 1  # a full disk is no lost connection


@pytest.mark.parametrize("number", [errno.EACCES, errno.EPERM, errno.EROFS])
def test_not_permitted(fetch: Fetch, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def deny(path: Path, *_: object, **__: object) -> None:
        raise OSError(number, "Denied", str(path))

    monkeypatch.setattr(Path, "mkdir", deny)
    assert fail(fetch) == f"{fetch.folder}: Denied; choose a folder that you may write to"


def test_a_file_in_place_of_the_folder(fetch: Fetch) -> None:
    fetch.folder.parent.mkdir()
    fetch.folder.write_text("mine")
    assert fail(fetch) == f"{fetch.folder}: File exists; choose another name: a file has this one"
    assert fetch.folder.read_text() == "mine"


def test_an_unknown_error_of_the_disk_keeps_its_text(
    fetch: Fetch, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(Path, "mkdir", broken)
    assert fail(fetch).endswith(
        "Input/output error; look at the folder and its disk, then try again"
    )
