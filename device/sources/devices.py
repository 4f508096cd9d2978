"""What each input device can do, as PortAudio finds out by asking it."""

from __future__ import annotations

import dataclasses
from typing import Any

from emopi.device.sources import portaudio
from emopi.device.sources.portaudio import FORMATS, InputDevice, StreamFormat
from emopi.device.sources.settings import MAX_CHANNELS

COMMON_RATES_HZ = (8_000, 11_025, 16_000, 22_050, 32_000, 44_100, 48_000, 88_200, 96_000, 192_000)


@dataclasses.dataclass(frozen=True, slots=True)
class DeviceReport:
    """An input device and all that it can be opened with, each asked with the others' best."""

    device: InputDevice
    rates_hz: tuple[int, ...]
    channels: tuple[int, ...]
    """Counts, up to `MAX_CHANNELS`."""
    formats: tuple[str, ...]
    """Those that PortAudio delivers; it converts what the device has."""

    @property
    def can_be_opened(self) -> bool:
        """False for a device that is in use, or whose sound server is gone."""
        return bool(self.rates_hz and self.channels and self.formats)

    def to_json(self) -> dict[str, Any]:
        """The fields by name, of JSON types."""
        return dataclasses.asdict(self.device) | {
            "rates_hz": list(self.rates_hz),
            "channel_counts": list(self.channels),
            "formats": list(self.formats),
        }


def device_reports() -> list[DeviceReport]:
    """One for each input, perhaps none; `MissingExtraError` without PyAudio."""
    audio = portaudio.start()
    try:
        return [_report(audio, device) for device in portaudio.inputs(audio)]
    finally:
        portaudio.terminate(audio)


def _report(audio: Any, device: InputDevice) -> DeviceReport:
    def can(rate_hz: int, channels: int, sample_format: str) -> bool:
        wanted = StreamFormat(device.name, rate_hz, channels, sample_format)
        return portaudio.supported(audio, device, wanted)

    most = min(device.channels, MAX_CHANNELS)
    counts = [n for n in range(1, most + 1) if can(device.rate_hz, n, "int16")]
    count = counts[-1] if counts else most
    rates = sorted({*COMMON_RATES_HZ, device.rate_hz})
    return DeviceReport(
        device,
        rates_hz=tuple(rate for rate in rates if can(rate, count, "int16")),
        channels=tuple(counts),
        formats=tuple(name for name in FORMATS if can(device.rate_hz, count, name)),
    )
