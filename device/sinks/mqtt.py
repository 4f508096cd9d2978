"""A broker: every decision in order, however long it was away, and Home Assistant's discovery.

emopi/ID/decisions      each decision, QoS 1; what the broker has not acknowledged waits on
                        disk and is delivered, in order, when it is back: at least once
emopi/ID/notices        the same of notices
emopi/ID/state          retained: the newest decision, at a change of label or now and then
emopi/ID/availability   retained: online, or offline, by the last will too
"""

from __future__ import annotations

import contextlib
import json
import math
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

from emopi.device.decision import Decision
from emopi.device.errors import MissingExtraError, SinkError
from emopi.device.sinks import Report
from emopi.device.sinks.background import Recorder
from emopi.device.sinks.home_assistant import Topics, describe
from emopi.device.sinks.mqtt_settings import MqttSettings
from emopi.device.sinks.outbox import Message, Outbox
from emopi.device.sinks.record import Record

if TYPE_CHECKING:
    from paho.mqtt.client import Client

KEEPALIVE_S = 30
ACKNOWLEDGE_S = 1.0
"""How long a message may be with the broker before it goes to the disk."""
DELIVER_S = 0.25
"""For so long at once, late messages are delivered before the next decision is taken."""
LAST_RETRY_S = 60
"""Between attempts to reach the broker: at first one second, at last so long."""


