"""A published archive on 127.0.0.1, by a real HTTP server that misbehaves in every way we know."""

from __future__ import annotations

import contextlib
import hashlib
import io
import socket
import struct
import threading
import zipfile
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from emopi.device.errors import CorpusError
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


def fail(call: Callable[[], object]) -> str:
    """The text of the `CorpusError` that `call` must raise."""
    with pytest.raises(CorpusError) as caught:
        call()
    return str(caught.value)
