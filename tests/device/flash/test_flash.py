"""`emopi flash` as its user meets it: what it prints, refuses, writes and never shows."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import cards
import pytest
from click.testing import CliRunner
from support import run_emopi

from emopi.device.commands.flash import flash
from emopi.device.errors import EmopiError, SpecError
from emopi.device.flash.card_settings import CardSettings

needs_openssl = pytest.mark.skipif(not shutil.which("openssl"), reason="openssl is not installed")
HASH = "$6$qimb.mJk4vWNKIMc$bnSr81p8rmJfuEUcTWIKMAz5J0iZ8pbWUXVE40rygn5o8a8RpI1mTkhn"
SECRETS = {"EMOPI_CARD_PASSWORD": "correct horse", "EMOPI_CARD_PASSPHRASE": "battery staple"}
WIFI = ("--wifi", "home", "--country", "DE")


@pytest.fixture
def card(tmp_path: Path) -> Path:
    return cards.trixie(tmp_path / "card")


def refused_here(*arguments: object) -> str:
    """What is said when the command fails in this process, which is quicker."""
    done = CliRunner().invoke(flash, list(map(str, arguments)))
    assert isinstance(done.exception, EmopiError | SystemExit), done.exception
    assert done.exit_code in (1, 2)
    return f"{done.exception} {done.output}"


def refused(stderr: str) -> str:
    assert "Traceback" not in stderr
    return stderr


@needs_openssl
@pytest.mark.parametrize("make", [cards.trixie, cards.bookworm])
def test_no_secret_is_written_or_shown(tmp_path: Path, make: object) -> None:
    folder = make(tmp_path / "card")  # type: ignore[operator]
    before = cards.snapshot(folder)
    arguments = ("flash", folder, "--user", "me", *WIFI)
    shown = run_emopi(*arguments, "--dry-run", **SECRETS)
    assert shown.returncode == 0, shown.stderr
    assert cards.snapshot(folder) == before
    assert "********" in shown.stdout
    for secret in (*SECRETS.values(), "$6$", "$5$"):
        assert secret not in shown.stdout + shown.stderr
    told = run_emopi(*arguments, **SECRETS)
    assert told.returncode == 0, told.stderr
    assert told.stdout == ""
    written = b"\n".join(cards.snapshot(folder).values()).decode(errors="replace")
    assert "$6$" in written
    for secret in SECRETS.values():
        assert secret not in written + told.stderr


def test_a_dry_run_shows_every_byte(card: Path, tmp_path: Path) -> None:
    file = tmp_path / "hash"
    file.write_text(HASH)
    file.chmod(0o600)
    before = cards.snapshot(card)
    arguments = ("flash", card, "--user", "me", "--password-file", file, "--i2s", "sph0645")
    shown = run_emopi(*arguments, "--dry-run", "--show-secrets")
    assert cards.snapshot(card) == before
    assert run_emopi(*arguments).returncode == 0
    after = cards.snapshot(card)
    changed = {name: text for name, text in after.items() if before.get(name) != text}
    assert {"user-data", "meta-data", "config.txt", "cmdline.txt", "emopi/flash.json"} < set(
        changed
    )
    for name, content in changed.items():
        if name.endswith(".before-emopi"):
            assert f"# {card}/{name}: {name.removesuffix('.before-emopi')} as it is" in shown.stdout
        else:
            assert f"# {card}/{name}:\n{content.decode()}" in shown.stdout
    assert "dtoverlay=googlevoicehat-soundcard" in shown.stdout
    assert run_emopi(*arguments, "--dry-run").stdout == ""


@needs_openssl
def test_again_and_restore(card: Path) -> None:
    before = cards.snapshot(card)
    arguments = ("flash", card, "--hostname", "sensor", "--user", "me", *WIFI)
    first = run_emopi(*arguments, **SECRETS)
    assert "written: cmdline.txt" in first.stderr
    assert "ssh me@sensor.local" not in first.stderr  # emopi is not on it
    after = cards.snapshot(card)
    second = run_emopi(*arguments, **SECRETS)
    assert second.returncode == 0, second.stderr
    assert "nothing to write: all is there already" in second.stderr
    assert cards.snapshot(card) == after
    restored = run_emopi("flash", card, "--restore")
    assert restored.returncode == 0, restored.stderr
    assert cards.snapshot(card) == before
    again = run_emopi("flash", card, "--restore")
    assert again.returncode == 1
    assert "emopi flash has not prepared it" in again.stderr


def test_secrets_from_files_and_pipes(card: Path, tmp_path: Path) -> None:
    file = tmp_path / "hash"
    file.write_text(HASH + "\n")
    file.chmod(0o600)
    done = subprocess.run(
        [sys.executable, "-m", "emopi.device.cli", "flash", card, "--user", "me",
         "--password-file", file, *WIFI, "--passphrase-file", "-"],
        input="password\n", capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert HASH in (card / "user-data").read_text()
    network = (card / "network-config").read_text()
    assert "password: " in network
    assert '"password"' not in network


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--hostname", "two words"), "hostname is 'two words'; expected 1 to 63 letters"),
        (("--hostname", "$(reboot)"), "hostname is '$(reboot)'; expected"),
        (("--hostname", "-x"), "hostname is '-x'; expected"),
        (("--user", "root"), "user is 'root', which the system needs"),
        (("--user", "emopi"), "user is 'emopi', which the system needs"),
        (("--user", "a b"), "user is 'a b'; expected 1 to 32 small letters"),
        (("--user", "me"), "could not log in; expected a password or SSH key"),
        (("--wifi", "home", "--open"), "country is missing: without it the radio stays off"),
        (("--wifi", "x" * 33, "--country", "DE", "--open"), "expected 1 to 32 bytes"),
        (("--wifi", "a\nb", "--country", "DE", "--open"), "expected 1 to 32 bytes"),
        ((*WIFI,), "the Wi-Fi needs a passphrase, or --open"),
        (("--country", "Germany"), "country is 'Germany'; expected two capital letters"),
        (("--timezone", "Europe/Nowhere"), "timezone is 'Europe/Nowhere'; expected"),
        (("--timezone", "../../etc/shadow"), "timezone is '../../etc/shadow'; expected"),
        (("--locale", "de"), "locale is 'de'; expected a name such as de_DE.UTF-8"),
        (("--keyboard", 'de"'), "keyboard is 'de\"'; expected a layout"),
        (("--i2s", "nosuch"), "has no overlays/nosuch.dtbo for the microphone 'nosuch'"),
        (("--i2s", "wm8960"), "has no overlays/wm8960-soundcard.dtbo"),
        (("--apt", "vim;reboot"), "'vim;reboot' is no name of a Debian package"),
        (("--package", "absent.whl"), "absent.whl is no wheel of emopi; make one"),
        (("--package", "-r/etc/shadow"), "expected what pip install takes"),
        (("--os", "bookworm", "--hostname", ""), "nothing to do"),
        (("--restore", "--dry-run"), "--restore and --dry-run are both given"),
    ],
)
def test_what_is_refused(card: Path, arguments: tuple[str, ...], message: str) -> None:
    before = cards.snapshot(card)
    assert message in refused_here(card, *arguments)
    assert cards.snapshot(card) == before


def test_a_bundle(card: Path, tmp_path: Path) -> None:
    right = cards.bundle(tmp_path / "emopi-0.1.0-trixie-aarch64.tar.gz")
    done = run_emopi("flash", card, "--bundle", right)
    assert done.returncode == 0, done.stderr
    assert "first boot installs emopi without a network" in done.stderr
    assert (card / "emopi" / right.name).read_bytes() == right.read_bytes()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("bookworm-armhf", "is for bookworm-armhf, the card has trixie-aarch64"),
        (None, "is no archive of emopi bundle"),
        (b"not an archive", "is no archive of emopi bundle"),
        (b"\x1f\x8b" + b"\0" * 100, "is no archive of emopi bundle"),
    ],
)
def test_a_bundle_that_does_not_fit(
    card: Path, tmp_path: Path, content: str | bytes | None, message: str
) -> None:
    path = tmp_path / "emopi.tar.gz"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        cards.bundle(path, content or "", manifest=content is not None)
    before = cards.snapshot(card)
    assert message in refused_here(card, "--bundle", path)
    assert cards.snapshot(card) == before


def test_settings_from_a_file(card: Path, tmp_path: Path) -> None:
    settings = tmp_path / "card.toml"
    settings.write_text(
        'hostname = "from-file"\ntimezone = "Europe/Berlin"\napt = ["vim", "htop"]\n'
        "hidden = false\n"
    )
    done = run_emopi("flash", card, "--settings", settings, "--hostname", "from-options")
    assert done.returncode == 0, done.stderr
    text = (card / "user-data").read_text()
    assert 'hostname: "from-options"' in text
    assert 'timezone: "Europe/Berlin"' in text
    assert "packages='vim htop'" in (card / "emopi/first-boot.sh").read_text()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('hostnam = "a"\n', "unknown key 'hostnam'; expected one of: apt, bundle, country"),
        ("restore = true\n", "unknown key 'restore'"),
        ("hostname = \n", "is not TOML"),
    ],
)
def test_a_settings_file_that_is_wrong(card: Path, tmp_path: Path, text: str, message: str) -> None:
    settings = tmp_path / "card.toml"
    settings.write_text(text)
    assert message in refused_here(card, "--settings", settings)


@pytest.mark.skipif(os.name != "posix", reason="needs permissions of POSIX")
@pytest.mark.skipif(
    not shutil.which("setpriv") or os.geteuid() != 0, reason="becomes another user: setpriv, root"
)
def test_a_card_that_cannot_be_written() -> None:
    """For root everything can be written: another user tries."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        card = cards.trixie(Path(folder, "card"))
        done = subprocess.run(
            ["setpriv", "--reuid=65534", "--clear-groups", sys.executable, "-m",
             "emopi.device.cli", "flash", str(card), "--hostname", "sensor"],
            capture_output=True, text=True, check=False, cwd="/",
        )  # fmt: skip
        assert done.returncode == 1
        assert "Permission denied" in refused(done.stderr)
        assert "mount it as yourself, or use sudo" in done.stderr
        assert not (card / "emopi").exists()


def test_a_folder_that_is_no_card(tmp_path: Path) -> None:
    done = run_emopi("flash", tmp_path, "--hostname", "sensor")
    assert done.returncode == 1
    assert "is not the boot partition of a Raspberry Pi" in refused(done.stderr)
    assert list(tmp_path.iterdir()) == []


def test_help_tells_of_secrets_and_takes_none() -> None:
    done = run_emopi("flash", "--help")
    assert done.returncode == 0
    assert "--password-file" in done.stdout
    assert "EMOPI_CARD_PASSWORD" in done.stdout
    assert "--password " not in done.stdout


def test_settings_say_what_is_missing() -> None:
    with pytest.raises(SpecError, match="belongs to a user"):
        CardSettings(password_hash=HASH)
    with pytest.raises(SpecError, match="is no public SSH key"):
        CardSettings(user="me", ssh_keys=("-----BEGIN OPENSSH PRIVATE KEY-----",))
