"""A private MQTT broker, and someone who listens to it."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from telling import PATIENCE_S, wait_until


def mosquitto() -> str | None:
    """The broker's program, where it is installed."""
    return shutil.which("mosquitto", path=os.environ.get("PATH", "") + ":/usr/sbin")


@dataclasses.dataclass
class Broker:
    """mosquitto on a port of its own, to be killed and started again."""

    folder: Path
    settings: str
    port: int
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Return when it can be connected to."""
        program = mosquitto()
        assert program
        file = self.folder / "mosquitto.conf"
        file.write_text(f"listener {self.port} 127.0.0.1\nuser root\n{self.settings}\n")
        with (self.folder / "mosquitto.log").open("ab") as log:
            command = [program, "-v", "-c", str(file)]
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        wait_until(self._reachable, "a connection to mosquitto")

    def kill(self) -> None:
        """End it as a crash would."""
        if self.process:
            self.process.kill()
            self.process.wait()
            self.process = None

    def _reachable(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, (self.folder / "mosquitto.log").read_text()
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port)):
            return True
        return False


@contextlib.contextmanager
def broker(folder: Path, settings: str = "allow_anonymous true") -> Iterator[Broker]:
    """A running broker; it is gone at the end."""
    folder.mkdir(exist_ok=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    one = Broker(folder, settings, port)
    one.start()
    try:
        yield one
    finally:
        one.kill()


class Listener:
    """Has heard everything that was published, but what was there before it: `retained`."""

    def __init__(self, port: int, **login: Any) -> None:
        from paho.mqtt.client import Client
        from paho.mqtt.enums import CallbackAPIVersion

        self.heard: list[tuple[str, str]] = []
        self.retained: dict[str, str] = {}
        self._subscribed = threading.Event()
        self._client = Client(CallbackAPIVersion.VERSION2)
        if login:
            self._client.tls_set(login["ca_file"])
            self._client.username_pw_set(login["user"], login["password"])
        self._client.on_connect = lambda client, *_: client.subscribe("#", qos=1)
        self._client.on_subscribe = lambda *_: self._subscribed.set()
        self._client.on_message = self._hear
        self._client.reconnect_delay_set(1, 1)
        self._client.connect("127.0.0.1", port)

    def __enter__(self) -> Listener:
        self._client.loop_start()
        assert self._subscribed.wait(PATIENCE_S)
        return self

    def __exit__(self, *_: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def _hear(self, _client: object, _data: object, message: Any) -> None:
        text = message.payload.decode()
        if message.retain:
            self.retained[message.topic] = text
        else:
            self.heard.append((message.topic, text))

    def topic(self, ending: str) -> list[Any]:
        """What was said where, JSON read."""
        texts = [text for topic, text in tuple(self.heard) if topic.endswith(ending)]
        return [json.loads(text) if text[:1] in "[{" else text for text in texts]


def wait_for(listener: Listener, ending: str, count: int) -> list[Any]:
    """What was said there, as soon as it is so much."""
    wait_until(lambda: len(listener.topic(ending)) >= count, f"{count} messages of {ending}")
    time.sleep(0.05)  # should there be more than expected
    return listener.topic(ending)
