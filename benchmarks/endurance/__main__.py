"""What a sensor that listens all day survives, and what is lost then: one scenario a command.

    python -m benchmarks.endurance day [--hours 24] [--detector auto]
    python -m benchmarks.endurance server [--times 20]    # needs pulseaudio, PyAudio
    python -m benchmarks.endurance starved [--seconds 40] # the same
    python -m benchmarks.endurance disk                   # root, for a small file system
    python -m benchmarks.endurance clock                  # needs faketime
    python -m benchmarks.endurance broker [--hours 1]     # needs mosquitto, paho-mqtt

Each prints a row of a table in Markdown: what was done, what was heard, what was lost. A decision
is lost if audio was heard and the decision that is due on it has not come out; audio that the
machine never got is named apart.
"""

from __future__ import annotations

import click

from benchmarks.endurance.broker import broker_away
from benchmarks.endurance.day import day
from benchmarks.endurance.machine import clock, disk
from benchmarks.endurance.microphone import server, starved


@click.group()
def endurance() -> None:
    """Run one scenario and print its row."""


for scenario in (day, server, starved, disk, clock, broker_away):
    endurance.add_command(scenario)

if __name__ == "__main__":
    endurance()
