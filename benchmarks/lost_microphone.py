"""How a microphone comes back, again and again: `python benchmarks/lost_microphone.py`.

A real PulseAudio server is killed and started as often as asked, while one process listens. Needs
what the microphone's tests need (pulseaudio, pulseaudio-utils, libasound2-plugins, PyAudio).
Prints one JSON object: seconds from the server's start to the first block (median, most), and
what the listening process holds after the first and after the last time: memory, open files,
threads.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.device.pulse import pulse_server, why_not

LISTEN = """
import os, sys, threading
from emopi.device.board import resident_mb
from emopi.device.sources.microphone import Microphone
from emopi.device.sources.settings import SourceSettings

def tell(notice):
    files = len(os.listdir("/proc/self/fd"))
    print(notice.kind, round(resident_mb()[0], 2), files, threading.active_count(), flush=True)

source = Microphone(SourceSettings(rate_hz=16_000, retry_s=float(sys.argv[1])), 16_000, tell=tell)
blocks = source.blocks()
next(blocks)
print("ready", flush=True)
for block in blocks:
    pass
"""


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=50)
    parser.add_argument("--retry-s", type=float, default=0.5, help="most seconds between attempts")
    asked = parser.parse_args()
    if problem := why_not():
        sys.exit(problem)
    with pulse_server() as server:
        command = [sys.executable, "-c", LISTEN, str(asked.retry_s)]
        with subprocess.Popen(
            command, env=server.env, stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout

            def wait_for(kind: str) -> list[str]:
                for line in process.stdout:
                    if line.startswith(kind):
                        return line.split()
                sys.exit(f"the listening process has ended before: {kind}")

            wait_for("ready")
            back_s, held = [], []
            for _ in range(asked.times):
                server.kill()
                wait_for("lost")
                server.start()
                started_s = time.monotonic()
                _, *now = wait_for("back")
                back_s.append(time.monotonic() - started_s)
                held.append(dict(zip(("rss_mb", "files", "threads"), map(float, now), strict=True)))
            process.kill()
    report = {
        "times": asked.times,
        "back_s": {"median": statistics.median(back_s), "most": max(back_s)},
        "first": held[0],
        "last": held[-1],
    }
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
