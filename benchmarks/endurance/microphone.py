"""A sound server that dies, and a processor that is taken away."""

from __future__ import annotations

import contextlib
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import click

from benchmarks.endurance.listening import gaps, listening, row, say

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.device.pulse import PulseServer, pulse_server, why_not


@contextlib.contextmanager
def sound() -> Iterator[PulseServer]:
    """A sound server with a microphone."""
    if missing := why_not():
        raise click.ClickException(missing)
    with pulse_server() as server:
        yield server


@click.command()
@click.option("--times", default=20, show_default=True)
def server(times: int) -> None:
    """The sound server dies and comes back, again and again."""
    with sound() as pulse, listening(**pulse.env) as sensor:
        sensor.wait_for_more()
        started_s, first_s = time.monotonic(), sensor.decisions[-1]["time_s"]
        for number in range(times):
            pulse.kill()
            time.sleep(1)
            pulse.start()
            sensor.wait_for_said("delivers again", number + 1)
            sensor.wait_for_more()
        heard_s = sensor.decisions[-1]["time_s"] - first_s
        away_s = time.monotonic() - started_s - heard_s
        ended_s = sensor.stop()
        unexplained = len(gaps(sensor.decisions)) - times
        row("deaths", "decisions", "audio heard, s", "missed, s", "decisions lost", "end, s")
        row(times, len(sensor.decisions), f"{heard_s:.0f}", f"{away_s:.0f}", unexplained,
            f"{ended_s:.1f}")  # fmt: skip
        say(sensor.said)


@click.command()
@click.option("--seconds", default=40.0, show_default=True)
@click.option("--lost-after", "lost_after_s", default=60.0, show_default=True)
def starved(seconds: float, lost_after_s: float) -> None:
    """The process gets no processor at all for a while, then the whole backlog at once.

    A device that delivers nothing for --lost-after seconds counts as lost and is opened anew; with
    more than the pause the backlog comes, and what does not fit into the buffer overflows.
    """
    with tempfile.TemporaryDirectory() as name:
        settings = Path(name) / "emopi.toml"
        settings.write_text(f"[source]\nlost_after_s = {lost_after_s}\n")
        _starved(settings, seconds)


def _starved(settings: Path, seconds: float) -> None:
    with sound() as pulse, listening("--config", settings, **pulse.env) as sensor:
        sensor.wait_for_more()
        started_s, first_s = time.monotonic(), sensor.decisions[-1]["time_s"]
        sensor.process.send_signal(signal.SIGSTOP)
        time.sleep(seconds)
        sensor.process.send_signal(signal.SIGCONT)
        # a backlog that does not fit, or a device that counts as lost: either is said
        sensor.wait(
            "a loss being said",
            lambda: sensor.decisions[-1]["overflows"] > 0 or "delivers again" in sensor.said,
        )
        sensor.wait_for_more(10)
        heard_s = sensor.decisions[-1]["time_s"] - first_s
        missed_s = time.monotonic() - started_s - heard_s
        sensor.stop()
        decisions = sensor.decisions
        returns, overflows = sensor.said.count("delivers again"), decisions[-1]["overflows"]
        lost = len(gaps(decisions)) - returns
        row("stopped, s", "decisions", "overflows", "returns", "missed, s", "decisions lost")
        row(f"{seconds:g}", len(decisions), overflows, returns, f"{missed_s:.0f}", lost)
        say(sensor.said)
