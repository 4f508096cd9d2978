"""Prepared cards, booted: `make test-card`. Debian on this machine's own processor, not a Pi's."""

from __future__ import annotations

import email
import json
import os
import re
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import cards
import pytest
from card_machine import NOCLOUD, REBOOT, Boot, Machine, root_of
from container import TOOLS
from support import ROOT, run_emopi

pytestmark = [
    pytest.mark.skipif(
        os.environ.get("EMOPI_TEST_CARD") != "1",
        reason="boots systems for some minutes: make test-card",
    ),
    pytest.mark.skipif(os.geteuid() != 0, reason="containers need root"),
    pytest.mark.skipif(
        not all(map(shutil.which, TOOLS)),
        reason="apt install mmdebstrap systemd-container util-linux",
    ),
]

ROOTS = Path(os.environ.get("EMOPI_CARD_ROOTS", ROOT / "build/card-roots"))
PASSWORD = 'pa $s "w\\ö'
SSID = 'Küche "2" $HOME;'
PSK = "0a" * 32
KEY = 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ it\'s "me" $HOME'
INSTALL = """\
#!/bin/sh
set -eu
test -f manifest.json
id -un >/root/installed
"""
"""The archive's, which leaves a sign that root has run it where it was unpacked."""


@pytest.fixture
def overlay() -> Iterator[list[Path]]:
    """Folders that are mounted and will be no more."""
    mounted: list[Path] = []
    yield mounted
    for folder in mounted:
        subprocess.run(["umount", folder], check=True)


def machine(release: str, card: Path, tmp_path: Path, mounted: list[Path]) -> Machine:
    lower = root_of(release, ROOTS)
    layers = {name: tmp_path / "machine" / name for name in ("upper", "work", "root")}
    for layer in layers.values():
        layer.mkdir(parents=True)
    options = f"lowerdir={lower},upperdir={layers['upper']},workdir={layers['work']}"
    subprocess.run(["mount", "-t", "overlay", "overlay", "-o", options, layers["root"]], check=True)
    mounted.append(layers["root"])
    return Machine(layers["root"], card)


def prepare(card: Path, release: str, tmp_path: Path, *options: str) -> None:
    archive = cards.bundle(
        tmp_path / f"emopi-0.1.0-{release}-aarch64.tar.gz", f"{release}-aarch64", INSTALL
    )
    done = run_emopi(
        "flash", card, "--bundle", archive, "--hostname", "sensor", "--user", "me",
        "--wifi", SSID, "--country", "DE", "--timezone", "Europe/Berlin",
        "--locale", "de_DE.UTF-8", "--keyboard", "de", *options,
        EMOPI_CARD_PASSWORD=PASSWORD, EMOPI_CARD_PASSPHRASE=PSK,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def check_system(system: Machine) -> None:
    """Everything that was asked for is so."""
    assert system.read("etc/hostname") == "sensor\n"
    assert re.search(r"^127\.0\.1\.1\s+sensor", system.read("etc/hosts"), re.MULTILINE)
    assert system.read("etc/timezone") == "Europe/Berlin\n"
    assert "LANG=de_DE.UTF-8" in system.read("etc/default/locale")
    assert 'XKBLAYOUT="de"' in system.read("etc/default/keyboard")
    found = re.search(r"^me:([^:]+):", system.read("etc/shadow"), re.MULTILINE)
    assert found
    assert found[1] == crypt(PASSWORD, found[1])
    groups = system.chroot("id", "-nG", "me").stdout.split()
    assert {"me", "audio", "sudo"} <= set(groups)
    assert system.read("root/installed") == "root\n"
    assert not (system.root / "etc/systemd/system/emopi-first-boot.service").exists()


def crypt(password: str, salt: str) -> str:
    done = subprocess.run(
        ["perl", "-e", "chomp(my $p = <STDIN>); print crypt($p, $ARGV[0])", salt],
        input=password + "\n", capture_output=True, text=True, check=True,
    )  # fmt: skip
    return done.stdout


def check_card(card: Path) -> None:
    """No secret is left on it, nor anything else of ours but the settings of the hardware."""
    left = b"\n".join(cards.snapshot(card).values()).decode(errors="replace")
    assert PSK not in left
    assert not re.search(r"\$[56]\$", left)
    names = {path.name for path in card.rglob("*")}
    assert not [name for name in names if "emopi" in name]


def test_bookworm(tmp_path: Path, overlay: list[Path]) -> None:
    card = cards.bookworm(tmp_path / "card")
    (card / "firstrun.sh").write_text(cards.IMAGERS_FIRST_RUN)
    prepare(card, "bookworm", tmp_path)
    system = machine("bookworm", card, tmp_path, overlay)
    system.chroot("useradd", "--uid", "1000", "--create-home", "pi")
    with system.boot() as first:
        assert first.wait_for_end() == REBOOT
    assert (system.root / "root/imagers-script").exists()
    assert "systemd." not in (card / "cmdline.txt").read_text()
    assert not (card / "firstrun.sh").exists()
    assert not (card / "emopi/first-run.sh").exists()
    with system.boot() as second:
        second.wait_for(lambda: not (card / "emopi").exists())
        known = second.run(
            "nmcli", "-s", "-g", "802-11-wireless.ssid,802-11-wireless-security.psk",
            "connection", "show", "emopi",
        )  # fmt: skip
        assert known.splitlines() == [SSID, PSK]
        assert second.run("systemctl", "is-enabled", "ssh") == "enabled\n"
    check_system(system)
    check_card(card)
    users = system.read("etc/passwd")
    assert "\nme:x:1000:" in users
    assert "\npi:" not in users
    log = system.read("var/log/emopi-first-run.log")
    # a container has no radio
    assert re.findall("failed.*", log) == ["failed, status 1: set_country"]


def test_bookworm_with_a_key_alone(tmp_path: Path, overlay: list[Path]) -> None:
    card = cards.bookworm(tmp_path / "card")
    key = tmp_path / "key.pub"
    key.write_text(f"# mine\n{KEY}\n")
    done = run_emopi("flash", card, "--user", "me", "--ssh-key", key)
    assert done.returncode == 0, done.stderr
    system = machine("bookworm", card, tmp_path, overlay)
    with system.boot() as first:
        assert first.wait_for_end() == REBOOT
    home = system.root / "home/me"
    assert (home / ".ssh/authorized_keys").read_text() == f"{KEY}\n"
    assert (home / ".ssh/authorized_keys").stat().st_mode & 0o777 == 0o600
    assert (home / ".ssh").stat().st_uid == home.stat().st_uid == 1000
    assert "me:!:" in system.read("etc/shadow")
    system.chroot("mkdir", "-p", "/run/sshd")
    config = system.chroot("/usr/sbin/sshd", "-T").stdout
    assert "passwordauthentication no" in config
    assert system.chroot("visudo", "--check").returncode == 0


def has_network() -> bool:
    """Whether PyPI answers."""
    try:
        with urllib.request.urlopen("https://pypi.org/simple/click/", timeout=20):
            return True
    except OSError:
        return False


@pytest.mark.parametrize("release", ["bookworm", "trixie"])
def test_from_the_network(tmp_path: Path, overlay: list[Path], release: str) -> None:
    """emopi itself, from a wheel on the card: in the end systemd runs it."""
    if not has_network():
        pytest.skip("PyPI does not answer")
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", tmp_path, ROOT], check=True
    )
    (wheel,) = tmp_path.glob("emopi-*.whl")
    card = (cards.bookworm if release == "bookworm" else cards.trixie)(tmp_path / "card")
    done = run_emopi("flash", card, "--package", wheel, "--hostname", "sensor")
    assert done.returncode == 0, done.stderr
    system = machine(release, card, tmp_path, overlay)
    enable_first_boot(system, release)
    system.share_network()
    with system.boot() as boot:
        boot.wait_for(lambda: not (card / "emopi").exists(), seconds=900)
        boot.wait_for(lambda: "no microphone was" in boot.run("journalctl", "--unit", "emopi"))
        assert boot.run("systemctl", "is-enabled", "emopi") == "enabled\n"
        assert boot.run("emopi", "--version").startswith("emopi, version ")
    assert (system.root / "etc/emopi/emopi.toml").exists()
    check_card(card)


