"""A lamp of three colours on GPIO pins: a colour an emotion, dark where nobody speaks."""

from __future__ import annotations

import dataclasses
from types import TracebackType
from typing import TYPE_CHECKING, Self

from emopi.device.decision import NO_SPEECH, UNSURE, Decision
from emopi.device.errors import MissingExtraError, SinkError, SpecError
from emopi.device.sinks import Sink
from emopi.device.sources.notice import Notice, NoticeKind

if TYPE_CHECKING:
    from gpiozero import RGBLED

Colour = tuple[float, float, float]
"""Red, green and blue, 0 to 1."""

DARK: Colour = (0.0, 0.0, 0.0)
COLOURS: dict[str, Colour] = {
    NO_SPEECH: DARK,
    UNSURE: (0.08, 0.08, 0.08),
    "neutral": (0.6, 0.6, 0.6),
    "calm": (0.0, 0.7, 0.6),
    "happy": (1.0, 0.75, 0.0),
    "sad": (0.0, 0.1, 1.0),
    "angry": (1.0, 0.0, 0.0),
    "fearful": (0.6, 0.0, 1.0),
    "disgust": (0.2, 0.9, 0.0),
    "surprised": (1.0, 0.3, 0.05),
}
"""A label that is not here shows as "neutral"."""


@dataclasses.dataclass(frozen=True, slots=True)
class LedSettings:
    """An RGB LED, each colour on a GPIO pin of its own behind a resistor."""

    red: int
    """Number of its pin as the Raspberry Pi counts GPIOs, 0 to 27; not the header's."""
    green: int
    """The same."""
    blue: int
    """The same."""
    active_high: bool = True
    """Off for an LED with a common anode, which lights where a pin is low."""
    brightness: float = 0.5
    """Of the brightest, above 0 to 1."""

    def __post_init__(self) -> None:
        """Check every field against its range."""
        for name in ("red", "green", "blue"):
            if not 0 <= (pin := getattr(self, name)) <= 27:
                raise SpecError(f"{name} is {pin}; expected the number of a GPIO, 0 to 27")
        if len({self.red, self.green, self.blue}) < 3:
            raise SpecError(
                f"red, green and blue are {self.red}, {self.green} and {self.blue}; "
                "expected three different pins"
            )
        if not 0 < self.brightness <= 1:
            raise SpecError(f"brightness is {self.brightness}; expected above 0 to 1")

    @classmethod
    def from_text(cls, text: str) -> Self:
        """From "RED,GREEN,BLUE". Raises `SpecError` for anything else."""
        try:
            red, green, blue = (int(pin) for pin in text.split(","))
        except ValueError:
            raise SpecError(f"{text!r}: expected three pins, as 17,27,22") from None
        return cls(red, green, blue)


class Led(Sink):
    """Shows the newest label; dark while the source is lost, and at the end."""

    name = "led"

    def __init__(self, settings: LedSettings) -> None:
        self._settings = settings
        self._led: RGBLED | None = None

    def __enter__(self) -> Self:
        """Take the pins. Raises `SinkError` if there are none, or `MissingExtraError`."""
        try:
            from gpiozero import RGBLED, GPIOZeroError
        except ImportError:
            raise MissingExtraError("An LED", "gpio", "gpiozero") from None
        settings = self._settings
        pins = settings.red, settings.green, settings.blue
        try:
            self._led = RGBLED(*pins, active_high=settings.active_high)
        except (GPIOZeroError, OSError) as error:
            raise SinkError(
                f"no LED on GPIO {', '.join(map(str, pins))}: {error}; expected a Raspberry Pi "
                "with lgpio (apt install python3-lgpio) and a user in the group gpio"
            ) from None
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._led:
            self._led.off()
            self._led.close()
            self._led = None

    def show(self, decision: Decision) -> None:
        """Take the label's colour."""
        self._light(COLOURS.get(decision.label, COLOURS["neutral"]))

    def notice(self, notice: Notice) -> None:
        """Go dark when the source is lost: nothing is known of now."""
        if notice.kind is NoticeKind.LOST:
            self._light(DARK)

    def _light(self, colour: Colour) -> None:
        if self._led:
            self._led.color = tuple(part * self._settings.brightness for part in colour)
