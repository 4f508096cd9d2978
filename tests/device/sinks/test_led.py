"""The lamp, on gpiozero's own pretended pins."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from telling import LABELS, decision

pytest.importorskip("gpiozero", reason="gpiozero is not installed (pip install 'emopi[gpio]')")
from gpiozero import Device
from gpiozero.pins.mock import MockFactory, MockPWMPin

from emopi.device.decision import NO_SPEECH, UNSURE
from emopi.device.errors import SinkError, SpecError
from emopi.device.sinks.led import COLOURS, Led, LedSettings
from emopi.device.sources.notice import Notice, NoticeKind

PINS = (17, 27, 22)


@pytest.fixture
def factory() -> Iterator[MockFactory]:
    before = Device.pin_factory
    Device.pin_factory = MockFactory(pin_class=MockPWMPin)
    try:
        yield Device.pin_factory
    finally:
        Device.pin_factory.reset()
        Device.pin_factory = before


def states(factory: MockFactory) -> tuple[float, ...]:
    return tuple(round(float(factory.pin(pin).state), 6) for pin in PINS)


def test_a_colour_for_each_label(factory: MockFactory) -> None:
    with Led(LedSettings(*PINS, brightness=1.0)) as led:
        for label in (*LABELS, UNSURE, NO_SPEECH):
            led.show(decision(0, label))
            assert states(factory) == COLOURS[label]
        led.show(decision(0, "bored"))  # another model's
        assert states(factory) == COLOURS["neutral"]
    assert len({COLOURS[label] for label in (*LABELS, UNSURE, NO_SPEECH)}) == 10
    assert COLOURS[NO_SPEECH] == (0, 0, 0)


def test_brightness_and_a_common_anode(factory: MockFactory) -> None:
    with Led(LedSettings(*PINS, active_high=False, brightness=0.5)) as led:
        led.show(decision(0, "angry"))
        assert states(factory) == (0.5, 1.0, 1.0)


def test_dark_when_the_source_is_lost_and_at_the_end(factory: MockFactory) -> None:
    with Led(LedSettings(*PINS)) as led:
        led.show(decision(0, "angry"))
        led.notice(Notice(NoticeKind.OVERFLOW, "too slow"))
        assert states(factory) == (0.5, 0, 0)
        led.notice(Notice(NoticeKind.LOST, "unplugged"))
        assert states(factory) == (0, 0, 0)
        led.show(decision(1, "angry"))
    assert states(factory) == (0, 0, 0)


def test_pins_that_are_taken(factory: MockFactory) -> None:
    with Led(LedSettings(*PINS)), pytest.raises(SinkError, match="no LED on GPIO 17, 5, 6"):
        Led(LedSettings(17, 5, 6)).__enter__()
    assert states(factory) == (0, 0, 0)


def test_settings_from_the_command_line() -> None:
    assert LedSettings.from_text("17,27, 22") == LedSettings(17, 27, 22)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("17", "expected three pins"),
        ("17,27,blue", "expected three pins"),
        ("17,27,28", "blue is 28"),
        ("17,27,17", "three different"),
    ],
)
def test_pins_that_are_refused(text: str, reason: str) -> None:
    with pytest.raises(SpecError, match=reason):
        LedSettings.from_text(text)


def test_brightness_out_of_range() -> None:
    with pytest.raises(SpecError, match=r"brightness is 0\.0"):
        LedSettings(*PINS, brightness=0.0)
