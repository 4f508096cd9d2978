"""MQTT against a real broker: in order, nothing lost while it is away, as Home Assistant wants."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from telling import LABELS, PATIENCE_S, Clock, decision, wait_until

pytest.importorskip("paho.mqtt", reason="paho-mqtt is not installed (pip install 'emopi[mqtt]')")
from broker import Broker, Listener, broker, mosquitto, wait_for

from emopi.device.decision import NO_SPEECH, UNSURE
from emopi.device.errors import SinkError, SpecError
from emopi.device.sinks import mqtt as module
from emopi.device.sinks.background import Background
from emopi.device.sinks.mqtt import Mqtt
from emopi.device.sinks.mqtt_settings import MqttSettings
from emopi.device.sinks.outbox import Message, Outbox
from emopi.device.sources.notice import Notice, NoticeKind

needs_broker = pytest.mark.skipif(
    mosquitto() is None, reason="mosquitto is not installed (apt install mosquitto)"
)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LAST_RETRY_S", 1)


@contextmanager
def publishing(
    port: int, folder: Path, told: list[str] | None = None, **fields: Any
) -> Iterator[Background]:
    settings = MqttSettings(
        "127.0.0.1", port, id="kitchen", queue_file=str(folder / "queue.sqlite"), **fields
    )
    report: list[str] = [] if told is None else told
    with Background(Mqtt(settings, report.append), report.append, now=Clock()) as sink:
        yield sink


def numbers(messages: list[dict[str, Any]]) -> list[int]:
    return [round((message["time_s"] - 3) * 2) for message in messages]


def waiting(folder: Path) -> int:
    outbox = Outbox(folder / "queue.sqlite", 10**6)
    try:
        return len(outbox)
    finally:
        outbox.close()


@needs_broker
def test_decisions_and_notices_arrive_in_order(tmp_path: Path) -> None:
    lost = Notice(NoticeKind.LOST, "unplugged")
    with (
        broker(tmp_path / "b") as server,
        Listener(server.port) as listener,
        publishing(server.port, tmp_path) as sink,
    ):
        for number in range(20):
            sink.show(decision(number))
        sink.notice(lost)
        messages = wait_for(listener, "emopi/kitchen/decisions", 20)
        (notice,) = wait_for(listener, "emopi/kitchen/notices", 1)
    assert numbers(messages) == list(range(20))
    assert messages[0] == {"time": "2026-11-03T12:00:00.500Z"} | decision(0).to_json()
    assert notice == {"time": notice["time"], "notice": "lost", "text": "unplugged"}
    assert waiting(tmp_path) == 0


@needs_broker
def test_what_home_assistant_gets(tmp_path: Path) -> None:
    with broker(tmp_path / "b") as server:
        with (
            Listener(server.port) as first,
            publishing(server.port, tmp_path, name="Kitchen") as sink,
        ):
            sink.show(decision(0))
            wait_for(first, "/decisions", 1)
            with Listener(server.port) as listener:
                wait_until(lambda: len(listener.retained) == 3, "three retained messages")
        with Listener(server.port) as later:
            wait_until(lambda: len(later.retained) == 3, "three retained messages")
    described = json.loads(listener.retained["homeassistant/device/kitchen/config"])
    assert described["dev"]["ids"] == ["kitchen"]
    assert described["dev"]["name"] == "Kitchen"
    assert described["o"]["name"] == "emopi"
    emotion = described["cmps"]["emotion"]
    assert emotion["p"] == "sensor"
    assert emotion["device_class"] == "enum"
    assert emotion["options"] == [*LABELS, UNSURE, NO_SPEECH]
    assert emotion["default_entity_id"] == "sensor.kitchen_emotion"
    assert set(described["cmps"]) == {"emotion", "confidence", "level", "latency"}
    assert described["cmps"]["latency"]["ent_cat"] == "diagnostic"
    ids = [component["unique_id"] for component in described["cmps"].values()]
    assert len(set(ids)) == len(ids)
    state = json.loads(listener.retained[described["stat_t"]])
    assert state == {"time": state["time"]} | decision(0).to_json()
    assert listener.retained[described["avty_t"]] == "online"
    assert later.retained[described["avty_t"]] == "offline"  # closed in good order


@needs_broker
def test_state_follows_the_label_not_every_decision(tmp_path: Path) -> None:
    labels = ["happy"] * 5 + ["sad"] * 5 + [NO_SPEECH] * 5
    with (
        broker(tmp_path / "b") as server,
        Listener(server.port) as listener,
        publishing(server.port, tmp_path, state_every_s=3600.0) as sink,
    ):
        sink.show(decision(0))
        wait_for(listener, "/decisions", 1)
        for number, label in enumerate(labels, 1):
            sink.show(decision(number, label))
        wait_for(listener, "/decisions", 16)
    said = [state["label"] for state in listener.topic("/state")]
    # the first one twice if it came while the connection was made
    assert [label for label, _ in itertools.groupby(said)] == ["happy", "sad", NO_SPEECH]
    assert len(said) <= 4


@needs_broker
def test_nothing_is_lost_while_the_broker_is_away(tmp_path: Path) -> None:
    told: list[str] = []
    count = itertools.count()
    with broker(tmp_path / "b") as server, publishing(server.port, tmp_path, told) as sink:
        with Listener(server.port) as listener:
            for number in itertools.islice(count, 10):
                sink.show(decision(number))
            first = wait_for(listener, "/decisions", 10)
        server.kill()
        wait_until(lambda: told, "the report that the broker is gone")
        for number in itertools.islice(count, 50):
            sink.show(decision(number))
        wait_until(lambda: waiting(tmp_path) == 50, "fifty on disk")
        server.start()
        with Listener(server.port) as listener:
            sink.show(decision(next(count)))
            second = wait_for(listener, "/decisions", 51)
    assert numbers(first + second) == list(range(61))
    assert waiting(tmp_path) == 0
    assert "is gone" in told[0]
    assert told[-1].endswith("is there again")


@needs_broker
def test_what_waits_outlives_the_process(tmp_path: Path) -> None:
    code = f"""
