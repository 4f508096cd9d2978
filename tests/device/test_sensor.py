"""The loop that listens all day, in this process: decisions, reload, recording, sign of life."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import pytest
import soundfile as sf
from support import MODELS, speech

from emopi.device.classifier import Classifier
from emopi.device.config.settings import Settings
from emopi.device.decision import Decision
from emopi.device.errors import AudioError, ConfigError, EmopiError, SinkError
from emopi.device.gate import LEVEL_ALONE
from emopi.device.pipeline import Pipeline, decisions
from emopi.device.recording import Recording
from emopi.device.sensor import Sensor
from emopi.device.signals import Signals, Stopped
from emopi.device.sinks import Sink
from emopi.device.sources.audio import ArraySource, AudioBlock, AudioSource
from emopi.device.sources.notice import Notice, NoticeKind, Tell
from emopi.device.watchdog import Manager, Watchdog

RATE_HZ = 16_000
AUDIO = np.tile(speech(4.0), 3)

Event = Callable[[], Any]


class Scripted:
    """Blocks of 0.1 s; before some of them something happens."""

    name = "scripted"
    sample_rate_hz = RATE_HZ

    def __init__(self, events: dict[int, Event], overflows: int = 0) -> None:
        self._events = events
        self._overflows = overflows
        self.is_closed = False

    def blocks(self) -> Iterator[AudioBlock]:
        for number, block in enumerate(ArraySource(AUDIO, RATE_HZ).blocks()):
            if number in self._events:
                self._events[number]()
            yield dataclasses.replace(block, overflows=self._overflows)

    def close(self) -> None:
        self.is_closed = True


class Kept(Sink):
    """Remembers everything, and what the settings of its table were."""

    def __init__(self, settings: Any = None, error: EmopiError | None = None) -> None:
        self.settings = settings
        self.error = error
        self.decisions: list[Decision] = []
        self.notices: list[Notice] = []
        self.is_open = False

    def __enter__(self) -> Kept:
        if self.error:
            raise self.error
        self.is_open = True
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.is_open = False

    def show(self, decision: Decision) -> None:
        assert self.is_open
        self.decisions.append(decision)

    def notice(self, notice: Notice) -> None:
        self.notices.append(notice)


@dataclasses.dataclass
class Bench:
    """Parts for a sensor, and what it did with them."""

    source_given: Scripted = dataclasses.field(default_factory=lambda: Scripted({}))
    wanted: Settings = dataclasses.field(default_factory=Settings.default)
    wrong: EmopiError | None = None
    record: Path | None = None
    signals: Signals = dataclasses.field(default_factory=Signals)
    watchdog: Watchdog = dataclasses.field(default_factory=lambda: Watchdog(Manager(None)))
    said: list[str] = dataclasses.field(default_factory=list)
    made: list[Kept] = dataclasses.field(default_factory=list)
    tell: Tell | None = None
    sink_errors: dict[str, EmopiError] = dataclasses.field(default_factory=dict)

    def settings(self) -> Settings:
        if self.wrong:
            raise self.wrong
        return self.wanted

    def pipeline(self, settings: Settings) -> Pipeline:
        classifier = Classifier(MODELS / f"{settings['model'].name}.tflite")
        return Pipeline(classifier, settings["decision"], gate=LEVEL_ALONE)

    def source(self, _settings: Settings, rate_hz: int, tell: Tell) -> AudioSource:
        assert rate_hz == RATE_HZ
        self.tell = tell
        return self.source_given

    def sinks(self, settings: Settings, _source: str) -> Sink:
        error = self.sink_errors.get(str(settings.sinks.get("kept")))
        self.made.append(Kept(settings.sinks.get("kept"), error))
        return self.made[-1]

    def recording(self, rate_hz: int) -> Recording | None:
        return Recording(self.record, 1.0, rate_hz) if self.record else None

    def run(self) -> list[Decision]:
        with Sensor(self, self.signals, self.watchdog, self.said.append) as sensor:
            sensor.run()
        assert self.source_given.is_closed
        assert not any(sink.is_open for sink in self.made)
        return [decision for sink in self.made for decision in sink.decisions]

    def change(self, **tables: dict[str, Any]) -> Event:
        """An event: other settings, and the wish to have them."""

        def event() -> None:
            parts = {
                name: dataclasses.replace(part, **tables.get(name, {}))
                for name, part in self.wanted.parts.items()
            }
            self.wanted = Settings(parts, tables.get("sinks", self.wanted.sinks))
            self.signals.reload = True

        return event


def clean(decision: Decision) -> dict[str, Any]:
    """Without what the machine's speed decides."""
    return decision.to_json() | {"latency_ms": None}


