"""The whole life of a sensor, on a real systemd without a network: `make appliance-test`.

Each class has a machine of its own and tells its life in order: a test needs those before it. All
that was run and said is in build/appliance/transcript.log.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from appliance.machine import PLAIN, SOUND, Machine, debian, machine, why_not
from bundles import emopi_wheel, unpack, with_wheel
from support import MODELS, ROOT

TARGET = "bookworm-x86_64"
WORK = ROOT / "build/appliance"
WATCHDOG_S = 10

pytestmark = [
    pytest.mark.skipif(
        os.environ.get("EMOPI_APPLIANCE") != "1",
        reason="takes minutes, root and Debian's mirror: make appliance-test",
    ),
    pytest.mark.skipif(why_not() is not None, reason=str(why_not())),
    pytest.mark.timeout(3000),
]

MUTE = (
    "emopi/device/sensor.py",
    ("for block in self._signals", "raise OSError('no good')\n        for block in self._signals"),
)
"""Answers to a recording in `classify`, and cannot listen."""
SILENT_CLASSIFY = ("emopi/device/commands/classify.py", ("    failed = 0\n", "    failed = 1\n"))
"""Cannot even classify."""

SETTINGS = f"""
[sinks.history]
file = "history.sqlite"
[service]
watchdog_s = {WATCHDOG_S}
"""

PULSE = """\
load-module module-null-sink sink_name=fake rate=16000 channels=1 norewinds=1 format=s16le
set-default-sink fake
set-default-source fake.monitor
load-module module-native-protocol-unix socket=/run/microphone/native auth-anonymous=1
"""
ASOUND = """\
pcm.mic { type pulse server "unix:/run/microphone/native" hint { show on description "fake" } }
ctl.mic { type pulse server "unix:/run/microphone/native" }
pcm.!default { type pulse server "unix:/run/microphone/native" }
ctl.!default { type pulse server "unix:/run/microphone/native" }
"""
MICROPHONE = """\
[Service]
RuntimeDirectory=microphone
Environment=HOME=/run/microphone PULSE_RUNTIME_PATH=/run/microphone/pulse
ExecStart=/usr/bin/pulseaudio -n -F /etc/microphone.pa --daemonize=no --exit-idle-time=-1 \\
    --disallow-exit=yes --use-pid-file=no --log-target=stderr
