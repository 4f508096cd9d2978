"""A broker that is away."""

from __future__ import annotations

import contextlib
import json
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from benchmarks.endurance.listening import PATIENCE_S, Listening, clip, listening, row, say


@contextlib.contextmanager
def broker(folder: Path, port: int) -> Iterator[None]:
    """Mosquitto on loopback. It knows its subscriber again after a death, and keeps for it what
    comes before that is there: what is missing at the end has not come from the sensor."""
    settings = folder / "mosquitto.conf"
    settings.write_text(
        f"listener {port} 127.0.0.1\nallow_anonymous true\nmax_queued_messages 0\nuser root\n"
        f"persistence true\npersistence_location {folder}/\n"
        "autosave_on_changes true\nautosave_interval 10\n"
    )
    process = subprocess.Popen(
        ["mosquitto", "-c", str(settings)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        yield
    finally:
        process.kill()
        process.wait()


class Subscriber:
    """A client that notes the time of each decision; connects by itself, again and again."""

    def __init__(self, port: int) -> None:
        from paho.mqtt.client import Client
        from paho.mqtt.enums import CallbackAPIVersion

        self.port = port
        self.heard: list[float] = []
        self.subscribed = threading.Event()
        client = Client(CallbackAPIVersion.VERSION2, client_id="subscriber", clean_session=False)
        client.on_connect = lambda *_: client.subscribe("emopi/endurance/decisions", qos=1)
        client.on_subscribe = lambda *_: self.subscribed.set()
        client.on_message = self._note
        client.reconnect_delay_set(1, 1)
        client.connect_async("127.0.0.1", port)
        client.loop_start()
        self.close = client.loop_stop

    def _note(self, _client: object, _data: object, message: Any) -> None:
        decision = json.loads(message.payload)
        if decision["model"].startswith("cnn-int8"):  # not of the run that only flushes
            self.heard.append(decision["time_s"])


@click.command(name="broker")
@click.option("--hours", default=1.0, show_default=True, help="Of audio, for which it is away.")
@click.option("--port", default=18830, show_default=True)
def broker_away(hours: float, port: int) -> None:
    """The MQTT broker dies and is away for an hour of audio."""
    with tempfile.TemporaryDirectory() as name, clip(hours * 3600 + 300) as file:
        folder = Path(name)
        settings = folder / "emopi.toml"
        settings.write_text(
            f'[source]\nname = "{file}"\n[gate]\ndetector = "none"\n[sinks.mqtt]\n'
            f'host = "127.0.0.1"\nport = {port}\nid = "endurance"\n'
            f'queue_file = "{folder / "queue"}"\n'
        )
        with contextlib.ExitStack() as first:
            first.enter_context(broker(folder, port))
            client = Subscriber(port)
            if not client.subscribed.wait(PATIENCE_S):
                raise click.ClickException("the broker has taken no subscriber")
            with listening("--fast", "--config", settings) as sensor:
                sensor.wait("decisions at the broker", lambda: len(client.heard) > 100)
                first.close()
                _broker_away(sensor, client, settings, round(hours * 7200))


def _broker_away(sensor: Listening, client: Subscriber, settings: Path, due: int) -> None:
    """From the broker's death on: it is back after so many decisions."""
    died = len(sensor.decisions)
    while sensor.process.poll() is None and len(sensor.decisions) < died + due:
        time.sleep(1)
    back = len(sensor.decisions)
    with broker(settings.parent, client.port):
        sensor.process.wait()
        say(sensor.said)
        made = [decision["time_s"] for decision in sensor.decisions]
        _flush(settings, client.heard, set(made))
    client.close()
    heard = set(client.heard)
    row("decisions", "while away", "received", "twice", "lost")
    row(len(made), back - died, len(heard), len(client.heard) - len(heard), len(set(made) - heard))


def _flush(settings: Path, heard: list[float], expected: set[float]) -> None:
    """Let the next start deliver what the end has left in the queue on disk."""
    with listening("--config", settings, "--model", "cnn-float32") as sensor:
        before, deadline = 0, time.monotonic() + PATIENCE_S
        while expected - set(heard) and time.monotonic() < deadline:
            if len(heard) > before:
                before, deadline = len(heard), time.monotonic() + PATIENCE_S
            time.sleep(0.5)
        say(sensor.said)
