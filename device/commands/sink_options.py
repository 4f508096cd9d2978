"""The options of `emopi listen` that name sinks."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click


def sink_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options of the sinks to a command, which gets what they ask for as `sinks`:
    settings by NAME. Raises `SpecError` for a value that cannot be."""
    options = [
        click.option("--log", "sink_log", metavar="FILE",
                     help="Append each decision to a file, a JSON object a line, rotated."),
        click.option("--history", "sink_history", metavar="FILE",
                     help="Keep the decisions of the last days in an SQLite file."),
        click.option("--mqtt", "sink_mqtt", metavar="URL",
                     help="Publish to a broker: mqtt://[USER@]HOST[:PORT], mqtts:// for TLS. The "
                     "password is in the environment's EMOPI_MQTT_PASSWORD."),
        click.option("--led", "sink_led", metavar="R,G,B",
                     help="Light an RGB LED on these GPIO pins, as 17,27,22."),
        click.option("--web", "sink_web", metavar="[ADDRESS]", is_flag=False, flag_value="",
                     help="Show a page at this address; 127.0.0.1:8080 if none is given, 0.0.0.0 "
                     "for the network."),
    ]  # fmt: skip

    @functools.wraps(command)
    def with_sinks(**arguments: Any) -> None:
        texts = {name: arguments.pop(f"sink_{name}") for name in _FROM_TEXT}
        command(
            sinks={
                name: _FROM_TEXT[name](text) for name, text in texts.items() if text is not None
            },
            **arguments,
        )

    for option in reversed(options):
        with_sinks = option(with_sinks)
    return with_sinks


def _log(text: str) -> object:
    from emopi.device.sinks.log import LogSettings

    return LogSettings(Path(text))


def _history(text: str) -> object:
    from emopi.device.sinks.history import HistorySettings

    return HistorySettings(Path(text))


def _mqtt(text: str) -> object:
    from emopi.device.sinks.mqtt_settings import MqttSettings

    return MqttSettings.from_url(text)


def _led(text: str) -> object:
    from emopi.device.sinks.led import LedSettings

    return LedSettings.from_text(text)


def _web(text: str) -> object:
    from emopi.device.sinks.web import WebSettings

    return WebSettings.from_text(text)


_FROM_TEXT: dict[str, Callable[[str], object]] = {
    "log": _log,
    "history": _history,
    "mqtt": _mqtt,
    "led": _led,
    "web": _web,
}
