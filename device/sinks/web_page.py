"""What the page answers: its files, the events, the timeline, and who may see them."""

from __future__ import annotations

import hmac
import json
import math
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from emopi.device.board import board_state
from emopi.device.sinks.web import Viewers

if TYPE_CHECKING:
    from bottle import HTTPResponse

COOKIE = "emopi_token"
COOKIE_S = 365 * 86_400
FILES = {
    "index.html": "text/html; charset=utf-8",
    "style.css": "text/css; charset=utf-8",
    "script.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
}
OPEN_FILES = ("style.css", "icon.svg")
"""Which the page that asks for the token needs."""
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
SLICES = 120
MAX_HOURS = 24 * 14
BOARD_EVERY_S = 5.0
TIMELINE_EVERY_S = 10.0
"""A timeline is as good for so long, or for an eighth of a slice: a day of it is some work."""

ASK = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>emopi</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="icon.svg"><link rel="stylesheet" href="style.css"></head>
<body><header><h1>emopi</h1></header><main>{trouble}
<form method="post" action="token"><label>Token of this sensor
<input name="token" type="password" autocomplete="current-password" required autofocus></label>
<button>Show the page</button></form></main></body></html>
"""

Timeline = Callable[[float, int], dict[str, Any]]
"""From hours and a number of slices to the fields of `history.Timeline`, and `decision_s`."""


class WebPage:
    """The WSGI application.

    With a token, everything but a form that asks for it needs it, in a cookie or as a bearer.
    Without one, only requests that name this machine are answered: a page elsewhere could
    otherwise read the sensor through a name that it points here.
    """

    def __init__(
        self, viewers: Viewers, timeline: Timeline, token: str | None, *, local: bool
    ) -> None:
        import bottle

        self._bottle = bottle
        self._viewers = viewers
        self._timeline = timeline
        self._token = token
        self._local = local
        self._lock = threading.Lock()
        self._board_s = -math.inf
        self._timelines: dict[float, tuple[float, dict[str, Any]]] = {}
        folder = Path(__file__).with_name("page")
        self._files = {name: (folder / name).read_bytes() for name in FILES}
        self.app = bottle.Bottle()
        self.app.route("/", "GET", lambda: self._file("index.html"))
        self.app.route("/events", "GET", self._events)
        self.app.route("/timeline", "GET", self._answer_timeline)
        self.app.route("/token", "POST", self._take_token)
        self.app.route("/<name>", "GET", self._file)
        self.app.add_hook("before_request", self._admit)

    def _admit(self) -> None:
        """Raise the answer for who may not see what was asked for."""
        self._bottle.response.headers.update(HEADERS)
        path = self._bottle.request.path.lstrip("/")
        if self._token is None:
            host = urlsplit(f"//{self._bottle.request.get_header('Host', '')}").hostname or ""
            if host not in ("localhost", "127.0.0.1", "::1"):
                raise self._refusal(403, "This page is for this machine alone.")
        elif path == "token" or path in OPEN_FILES:
            return
        elif path == "" and self._bottle.request.query.token:
            self._admit_by(self._bottle.request.query.token)
        elif not self._is_token(self._given()):
            if path:
                raise self._refusal(401, "A token is needed.")
            raise self._refusal(401, ASK.format(trouble=""), "text/html; charset=utf-8")

    def _given(self) -> str:
        """The token that came with the request."""
        request = self._bottle.request
        kind, _, bearer = request.get_header("Authorization", "").partition(" ")
        return str(bearer if kind.lower() == "bearer" else request.get_cookie(COOKIE, ""))

    def _is_token(self, given: str) -> bool:
        return hmac.compare_digest(given.encode(), (self._token or "").encode())

    def _take_token(self) -> None:
        self._admit_by(self._bottle.request.forms.token)

    def _admit_by(self, given: str) -> None:
        """Raise the way to the page with the token in a cookie, or the question for it."""
        if not self._is_token(given):
            wrong = '<p class="trouble" role="alert">That is not the token.</p>'
            raise self._refusal(401, ASK.format(trouble=wrong), "text/html; charset=utf-8")
        answer = self._bottle.HTTPResponse(status=303, headers={**HEADERS, "Location": "./"})
        answer.set_cookie(
            COOKIE, given, max_age=COOKIE_S, path="/", httponly=True, samesite="strict"
        )
        raise answer

    def _refusal(
        self, status: int, text: str, kind: str = "text/plain; charset=utf-8"
    ) -> HTTPResponse:
        return self._bottle.HTTPResponse(text, status, {**HEADERS, "Content-Type": kind})

    def _file(self, name: str) -> bytes:
        if name not in FILES:
            raise self._refusal(404, "There is no such page.")
        self._bottle.response.content_type = FILES[name]
        return self._files[name]

    def _events(self) -> Iterator[bytes]:
        if (waiting := self._viewers.enter()) is None:
            raise self._refusal(503, "Too many look at this page just now.")
        self._bottle.response.content_type = "text/event-stream; charset=utf-8"
        return self._with_board(self._viewers.events(waiting))

    def _with_board(self, events: Iterator[bytes]) -> Iterator[bytes]:
        """The events; the viewers' own threads look after the machine now and then."""
        for event in events:
            with self._lock:
                due = time.monotonic() - self._board_s >= BOARD_EVERY_S
                if due:
                    self._board_s = time.monotonic()
            if due:
                self._viewers.tell("board", board_state().to_json())
            yield event

    def _answer_timeline(self) -> str:
        try:
            hours = float(self._bottle.request.query.hours or 6)
        except ValueError:
            hours = math.nan
        if not 0.1 <= hours <= MAX_HOURS:
            raise self._refusal(400, f"expected hours of 0.1 to {MAX_HOURS}")
        self._bottle.response.content_type = "application/json"
        try:
            return json.dumps(self._cached_timeline(hours))
        except sqlite3.Error as error:
            raise self._refusal(503, f"no history just now: {error}") from None

    def _cached_timeline(self, hours: float) -> dict[str, Any]:
        with self._lock:
            made_s, timeline = self._timelines.get(hours, (-math.inf, {}))
            slice_s = timeline.get("slice_ms", 0) / 1000
            if time.monotonic() - made_s >= max(TIMELINE_EVERY_S, slice_s / 8):
                timeline = self._timeline(hours, SLICES)
                if len(self._timelines) >= 8:
                    self._timelines.clear()
                self._timelines[hours] = (time.monotonic(), timeline)
            return timeline