def enable_first_boot(system: Machine, release: str) -> None:
    """What comes before the network: on Bookworm as it is, for Trixie see the test below.

    cloud-init would set up a network that is not the container's own.
    """
    if release == "bookworm":
        with system.boot() as first:
            assert first.wait_for_end() == REBOOT
        return
    (system.root / "etc/cloud/cloud-init.disabled").touch()
    unit = system.card / "emopi/emopi-first-boot.service"
    shutil.copy(unit, system.root / "etc/systemd/system")
    assert system.chroot("systemctl", "enable", unit.name).returncode == 0


def test_trixie(tmp_path: Path, overlay: list[Path]) -> None:
    card = cards.trixie(tmp_path / "card")
    prepare(card, "trixie", tmp_path)
    seed = {name: (card / name).read_text() for name in ("user-data", "network-config")}
    system = machine("trixie", card, tmp_path, overlay)
    (system.root / "etc/cloud/cloud.cfg.d/99_raspberry-pi.cfg").write_text(NOCLOUD)
    check_schema(system, seed)
    with system.boot() as first:
        first.wait_for(lambda: not (card / "emopi").exists() and is_done(first))
        known = first.run("netplan", "get", "wifis.wlan0.access-points")
        assert PSK in known
    check_system(system)
    check_card(card)
    assert (system.root / "root/imagers-command").exists()
    assert "imagers-user" not in system.read("etc/passwd")
    result = json.loads(system.read("var/lib/cloud/data/result.json"))["v1"]
    assert "NoCloud" in result["datasource"]
    # a container has no network for the package that Raspberry Pi Imager wants
    assert not [error for error in result["errors"] if "avahi-daemon" not in error]
    with system.boot() as second:
        second.wait_for(lambda: is_done(second))
        assert second.run("hostname") == "sensor\n"
        assert PSK in second.run("netplan", "get", "wifis.wlan0.access-points")
        assert second.run("cloud-init", "query", "platform") == "nocloud\n"
    check_system(system)


def is_done(boot: Boot) -> bool:
    """Whether cloud-init has nothing more to do."""
    # where something has failed, its exit status says so
    told = boot.run("sh", "-c", "cloud-init status || true")
    return "done" in told or "error" in told


def check_schema(system: Machine, seed: dict[str, str]) -> None:
    """cloud-init's own opinion; of an archive, of each part."""
    parts = email.message_from_string(seed["user-data"]).get_payload()
    documents = [(part.get_payload(), "cloud-config") for part in parts]
    for text, kind in [*documents, (seed["network-config"], "network-config")]:
        (system.root / "root/checked").write_text(text)
        done = system.chroot(
            "cloud-init", "schema", "--config-file", "/root/checked", "--schema-type", kind
        )
        assert done.returncode == 0, done.stdout + done.stderr
