"""RAVDESS from Zenodo: fetched, resumable at any byte, checked, unpacked."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import hashlib
import http.client
import re
import shutil
import sys
import time
import urllib.error
import urllib.request
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path, PureWindowsPath

from emopi.device.errors import CorpusError
from emopi.train.corpora import Ravdess

ZENODO_URL = "https://zenodo.org/records/1188976/files/Audio_Speech_Actors_01-24.zip?download=1"
ZENODO_BYTES = 208_468_073
ZENODO_MD5 = "bc696df654c87fed845eb13823edef8a"
PART = "Audio_Speech_Actors_01-24.zip.part"
"""The archive's name while it is fetched, checked and unpacked."""

TIMEOUT_S = 30.0
"""A connection that is silent for longer counts as lost."""
BACKOFF_S = (1.0, 2.0, 4.0, 8.0, 16.0)
"""Pauses between attempts; after so many in a row that brought nothing new, it is an error."""

_CHUNK_BYTES = 1 << 16
_WORTH_RETRYING = {408, 425, 429, 500, 502, 503, 504}
_REMEDIES = {
    errno.ENOSPC: "make room (0.9 GB in all), then the same command goes on from here",
    errno.EDQUOT: "make room (0.9 GB in all), then the same command goes on from here",
    errno.EACCES: "choose a folder that you may write to",
    errno.EPERM: "choose a folder that you may write to",
    errno.EROFS: "choose a folder that you may write to",
    errno.EEXIST: "choose another name: a file has this one",
    errno.ENOTDIR: "choose another name: a file has this one",
}


class _ConnectionLost(Exception):
    """What a new attempt may mend."""


