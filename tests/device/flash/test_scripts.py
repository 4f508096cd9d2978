"""The scripts that the Pi runs: both shells read what was meant, shellcheck finds nothing."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emopi.device.flash import first_boot, first_run
from emopi.device.flash.card_settings import CardSettings
from emopi.device.flash.first_boot import Installation

SHELLS = [shell for shell in ("dash", "bash") if shutil.which(shell)]
HOSTILE = [
    "'",
    '"',
    "$HOME",
    "`id`",
    "\\",
    "a\nb",
    "; rm -rf /",
    "'\"'\"'",
    "ö €",
    "$(id)",
    "%s",
    "-n",
]
FULL = CardSettings(
    hostname="sensor",
    user="me",
    password_hash="$6$ab$cdefghij",
    ssh_keys=('ssh-ed25519 AAAA it\'s "me" $HOME `id`',),
    ssid='it\'s "me" $HOME \\ `id`',
    psk="0a" * 32,
    country="DE",
    timezone="Europe/Berlin",
    locale="de_DE.UTF-8",
    keyboard="de",
    packages=("vim", "g++"),
)
INSTALLATIONS = [
    Installation(),
    Installation(requirement="git+https://example.org/emopi.git@main#egg='$x'"),
    Installation(bundle=Path("emopi-0.1.0-trixie-aarch64.tar.gz")),
    Installation(wheel=Path("emopi-0.1.0-py3-none-any.whl")),
]


def assigned(script: str) -> str:
    """The part of a script that sets its variables."""
    return script[: script.index("set -")]


def value(shell: str, script: str, name: str) -> str:
    """What a variable holds when a shell has read the assignments."""
    code = f"{assigned(script)}\nprintf '%s.' \"${name}\""
    done = subprocess.run([shell, "-u", "-c", code], capture_output=True, check=True)
    assert done.stderr == b""
    return done.stdout.decode().removesuffix(".")


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("text", HOSTILE)
def test_a_text_is_a_text(shell: str, text: str) -> None:
    script = first_boot.shell_script("first-boot.sh", {"requirement": text})
    assert value(shell, script, "requirement") == text


@pytest.mark.parametrize("shell", SHELLS)
@settings(max_examples=20)
@given(st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=30))
def test_any_text_is_a_text(shell: str, text: str) -> None:
    script = first_boot.shell_script("first-run.sh", {"ssid": text})
    assert value(shell, script, "ssid") == text


@pytest.mark.parametrize("shell", SHELLS)
def test_what_the_first_run_knows(shell: str) -> None:
    script = first_run.script(FULL)
    assert value(shell, script, "password_hash") == FULL.password_hash
    assert value(shell, script, "ssh_keys") == FULL.ssh_keys[0]
    assert value(shell, script, "psk") == FULL.psk
    ssid = value(shell, script, "ssid")
    assert bytes(int(byte) for byte in ssid.rstrip(";").split(";")).decode() == FULL.ssid


def test_plain_ssids_stay_readable() -> None:
    script = first_run.script(CardSettings(ssid="My Home-2_4", country="DE"))
    assert "ssid='My Home-2_4'\n" in script
    # an SSID of numbers would be taken for bytes
    assert "ssid='49;50;59;'\n" in first_run.script(CardSettings(ssid="12;", country="DE"))


@pytest.mark.skipif(not shutil.which("shellcheck"), reason="shellcheck is not installed")
@pytest.mark.parametrize("settings", [CardSettings(), FULL])
@pytest.mark.parametrize("installation", INSTALLATIONS)
def test_shellcheck(tmp_path: Path, installation: Installation, settings: CardSettings) -> None:
    (tmp_path / "first-boot.sh").write_text(first_boot.script(installation, settings, "0" * 64))
    (tmp_path / "first-run.sh").write_text(first_run.script(settings))
    done = subprocess.run(
        ["shellcheck", "--severity=warning", *tmp_path.iterdir()],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("installation", INSTALLATIONS)
def test_syntax(shell: str, installation: Installation) -> None:
    for script in (first_boot.script(installation, FULL, "0" * 64), first_run.script(FULL)):
        done = subprocess.run([shell, "-n"], input=script.encode(), capture_output=True, check=True)
        assert done.stderr == b""


@pytest.mark.skipif(
    not shutil.which("systemd-analyze"), reason="systemd-analyze is not installed (apt: systemd)"
)
@pytest.mark.parametrize("installation", INSTALLATIONS)
def test_unit(tmp_path: Path, installation: Installation) -> None:
    path = tmp_path / first_boot.UNIT_NAME
    path.write_text(first_boot.unit(installation, CardSettings()))
    done = subprocess.run(
        ["systemd-analyze", "verify", path], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_the_network_is_waited_for_only_where_it_is_needed() -> None:
    bundle = Installation(bundle=Path("emopi.tar.gz"))
    assert "network-online" not in first_boot.unit(bundle, CardSettings())
    assert "network-online" in first_boot.unit(bundle, CardSettings(packages=("vim",)))
    assert "network-online" in first_boot.unit(INSTALLATIONS[1], CardSettings())
