"""What the device may import: nothing of training, nothing heavy."""

from __future__ import annotations

import ast
import hashlib
import subprocess
import sys
from importlib.metadata import entry_points
from importlib.resources import files
from pathlib import Path

import pytest
from support import MODELS

from emopi.device.cli import GROUP
from emopi.device.commands.listed import COMMANDS
from emopi.device.digest import sha256

HEAVY = ("tensorflow", "keras", "tf_keras", "scipy", "librosa", "matplotlib", "pandas", "sklearn")
MAY_IMPORT = {
    "device": {"device", "models"},  # which holds files alone
    "train": {"device", "train"},
    "convert": {"device", "train", "convert"},
}


def sources(package: str) -> list[Path]:
    found = sorted(Path(str(files(f"emopi.{package}"))).rglob("*.py"))
    assert found
    return found


def emopi_imports(path: Path) -> set[str]:
    """The packages of emopi that a file imports, anywhere in it."""
    names = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} has a relative import"
            names.append(node.module or "")
    return {name.split(".")[1] for name in names if name.startswith("emopi.")}


@pytest.mark.parametrize("package", sorted(MAY_IMPORT))
def test_dependency_rule(package: str) -> None:
    for path in sources(package):
        assert emopi_imports(path) <= MAY_IMPORT[package], path


def run(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False
    )


BLOCK_HEAVY = f"""
import sys
for name in {HEAVY!r}:
    sys.modules[name] = None  # importing it raises ImportError
"""


def test_device_works_without_heavy_packages() -> None:
    root = Path(str(files("emopi.device")))
    names = [path.relative_to(root).with_suffix("") for path in sources("device")]
    modules = [".".join(("emopi.device", *name.parts)) for name in names]
    assert "emopi.device.sinks.jsonlines" in modules
    imports = "\n".join(f"import {name}" for name in modules)
    done = run(f"{BLOCK_HEAVY}\n{imports}\nimport emopi.train.evaluation.evaluate\n")
    assert done.returncode == 0, done.stderr


def test_whole_command_line_works_without_heavy_packages(tmp_path: Path) -> None:
    code = (
        BLOCK_HEAVY
        + f"""
import numpy, soundfile
soundfile.write({str(tmp_path / "a.wav")!r}, 0.1 * numpy.sin(numpy.arange(64000) / 9), 16000)
from emopi.device.cli import main
sys.argv = ["emopi", "classify", "--json", {str(tmp_path / "a.wav")!r}]
main()
"""
    )
    done = run(code)
    assert done.returncode == 0, done.stderr
    assert '"probabilities"' in done.stdout


def test_help_imports_neither_numpy_nor_an_interpreter() -> None:
    code = """
import sys
from emopi.device.cli import main
sys.argv = ["emopi", "--help"]
try:
    main()
finally:
    heavy = {"numpy", "ai_edge_litert", "tflite_runtime", "soundfile", "rich"} & set(sys.modules)
    assert not heavy, heavy
"""
    done = run(code)
    assert done.returncode == 0, done.stderr
    for command in ("classify", "listen", "dataset", "train", "evaluate", "convert"):
        assert command in done.stdout


def test_help_imports_no_command() -> None:
    code = """
import sys
from emopi.device.cli import cli
cli.main(["--help"], standalone_mode=False)
ours = {n for n in sys.modules if n.startswith("emopi.device.commands.")}
assert ours == {"emopi.device.commands.listed"}, ours
assert "importlib.metadata" not in sys.modules  # a third of the time of the help
"""
    done = run(code)
    assert done.returncode == 0, done.stderr
    assert "install-service" in done.stdout


def test_help_says_of_each_command_what_it_says_itself() -> None:
    found = {entry.name: entry.load() for entry in entry_points(group=GROUP)}
    assert list(COMMANDS) == sorted(found)
    for name, command in found.items():
        assert COMMANDS[name] == " ".join(command.help.split("\n\n")[0].split())


def test_a_sensor_holds_nothing_that_it_does_not_need() -> None:
    code = f"""
import sys
import numpy
before = set(sys.modules)  # NumPy 1 brings hashlib
from emopi.device.cli import main
sys.argv = ["emopi", "listen", "--fast", "--source", {str(MODELS / "example.wav")!r}]
try:
    main()
finally:
    brought = set(sys.modules) - before
    needless = {{"_hashlib", "ssl", "sqlite3", "zipfile", "socket", "tomllib", "wave"}}
    needless |= {{"rich", "bottle", "paho"}}
    assert not needless & brought, needless & brought
"""
    done = run(code)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) > 10


@pytest.mark.parametrize("absent", [(), ("_sha2", "_sha256")])
def test_digest(absent: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in absent:
        monkeypatch.setitem(sys.modules, name, None)
    assert sha256(b"emopi" * 1000) == hashlib.sha256(b"emopi" * 1000).hexdigest()
