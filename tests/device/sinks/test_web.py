"""The page's server: what it answers, to whom, and that nobody holds it up."""

from __future__ import annotations

import http.client
import json
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from telling import PATIENCE_S, decision, wait_until

pytest.importorskip("bottle", reason="bottle is not installed (pip install 'emopi[web]')")
pytest.importorskip("waitress", reason="waitress is not installed (pip install 'emopi[web]')")
from page_server import page

from emopi.device.errors import SinkError, SpecError
from emopi.device.sinks import web as module
from emopi.device.sinks.web import Web, WebSettings
from emopi.device.sources.notice import Notice, NoticeKind

TOKEN = "a token of some length"


def ask(
    shown: Web, path: str, method: str = "GET", body: str | None = None, **headers: str
) -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", shown.port, timeout=PATIENCE_S)
    try:
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read()
    finally:
        connection.close()


class Viewer:
    """Reads the events of a page, one after the other."""

    def __init__(self, shown: Web, **headers: str) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", shown.port, timeout=PATIENCE_S)
        self._connection.request("GET", "/events", headers=headers)
        self.answer = self._connection.getresponse()

    def __enter__(self) -> Viewer:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()
        self.answer.close()

    def events(self) -> Iterator[tuple[str, dict[str, Any]]]:
        name = ""
        while line := self.answer.readline().decode().rstrip("\n"):
            if line.startswith("event: "):
                name = line.removeprefix("event: ")
            elif line.startswith("data: "):
                self.answer.readline()
                yield name, json.loads(line.removeprefix("data: "))
            elif line.startswith(("retry:", ":")):
                self.answer.readline()

    def next(self, wanted: str) -> dict[str, Any]:
        return next(fields for name, fields in self.events() if name == wanted)


@pytest.fixture(scope="module")
def shown() -> Iterator[Web]:
    with page(WebSettings(port=0)) as one:
        yield one


def test_the_page_needs_nothing_from_elsewhere(shown: Web) -> None:
    status, headers, body = ask(shown, "/")
    text = body.decode()
    assert status == 200
    assert headers["Content-Type"] == "text/html; charset=utf-8"
    assert headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert "Often wrong" in text
    assert "AI\n  Act" in text or "AI Act" in text
    for name in ("style.css", "script.js", "icon.svg"):
        assert f'"{name}"' in text
        status, headers, body = ask(shown, f"/{name}")
        assert status == 200
        assert body
    for other in (text, body.decode()):
        assert "//" not in other.replace("http://www.w3.org", "")


def test_what_is_not_there(shown: Web) -> None:
    for path in ("/absent", "/../setup.cfg", "/page/index.html", "/__init__.py"):
        assert ask(shown, path)[0] == 404
    assert ask(shown, "/token", "DELETE")[0] == 405


def test_decisions_come_live_and_the_newest_at_once(shown: Web) -> None:
    shown.show(decision(0))
    with Viewer(shown) as viewer:
        assert viewer.answer.getheader("Content-Type", "").startswith("text/event-stream")
        first = viewer.next("decision")
        assert first == {"time": first["time"]} | decision(0).to_json()
        shown.show(decision(1))
        assert viewer.next("decision")["time_s"] == 3.5


def test_the_machine_is_looked_at(shown: Web) -> None:
    with Viewer(shown) as viewer:
        assert {"temperature_c", "throttling"} <= set(viewer.next("board"))


def test_trouble_is_told_until_it_is_over(shown: Web) -> None:
    shown.notice(Notice(NoticeKind.LOST, "unplugged"))
    with Viewer(shown) as viewer:
        assert viewer.next("trouble") == {"text": "unplugged"}
        shown.notice(Notice(NoticeKind.OVERFLOW, "too slow"))
        shown.notice(Notice(NoticeKind.BACK, "there again"))
        assert viewer.next("trouble") == {"text": ""}


def test_timeline(shown: Web) -> None:
    status, _, body = ask(shown, "/timeline?hours=6")
    timeline = json.loads(body)
    assert status == 200
    assert len(timeline["counts"]) == 120
    assert timeline["slice_ms"] == 180_000
    labels = set().union(*timeline["counts"])
    assert {"no speech", "unsure", "happy", "sad"} <= labels
    assert sum(sum(counts.values()) for counts in timeline["counts"]) > 300
    for wrong in ("0", "-1", "nan", "1e9", "six"):
        assert ask(shown, f"/timeline?hours={wrong}")[0] == 400


def test_a_name_that_points_here_gets_nothing(shown: Web) -> None:
    """DNS rebinding: a page elsewhere asks its own name, which now means 127.0.0.1."""
    for host in ("evil.example", "evil.example:80", "localhost.evil.example", ""):
        status, _, body = ask(shown, "/timeline", Host=host)
        assert status == 403
        assert b"counts" not in body
    for host in ("localhost", f"127.0.0.1:{shown.port}", "[::1]:9"):
        assert ask(shown, "/timeline", Host=host)[0] == 200


@pytest.fixture
def guarded(monkeypatch: pytest.MonkeyPatch) -> Iterator[Web]:
    monkeypatch.setenv("EMOPI_WEB_TOKEN", TOKEN)
    with page(WebSettings("0.0.0.0", port=0)) as one:
        yield one