def test_gives_every_decision_of_the_pipeline() -> None:
    bench = Bench()
    expected = decisions(ArraySource(AUDIO, RATE_HZ), bench.pipeline(bench.wanted))
    assert [clean(d) for d in bench.run()] == [clean(d) for d in expected]
    assert bench.said == []


def test_too_little_audio_is_an_error_that_names_the_source() -> None:
    bench = Bench()
    bench.source_given.blocks = lambda: iter([AudioBlock(np.zeros(10, np.float32))])  # type: ignore[method-assign]
    with pytest.raises(AudioError, match="scripted: the audio ended after 10 samples"):
        bench.run()
    assert bench.source_given.is_closed


class TestReload:
    def test_another_model_goes_on_with_the_same_clock(self) -> None:
        bench = Bench()
        bench.source_given = Scripted({60: bench.change(model={"name": "cnn-float32"})}, 1)
        found = bench.run()
        models = [decision.model.rpartition("-")[0] for decision in found]
        assert set(models[:7]) == {"cnn-int8"}
        assert set(models[7:]) == {"cnn-float32"}
        # block 60 is the last that the old one heard; then a window fills
        times_s = [round(decision.time_s, 3) for decision in found]
        assert times_s[:8] == [3.015, 3.515, 4.015, 4.515, 5.015, 5.515, 6.015, 6.1 + 3.015]
        assert times_s[-1] == 12.0
        assert [d.overflows for d in found] == [int(d.time_s * 10 + 0.999) for d in found]
        assert bench.said == ["settings read anew; changed: model"]

    def test_thresholds(self) -> None:
        bench = Bench()
        bench.source_given = Scripted({40: bench.change(decision={"hop_s": 0.1})})
        found = bench.run()
        assert np.diff([d.time_s for d in found[-5:-1]]) == pytest.approx([0.1] * 3)
        assert bench.said == ["settings read anew; changed: decision"]

    def test_broken_settings_leave_everything_as_it_was(self) -> None:
        bench = Bench()

        def damage() -> None:
            bench.wrong = ConfigError("emopi.toml, [model], name: found 3; expected a text")
            bench.signals.reload = True

        bench.source_given = Scripted({60: damage})
        found = bench.run()
        expected = decisions(ArraySource(AUDIO, RATE_HZ), bench.pipeline(bench.wanted))
        assert [clean(d) for d in found] == [clean(d) for d in expected]
        assert bench.said == [f"the settings stay as they were: {bench.wrong}"]
        assert len(bench.made) == 1

    def test_a_model_that_is_not_there_leaves_sinks_alone_too(self) -> None:
        bench = Bench()
        event = bench.change(model={"name": "absent"}, sinks={"kept": 1})
        bench.source_given = Scripted({60: event})
        assert len(bench.run()) == 19
        assert bench.said[0].startswith("the settings stay as they were: ")
        assert len(bench.made) == 1

    def test_other_sinks_get_the_later_decisions(self) -> None:
        bench = Bench()
        bench.source_given = Scripted({60: bench.change(sinks={"kept": 1})})
        found = bench.run()
        expected = decisions(ArraySource(AUDIO, RATE_HZ), bench.pipeline(bench.wanted))
        assert [clean(d) for d in found] == [clean(d) for d in expected]
        assert [(sink.settings, len(sink.decisions)) for sink in bench.made] == [(None, 7), (1, 12)]

    def test_sinks_that_cannot_be_opened_bring_the_old_ones_back(self) -> None:
        bench = Bench(sink_errors={"1": SinkError("no such broker")})
        bench.source_given = Scripted({60: bench.change(sinks={"kept": 1})})
        assert len(bench.run()) == 19
        assert [len(sink.decisions) for sink in bench.made] == [7, 0, 12]
        assert bench.said == ["the settings stay as they were: no such broker"]

    def test_old_sinks_that_cannot_be_had_again_end_it(self) -> None:
        bench = Bench(sink_errors={"1": SinkError("no such broker")})
        change = bench.change(sinks={"kept": 1})

        def event() -> None:
            bench.sink_errors["None"] = SinkError("gone as well")
            change()

        bench.source_given = Scripted({60: event})
        with pytest.raises(SinkError, match="gone as well"):
            bench.run()

    def test_another_source_waits_for_a_restart(self) -> None:
        bench = Bench()
        bench.source_given = Scripted({60: bench.change(source={"name": "mic:USB"})})
        assert len(bench.run()) == 19
        assert bench.said == [
            "settings read anew; changed: source",
            "[source] will hold after a restart",
        ]

    def test_just_before_the_end(self) -> None:
        bench = Bench()
        last = len(AUDIO) // 1600 - 1
        bench.source_given = Scripted({last: bench.change(model={"name": "cnn-float32"})})
        assert bench.run()[-1].time_s == pytest.approx(11.515)  # nothing came after it


