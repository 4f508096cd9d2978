"""What the service manager is told: ready, alive, reloading, stopping, and one line of state.

The protocol is systemd's sd_notify: a datagram of lines KEY=VALUE to the socket that the manager
names in the environment. Outside a service there is none, and nothing is sent.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Mapping
from typing import Self

Clock = Callable[[], float]
"""Seconds that only grow, such as `time.monotonic`."""

STATUS_S = 10.0
"""Pause between two lines of state, in a service without a watchdog."""


class Manager:
    """The other end of the socket; with address None, nobody. Never blocks, never raises."""

    def __init__(self, address: str | None) -> None:
        self._address = address

    def tell(self, **fields: str | int) -> bool:
        """Send the fields as one datagram; whether it has arrived. Line breaks become spaces."""
        if not self._address:
            return True
        import socket

        lines = (f"{key}={' '.join(str(value).split())}" for key, value in fields.items())
        # a name that begins with @ is of the abstract kind, which begins with a zero byte
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.setblocking(False)
            with contextlib.suppress(OSError):
                sender.sendto("\n".join(lines).encode(errors="replace"), address)
                return True
        return False


class Watchdog:
    """Tells a service manager that audio is being heard, and nothing when it is not.

    `heard` belongs behind everything that is done with a block: a microphone that delivers
    nothing, a model that does not answer and a sink that blocks all end the feeding, and the
    manager restarts the service. Silence feeds it: zeros are audio.
    """

    def __init__(
        self, manager: Manager, timeout_s: float | None = None, *, clock: Clock = time.monotonic
    ) -> None:
        """`timeout_s` is the time after which the manager restarts the service, None for never."""
        self._manager = manager
        self._feeds = {"WATCHDOG": 1} if timeout_s else {}
        self._pause_s = timeout_s / 4 if timeout_s else STATUS_S
        self._clock = clock
        self._ready = False
        self._next_s = 0.0

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Self:
        """The one that systemd asks for, which is a dumb one outside a service.

        What is not a number of microseconds, or meant for another process, is no timeout.
        """
        timeout_us = environment.get("WATCHDOG_USEC", "")
        mine = environment.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        timeout_s = int(timeout_us) / 1e6 if timeout_us.isdecimal() and mine else None
        return cls(Manager(environment.get("NOTIFY_SOCKET")), timeout_s or None)

    def heard(self, samples: int, state: Callable[[], str]) -> None:
        """So many samples have been through model and sinks; ready with the first of them.

        `state` gives one line for whoever asks `systemctl status`; no emotion belongs in it.
        """
        now_s = self._clock()
        if not samples or (self._ready and now_s < self._next_s):
            return
        ready = {} if self._ready else {"READY": 1}
        if self._manager.tell(**ready, **self._feeds, STATUS=state()):
            self._ready = True
            self._next_s = now_s + self._pause_s

    def state(self, text: str) -> None:
        """Say now, in one line, what has happened; no sign of life."""
        self._manager.tell(STATUS=text)

    def reloading(self) -> None:
        """The settings are read anew; the next audio makes it ready again."""
        self._ready = False
        microseconds = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        self._manager.tell(RELOADING=1, MONOTONIC_USEC=microseconds, STATUS="reads its settings")

    def stopping(self) -> None:
        """It ends, as told."""
        self._manager.tell(STOPPING=1, STATUS="stops")
