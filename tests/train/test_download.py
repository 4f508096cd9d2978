"""The download against a real HTTP server on 127.0.0.1 that misbehaves in every way we know."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import inspect
import io
import shutil
import socket
import struct
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import IO, Any

import numpy as np
import pytest
import soundfile

from emopi.device.errors import CorpusError
from emopi.train import download
from emopi.train.corpora import Ravdess
from emopi.train.download import PART, download_ravdess

CLIPS = ("03-01-01-01-01-01-01", "03-01-05-02-02-02-01", "03-01-08-01-02-01-24")
FORWARD = 20_000
"""Bytes that a connection brings before it is cut, less than a third of the archive."""

Behaviour = Callable[["Handler"], None]


def wav(seed: int, n: int = 16_000) -> bytes:
    """A WAV file of noise, which a zip can't make smaller."""
    file = io.BytesIO()
    samples = np.random.default_rng(seed).integers(-32768, 32768, n, dtype=np.int16)
    soundfile.write(file, samples, 48_000, format="WAV", subtype="PCM_16")
    return file.getvalue()


def zipped(entries: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return file.getvalue()


WAVS = {clip: wav(seed) for seed, clip in enumerate(CLIPS)}
ARCHIVE = zipped(
    {"Actor_01/": b""}
    | {f"Actor_{clip[-2:]}/{clip}.wav": content for clip, content in WAVS.items()}
    | {"README.txt": b"about", f"__MACOSX/Actor_01/._{CLIPS[0]}.wav": b"fork"}
)


class Server(ThreadingHTTPServer):
    """Serves `content`; request by request as `plan` says, whose last entry stays."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.content = ARCHIVE
        self.plan: list[Behaviour] = [serve()]
        self.ranges: list[str | None] = []
        self.released = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/archive.zip?download=1"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        plan = self.server.plan
        self.server.ranges.append(self.headers["Range"])
        with contextlib.suppress(ConnectionError):  # the client may have seen enough
            (plan.pop(0) if len(plan) > 1 else plan[0])(self)

    def log_message(self, format: str, *args: Any) -> None:
        pass


def serve(
    *,
    resumable: bool = True,
    cut: int | None = None,
    finish: Callable[[Handler], object] = lambda _: None,
    promised: int | None = None,
    kind: str = "application/zip",
    shift: int = 0,
) -> Behaviour:
    """Send the content, or `cut` bytes of it and then `finish`.

    `promised` replaces the Content-Length (negative: none is sent), `shift` the range's start.
    """

    def answer(handler: Handler) -> None:
        content, wanted = handler.server.content, handler.headers["Range"]
        start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted and resumable else 0
        start += shift if start else 0
        body = content[start:]
        handler.send_response(206 if start else 200)
        handler.send_header("Content-Type", kind)
        if start:
            last = len(content) - 1
            handler.send_header("Content-Range", f"bytes {start}-{last}/{len(content)}")
        length = len(body) if promised is None else promised
        if length >= 0:
            handler.send_header("Content-Length", str(length))
        handler.end_headers()
        handler.wfile.write(body[:cut])
        finish(handler)

    return answer


def refuse(code: int) -> Behaviour:
    return lambda handler: handler.send_error(code)


def reset(handler: Handler) -> None:
    """Drop the connection as a router does: RST, no FIN."""
    linger = struct.pack("ii", 1, 0)
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    handler.connection.close()


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        yield running
        running.released.set()
        running.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "BACKOFF_S", (0.0, 0.0, 0.0))
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "127.0.0.1")


class Fetch:
    """`download_ravdess` into one folder from one server; keeps what it was told."""

    def __init__(self, server: Server, folder: Path) -> None:
        self.server, self.folder, self.part = server, folder, folder / PART
        self.said: list[str] = []
        self.watched: list[tuple[int, int]] = []

    def __call__(self, **changes: Any) -> int:
        content = ARCHIVE
        options: dict[str, Any] = {
            "url": self.server.url,
            "size": len(content),
            "md5": hashlib.md5(content).hexdigest(),
            "watch": lambda done, total: self.watched.append((done, total)),
            "say": self.said.append,
        }
        return download_ravdess(self.folder, **options | changes)

    def serving(self, content: bytes) -> int:
        """Fetch `content` as if it were what is published."""
        self.server.content = content
        return self(size=len(content), md5=hashlib.md5(content).hexdigest())

    def begin_with(self, content: bytes) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.part.write_bytes(content)

    def assert_unpacked(self) -> None:
        expected = {f"Actor_{clip[-2:]}/{clip}.wav": content for clip, content in WAVS.items()}
        assert self.files() == expected

    def files(self) -> dict[str, bytes]:
        """Everything in the folder, the hidden and the unfinished too."""
        return {
            path.relative_to(self.folder).as_posix(): path.read_bytes()
            for path in self.folder.rglob("*")
            if path.is_file()
        }


@pytest.fixture
def fetch(server: Server, tmp_path: Path) -> Fetch:
    return Fetch(server, tmp_path / "deep" / "ravdess")


def fail(call: Callable[[], object]) -> str:
    """The text of the `CorpusError` that `call` must raise."""
    with pytest.raises(CorpusError) as caught:
        call()
    return str(caught.value)


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


def test_goes_on_from_an_earlier_part(fetch: Fetch) -> None:
    fetch.begin_with(ARCHIVE[:FORWARD])
    assert fetch() == len(CLIPS)
    fetch.assert_unpacked()
    assert fetch.server.ranges == [f"bytes={FORWARD}-"]
    assert min(done for done, _ in fetch.watched) > FORWARD


def test_interrupted_by_hand_keeps_what_it_has(fetch: Fetch) -> None:
    def interrupt(_done: int, _total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch(watch=interrupt)
    have = fetch.part.stat().st_size
    assert 0 < have < len(ARCHIVE)
    assert fetch.part.read_bytes() == ARCHIVE[:have]
    assert fetch() == len(CLIPS)
    fetch.assert_unpacked()
    assert fetch.server.ranges == [None, f"bytes={have}-"]


def test_starts_anew_where_the_server_ignores_ranges(fetch: Fetch) -> None:
    fetch.begin_with(bytes(FORWARD))
    fetch.server.plan = [serve(resumable=False)]
    fetch()
    fetch.assert_unpacked()
    assert fetch.server.ranges == [f"bytes={FORWARD}-"]
    assert fetch.said[0] == "the server cannot resume; starting anew"


def test_starts_anew_where_the_server_refuses_the_range(fetch: Fetch) -> None:
    fetch.begin_with(bytes(FORWARD))
    fetch.server.plan = [refuse(416), serve()]
    fetch()
    fetch.assert_unpacked()
    assert fetch.server.ranges == [f"bytes={FORWARD}-", None]
    assert fetch.said[0] == "the server has no such range; starting anew"


def test_a_range_error_without_a_range_is_final(fetch: Fetch) -> None:
    fetch.server.plan = [refuse(416)]
    assert "the server answered 416" in fail(fetch)
    assert fetch.server.ranges == [None]


@pytest.mark.parametrize("shift", [-1, 1])
def test_starts_anew_after_another_range_than_asked_for(fetch: Fetch, shift: int) -> None:
    fetch.begin_with(ARCHIVE[:FORWARD])
    fetch.server.plan = [serve(shift=shift)]
    fetch()
    fetch.assert_unpacked()
    assert fetch.server.ranges == [f"bytes={FORWARD}-", None]
    assert fetch.said[0].startswith("the server sent another range than asked for at 0 of")


def test_a_part_larger_than_the_archive_is_dropped(fetch: Fetch) -> None:
    fetch.begin_with(ARCHIVE + b"x")
    fetch()
    fetch.assert_unpacked()
    assert fetch.server.ranges == [None]
    assert fetch.said[0] == f"{fetch.part} is larger than the archive; starting anew"


def test_a_whole_part_needs_no_network(fetch: Fetch) -> None:
    fetch.begin_with(ARCHIVE)
    assert fetch() == len(CLIPS)
    fetch.assert_unpacked()
    assert fetch.server.ranges == []


def test_goes_on_after_each_lost_connection(fetch: Fetch) -> None:
    fetch.server.plan = [serve(cut=FORWARD), serve(cut=1), serve(cut=FORWARD), serve()]
    fetch()
    fetch.assert_unpacked()
    starts = [FORWARD, FORWARD + 1, 2 * FORWARD + 1]
    assert fetch.server.ranges == [None, *(f"bytes={start}-" for start in starts)]
    assert fetch.said[0] == (
        f"the server closed the connection at {FORWARD:,} of {len(ARCHIVE):,} bytes; "
        "trying again in 0 s"
    )


def test_a_reset_connection_is_a_lost_one(fetch: Fetch) -> None:
    fetch.server.plan = [serve(cut=FORWARD, finish=reset), serve()]
    fetch()
    fetch.assert_unpacked()
    assert len(fetch.server.ranges) == 2


def test_any_number_of_losses_is_borne_while_there_is_progress(fetch: Fetch) -> None:
    fetch.server.plan = [*[serve(cut=100)] * (3 * len(download.BACKOFF_S)), serve()]
    fetch()
    fetch.assert_unpacked()


def test_pauses_grow_and_start_again_with_progress(
    fetch: Fetch, monkeypatch: pytest.MonkeyPatch
) -> None:
    slept: list[float] = []
    monkeypatch.setattr(download, "BACKOFF_S", (1.0, 2.0, 4.0))
    monkeypatch.setattr(time, "sleep", slept.append)
    fetch.server.plan = [
        serve(cut=100),
        serve(cut=0),
        refuse(503),
        serve(cut=100),
        refuse(429),
        serve(),
    ]
    fetch()
    assert slept == [1.0, 2.0, 4.0, 1.0, 2.0]
    assert "the server answered 503 Service Unavailable at 100 of" in fetch.said[2]


@pytest.mark.parametrize("resumable", [True, False])
def test_gives_up_without_progress_and_resumes_later(fetch: Fetch, resumable: bool) -> None:
    again = serve(cut=0) if resumable else serve(cut=FORWARD, resumable=False)
    fetch.server.plan = [serve(cut=FORWARD), again]
    assert fail(fetch) == (
        f"{fetch.server.url}: the server closed the connection; gave up with {FORWARD:,} of "
        f"{len(ARCHIVE):,} bytes. Check the network; the same command goes on from there"
    )
    assert len(fetch.server.ranges) == 1 + len(download.BACKOFF_S)
    assert fetch.part.read_bytes() == ARCHIVE[:FORWARD]
    fetch.server.plan = [serve()]
    assert fetch() == len(CLIPS)
    fetch.assert_unpacked()
    assert fetch.server.ranges[-1] == f"bytes={FORWARD}-"


def test_the_furthest_byte_ever_counts_as_progress(fetch: Fetch) -> None:
    cuts = [FORWARD, FORWARD // 2] * 10
    fetch.server.plan = [*(serve(cut=cut, resumable=False) for cut in cuts), serve()]
    assert "the server closed the connection; gave up with" in fail(fetch)
    assert len(fetch.server.ranges) == 1 + len(download.BACKOFF_S)


def test_a_silent_server_is_a_lost_connection(
    fetch: Fetch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "TIMEOUT_S", 0.3)
    wait = serve(cut=FORWARD, finish=lambda handler: handler.server.released.wait(60))
    fetch.server.plan = [wait, serve()]
    fetch()
    fetch.assert_unpacked()
    assert fetch.server.ranges == [None, f"bytes={FORWARD}-"]
    assert fetch.said[0].startswith(f"connection lost (timed out) at {FORWARD:,} of")


def test_no_server(fetch: Fetch) -> None:
    with socket.socket() as taken:  # bound, not listening: refuses every connection
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/"
        text = fail(lambda: fetch(url=url))
    assert text.startswith(f"{url}: no connection (")
    assert f"gave up with 0 of {len(ARCHIVE):,} bytes" in text


def test_a_lasting_server_error_is_reported(fetch: Fetch) -> None:
    fetch.server.plan = [refuse(503)]
    assert "the server answered 503 Service Unavailable; gave up with 0 of" in fail(fetch)


def test_not_found_is_final(fetch: Fetch) -> None:
    fetch.begin_with(ARCHIVE[:FORWARD])
    fetch.server.plan = [refuse(404)]
    text = fail(fetch)
    assert text.startswith(f"{fetch.server.url}: the server answered 404 Not Found; look whether")
    assert "doi:10.5281/zenodo.1188976" in text
    assert len(fetch.server.ranges) == 1
    assert fetch.part.read_bytes() == ARCHIVE[:FORWARD]


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