class TestStop:
    def test_what_was_decided_is_shown_and_nothing_more(self) -> None:
        bench = Bench()

        def stop() -> None:
            bench.signals.stopped = True

        bench.source_given = Scripted({60: stop})
        assert [round(d.time_s, 3) for d in bench.run()][-1] == 6.015

    def test_while_waiting_for_audio(self) -> None:
        bench = Bench()

        def stop() -> None:
            bench.signals.stopped = True
            raise Stopped

        bench.source_given = Scripted({60: stop})
        assert [round(d.time_s, 3) for d in bench.run()][-1] == 5.515


def test_notices_reach_sinks_person_and_manager() -> None:
    bench = Bench()
    notice = Notice(NoticeKind.LOST, "the microphone is gone; plug it in")

    def lose() -> None:
        assert bench.tell
        bench.tell(notice)

    bench.source_given = Scripted({60: lose})
    bench.run()
    assert bench.made[0].notices == [notice]
    assert bench.said == [notice.text]


class TestRecord:
    def test_at_the_end(self, tmp_path: Path) -> None:
        bench = Bench(record=tmp_path / "a.wav")
        bench.run()
        samples, _ = sf.read(tmp_path / "a.wav", dtype="float32")
        np.testing.assert_allclose(samples, AUDIO[-RATE_HZ:], atol=1 / 32768)
        assert bench.said == [f"what was heard is in {tmp_path / 'a.wav'}"]

    def test_on_request(self, tmp_path: Path) -> None:
        bench = Bench(record=tmp_path)

        def keep() -> None:
            bench.signals.keep = True

        bench.source_given = Scripted({60: keep})
        bench.run()
        first, _ = sorted(tmp_path.iterdir())
        samples, _ = sf.read(first, dtype="float32")
        np.testing.assert_allclose(samples, AUDIO[61 * 1600 - RATE_HZ : 61 * 1600], atol=1 / 32768)

    def test_request_without_record(self) -> None:
        bench = Bench()
        bench.signals.keep = True
        bench.run()
        assert bench.said == ["nothing is recorded: give --record to keep what is heard"]


class Heard:
    """A socket as systemd has it, and all that has come."""

    def __init__(self, path: Path) -> None:
        self.address = str(path)
        self.messages: list[str] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(self.address)
        self._socket.setblocking(False)

    def read(self) -> None:
        """Take what waits: the kernel keeps ten."""
        with contextlib.suppress(BlockingIOError):
            while True:
                self.messages.append(self._socket.recv(4096).decode())

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def heard(tmp_path: Path) -> Iterator[Heard]:
    with contextlib.closing(Heard(tmp_path / "notify")) as found:
        yield found


