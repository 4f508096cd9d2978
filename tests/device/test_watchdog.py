"""What the service manager hears, on a real datagram socket."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from emopi.device.watchdog import STATUS_S, Manager, Watchdog


class Heard:
    """A socket as systemd has it, and what has come."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind("\0" + address[1:] if address.startswith("@") else address)
        self._socket.setblocking(False)

    def messages(self) -> list[dict[str, str]]:
        """All since the last call, as fields."""
        found = []
        while True:
            try:
                lines = self._socket.recv(4096).decode().split("\n")
            except BlockingIOError:
                return found
            found.append(dict(line.split("=", 1) for line in lines))

    def close(self) -> None:
        self._socket.close()


class Clock:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture(params=["path", "abstract"])
def heard(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Heard]:
    found = Heard(
        str(tmp_path / "notify") if request.param == "path" else f"@emopi-test-{os.getpid()}"
    )
    yield found
    found.close()


def fed(heard: Heard) -> int:
    return sum(message.get("WATCHDOG") == "1" for message in heard.messages())


def test_ready_with_the_first_audio_and_not_before(heard: Heard) -> None:
    watchdog = Watchdog(Manager(heard.address), 40.0, clock=Clock())
    watchdog.heard(0, lambda: "nothing yet")
    assert heard.messages() == []
    watchdog.heard(800, lambda: "hears mic")
    watchdog.heard(800, lambda: "hears mic")
    assert heard.messages() == [{"READY": "1", "WATCHDOG": "1", "STATUS": "hears mic"}]


def test_fed_four_times_a_timeout_while_audio_comes(heard: Heard) -> None:
    clock = Clock()
    watchdog = Watchdog(Manager(heard.address), 40.0, clock=clock)
    for _ in range(400):
        watchdog.heard(800, lambda: "silence is audio too")
        clock.now_s += 0.1
    assert fed(heard) == 4


def test_not_fed_by_blocks_without_samples(heard: Heard) -> None:
    clock = Clock()
    watchdog = Watchdog(Manager(heard.address), 40.0, clock=clock)
    watchdog.heard(800, lambda: "")
    heard.messages()
    for _ in range(100):
        clock.now_s += 10
        watchdog.heard(0, lambda: "")
        watchdog.state("the microphone is lost")
    assert fed(heard) == 0


def test_a_service_without_watchdog_is_not_fed_but_has_a_state(heard: Heard) -> None:
    clock = Clock()
    watchdog = Watchdog(Manager(heard.address), clock=clock)
    for _ in range(3):
        watchdog.heard(800, lambda: "hears")
        clock.now_s += STATUS_S
    assert heard.messages() == [{"READY": "1", "STATUS": "hears"}, *[{"STATUS": "hears"}] * 2]


def test_reloading_then_ready_with_the_next_audio(heard: Heard) -> None:
    watchdog = Watchdog(Manager(heard.address), 40.0, clock=Clock())
    watchdog.heard(800, lambda: "hears")
    heard.messages()
    watchdog.reloading()
    (message,) = heard.messages()
    assert message["RELOADING"] == "1"
    assert int(message["MONOTONIC_USEC"]) > 0
    watchdog.heard(800, lambda: "hears")
    assert [message.get("READY") for message in heard.messages()] == ["1"]


def test_stopping(heard: Heard) -> None:
    Watchdog(Manager(heard.address)).stopping()
    assert heard.messages()[0]["STOPPING"] == "1"


def test_a_strange_name_cannot_forge_a_field(heard: Heard) -> None:
    watchdog = Watchdog(Manager(heard.address), clock=Clock())
    watchdog.state("mic\nWATCHDOG=1\r\nSTOPPING=1")
    assert heard.messages() == [{"STATUS": "mic WATCHDOG=1 STOPPING=1"}]


def test_a_manager_that_is_away_gets_ready_when_it_is_back(tmp_path: Path) -> None:
    watchdog = Watchdog(Manager(str(tmp_path / "notify")), 40.0, clock=Clock())
    watchdog.heard(800, lambda: "")  # nobody listens there
    heard = Heard(str(tmp_path / "notify"))
    watchdog.heard(800, lambda: "")
    assert [message["READY"] for message in heard.messages()] == ["1"]
    heard.close()


def test_a_manager_that_does_not_read_stops_nothing(heard: Heard) -> None:
    clock = Clock()
    watchdog = Watchdog(Manager(heard.address), 40.0, clock=clock)
    for _ in range(10_000):  # more than any socket holds
        clock.now_s += 40
        watchdog.heard(800, lambda: "x" * 1000)
    assert 0 < fed(heard) < 10_000


def test_environment(heard: Heard) -> None:
    environment = {"NOTIFY_SOCKET": heard.address, "WATCHDOG_USEC": "40000000"}
    Watchdog.from_environment(environment).heard(1, lambda: "")
    assert fed(heard) == 1
    others = environment | {"WATCHDOG_PID": "1"}
    Watchdog.from_environment(others).heard(1, lambda: "")
    assert heard.messages() == [{"READY": "1", "STATUS": ""}]


@pytest.mark.parametrize("timeout_us", ["", "0", "soon", "-1"])
def test_environment_with_no_timeout(heard: Heard, timeout_us: str) -> None:
    environment = {"NOTIFY_SOCKET": heard.address, "WATCHDOG_USEC": timeout_us}
    Watchdog.from_environment(environment).heard(1, lambda: "")
    assert heard.messages() == [{"READY": "1", "STATUS": ""}]


def test_outside_a_service_nothing_is_opened() -> None:
    before = sorted(Path("/proc/self/fd").iterdir())
    watchdog = Watchdog.from_environment({})
    watchdog.heard(1, lambda: "")
    watchdog.stopping()
    assert sorted(Path("/proc/self/fd").iterdir()) == before