[Install]
WantedBy=multi-user.target
"""
SPEAK = ("env", "PULSE_SERVER=unix:/run/microphone/native", "paplay", "--latency-msec=500")
FIND = "find / -xdev -printf '%y %m %u %g %p %l\\n' | sort"
KEPT = re.compile(
    # logs, caches, copies that dpkg and user management keep of their files, and who was when here
    r" /(var/(log|cache|backups|lib/apt|lib/dpkg|tmp)|tmp|root|run|proc|sys|dev|shared)(/| |$)"
    r"| /etc/[a-z]+- | /etc/\.pwd\.lock | /var/lib/systemd/"
)


@pytest.fixture(scope="module")
def shared() -> Path:
    """A folder that the machines see, with bundles in it: 0.1.0, 0.2.0, and two that are broken."""
    shutil.rmtree(WORK / "shared", ignore_errors=True)
    (WORK / "shared").mkdir(parents=True)
    (WORK / "transcript.log").unlink(missing_ok=True)
    done = run_bundle(WORK / "bundle.tar.gz")
    assert done.returncode == 0, done.stderr
    archive = (WORK / "bundle.tar.gz").read_bytes()
    versions = {"0.1.0": None, "0.2.0": None, "0.3.0": MUTE, "0.4.0": SILENT_CLASSIFY}
    for version, change in versions.items():
        wheel = emopi_wheel(version, dict([change]) if change else {})
        unpack(with_wheel(archive, wheel)[1], WORK / "shared")
    (WORK / "shared/settings.toml").write_text(SETTINGS)
    (WORK / "shared/speech.wav").write_bytes((MODELS / "example.wav").read_bytes())
    return WORK / "shared"


def run_bundle(out: Path) -> subprocess.CompletedProcess[str]:
    """`emopi bundle`, with the network."""
    command = [sys.executable, "-m", "emopi.device.cli", "bundle", "--target", TARGET]
    command += ["--out", str(out), "--cache", str(WORK / "cache")]
    return subprocess.run(command, capture_output=True, text=True, timeout=1500, check=False)


def booted(packages: tuple[str, ...], shared: Path, name: str) -> Iterator[Machine]:
    root = WORK / name
    shutil.rmtree(root, ignore_errors=True)
    subprocess.run(["cp", "-a", debian(WORK / "systems", packages), root], check=True)
    if packages == SOUND:
        (root / "etc/microphone.pa").write_text(PULSE)
        (root / "etc/asound.conf").write_text(ASOUND)
        (root / "etc/systemd/system/microphone.service").write_text(MICROPHONE)
    with machine(root, WORK / "transcript.log", shared=shared) as running:
        if packages == SOUND:
            running.run("systemctl", "enable", "--now", "microphone")
        yield running
    shutil.rmtree(root)


@pytest.fixture(scope="class")
def bare(shared: Path) -> Iterator[Machine]:
    """Less than a Raspberry Pi OS Lite: no ALSA, and nothing that records."""
    yield from booted(PLAIN, shared, "bare")


@pytest.fixture(scope="class")
def sensor(shared: Path) -> Iterator[Machine]:
    """One with a microphone that a test can speak into."""
    yield from booted(SOUND, shared, "sensor")


def script(version: str) -> str:
    return f"/shared/emopi-{version}-{TARGET}/install.sh"


def listing(there: Machine) -> set[str]:
    """Every file with type, rights, owner and link."""
    lines = there.run("sh", "-c", FIND, tells=False).stdout.splitlines()
    return {line for line in lines if not KEPT.search(line + " ")}


def current(there: Machine) -> str:
    return there.run("readlink", "/opt/emopi/current").stdout.strip().removeprefix("releases/")


def decisions(there: Machine) -> int:
    """Rows that the history has got."""
    code = (
        "import sqlite3; print(sqlite3.connect('file:/var/lib/emopi/history.sqlite?mode=ro', "
        "uri=True).execute('select count(*) from decisions').fetchone()[0])"
    )
    done = there.run("python3", "-c", code, ok=False)
    return int(done.stdout or 0)


class TestWithoutAMicrophone:
    before: set[str]

    def test_it_has_neither_network_nor_emopi(self, bare: Machine) -> None:
        type(self).before = listing(bare)
        links = bare.run("cat", "/proc/net/dev").stdout.splitlines()[2:]
        assert [line.split(":")[0].strip() for line in links] == ["lo"]
        assert bare.run("emopi", "--version", ok=False).returncode == 127

    def test_a_version_that_cannot_listen_is_not_installed(self, bare: Machine) -> None:
        done = bare.run(script("0.3.0"), ok=False)
        assert done.returncode == 1
        assert "the service of emopi 0.3.0 does not work here" in done.stderr
        assert "no good" in done.stderr
        assert listing(bare) ^ self.before == set()

    def test_it_installs_all_the_same_and_says_why_it_hears_nothing(self, bare: Machine) -> None:
        done = bare.run(script("0.1.0"))
        assert "microphone problem" in done.stderr
        assert "it does not hear anything yet" in done.stderr
        assert current(bare) == "0.1.0"
        assert bare.show("UnitFileState") == "enabled"
        # it goes on trying
        assert bare.show("ActiveState") in ("activating", "active")
        assert bare.run("python3", "-c", "import pyaudio").returncode == 0

    def test_no_space(self, bare: Machine) -> None:
        bare.run("mount", "-t", "tmpfs", "-o", "size=20m", "none", "/opt")
        done = bare.run(script("0.2.0"), ok=False)
        bare.run("umount", "/opt")
        assert done.returncode == 1
        assert "are needed; make room" in done.stderr
        assert current(bare) == "0.1.0"

    def test_away_without_a_trace(self, bare: Machine) -> None:
        done = bare.run("/opt/emopi/current/install.sh", "--uninstall")
        assert "nothing of emopi is left" in done.stderr
        assert listing(bare) ^ self.before == set()
        assert bare.run("id", "emopi", ok=False).returncode == 1
        assert bare.run("dpkg", "--audit").stdout == ""


class TestSensor:
    before: set[str]

    def test_install(self, sensor: Machine) -> None:
        type(self).before = listing(sensor)
        sensor.run("mkdir", "/etc/emopi")
        sensor.run("cp", "/shared/settings.toml", "/etc/emopi/emopi.toml")
        done = sensor.run(script("0.1.0"))
        assert "microphone ok" in done.stderr  # the doctor
        assert "installed: 0.1.0, and it listens" in done.stderr
        assert (sensor.show("ActiveState"), sensor.show("Result")) == ("active", "success")
        assert sensor.run("emopi", "--version").stdout == "emopi, version 0.1.0\n"
        assert sensor.run("systemctl", "show", "-p", "User", "--value", "emopi").stdout == "emopi\n"

    def test_it_hears(self, sensor: Machine) -> None:
        heard = decisions(sensor)
        sensor.run(*SPEAK, "/shared/speech.wav")
        assert decisions(sensor) > heard
        assert re.match(r"hears default.*: \d+ s of audio, ", sensor.show("StatusText"))

    def test_a_frozen_process_is_replaced(self, sensor: Machine) -> None:
        frozen = sensor.show("MainPID")
        # not systemctl kill, after which systemd lets it go on
        sensor.run("sh", "-c", f"kill -STOP {frozen}")
        sensor.wait_for("NRestarts", "1", 8 * WATCHDOG_S)
        sensor.wait_for("ActiveState", "active", 60)
        assert sensor.show("MainPID") != frozen
        log = sensor.run("journalctl", "-u", "emopi", "--no-pager").stdout
        assert "Watchdog timeout" in log

    def test_stop_and_start(self, sensor: Machine) -> None:
        started_s = time.monotonic()
        sensor.run("systemctl", "stop", "emopi")
        assert time.monotonic() - started_s < 5
        assert (sensor.show("ActiveState"), sensor.show("Result")) == ("inactive", "success")
        sensor.run("systemctl", "start", "emopi")

    def test_again_changes_nothing(self, sensor: Machine) -> None:
        before, process = listing(sensor), sensor.show("MainPID")
        done = sensor.run(script("0.1.0"))
        assert "emopi 0.1.0 is installed already, and runs" in done.stderr
        assert listing(sensor) ^ before == set()
        assert sensor.show("MainPID") == process

    def test_update(self, sensor: Machine) -> None:
        heard = decisions(sensor)
        done = sensor.run(script("0.2.0"))
        assert "installed: 0.2.0, and it listens" in done.stderr
        assert current(sensor) == "0.2.0"
        assert sensor.show("ActiveState") == "active"
        assert decisions(sensor) >= heard  # the history stays
        assert "watchdog_s = 10" in sensor.run("cat", "/etc/emopi/emopi.toml").stdout

    @pytest.mark.parametrize("version", ["0.3.0", "0.4.0"])
    def test_a_broken_version_leaves_the_former_one_at_work(
        self, sensor: Machine, version: str
    ) -> None:
        done = sensor.run(script(version), ok=False)
        assert done.returncode == 1
        assert f"emopi {version} does not work here" in done.stderr
        assert current(sensor) == "0.2.0"
        sensor.wait_for("ActiveState", "active", 30)
        assert sensor.run("ls", "/opt/emopi/releases").stdout.split() == ["0.1.0", "0.2.0"]
        heard = decisions(sensor)
        sensor.run(*SPEAK, "/shared/speech.wav")
        assert decisions(sensor) > heard

    def test_rollback_and_forth(self, sensor: Machine) -> None:
        for version in ("0.1.0", "0.2.0"):
            sensor.run("/opt/emopi/current/install.sh", "--rollback")
            assert current(sensor) == version
            assert sensor.show("ActiveState") == "active"
            assert sensor.run("emopi", "--version").stdout == f"emopi, version {version}\n"

    @pytest.mark.parametrize("moment", ["building", "switching", "starting"])
    def test_killed(self, sensor: Machine, moment: str) -> None:
        """As by a power cut at any moment; the next call mends it."""
        sensor.run("rm", "-f", "/opt/emopi/previous")
        if moment == "building":  # later moments go on with what was built
            sensor.run("rm", "-rf", "/opt/emopi/releases/0.1.0")
        process = sensor.start(script("0.1.0"))
        assert process.stdout
        for line in process.stdout:
            if f"install.sh: {moment}" in line:
                break
        else:
            pytest.fail(f"it never said {moment}")
        time.sleep(0.3)
        sensor.kill(process)
        process.stdout.close()
        assert sensor.run("emopi", "--version").stdout.startswith("emopi, version 0.")
        sensor.wait_for("ActiveState", "active", 60)
        done = sensor.run(script("0.2.0"))
        assert "and it listens" in done.stderr
        assert current(sensor) == "0.2.0"
        assert sensor.run("ls", "/opt/emopi").stdout.split() == ["current", "packages", "releases"]

    def test_away_without_a_trace(self, sensor: Machine) -> None:
        sensor.run("/opt/emopi/current/install.sh", "--uninstall")
        assert listing(sensor) ^ self.before == set()


def test_the_same_bundle_again_has_the_same_bytes(shared: Path) -> None:
    assert shared
    done = run_bundle(WORK / "again.tar.gz")
    assert done.returncode == 0, done.stderr
    assert (WORK / "again.tar.gz").read_bytes() == (WORK / "bundle.tar.gz").read_bytes()
