"""The offline bundle: own wheel, wheels for another machine (by a real pip), archive, command."""

from __future__ import annotations

import dataclasses
import io
import json
import subprocess
import sys
import tarfile
import venv
import zipfile
from importlib.metadata import version
from pathlib import Path

import pytest
from bundles import emopi_wheel, unpack
from support import MODELS, run_emopi

from emopi.convert.offline.archive import pack
from emopi.convert.offline.own_wheel import installer, make_wheel, read_wheel, running_wheel
from emopi.convert.offline.targets import TARGETS, find_target
from emopi.convert.offline.wheels import fetch, resolve
from emopi.device.errors import BundleError

BOOKWORM, TRIXIE = TARGETS["bookworm-aarch64"], TARGETS["trixie-aarch64"]
ARMHF = TARGETS["bookworm-armhf"]


class TestOwnWheel:
    def test_same_bytes_each_time(self) -> None:
        assert running_wheel().content == running_wheel().content

    def test_what_is_in_it(self) -> None:
        wheel = running_wheel()
        assert wheel.version == version("emopi")
        assert wheel.file == f"emopi-{wheel.version}-py3-none-any.whl"
        with zipfile.ZipFile(io.BytesIO(wheel.content)) as zipped:
            names = zipped.namelist()
            model = zipped.read("emopi/models/cnn-int8.tflite")
        assert model == (MODELS / "cnn-int8.tflite").read_bytes()
        assert {"emopi/device/emopi.service", "emopi/device/sinks/page/index.html"} <= set(names)
        assert not [name for name in names if "__pycache__" in name or "direct_url" in name]
        assert installer(wheel).startswith(b"#!/bin/sh")

    def test_pip_installs_it_and_it_can_make_itself_again(self, tmp_path: Path) -> None:
        wheel = running_wheel()
        (tmp_path / wheel.file).write_bytes(wheel.content)
        venv.create(tmp_path / "venv", symlinks=True)
        target = tmp_path / f"venv/lib/python{sys.version_info[0]}.{sys.version_info[1]}"
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"]
        command += ["--no-compile", "--target", target / "site-packages", tmp_path / wheel.file]
        subprocess.run(command, check=True)
        code = (
            "import sys; from emopi.convert.offline.own_wheel import running_wheel; "
            "sys.stdout.buffer.write(running_wheel().content)"
        )
        python = tmp_path / "venv/bin/python"
        done = subprocess.run([python, "-c", code], capture_output=True, check=True)
        assert done.stdout == wheel.content

    def test_not_a_wheel(self) -> None:
        with pytest.raises(BundleError, match=r"x\.whl is not a wheel"):
            read_wheel(b"no zip", "x.whl")
        other = make_wheel({"a-1.dist-info/METADATA": b"Name: a\nVersion: 1\n"}, "a-1.dist-info")
        with pytest.raises(BundleError, match="a wheel of a; expected one of this emopi"):
            read_wheel(other, "a.whl")


def test_targets() -> None:
    assert TRIXIE.platforms[0] == "manylinux_2_41_aarch64"
    assert ARMHF.platforms[-2:] == ("manylinux2014_armv7l", "linux_armv7l")
    assert TRIXIE.markers["python_version"] == "3.13"
    with pytest.raises(BundleError, match=r"no TFLite interpreter for Trixie.*32-bit Bookworm"):
        find_target("trixie-armhf")
    with pytest.raises(BundleError, match="'pi' is no target; expected one of: trixie-aarch64"):
        find_target("pi")


def put(
    folder: Path, name: str, number: str, *needs: str, tag: str = "py3-none-any", python: str = "3"
) -> None:
    """A wheel in a folder that pip looks into, for that Python or newer ones."""
    lines = f"Requires-Python: >={python}\n"
    lines += "".join(f"Requires-Dist: {need}\n" for need in needs)
    info = f"{name}-{number}.dist-info"
    head = f"Metadata-Version: 2.1\nName: {name}\nVersion: {number}\n"
    wheel = f"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: {tag}\n"
    files = {f"{info}/METADATA": (head + lines).encode(), f"{info}/WHEEL": wheel.encode()}
    (folder / f"{name}-{number}-{tag}.whl").write_bytes(make_wheel(files, info))


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """All that pip finds."""
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    return folder