class TestManager:
    """What systemd is told, on a real datagram socket, by a clock that goes with the audio."""

    def bench(self, heard: Heard, events: dict[int, Event] | None = None) -> Bench:
        """0.1 s pass before each block; the watchdog bites after 4 s."""
        self.now_s = 0.0
        watchdog = Watchdog(Manager(heard.address), 4.0, clock=lambda: self.now_s)

        def tick(number: int) -> None:
            heard.read()
            self.now_s += 0.1
            if events and number in events:
                events[number]()

        bench = Bench(watchdog=watchdog)
        ticks = {number: functools.partial(tick, number) for number in range(120)}
        bench.source_given = Scripted(ticks)
        return bench

    def test_a_life(self, heard: Heard) -> None:
        self.bench(heard).run()
        heard.read()
        first, *fed, stopping = heard.messages
        assert first.startswith("READY=1\nWATCHDOG=1\nSTATUS=hears scripted: 0 s of audio, 0 deci")
        assert len(fed) == 11  # once a second, of 12 s
        assert all(
            message.startswith("WATCHDOG=1\nSTATUS=hears scripted, -") for message in fed[3:]
        )
        assert stopping == "STOPPING=1\nSTATUS=stops"

    def test_no_emotion_is_told(self, heard: Heard) -> None:
        labels = {decision.label for decision in self.bench(heard).run()}
        heard.read()
        assert labels
        assert not [label for label in labels if label in "".join(heard.messages)]

    def test_a_frozen_capture_is_not_alive(self, heard: Heard) -> None:
        while_frozen = []

        def freeze() -> None:  # the source waits, and the sensor for it
            before = len(heard.messages)
            self.now_s += 1000
            heard.read()
            while_frozen.extend(heard.messages[before:])

        bench = self.bench(heard, {60: freeze})
        bench.run()
        heard.read()
        assert while_frozen == []
        assert len([m for m in heard.messages if "WATCHDOG" in m]) in (11, 12, 13)

    def test_blocks_without_samples_are_not_alive(self, heard: Heard) -> None:
        empty = AudioBlock(np.empty(0, np.float32))
        bench = Bench(watchdog=Watchdog(Manager(heard.address), 1e-6))
        bench.source_given.blocks = lambda: iter([empty] * 9)  # type: ignore[method-assign]
        with pytest.raises(AudioError):
            bench.run()
        heard.read()
        assert heard.messages == ["STOPPING=1\nSTATUS=stops"]

    def test_a_stuck_sink_is_not_alive(self, heard: Heard, monkeypatch: pytest.MonkeyPatch) -> None:
        while_stuck = []

        def stick(_sink: Kept, _decision: Decision) -> None:
            heard.read()
            before = len(heard.messages)
            self.now_s += 1000
            heard.read()
            while_stuck.extend(heard.messages[before:])
            raise BrokenPipeError

        monkeypatch.setattr(Kept, "show", stick)
        with pytest.raises(BrokenPipeError):
            self.bench(heard).run()
        heard.read()
        assert while_stuck == []
        assert heard.messages[-2].startswith("WATCHDOG=1\n")
        assert "s of audio, 0 decisions" in heard.messages[-2]

    def test_reload(self, heard: Heard) -> None:
        bench = Bench()
        bench.watchdog = Watchdog(Manager(heard.address), 4.0, clock=lambda: 0.0)
        bench.source_given = Scripted({60: bench.change(model={"name": "cnn-float32"})})
        bench.run()
        heard.read()
        first, reloading, ready, _ = heard.messages
        assert first.startswith("READY=1")
        assert reloading.startswith("RELOADING=1\nMONOTONIC_USEC=")
        assert ready.startswith("READY=1")