class Mqtt(Recorder):
    """Publishes records. Needs no broker to begin with; tries for ever to reach it.

    What happens to the connection is reported once. A message that the broker has not
    acknowledged in `ACKNOWLEDGE_S` is on the disk; one that it has acknowledged just before this
    process was killed may come twice.
    """

    name = "mqtt"

    def __init__(self, settings: MqttSettings, report: Report) -> None:
        self._settings = settings
        self._report = report
        self._topics = Topics(settings.device_id)
        self._client: Client | None = None
        self._outbox: Outbox | None = None
        self._changed = threading.Condition()
        self._acknowledged: set[int] = set()
        self._sent: int | None = None  # the message id of the first in the outbox, once sent
        self._trouble = ""
        self._full = False
        self._discovery = b""
        self._state = b""
        self._state_label = ""
        self._state_s = -math.inf  # when it was published

    def open(self) -> None:
        """Open the queue and begin to connect. Raises `SinkError` or `MissingExtraError`."""
        path = self._settings.queue_path
        if not self._settings.queue_file:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        client = self._make_client()
        self._outbox = Outbox(path, self._settings.queue_limit)
        self._client = client
        client.connect_async(*self._settings.address, keepalive=KEEPALIVE_S)
        client.loop_start()

    def write(self, record: Record) -> None:
        """Publish it, or put it on disk behind what is waiting there."""
        assert self._outbox is not None
        topic = self._topics.notices
        if isinstance(record.what, Decision):
            topic = self._topics.decisions
            self._publish_state(record, record.what)
        message = Message(topic, _json(record.to_json()))
        if len(self._outbox) or not self._deliver(message):
            self._keep(self._outbox, message)
        self.idle()

    def idle(self) -> None:
        """Deliver what is waiting on disk, for `DELIVER_S`."""
        assert self._outbox is not None
        end_s = time.monotonic() + DELIVER_S
        while (message := self._outbox.first()) and time.monotonic() < end_s:
            if not self._deliver(message):
                return
            self._outbox.remove_first()
        self._full = self._full and message is not None

    def close(self) -> None:
        """Say that the sensor is offline; what is on disk stays there for the next time."""
        if self._client:
            client, self._client = self._client, None
            if client.is_connected():
                with contextlib.suppress(RuntimeError, ValueError):
                    offline = client.publish(self._topics.availability, b"offline", 1, retain=True)
                    offline.wait_for_publish(ACKNOWLEDGE_S)
            client.disconnect()
            client.loop_stop()
        if self._outbox:
            self._outbox.close()

    def _deliver(self, message: Message) -> bool:
        """Whether the broker has acknowledged the message, which is the first of all.

        One that is with the broker already is neither sent again, which paho does, nor waited for.
        """
        assert self._client is not None
        wait_s = 0.0
        if self._sent is None:
            if not self._client.is_connected():
                return False
            self._acknowledged.clear()
            # without the lock: paho calls back holding one of its own
            self._sent = self._client.publish(message.topic, message.payload, qos=1).mid
            wait_s = ACKNOWLEDGE_S
        with self._changed:
            if not self._changed.wait_for(lambda: self._sent in self._acknowledged, wait_s):
                return False
        self._sent = None
        return True

    def _keep(self, outbox: Outbox, message: Message) -> None:
        if outbox.append(message):
            self._sent = None  # the first has given way
            if not self._full:
                self._report(f"mqtt: {len(outbox)} messages wait; the oldest give way from now on")
            self._full = True

    def _publish_state(self, record: Record, decision: Decision) -> None:
        """The newest, retained; not kept if there is no broker."""
        assert self._client is not None
        settings = self._settings
        if settings.discovery_prefix and not self._discovery:
            name = settings.name or settings.device_id
            self._discovery = _json(describe(decision, self._topics, name, settings.state_every_s))
            self._publish_discovery(self._client)
        due = time.monotonic() - self._state_s >= settings.state_every_s
        if due or decision.label != self._state_label:
            self._state, self._state_label = _json(record.to_json()), decision.label
            self._state_s = time.monotonic()
            if self._client.is_connected():
                self._client.publish(self._topics.state, self._state, retain=True)

    def _publish_discovery(self, client: Client) -> None:
        if self._discovery and client.is_connected():
            topic = self._topics.discovery(self._settings.discovery_prefix)
            client.publish(topic, self._discovery, qos=1, retain=True)

    def _make_client(self) -> Client:
        try:
            from paho.mqtt.client import Client
            from paho.mqtt.enums import CallbackAPIVersion
        except ImportError:
            raise MissingExtraError("MQTT", "mqtt", "paho-mqtt") from None
        settings = self._settings
        client = Client(CallbackAPIVersion.VERSION2, client_id=settings.device_id)
        if settings.tls:
            try:
                client.tls_set(settings.ca_file or None)
            except OSError as error:
                raise SinkError(f"ca_file {settings.ca_file}: {error}") from None
        if settings.user:
            client.username_pw_set(settings.user, settings.password())
        client.will_set(self._topics.availability, b"offline", qos=1, retain=True)
        client.reconnect_delay_set(1, LAST_RETRY_S)
        client.on_connect = self._on_connect
        client.on_connect_fail = self._on_connect_fail
        client.on_disconnect = self._on_disconnect
        client.on_publish = self._on_publish
        return client

    # paho calls these in its own thread

    def _on_connect(
        self, client: Client, _data: object, _flags: object, code: Any, *_: Any
    ) -> None:
        if code.is_failure:
            self._tell(f"refuses us: {code}; check user, password and the broker's settings")
            return
        client.publish(self._topics.availability, b"online", qos=1, retain=True)
        self._publish_discovery(client)
        if time.monotonic() - self._state_s < self._settings.state_every_s:
            client.publish(self._topics.state, self._state, retain=True)
        self._tell("")

    def _on_connect_fail(self, _client: Client, _data: object) -> None:
        self._tell(f"cannot be reached: {sys.exception()}")

    def _on_disconnect(
        self, _client: Client, _data: object, _flags: object, code: Any, *_: Any
    ) -> None:
        if code.is_failure and not self._trouble:
            self._tell(f"is gone: {code}")

    def _on_publish(self, _client: Client, _data: object, mid: int, *_: Any) -> None:
        with self._changed:
            self._acknowledged.add(mid)
            self._changed.notify()

    def _tell(self, trouble: str) -> None:
        """Report new trouble, or that it is over."""
        where = "mqtt: the broker at {}:{}".format(*self._settings.address)
        if trouble and trouble != self._trouble:
            self._report(f"{where} {trouble}; messages wait in {self._settings.queue_path}")
        elif self._trouble and not trouble:
            self._report(f"{where} is there again")
        self._trouble = trouble


def _json(fields: dict[str, Any]) -> bytes:
    return json.dumps(fields, allow_nan=False, ensure_ascii=False).encode()
