"""From the settings [sinks.NAME] to sinks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from emopi.device.sinks import Now, Report, Sink, utc_now
from emopi.device.sinks.background import Background, Recorder

PAGE_DAYS = 1.0
"""Of history for the page's timeline, in memory, where no file of it is kept."""


def make_sinks(
    settings: Mapping[str, Any], report: Report, *, now: Now = utc_now, patience_s: float = 0.0
) -> list[Sink]:
    """The sinks of these settings, by NAME, not yet opened. `patience_s` as in `Background`."""
    recorders: list[Recorder] = []
    sinks: list[Sink] = []
    history = None
    if log := settings.get("log"):
        from emopi.device.sinks.log import Log

        recorders.append(Log(log, report))
    if "history" in settings or "web" in settings:
        from emopi.device.sinks.database import IN_MEMORY
        from emopi.device.sinks.history import History, HistorySettings

        in_memory = HistorySettings(IN_MEMORY, keep_days=PAGE_DAYS)
        history = History(settings.get("history", in_memory))
        recorders.append(history)
    if mqtt := settings.get("mqtt"):
        from emopi.device.sinks.mqtt import Mqtt

        recorders.append(Mqtt(mqtt, report))
    if led := settings.get("led"):
        from emopi.device.sinks.led import Led

        sinks.append(Led(led))
    if history and (web := settings.get("web")):
        from emopi.device.sinks.web import Web

        sinks.append(Web(web, history, report, now))
    return [*(Background(one, report, now=now, patience_s=patience_s) for one in recorders), *sinks]