class TestWheels:
    def test_conditions_and_extras_are_those_of_the_target(self, index: Path) -> None:
        needs_of_a = ['b; platform_machine == "armv7l"', 'c[more]; python_version >= "3.13"']
        put(index, "a", "1", *needs_of_a, "numpy>=1")
        put(index, "b", "1")
        put(index, "c", "1", 'd; extra == "more"', 'missing; extra == "most"')
        put(index, "d", "1", 'e; platform_machine == "aarch64"')
        put(index, "e", "1")
        put(index, "numpy", "1")
        needs = ["a>=1", 'missing; platform_machine == "x86_64"', 'e; extra == "wanted"']
        names = {
            target.name: [wheel.name for wheel in resolve(needs, target, extras)]
            for target, extras in ((ARMHF, {"wanted"}), (TRIXIE, set[str]()))
        }
        assert names == {
            "bookworm-armhf": ["a", "b", "e"],  # which has Debian's numpy
            "trixie-aarch64": ["a", "c", "d", "e", "numpy"],
        }

    def test_newest_that_everything_agrees_with_and_runs_there(self, index: Path) -> None:
        put(index, "a", "1", "b<3")
        put(index, "b", "1", tag="cp313-cp313-manylinux_2_28_aarch64")
        put(index, "b", "2", tag="cp39-abi3-manylinux_2_28_aarch64")
        put(index, "b", "2.1", tag="cp313-cp313-manylinux_2_28_x86_64")
        put(index, "b", "2.2", tag="cp312-cp312-manylinux_2_28_aarch64")
        put(index, "b", "2.3", tag="cp313-cp313-manylinux_2_42_aarch64")
        put(index, "b", "3")
        wheels = resolve(["a"], TRIXIE)
        assert [(wheel.name, wheel.version) for wheel in wheels] == [("a", "1"), ("b", "2")]
        contents = fetch(wheels, TRIXIE, index.parent / "cache")
        assert contents == {w.file: (index / w.file).read_bytes() for w in wheels}
        # half of a file from an interruption is fetched again
        (index.parent / "cache" / wheels[1].file).write_bytes(b"half")
        assert fetch(wheels, TRIXIE, index.parent / "cache") == contents

    def test_a_wheel_for_newer_pythons_than_the_one_that_asks(self, index: Path) -> None:
        newer = f"{sys.version_info[0]}.{sys.version_info[1] + 1}"
        put(index, "a", "1")
        put(index, "a", "2", python=newer)
        target = dataclasses.replace(TRIXIE, python=f"{newer}.0")
        assert [wheel.version for wheel in resolve(["a"], target)] == ["2"]

    def test_none_for_the_target(self, index: Path) -> None:
        put(index, "a", "1", tag="cp311-cp311-manylinux_2_28_x86_64")
        with pytest.raises(BundleError, match=r"no wheel for the target: .*PIP_EXTRA_INDEX_URL"):
            resolve(["a"], BOOKWORM)


class TestArchive:
    def test_same_bytes_and_all_of_them_listed(self, tmp_path: Path) -> None:
        files = {"install.sh": b"#!/bin/sh\n", "wheels/b.whl": b"b", "wheels/a.whl": bytes(1000)}
        archive = pack("emopi-1-here", files, {"version": "1"})
        assert archive == pack("emopi-1-here", dict(reversed(files.items())), {"version": "1"})
        with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
            members = {member.name: member for member in tar}
        unpack(archive, tmp_path)
        assert {name.partition("/")[0] for name in members} == {"emopi-1-here"}
        assert members["emopi-1-here/install.sh"].mode == 0o755
        assert {(m.uid, m.gid, m.mtime) for m in members.values()} == {(0, 0, 315_532_800)}
        folder = tmp_path / "emopi-1-here"
        command = ["sha256sum", "--check", "--strict", "SHA256SUMS"]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
        assert done.stdout.count(": OK") == 4
        manifest = json.loads((folder / "manifest.json").read_text())
        assert manifest["version"] == "1"
        assert sorted(manifest["files"]) == sorted(files)


