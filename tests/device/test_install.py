"""install.sh with a bundle, into a system that is mounted, and what is wrong with a bundle."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from bundles import emopi_wheel, local_bundle
from support import ROOT

from emopi.convert.offline.own_wheel import OwnWheel

SCRIPT = ROOT / "device/install.sh"
TOOLS = ("systemctl", "systemd-sysusers", "dpkg", "flock", "userdel")
SYSTEM_PYTHON = Path("/usr/bin/python3")


def why_not() -> str | None:
    if os.geteuid() != 0 or not all(map(shutil.which, TOOLS)):
        return f"installing needs root, {', '.join(TOOLS)}"
    code = "import sys; print(*sys.version_info[:2], sep='.')"
    command = [SYSTEM_PYTHON, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    mine = f"{sys.version_info[0]}.{sys.version_info[1]}"
    if done.stdout.strip() != mine:
        return f"{SYSTEM_PYTHON} is not the Python {mine} that runs the tests"
    return None


needs_system = pytest.mark.skipif(why_not() is not None, reason=str(why_not()))


@pytest.mark.skipif(not shutil.which("shellcheck"), reason="shellcheck is not installed")
def test_shellcheck() -> None:
    done = subprocess.run(["shellcheck", SCRIPT], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_the_script_at_the_top_is_the_one_of_the_package() -> None:
    assert (ROOT / "install.sh").read_bytes() == SCRIPT.read_bytes()
    assert os.access(SCRIPT, os.X_OK)


@pytest.mark.parametrize("words", [["--nonsense"], ["--root"], ["--keep-data"]])
def test_wrong_usage(words: list[str]) -> None:
    done = subprocess.run(["sh", SCRIPT, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "sudo ./install.sh" in done.stderr


def root_folder(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    for folder in ("etc/systemd/system", "usr/lib/systemd/system", "usr/bin", "var/lib", "opt"):
        (root / folder).mkdir(parents=True)
    (root / "etc/group").write_text("root:x:0:\naudio:x:29:\n")
    (root / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
    (root / "etc/shadow").write_text("root:*:19000:0:99999:7:::\n")
    (root / "etc/gshadow").write_text("root:*::\naudio:*::\n")
    return root


def listing(root: Path) -> list[str]:
    """Every path but copies that user management keeps of its files."""
    paths = (str(path.relative_to(root)) for path in root.rglob("*"))
    return sorted(path for path in paths if not path.endswith("-") and ".lock" not in path)


def install(bundle: Path, root: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = ["sh", bundle / "install.sh", "--root", root, *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)


def installed(root: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return install(root / "opt/emopi/current", root, *words)


def current(root: Path) -> str:
    return (root / "opt/emopi/current").readlink().name


def version_of(root: Path) -> str:
    """What the current emopi calls itself; it runs."""
    python = root / "opt/emopi/current/venv/bin/python"
    command = [python, "-I", "-m", "emopi.device.cli", "--version"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[-1]


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of version 0.1.0."""
    return local_bundle(tmp_path_factory.mktemp("first"), emopi_wheel("0.1.0"))


@pytest.fixture(scope="module")
def second() -> OwnWheel:
    return emopi_wheel("0.2.0")


@pytest.fixture(scope="module")
def _with_first(tmp_path_factory: pytest.TempPathFactory, first: Path) -> Path:
    folder = tmp_path_factory.mktemp("with")
    done = install(first, root_folder(folder))
    assert done.returncode == 0, done.stderr
    return folder / "root"


@pytest.fixture
def root(tmp_path: Path, _with_first: Path) -> Path:
    """A system with version 0.1.0."""
    return Path(shutil.copytree(_with_first, tmp_path / "root", symlinks=True))


@needs_system
class TestLife:
    def test_install_again_update_back_and_away(
        self, root: Path, tmp_path: Path, first: Path, second: OwnWheel
    ) -> None:
        before = listing(root_folder(tmp_path / "another"))
        assert (current(root), version_of(root)) == ("0.1.0", "0.1.0")
        unit = (root / "etc/systemd/system/emopi.service").read_text()
        assert "ExecStart=/opt/emopi/current/venv/bin/python -I -m" in unit
        script = (root / "opt/emopi/current/venv/bin/emopi").read_text()
        assert script.startswith("#!/opt/emopi/releases/0.1.0/venv/bin/python")
        link = root / "usr/local/bin/emopi"
        assert link.readlink() == Path("/opt/emopi/current/venv/bin/emopi")
        self.again(first, root)
        self.update(tmp_path, second, root)
        self.back(root)
        done = installed(root, "--uninstall")
        assert done.returncode == 0, done.stderr
        # where the unit and the link were
        made = {"etc/systemd/system/multi-user.target.wants", "usr/local", "usr/local/bin"}
        assert sorted(set(listing(root)) - made) == before
        assert "emopi" not in (root / "etc/passwd").read_text() + (root / "etc/group").read_text()

    def again(self, first: Path, root: Path) -> None:
        """Nothing changes."""
        before = listing(root)
        done = install(first, root)
        assert done.returncode == 0, done.stderr
        assert "building" not in done.stderr
        assert listing(root) == before

    def update(self, tmp_path: Path, second: OwnWheel, root: Path) -> None:
        """A newer version, beside the old; the settings are the person's."""
        settings = root / "etc/emopi/emopi.toml"
        settings.write_text("# mine\n")
        bundle = local_bundle(tmp_path, second)
        done = install(bundle, root)
        assert done.returncode == 0, done.stderr
        assert (current(root), version_of(root)) == ("0.2.0", "0.2.0")
        assert settings.read_text() == "# mine\n"
        assert (root / "opt/emopi/previous").readlink() == Path("releases/0.1.0")

    def back(self, root: Path) -> None:
        """To the version before, and forth again."""
        for version in ("0.1.0", "0.2.0"):
            done = installed(root, "--rollback")
            assert done.returncode == 0, done.stderr
            assert (current(root), version_of(root)) == (version, version)
        for release in (root / "opt/emopi/releases").iterdir():
            assert (release / "complete").exists()

    def test_keep_data(self, root: Path) -> None:
        done = installed(root, "--uninstall", "--keep-data")
        assert done.returncode == 0, done.stderr
        assert not (root / "opt/emopi").exists()
        assert (root / "etc/emopi/emopi.toml").exists()

    def test_killed_in_the_middle(self, root: Path, tmp_path: Path, second: OwnWheel) -> None:
        bundle = local_bundle(tmp_path, second)
        release = root / "opt/emopi/releases/0.2.0"
        kill_when(bundle, root, release / "venv/bin/python")
        assert release.exists()
        assert (current(root), version_of(root)) == ("0.1.0", "0.1.0")
        done = install(bundle, root)
        assert done.returncode == 0, done.stderr
        assert (current(root), version_of(root)) == ("0.2.0", "0.2.0")

    def test_killed_between_the_switch_and_its_proof(self, root: Path, first: Path) -> None:
        base = root / "opt/emopi"
        shutil.copytree(base / "releases/0.1.0", base / "releases/0.2.0", symlinks=True)
        (base / "switching").write_text("0.1.0\n")
        (base / "current").unlink()
        (base / "current").symlink_to("releases/0.2.0")
        done = install(first, root)
        assert done.returncode == 0, done.stderr
        assert "an earlier installation was interrupted" in done.stderr
        assert current(root) == "0.1.0"
        assert not (base / "switching").exists()