def test_beyond_this_machine_a_token_is_needed(guarded: Web) -> None:
    for path in ("/", "/events", "/timeline", "/script.js", "/index.html", "/absent"):
        for headers in ({}, {"Cookie": "emopi_token=wrong"}, {"Authorization": "Bearer wrong"}):
            status, _, body = ask(guarded, path, **headers)
            assert status == 401, path
            assert b"timeline" not in body
    assert ask(guarded, "/", Host="evil.example")[0] == 401
    assert ask(guarded, "/timeline", Authorization=f"Bearer {TOKEN}")[0] == 200


@pytest.mark.parametrize("way", ["form", "link"])
def test_a_token_is_asked_for_once(guarded: Web, way: str) -> None:
    status, _, body = ask(guarded, "/")
    assert b'name="token"' in body
    text = TOKEN.replace(" ", "+")
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    if way == "form":
        status, headers, _ = ask(guarded, "/token", "POST", f"token={text}", **form)
    else:
        status, headers, _ = ask(guarded, f"/?token={text}")
    assert status == 303
    cookie = headers["Set-Cookie"]
    assert "httponly" in cookie.lower()
    assert "samesite=strict" in cookie.lower()
    value = cookie.partition(";")[0]
    status, _, body = ask(guarded, "/", Cookie=value)
    assert status == 200
    assert b"timeline" in body
    with Viewer(guarded, Cookie=value) as viewer:
        guarded.show(decision(0))
        assert viewer.next("decision")["label"] == "happy"
    status, headers, body = ask(guarded, "/token", "POST", "token=wrong", **form)
    assert status == 401
    assert "Set-Cookie" not in headers
    assert b"That is not the token" in body


def test_without_a_token_each_start_makes_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EMOPI_WEB_TOKEN", raising=False)
    tokens = []
    for _ in range(2):
        told: list[str] = []
        with page(WebSettings("0.0.0.0", port=0), told) as one:
            token = told[0].removeprefix("web: the token is ").partition(",")[0]
            assert ask(one, "/")[0] == 401
            assert ask(one, "/", Authorization=f"Bearer {token}")[0] == 200
        tokens.append(token)
    assert tokens[0] != tokens[1]
    assert len(tokens[0]) >= 16


def test_viewers_who_do_not_read_hold_nobody_up(shown: Web) -> None:
    stuck = [socket.create_connection(("127.0.0.1", shown.port)) for _ in range(3)]
    for one in stuck:
        one.sendall(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
    with Viewer(shown) as viewer:
        for number in range(2000):  # far more than any buffer holds
            shown.show(decision(number))
        last = decision(1999).time_s
        assert any(
            fields.get("time_s") == last for name, fields in viewer.events() if name == "decision"
        )
    for one in stuck:
        one.close()


def gone(shown: Web) -> bool:
    """Whether nobody looks; who has left is found out by what is sent."""
    shown.show(decision(0))
    return shown.viewers == 0


def test_too_many_viewers(shown: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    wait_until(lambda: gone(shown), "the others to leave")
    monkeypatch.setattr(module, "MAX_VIEWERS", 2)
    with Viewer(shown) as first, Viewer(shown) as second:
        assert (first.answer.status, second.answer.status) == (200, 200)
        with Viewer(shown) as third:
            assert third.answer.status == 503
        assert ask(shown, "/")[0] == 200
    wait_until(lambda: gone(shown), "both to leave")
    with Viewer(shown) as again:
        assert again.answer.status == 200


def test_the_end_sends_viewers_away_and_frees_the_port() -> None:
    before = threading.active_count()
    with page(WebSettings(port=0)) as one:
        port = one.port
        viewer = Viewer(one)
        one.show(decision(0))
        viewer.next("decision")
    with viewer:
        assert not list(viewer.events())
    with page(WebSettings(port=port)) as again:
        assert ask(again, "/")[0] == 200
    wait_until(lambda: threading.active_count() <= before, "all threads to end")


def test_a_port_that_is_taken(shown: Web) -> None:
    with pytest.raises(SinkError, match="a port that is free"), page(WebSettings(port=shown.port)):
        pass


def test_a_token_that_is_too_short(tmp_path: Any) -> None:
    file = tmp_path / "token"
    file.write_text("short\n")
    settings = WebSettings("0.0.0.0", 0, str(file))
    with pytest.raises(SinkError, match="has 5 characters"), page(settings):
        pass
    with pytest.raises(SinkError, match="token_file"), page(WebSettings("::", 0, "/absent")):
        pass


@pytest.mark.parametrize(
    ("text", "address", "port"),
    [
        ("", "127.0.0.1", 8080),
        ("0.0.0.0", "0.0.0.0", 8080),
        (":9000", "127.0.0.1", 9000),
        ("0.0.0.0:9000", "0.0.0.0", 9000),
        ("::1", "::1", 8080),
        ("[::]:9000", "::", 9000),
        ("[::]", "::", 8080),
    ],
)
def test_addresses(text: str, address: str, port: int) -> None:
    assert WebSettings.from_text(text) == WebSettings(address, port)


@pytest.mark.parametrize("text", ["kitchen", "0.0.0.0:many", "1.2.3.4:99999", "1.2.3", "::1:x:"])
def test_addresses_that_are_refused(text: str) -> None:
    with pytest.raises(SpecError, match="expected"):
        WebSettings.from_text(text)