class TestCommand:
    @pytest.fixture
    def arguments(self, index: Path, tmp_path: Path) -> list[object]:
        """For a bundle of an emopi that needs little."""
        put(index, "pip", "1")
        put(index, "lib", "2", tag="cp313-cp313-manylinux_2_28_aarch64")
        wheel = emopi_wheel("9.1")
        with zipfile.ZipFile(io.BytesIO(wheel.content)) as zipped:
            files = {name: zipped.read(name) for name in zipped.namelist()}
        info = "emopi-9.1.dist-info"
        del files[f"{info}/RECORD"]
        files[f"{info}/METADATA"] = b"Name: emopi\nVersion: 9.1\nRequires-Dist: lib\n"
        (tmp_path / "own.whl").write_bytes(make_wheel(files, info))
        more = ["--no-packages", "--cache", tmp_path / "cache", "--wheel", tmp_path / "own.whl"]
        return ["bundle", "--target", "trixie-aarch64", *more]

    def test_bundle_with_own_model_and_settings(
        self, arguments: list[object], tmp_path: Path
    ) -> None:
        (tmp_path / "mine.tflite").write_bytes((MODELS / "lstm-int8.tflite").read_bytes())
        (tmp_path / "mine.toml").write_text("[decision]\nhop_s = 0.25\n")
        arguments += ["--model", tmp_path / "mine.tflite", "--config", tmp_path / "mine.toml"]
        done = run_emopi(*arguments, "--out", tmp_path / "out", "--json")
        assert done.returncode == 0, done.stderr
        facts = json.loads(done.stdout)
        archive = tmp_path / "out/emopi-9.1-trixie-aarch64.tar.gz"
        assert (facts["file"], facts["bytes"]) == (str(archive), archive.stat().st_size)
        assert facts["created_from"]["wheels"] == {"lib": "2", "pip": "1"}
        again = run_emopi(*arguments, "--out", tmp_path / "again.tar.gz")
        assert again.stdout == f"{tmp_path / 'again.tar.gz'}\n"
        assert (tmp_path / "again.tar.gz").read_bytes() == archive.read_bytes()
        with tarfile.open(archive) as tar:
            names = [member.name.partition("/")[2] for member in tar if member.isfile()]
        unpack(archive.read_bytes(), tmp_path)
        assert names == [
            "README.txt", "SHA256SUMS", "emopi.toml", "install.sh", "manifest.json",
            "models/mine.tflite", "wheels/emopi-9.1-py3-none-any.whl",
            "wheels/lib-2-cp313-cp313-manylinux_2_28_aarch64.whl", "wheels/pip-1-py3-none-any.whl",
        ]  # fmt: skip
        text = (tmp_path / "emopi-9.1-trixie-aarch64/emopi.toml").read_text()
        assert 'name = "/opt/emopi/current/models/mine.tflite"' in text
        assert "hop_s = 0.25" in text

    @pytest.mark.parametrize(
        ("words", "why"),
        [
            (["--target", "trixie-armhf"], "There is no TFLite interpreter"),
            (["--model", "none"], "the model of the bundle: 'none': no such model file"),
            (["--wheel", "none.whl"], "none.whl cannot be read: No such file"),
            (["--out", "/dev/null/x"], "/dev/null"),
        ],
    )
    def test_wrong(
        self, arguments: list[object], tmp_path: Path, words: list[str], why: str
    ) -> None:
        done = run_emopi(*arguments, "--out", tmp_path / "a.tar.gz", *words)
        assert done.returncode == 1
        assert why in done.stderr
        assert not (tmp_path / "a.tar.gz").exists()
