"""The system service: its files, judged by systemd's own tools, and their installation."""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
import sys
from collections.abc import Collection
from pathlib import Path

import pytest
from support import run_emopi

from emopi.device.config.settings import read_settings
from emopi.device.errors import ServiceError, SpecError
from emopi.device.service import GPIO_SINKS, NETWORK_SINKS, ServiceSettings, unit, users

needs_analyze = pytest.mark.skipif(
    not shutil.which("systemd-analyze"), reason="systemd-analyze is not installed (apt: systemd)"
)
needs_root = pytest.mark.skipif(
    os.geteuid() != 0 or not shutil.which("systemd-sysusers"),
    reason="installing needs root, systemctl and systemd-sysusers",
)

PYTHON = Path(sys.executable)
EXPOSURE = 2.5
"""Most that systemd-analyze security may find, of 10."""
SINKS = ((), tuple(sorted(NETWORK_SINKS | GPIO_SINKS)))


def lines(text: str) -> dict[str, list[str]]:
    """The settings of a unit, each with its values in order."""
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        key, equals, value = line.partition("=")
        if equals and not line.startswith("#"):
            found.setdefault(key, []).append(value)
    return found


def made(sinks: Collection[str] = (), places: Collection[Path] = ()) -> dict[str, list[str]]:
    return lines(unit(ServiceSettings(), python=PYTHON, places=places, sinks=sinks))


class TestUnit:
    def test_what_it_runs(self) -> None:
        found = made()
        start = f"{PYTHON} -I -m emopi.device.cli listen --quiet --config /etc/emopi/emopi.toml"
        assert found["ExecStart"] == [start]
        assert found["ExecReload"] == ["/bin/sh -c 'kill -HUP $MAINPID'"]
        assert (found["Type"], found["Restart"]) == (["notify"], ["always"])
        assert (found["User"], found["SupplementaryGroups"]) == (["emopi"], ["audio"])
        assert found["StateDirectory"] == ["emopi"]
        assert found["StartLimitIntervalSec"] == ["0"]

    def test_settings(self) -> None:
        settings = ServiceSettings(memory_max_mb=80, watchdog_s=12.5, start_s=30)
        found = lines(unit(settings, python=PYTHON, places=()))
        assert found["MemoryMax"] == ["80M"]
        assert found["WatchdogSec"] == ["12.5"]
        assert found["TimeoutStartSec"] == ["30"]

    @pytest.mark.parametrize(
        ("name", "value"), [("memory_max_mb", 63), ("watchdog_s", 4.9), ("start_s", float("nan"))]
    )
    def test_settings_out_of_range(self, name: str, value: float) -> None:
        with pytest.raises(SpecError, match=rf"{name} is {value}; expected "):
            ServiceSettings(**{name: value})  # type: ignore[arg-type]

    def test_audio_stays_in_memory(self) -> None:
        found = made()
        assert (found["MemorySwapMax"], found["LimitCORE"]) == (["0"], ["0"])

    def test_no_network_unless_a_sink_needs_one(self) -> None:
        alone = made(["log", "history"])
        assert (alone["PrivateNetwork"], alone["RestrictAddressFamilies"]) == (["yes"], ["AF_UNIX"])
        for sink in NETWORK_SINKS:
            found = made([sink])
            assert "PrivateNetwork" not in found
            assert found["RestrictAddressFamilies"] == ["AF_UNIX AF_INET AF_INET6"]

    def test_pins_for_a_lamp_alone(self) -> None:
        assert made()["DeviceAllow"] == ["char-alsa rw"]
        for sink in GPIO_SINKS:
            assert made([sink])["DeviceAllow"] == ["char-alsa rw", "char-gpiochip rw"]
            assert made([sink])["SupplementaryGroups"] == ["audio gpio"]
            assert users([sink]).endswith("m emopi audio\nm emopi gpio\n")

    def test_homes_are_hidden_but_for_emopi_itself(self) -> None:
        assert made(places=[Path("/opt/emopi")])["ProtectHome"] == ["yes"]
        places = [Path("/usr"), Path("/home/pi/emopi-venv")]
        found = made(places=places)
        assert found["ProtectHome"] == ["tmpfs"]
        assert found["BindReadOnlyPaths"] == ["/home/pi/emopi-venv"]

    @pytest.mark.parametrize("place", ["/home/my pi/venv", '/home/"/venv', "/home/a:b", "/home/\n"])
    def test_a_path_that_a_unit_cannot_have(self, place: str) -> None:
        with pytest.raises(ServiceError, match="cannot stand in a unit file"):
            made(places=[Path(place)])

    def test_a_path_with_signs_that_mean_something(self) -> None:
        assert made(places=[Path("/home/50%/$x")])["BindReadOnlyPaths"] == ["/home/50%%/$$x"]


@needs_analyze
@pytest.mark.parametrize("sinks", SINKS)
class TestAnalyze:
    def unit(self, folder: Path, sinks: Collection[str]) -> Path:
        path = folder / "emopi.service"
        places = [Path("/home/pi/emopi-venv")]
        path.write_text(unit(ServiceSettings(), python=PYTHON, places=places, sinks=sinks))
        return path

    def analyze(self, *arguments: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["systemd-analyze", *map(str, arguments)], capture_output=True, text=True, check=False
        )

    def test_verify(self, tmp_path: Path, sinks: Collection[str]) -> None:
        path = self.unit(tmp_path, sinks)
        done = self.analyze("verify", path)
        assert (done.returncode, done.stderr) == (0, "")
        path.write_text(path.read_text() + "[Service]\nNoSuchKey=1\n")
        assert "NoSuchKey" in self.analyze("verify", path).stderr  # which is how one would know

    def test_exposure(self, tmp_path: Path, sinks: Collection[str]) -> None:
        path = self.unit(tmp_path, sinks)
        done = self.analyze("security", "--offline=yes", "--no-pager", path)
        found = re.search(r"Overall exposure level for emopi.service: ([\d.]+)", done.stdout)
        assert found, done.stdout + done.stderr
        assert float(found[1]) <= EXPOSURE