import sys, time
from pathlib import Path
sys.path.insert(0, {str(Path(__file__).parents[2])!r})
from telling import decision
from emopi.device.sinks.background import Background
from emopi.device.sinks.mqtt import Mqtt
from emopi.device.sinks.mqtt_settings import MqttSettings
settings = MqttSettings("127.0.0.1", 9, id="kitchen", queue_file=sys.argv[1])
with Background(Mqtt(settings, print), print) as sink:
    for number in range(30):
        sink.show(decision(number))
    time.sleep({PATIENCE_S})
"""
    command = [sys.executable, "-c", code, str(tmp_path / "queue.sqlite")]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        wait_until((tmp_path / "queue.sqlite").exists, "the queue's file")
        wait_until(lambda: waiting(tmp_path) == 30, "thirty on disk")
        process.kill()
    with (
        broker(tmp_path / "b") as server,
        Listener(server.port) as listener,
        publishing(server.port, tmp_path),  # with nothing new to say
    ):
        messages = wait_for(listener, "/decisions", 30)
    assert numbers(messages) == list(range(30))
    assert waiting(tmp_path) == 0


@needs_broker
def test_the_oldest_give_way(tmp_path: Path) -> None:
    told: list[str] = []
    with broker(tmp_path / "b") as server:
        server.kill()
        with publishing(server.port, tmp_path, told, queue_limit=10) as sink:
            for number in range(25):
                sink.show(decision(number))
            wait_until(lambda: len(told) == 2, "both reports")
            server.start()
            with Listener(server.port) as listener:
                messages = wait_for(listener, "/decisions", 10)
    assert numbers(messages) == list(range(15, 25))
    assert any("cannot be reached" in text for text in told)
    assert told.count("mqtt: 10 messages wait; the oldest give way from now on") == 1


@needs_broker
def test_the_last_will(tmp_path: Path) -> None:
    code = f"""
import sys, time
from pathlib import Path
sys.path.insert(0, {str(Path(__file__).parents[2])!r})
from telling import decision
from emopi.device.sinks.background import Background
from emopi.device.sinks.mqtt import Mqtt
from emopi.device.sinks.mqtt_settings import MqttSettings
settings = MqttSettings("127.0.0.1", int(sys.argv[2]), id="kitchen", queue_file=sys.argv[1])
with Background(Mqtt(settings, print), print) as sink:
    sink.show(decision())
    time.sleep({PATIENCE_S})
