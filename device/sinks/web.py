"""A page that shows what is heard now and was heard in the last hours, for a phone or a desk.

Bottle and waitress serve it: pure Python, on 32-bit ARM too, and with some 10 MB the least memory
of what was tried (Starlette with uvicorn 14, aiohttp 23). Every viewer holds a thread.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import json
import logging
import os
import queue
import secrets
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from emopi.device.decision import Decision
from emopi.device.errors import MissingExtraError, SinkError, SpecError
from emopi.device.sinks import Now, Report, Sink, utc_now
from emopi.device.sinks.history import History
from emopi.device.sinks.record import Record
from emopi.device.sources.notice import Notice, NoticeKind

if TYPE_CHECKING:
    from waitress.server import TcpWSGIServer

DEFAULT_PORT = 8080
TOKEN_VARIABLE = "EMOPI_WEB_TOKEN"
TOKEN_CHARACTERS = 12
"""That a token must have at least."""
MAX_VIEWERS = 8
SPARE_THREADS = 3
"""For what is answered at once."""
BACKLOG = 8
"""Events that wait for a slow viewer; older ones give way."""
HEARTBEAT_S = 5.0
LOOP_S = 5.0
"""How often the server looks for connections to give up when nothing happens."""


@dataclasses.dataclass(frozen=True, slots=True)
class WebSettings:
    """A page for browsers on this machine, or, with a token, on the network."""

    address: str = "127.0.0.1"
    """Of the interface; 0.0.0.0 for all of them."""
    port: int = DEFAULT_PORT
    """0 to 65535; 0 for any that is free."""
    token_file: str = ""
    """A file with the token alone, 12 characters at least; "" for the environment's
    EMOPI_WEB_TOKEN. Beyond this machine one is needed: without it, each start makes its own."""

    def __post_init__(self) -> None:
        """Check every field against its range."""
        try:
            ipaddress.ip_address(self.address)
        except ValueError:
            raise SpecError(
                f"address is {self.address!r}; expected one of this machine's, as 127.0.0.1, or "
                "0.0.0.0 for all of them"
            ) from None
        if not 0 <= self.port <= 65_535:
            raise SpecError(f"port is {self.port}; expected 0 to 65535")

    @classmethod
    def from_text(cls, text: str) -> Self:
        """From "ADDRESS", "ADDRESS:PORT", "[ADDRESS]:PORT" or ":PORT". Raises `SpecError`."""
        address, port = text, ""
        if text.count(":") == 1 or text.startswith("["):
            address, _, port = text.rpartition(":") if not text.endswith("]") else (text, "", "")
        try:
            number = int(port) if port else DEFAULT_PORT
        except ValueError:
            raise SpecError(f"{text!r}: expected ADDRESS:PORT, as 0.0.0.0:8080") from None
        return cls(address.strip("[]") or "127.0.0.1", number)

    @property
    def is_local(self) -> bool:
        """Whether it is for browsers on this machine alone."""
        return ipaddress.ip_address(self.address).is_loopback

    def token(self) -> str | None:
        """The one that is set. Raises `SinkError` if it cannot be read or is too short."""
        found = os.environ.get(TOKEN_VARIABLE)
        if self.token_file:
            try:
                found = Path(self.token_file).read_text().strip()
            except (OSError, UnicodeError) as error:
                raise SinkError(f"token_file {self.token_file}: {error}") from None
        if found is not None and len(found) < TOKEN_CHARACTERS:
            raise SinkError(
                f"the token has {len(found)} characters; expected {TOKEN_CHARACTERS} at least"
            )
        return found


class Viewers:
    """Who looks at the page: each gets every event, or the newest of them if it is slow."""

    def __init__(self) -> None:
        self._queues: set[queue.Queue[bytes | None]] = set()
        self._lock = threading.Lock()
        self._newest: dict[str, bytes] = {}
        self._closed = False

    def __len__(self) -> int:
        return len(self._queues)

    def tell(self, name: str, fields: dict[str, Any]) -> None:
        """Give an event to every viewer, and the newest of its name to who comes later."""
        event = f"event: {name}\ndata: {json.dumps(fields, allow_nan=False)}\n\n".encode()
        with self._lock:
            self._newest[name] = event
            for waiting in self._queues:
                _put(waiting, event)

    def close(self) -> None:
        """End every `events`."""
        with self._lock:
            self._closed = True
            for waiting in self._queues:
                _put(waiting, None)

    def enter(self) -> queue.Queue[bytes | None] | None:
        """A place for one more; None if there is none."""
        with self._lock:
            if self._closed or len(self._queues) >= MAX_VIEWERS:
                return None
            waiting: queue.Queue[bytes | None] = queue.Queue(BACKLOG)
            for event in self._newest.values():
                _put(waiting, event)
            self._queues.add(waiting)
            return waiting

    def leave(self, waiting: queue.Queue[bytes | None]) -> None:
        """Give a place up."""
        with self._lock:
            self._queues.discard(waiting)

    def events(self, waiting: queue.Queue[bytes | None]) -> Iterator[bytes]:
        """Everything for one viewer, and a sign of life every `HEARTBEAT_S`; ends at `close`."""
        try:
            yield b"retry: 2000\n\n"
            while True:
                try:
                    event = waiting.get(timeout=HEARTBEAT_S)
                except queue.Empty:
                    event = b": still here\n\n"
                if event is None:
                    return
                yield event
        finally:  # the browser has gone, too
            self.leave(waiting)


def _put(waiting: queue.Queue[bytes | None], event: bytes | None) -> None:
    """Queue it; the oldest gives way. The caller is the only one who puts."""
    while True:
        try:
            waiting.put_nowait(event)
        except queue.Full:
            try:
                waiting.get_nowait()
            except queue.Empty:
                continue
        else:
            return


class Web(Sink):
    """Serves the page in threads of its own; `show` only leaves a message for them."""

    name = "web"

    def __init__(
        self, settings: WebSettings, history: History, report: Report, now: Now = utc_now
    ) -> None:
        """`history` is for the timeline; another sink writes and closes it."""
        self._settings = settings
        self._history = history
        self._report = report
        self._now = now
        self._viewers = Viewers()
        self._decision_s = 0.5
        self._last_s: float | None = None
        self._sockets: dict[int, Any] = {}
        self._stop = threading.Event()
        self._server: TcpWSGIServer | None = None
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        """Begin to serve; report where. Raises `SinkError` or `MissingExtraError`."""
        try:
            import bottle  # noqa: F401 - for the message
            from waitress.server import create_server
        except ImportError as error:
            raise MissingExtraError("The web page", "web", str(error.name)) from None
        from emopi.device.sinks.web_page import WebPage

        settings = self._settings
        token = settings.token()
        if not token and not settings.is_local:
            token = secrets.token_urlsafe(16)
            self._report(f"web: the token is {token}, until the next start")
        page = WebPage(self._viewers, self._timeline, token, local=settings.is_local)
        logging.getLogger("waitress").setLevel(logging.ERROR)
        self._server = create_server(
            page.app,
            map=self._sockets,
            sockets=[self._bound_socket()],
            threads=MAX_VIEWERS + SPARE_THREADS,
            ident="emopi",
            # a viewer who does not read must fill neither memory nor disk
            outbuf_high_watermark=65_536,
            max_request_body_size=65_536,
        )
        self._thread = threading.Thread(target=self._serve, name="web", daemon=True)
        self._thread.start()
        self._report(f"web: the page is at {self.url}")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Send every viewer away and free the port."""
        self._viewers.close()
        if self._server and self._thread:
            from waitress import wasyncore

            self._stop.set()
            self._server.pull_trigger()
            self._thread.join()
            for channel in list(self._server.active_channels.values()):
                channel.handle_close()  # wakes who waits for a slow viewer
            self._server.task_dispatcher.shutdown(timeout=2)
            # only now: a thread's last deed is to pull the trigger, which is one of them
            wasyncore.close_all(self._sockets, ignore_all=True)
            self._server = None

    def _serve(self) -> None:
        """Until the end."""
        from waitress import wasyncore

        while not self._stop.is_set():
            wasyncore.loop(timeout=LOOP_S, use_poll=True, map=self._sockets, count=1)

    def _bound_socket(self) -> socket.socket:
        settings = self._settings
        family = socket.AF_INET6 if ":" in settings.address else socket.AF_INET
        try:
            return socket.create_server((settings.address, settings.port), family=family)
        except OSError as error:
            raise SinkError(
                f"no page at {settings.address}:{settings.port}: {error.strerror}; expected an "
                "address of this machine and a port that is free"
            ) from None

    @property
    def port(self) -> int:
        """Where it is served, which `settings.port` may leave open. Only while it is."""
        assert self._server
        return int(self._server.effective_port)

    @property
    def viewers(self) -> int:
        """How many look at the page."""
        return len(self._viewers)

    @property
    def url(self) -> str:
        """Where the page is, for a browser on this machine. Only while it is served."""
        address = self._settings.address
        wide = ipaddress.ip_address(address).is_unspecified
        host = os.uname().nodename if wide else f"[{address}]" if ":" in address else address
        return f"http://{host}:{self.port}/"

    def show(self, decision: Decision) -> None:
        """Tell every viewer."""
        if self._last_s is not None and decision.time_s > self._last_s:
            self._decision_s = decision.time_s - self._last_s
        self._last_s = decision.time_s
        self._viewers.tell("decision", Record(self._now(), decision).to_json())

    def notice(self, notice: Notice) -> None:
        """Tell every viewer what is wrong, or that it is over; overflows are counted anyway."""
        if notice.kind is not NoticeKind.OVERFLOW:
            over = notice.kind in (NoticeKind.BACK, NoticeKind.SOUND_AGAIN)
            self._viewers.tell("trouble", {"text": "" if over else notice.text})

    def _timeline(self, hours: float, slices: int) -> dict[str, Any]:
        end_ms = round(self._now().timestamp() * 1000)
        return dataclasses.asdict(self._history.timeline(end_ms, hours, slices)) | {
            "decision_s": self._decision_s
        }