def kill_when(bundle: Path, root: Path, exists: Path) -> None:
    """Start an installation and kill all of it as soon as a path exists."""
    command = ["sh", bundle / "install.sh", "--root", root]
    with subprocess.Popen(
        command, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        deadline_s = time.monotonic() + 120
        while not exists.exists() and process.poll() is None and time.monotonic() < deadline_s:
            time.sleep(0.01)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert process.returncode == -signal.SIGKILL


@needs_system
class TestWrong:
    """Each is refused with a reason, and the version before still runs."""

    def refused(self, bundle: Path, root: Path) -> str:
        before = listing(root)
        done = install(bundle, root)
        assert done.returncode == 1, done.stderr
        assert listing(root) == before
        return done.stderr

    def test_damaged(self, tmp_path: Path, first: Path) -> None:
        root = root_folder(tmp_path)
        bundle = tmp_path / "bundle"
        shutil.copytree(first, bundle)
        wheel = next(bundle.glob("wheels/emopi-*.whl"))
        content = wheel.read_bytes()
        wheel.write_bytes(content[:-1000])
        told = self.refused(bundle, root)
        assert "damaged or was copied in part" in told
        assert f"{wheel.relative_to(bundle)}: FAILED" in told
        wheel.unlink()
        assert "No such file" in self.refused(bundle, root)
        wheel.write_bytes(content)
        sums = (bundle / "SHA256SUMS").read_text()
        (bundle / "SHA256SUMS").write_text("".join(sums.splitlines(keepends=True)[:3]))
        assert "SHA256SUMS is cut off" in self.refused(bundle, root)
        (bundle / "SHA256SUMS").write_text("")
        assert "SHA256SUMS is missing" in self.refused(bundle, root)
        (bundle / "manifest.json").unlink()
        assert "neither an unpacked bundle" in self.refused(bundle, root)

    @pytest.mark.parametrize(
        ("facts", "why"),
        [
            ({"architecture": "mips"}, "this bundle is for here (mips) and the system here is "),
            ({"python": "3.9"}, "this bundle is for here with Python 3.9, and /usr/bin/python3 is"),
            ({"installed_mb": 10**9}, " MB are needed; make room"),
            ({"format": 2}, "the bundle has format 2, and this install.sh expects 1"),
            ({"version": "$(reboot)"}, "manifest.json is not one of emopi bundle"),
        ],
    )
    def test_not_for_this_system(
        self, tmp_path: Path, second: OwnWheel, facts: dict[str, object], why: str
    ) -> None:
        bundle = local_bundle(tmp_path, second, **facts)
        assert why in self.refused(bundle, root_folder(tmp_path))

    def test_a_version_that_does_not_work(self, root: Path, tmp_path: Path) -> None:
        broken = emopi_wheel("0.3.0", {"emopi/device/pipeline.py": ("import dataclasses", "1 / 0")})
        bundle = local_bundle(tmp_path, broken)
        told = self.refused(bundle, root)
        assert "emopi 0.3.0 does not work here" in told
        assert "division by zero" in told
        assert (current(root), version_of(root)) == ("0.1.0", "0.1.0")

    def test_settings_that_it_cannot_use(self, root: Path, first: Path) -> None:
        (root / "etc/emopi/emopi.toml").write_text("[decision]\nmemory = 3\n")
        told = self.refused(first, root)
        assert "cannot use" in told
        assert "unknown key 'memory'" in told

    def test_no_version_before(self, tmp_path: Path, first: Path) -> None:
        root = root_folder(tmp_path)
        done = install(first, root, "--rollback")
        assert done.returncode == 1
        assert "there is no version before this one" in done.stderr

    def test_another_one_is_at_work(self, tmp_path: Path, first: Path) -> None:
        root = root_folder(tmp_path)
        with subprocess.Popen(["flock", root / "opt", "sleep", "100"]) as other:
            time.sleep(0.5)
            command = ["timeout", "3", "sh", first / "install.sh", "--root", root]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            other.kill()
        assert done.returncode == 124  # it waits
        assert listing(root) == listing(root_folder(tmp_path / "another"))