def _to_stderr(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def download_ravdess(
    folder: Path,
    *,
    url: str = ZENODO_URL,
    size: int = ZENODO_BYTES,
    md5: str = ZENODO_MD5,
    watch: Callable[[int, int], None] = lambda _done, _total: None,
    say: Callable[[str], None] = _to_stderr,
) -> int:
    """Put the speech clips into `folder/Actor_NN/` and return how many lie below `folder` then.

    Leaves a complete corpus alone, without network. Otherwise clips of the same path are replaced
    by the published ones. What was fetched before is kept and gone on from, so that the same call
    resumes after any interruption. `size` in bytes and `md5` are the archive's; `watch` is told
    (bytes so far, bytes in all), `say` what a person may want to know.

    Raises `CorpusError` if the server cannot be reached or sends something else, and if `folder`
    cannot be written.
    """
    part = folder / PART
    with _explained(folder):
        folder.mkdir(parents=True, exist_ok=True)
        if not (report := Ravdess.scan(folder)).missing:
            say(f"{folder} has all of RAVDESS already; nothing to download")
            if part.exists():  # an unpacking that was cut off at its very end
                part.unlink()
            return len(report.utterances)
        _Transfer(url, size, part, watch, say).run()
        _verify(part, md5)
        say("MD5 is right; unpacking")
        _unpack(part, folder)
        part.unlink()
    return len(Ravdess.scan(folder).utterances)


@dataclasses.dataclass(frozen=True, slots=True)
class _Transfer:
    """Bytes from `url` to `part` until it has `size` of them."""

    url: str
    size: int
    part: Path
    watch: Callable[[int, int], None]
    say: Callable[[str], None]

    def run(self) -> None:
        """Fetch what `part` lacks; raises `CorpusError` when attempts bring nothing new."""
        if self._have() > self.size:
            self.say(f"{self.part} is larger than the archive; starting anew")
            self.part.unlink()
        furthest, idle_attempts = self._have(), 0
        while (have := self._have()) < self.size:
            try:
                self._request(have)
            except _ConnectionLost as error:
                # Against the furthest ever: a server that cannot resume starts at 0 each time.
                idle_attempts = 0 if self._have() > furthest else idle_attempts + 1
                furthest = max(furthest, self._have())
                self._pause(idle_attempts, error)

    def _have(self) -> int:
        return self.part.stat().st_size if self.part.exists() else 0

    def _pause(self, idle_attempts: int, error: _ConnectionLost) -> None:
        have = f"{self._have():,} of {self.size:,} bytes"
        if idle_attempts >= len(BACKOFF_S):
            raise CorpusError(
                f"{self.url}: {error}; gave up with {have}. "
                "Check the network; the same command goes on from there"
            )
        self.say(f"{error} at {have}; trying again in {BACKOFF_S[idle_attempts]:g} s")
        time.sleep(BACKOFF_S[idle_attempts])

    def _request(self, have: int) -> None:
        """One attempt from byte `have` on; returns without having all if it must start anew."""
        request = urllib.request.Request(self.url, headers={"User-Agent": "emopi"})
        if have:
            request.add_header("Range", f"bytes={have}-")
        try:
            response = urllib.request.urlopen(request, timeout=TIMEOUT_S)
        except urllib.error.HTTPError as error:
            with error:
                self._refused(error, have)
        except (OSError, http.client.HTTPException) as error:
            raise _ConnectionLost(f"no connection ({_reason(error)})") from None
        else:
            with response:
                self._receive(response, self._start(response, have))

    def _refused(self, error: urllib.error.HTTPError, have: int) -> None:
        if error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and have:
            self.say("the server has no such range; starting anew")
            self.part.unlink()
            return
        answer = f"the server answered {error.code} {error.reason}"
        if error.code in _WORTH_RETRYING:
            raise _ConnectionLost(answer)
        raise CorpusError(
            f"{self.url}: {answer}; look whether the page has moved: {Ravdess.source}"
        )

    def _start(self, response: http.client.HTTPResponse, have: int) -> int:
        """The first byte that `response` brings: `have`, or 0 if the server ignored the range."""
        if response.headers.get_content_type() == "text/html":
            raise CorpusError(
                f"{self.url}: the answer is a web page, not the archive; "
                "if this network wants a login, log in with a browser, then try again"
            )
        start, total = 0, response.headers.get("Content-Length")
        if response.status == http.HTTPStatus.PARTIAL_CONTENT:
            found = re.fullmatch(
                r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", "")
            )
            if not found or int(found[1]) != have:
                self.part.unlink(missing_ok=True)
                raise _ConnectionLost("the server sent another range than asked for")
            start, total = have, found[2]
        elif have:
            self.say("the server cannot resume; starting anew")
        if total and total.isdecimal() and int(total) != self.size:
            raise CorpusError(
                f"{self.url} has {int(total):,} bytes; expected {self.size:,}. "
                f"It is not the published archive: get it by hand from {Ravdess.source}"
            )
        return start

    def _receive(self, response: http.client.HTTPResponse, start: int) -> None:
        """Append to `part`, or overwrite it where `start` is 0."""
        received = start
        with self.part.open("ab" if start else "wb") as file:
            while received <= self.size and (chunk := _read(response)):
                file.write(chunk)
                received += len(chunk)
                self.watch(min(received, self.size), self.size)
        if received > self.size:
            self.part.unlink()
            raise CorpusError(
                f"{self.url} sent more than the expected {self.size:,} bytes; removed. "
                f"It is not the published archive: get it by hand from {Ravdess.source}"
            )
        if received < self.size:
            raise _ConnectionLost("the server closed the connection")


def _read(response: http.client.HTTPResponse) -> bytes:
    """What has arrived, empty at the end; keeps network errors apart from those of the disk."""
    try:
        return response.read1(_CHUNK_BYTES)
    except (OSError, http.client.HTTPException) as error:
        raise _ConnectionLost(f"connection lost ({_reason(error)})") from None


def _reason(error: Exception) -> str:
    reason = getattr(error, "reason", error)
    return str(reason) or type(reason).__name__


def _verify(part: Path, md5: str) -> None:
    """Raise `CorpusError` and remove `part` if its MD5 is another."""
    with part.open("rb") as file:
        found = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    if found != md5:
        part.unlink()
        raise CorpusError(
            f"{part} has MD5 {found}; expected {md5}. It was damaged on its way and is removed: "
            "download it again"
        )


def _unpack(archive: Path, folder: Path) -> None:
    """Write the archive's RAVDESS clips to `folder/Actor_NN/`; removes an archive that is broken.

    Refuses, before it writes anything, an archive with a path that leads out of the folder.
    """
    try:
        with zipfile.ZipFile(archive) as zipped:
            for entry, clip in _clips(zipped).items():
                target = folder / f"Actor_{clip[-2:]}" / f"{clip}.wav"
                target.parent.mkdir(exist_ok=True)
                _unpack_one(zipped, entry, target)
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError) as error:
        archive.unlink()
        raise CorpusError(
            f"{archive} cannot be unpacked ({error}) and is removed: download it again"
        ) from None


def _clips(zipped: zipfile.ZipFile) -> dict[str, str]:
    """The clip id of each entry that is a clip of the corpus; other entries are left out."""
    for name in zipped.namelist():
        path = PureWindowsPath(name)  # takes / and \ for separators, and knows drives
        if path.drive or path.root or ".." in path.parts:
            raise zipfile.BadZipFile(f"its entry {name!r} leads out of the folder")
    published = set(Ravdess.published())
    paths = {name: PureWindowsPath(name) for name in zipped.namelist()}
    clips = {
        name: path.stem
        for name, path in paths.items()
        if path.suffix.lower() == ".wav" and path.stem in published
    }
    if not clips:
        raise zipfile.BadZipFile("it holds no RAVDESS speech clip")
    return clips


def _unpack_one(zipped: zipfile.ZipFile, entry: str, target: Path) -> None:
    """Write `target` whole or not at all: a name that ends in .wav is a complete clip."""
    unfinished = target.with_name(f".{target.name}.part")
    try:
        with zipped.open(entry) as source, unfinished.open("wb") as file:
            shutil.copyfileobj(source, file, 1 << 20)
        unfinished.replace(target)
    finally:
        unfinished.unlink(missing_ok=True)


@contextlib.contextmanager
def _explained(folder: Path) -> Iterator[None]:
    """Turn errors of the file system into `CorpusError`s that say what to do."""
    try:
        yield
    except OSError as error:
        remedy = _REMEDIES.get(error.errno or 0, "look at the folder and its disk, then try again")
        raise CorpusError(
            f"{error.filename or folder}: {error.strerror or error}; {remedy}"
        ) from None