def root_folder(tmp_path: Path) -> Path:
    """A system that is mounted somewhere, as far as the installation looks at it."""
    root = tmp_path / "root"
    for folder in ("etc/systemd/system", "usr/lib/systemd/system", "var/lib", "run"):
        (root / folder).mkdir(parents=True)
    (root / "etc/group").write_text("root:x:0:\naudio:x:29:\ngpio:x:997:\n")
    (root / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
    return root


def snapshot(root: Path) -> dict[str, tuple[int, int, bytes]]:
    return {
        str(path.relative_to(root)): (
            path.lstat().st_mtime_ns,
            stat.S_IMODE(path.lstat().st_mode),
            os.fsencode(path.readlink()) if path.is_symlink() else path.read_bytes(),
        )
        for path in root.rglob("*")
        if not path.is_dir() or path.is_symlink()
    }


@needs_root
class TestInstall:
    """With systemd's own tools, into a folder."""

    def test_install_again_and_uninstall(self, tmp_path: Path) -> None:
        root = root_folder(tmp_path)
        done = run_emopi("install-service", "--root", root)
        assert done.returncode == 0, done.stderr
        assert done.stdout == ""
        settings = root / "etc/emopi/emopi.toml"
        read_settings(settings)
        assert stat.S_IMODE(settings.stat().st_mode) == 0o640
        group = re.search(r"^emopi:x?:(\d+):", (root / "etc/group").read_text(), re.MULTILINE)
        assert group
        assert settings.stat().st_gid == int(group[1])
        assert re.search(r"^audio:x:29:emopi$", (root / "etc/group").read_text(), re.MULTILINE)
        wanted = root / "etc/systemd/system/multi-user.target.wants/emopi.service"
        assert wanted.readlink() == Path("/etc/systemd/system/emopi.service")
        self.again(root)
        self.with_a_sink(root)
        self.uninstall(root)

    def again(self, root: Path) -> None:
        """Nothing changes."""
        before = snapshot(root)
        done = run_emopi("install-service", "--root", root)
        assert done.returncode == 0, done.stderr
        assert done.stderr.count("unchanged: ") == 3
        assert snapshot(root) == before

    def with_a_sink(self, root: Path) -> None:
        """The settings are the person's; the unit follows them."""
        settings = root / "etc/emopi/emopi.toml"
        settings.write_text("# mine\n[service]\nmemory_max_mb = 99\n")
        done = run_emopi("install-service", "--root", root)
        assert done.returncode == 0, done.stderr
        assert settings.read_text().startswith("# mine")
        assert "MemoryMax=99M" in (root / "etc/systemd/system/emopi.service").read_text()
        settings.write_text("[service]\nmemory_max_mb = 1\n")
        refused = run_emopi("install-service", "--root", root)
        assert refused.returncode == 1
        assert "[service]: memory_max_mb is 1; expected 64 to 100000" in refused.stderr
        settings.write_text("")

    def uninstall(self, root: Path) -> None:
        """Settings stay, all else goes; twice is no error."""
        for _ in range(2):
            done = run_emopi("install-service", "--uninstall", "--root", root)
            assert done.returncode == 0, done.stderr
            assert "/etc/emopi and /var/lib/emopi stay" in done.stderr
        left = [name for name in snapshot(root) if "emopi" in name]
        assert left == ["etc/emopi/emopi.toml"]


def test_dry_run_prints_every_file_and_command_and_does_nothing(tmp_path: Path) -> None:
    root = root_folder(tmp_path)
    before = snapshot(root)
    done = run_emopi("install-service", "--dry-run", "--root", root)
    assert done.returncode == 0, done.stderr
    for file in ("etc/sysusers.d/emopi.conf", "etc/emopi/emopi.toml", "etc/systemd/system/emopi"):
        assert f"# {root}/{file}" in done.stdout
    assert "ExecStart=" in done.stdout
    assert "[decision]" in done.stdout
    assert f"# run: systemctl --root={root} enable emopi.service" in done.stdout
    removing = run_emopi("install-service", "--dry-run", "--uninstall", "--root", root)
    assert f"# remove: {root}/etc/systemd/system/emopi.service" in removing.stdout
    assert "emopi.toml" not in removing.stdout
    assert snapshot(root) == before


def test_without_root_it_says_what_to_do(tmp_path: Path) -> None:
    code = """
import os, sys
import emopi.device.commands.install_service
os.geteuid = lambda: 1000
from emopi.device.cli import main
sys.argv = ["emopi", "install-service", "--root", sys.argv[1]]
main()
"""
    root = root_folder(tmp_path)
    before = snapshot(root)
    done = subprocess.run(
        [sys.executable, "-c", code, root], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert (
        f"you are not root: sudo {sys.executable} -m emopi.device.cli install-service --root"
        in (done.stderr)
    )
    assert snapshot(root) == before


@pytest.mark.skipif(Path("/run/systemd/system").exists(), reason="systemd runs here")
@needs_root
def test_where_systemd_does_not_run() -> None:
    done = run_emopi("install-service")
    assert done.returncode == 1
    assert "systemd does not run here; give --root for a system that is mounted" in done.stderr
