"""The page of a sensor that has listened for six hours: for tests, and to look at.

python tests/page_server.py [ADDRESS:PORT]
"""

from __future__ import annotations

import contextlib
import math
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from telling import LABELS, decision

from emopi.device.decision import NO_SPEECH, UNSURE, Decision
from emopi.device.sinks.database import IN_MEMORY
from emopi.device.sinks.history import History, HistorySettings
from emopi.device.sinks.record import Record
from emopi.device.sinks.web import Web, WebSettings

HEARD_S = 6 * 3600


def pretended(second: int) -> Decision:
    """What is said at a second of a day on which people talk now and then."""
    talk = math.sin(second / 900) + math.sin(second / 211) + math.sin(second / 37)
    if talk < 0.6:
        return decision(2 * second, NO_SPEECH)
    mood = LABELS[int(4 + 4 * math.sin(second / 2500) + math.sin(second / 60)) % len(LABELS)]
    return decision(2 * second, UNSURE if second % 11 == 0 else mood, 0.4 + 0.1 * talk)


def past_of(history: History, end: datetime, step_s: int) -> None:
    """Write the hours before `end` into an open history."""
    for second in range(0, HEARD_S, step_s):
        history.write(Record(end - timedelta(seconds=HEARD_S - second), pretended(second)))
    history.idle()


@contextlib.contextmanager
def page(settings: WebSettings, told: list[str] | None = None, step_s: int = 60) -> Iterator[Web]:
    """A page with a past; it shows what is given to it."""
    history = History(HistorySettings(IN_MEMORY, commit_every_s=0))
    history.open()
    past_of(history, datetime.now(UTC), step_s)
    report: list[str] = [] if told is None else told
    try:
        with Web(settings, history, report.append) as web:
            yield web
    finally:
        history.close()


if __name__ == "__main__":
    with page(WebSettings.from_text(" ".join(sys.argv[1:]) or ":8080"), step_s=2) as shown:
        print(shown.url)
        for tick in range(10**9):
            shown.show(pretended(HEARD_S // 2 + tick))
            time.sleep(0.5)