"""
    with broker(tmp_path / "b") as server, Listener(server.port) as listener:
        command = [sys.executable, "-c", code, str(tmp_path / "queue.sqlite"), str(server.port)]
        with subprocess.Popen(command) as process:
            wait_for(listener, "/decisions", 1)
            assert listener.topic("/availability") == ["online"]
            process.kill()
            assert wait_for(listener, "/availability", 2) == ["online", "offline"]


def openssl(folder: Path, *arguments: str) -> None:
    command = ["openssl", *arguments]
    subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=PATIENCE_S)


@pytest.fixture
def secure(tmp_path: Path) -> Iterator[Broker]:
    """With TLS by a certificate of our own authority, and a password."""
    folder = tmp_path / "secure"
    folder.mkdir()
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    openssl(
        folder,
        "req",
        "-x509",
        *key,
        "-keyout",
        "ca.key",
        "-out",
        "ca.crt",
        "-subj",
        "/CN=us",
        "-days",
        "2",
    )
    openssl(folder, "req", *key, "-keyout", "its.key", "-out", "its.csr", "-subj", "/CN=broker")
    (folder / "names").write_text("subjectAltName = IP:127.0.0.1")
    openssl(
        folder,
        "x509",
        "-req",
        "-in",
        "its.csr",
        "-CA",
        "ca.crt",
        "-CAkey",
        "ca.key",
        "-CAcreateserial",
        "-days",
        "2",
        "-extfile",
        "names",
        "-out",
        "its.crt",
    )
    passwords = folder / "passwords"
    subprocess.run(
        ["mosquitto_passwd", "-b", "-c", str(passwords), "emopi", "s3cret word"], check=True
    )
    settings = f"cafile {folder}/ca.crt\ncertfile {folder}/its.crt\nkeyfile {folder}/its.key\n"
    with broker(folder, f"allow_anonymous false\npassword_file {passwords}\n{settings}") as server:
        yield server


@needs_broker
def test_tls_and_password(secure: Broker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ca_file = str(secure.folder / "ca.crt")
    password_file = tmp_path / "password"
    password_file.write_text("s3cret word\n")
    login = {"tls": True, "user": "emopi", "ca_file": ca_file}
    with Listener(secure.port, ca_file=ca_file, user="emopi", password="s3cret word") as listener:
        file = str(password_file)
        with publishing(secure.port, tmp_path, password_file=file, **login) as sink:
            sink.show(decision(0))
            wait_for(listener, "/decisions", 1)
        monkeypatch.setenv("EMOPI_MQTT_PASSWORD", "s3cret word")
        with publishing(secure.port, tmp_path, **login) as sink:
            sink.show(decision(1))
            assert numbers(wait_for(listener, "/decisions", 2)) == [0, 1]


@needs_broker
# paho 2.2 leaves the socket of a failed handshake to the garbage collector
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"ca_file": ""}, "certificate verify failed"),
        ({"password_file": "/dev/null"}, "Not authorized"),
        ({"tls": False, "ca_file": ""}, ""),
    ],
)
def test_a_broker_that_is_not_ours_gets_nothing(
    secure: Broker, tmp_path: Path, wrong: dict[str, Any], reason: str
) -> None:
    told: list[str] = []
    password_file = tmp_path / "password"
    password_file.write_text("s3cret word")
    login = {
        "tls": True,
        "user": "emopi",
        "ca_file": str(secure.folder / "ca.crt"),
        "password_file": str(password_file),
    }
    with publishing(secure.port, tmp_path, told, **login | wrong) as sink:
        sink.show(decision(0))
        wait_until(lambda: told, "the report")
        wait_until(lambda: waiting(tmp_path) == 1, "the message on disk")
    assert reason in told[0]
    assert "s3cret" not in told[0]


def test_settings_from_a_url() -> None:
    assert MqttSettings.from_url("mqtt://broker") == MqttSettings("broker")
    plain = MqttSettings.from_url("mqtt://me@[::1]:1999/")
    assert plain == MqttSettings("::1", 1999, user="me")
    secure = MqttSettings.from_url("mqtts://broker?ca_file=/ca.crt&id=kitchen&queue_limit=5")
    assert secure == MqttSettings(
        "broker", tls=True, ca_file="/ca.crt", id="kitchen", queue_limit=5
    )
    assert secure.address == ("broker", 8883)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("mqtt://me:secret@broker", "visible to everyone"),
        ("http://broker", "expected mqtt://"),
        ("mqtt://", "host is ''"),
        ("mqtt://broker:x", "Port"),
        ("mqtt://broker:99999", "ort"),
        ("mqtt://broker?cat=1", "unknown setting 'cat'"),
        ("mqtt://broker?queue_limit=many", "expected a number"),
        ("mqtt://broker?queue_limit=0", "queue_limit is 0"),
        ("mqtt://broker?ca_file=x", "tls is off"),
        ("mqtt://broker?id=a/b", "id is 'a/b'"),
        ("mqtt://broker?state_every_s=0", "state_every_s is 0"),
        ("mqtt://broker?discovery_prefix=%23", "discovery_prefix is '#'"),
    ],
)
def test_urls_that_are_refused(url: str, reason: str) -> None:
    with pytest.raises(SpecError, match=reason.replace("?", r"\?")) as caught:
        MqttSettings.from_url(url)
    assert "secret" not in str(caught.value)


def test_a_password_file_that_is_not_there(tmp_path: Path) -> None:
    told: list[str] = []
    login = {"user": "me", "password_file": str(tmp_path / "absent")}
    with pytest.raises(SinkError, match="password_file"), publishing(9, tmp_path, told, **login):
        pass


def test_an_outbox_is_in_order_and_bounded(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "o", limit=3)
    messages = [Message("t", str(number).encode()) for number in range(5)]
    assert [outbox.append(message) for message in messages] == [0, 0, 0, 1, 1]
    outbox.close()
    outbox = Outbox(tmp_path / "o", limit=2)
    assert len(outbox) == 3
    assert outbox.append(Message("t", b"5")) == 2
    left = []
    while message := outbox.first():
        left.append(message.payload)
        outbox.remove_first()
    outbox.close()
    assert left == [b"4", b"5"]
