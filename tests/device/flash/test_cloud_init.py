"""What cloud-init is given, read by a YAML parser and, where it is installed, by cloud-init."""

from __future__ import annotations

import email
import shutil
import subprocess
from pathlib import Path
from typing import Any

import cards
import hypothesis
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from emopi.device.errors import CardError
from emopi.device.flash.card_settings import CardSettings
from emopi.device.flash.cloud_init import meta_data, network_config, user_data
from emopi.device.flash.yaml_text import dump

HASH = "$6$qimb.mJk4vWNKIMc$bnSr81p8rmJfuEUcTWIKMAz5J0iZ8pbWUXVE40rygn5o8a8RpI1mTkhn"
KEY = 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ me@here\'s "$HOME"'
FULL = CardSettings(
    hostname="sensor",
    user="me",
    password_hash=HASH,
    ssid='Küche "2" $HOME',
    psk="0a" * 32,
    country="DE",
    timezone="Europe/Berlin",
    locale="de_DE.UTF-8",
    keyboard="de",
)
KEY_ALONE = CardSettings(user="me", ssh_keys=(KEY,))
SSIDS = st.text(st.characters(codec="utf-8").filter(str.isprintable), min_size=1).filter(
    lambda ssid: len(ssid.encode()) <= 32
)


def load(text: str) -> Any:
    return yaml.safe_load(text)


TEXTS = st.text(st.characters(codec="utf-8"), max_size=20)


@hypothesis.settings(max_examples=50)
@given(
    st.dictionaries(
        TEXTS.filter(lambda key: len(key) < 100),
        st.recursive(
            TEXTS | st.booleans() | st.integers(),
            lambda one: (
                st.lists(one, min_size=1, max_size=3)
                | st.dictionaries(TEXTS, one, min_size=1, max_size=3)
            ),
            max_leaves=8,
        ),
        min_size=1,
        max_size=3,
    )
)
def test_yaml_says_what_was_meant(value: dict[str, Any]) -> None:
    assert load(dump(value)) == value


@pytest.mark.parametrize("ssid", ["yes", "NO", "null", "1e3", "0x10", "~", "a: b", "- a", "# a"])
def test_ssids_that_yaml_would_take_for_something_else(ssid: str) -> None:
    settings = CardSettings(ssid=ssid, psk="0a" * 32, country="DE")
    (name,) = load(network_config(settings))["network"]["wifis"]["wlan0"]["access-points"]
    assert name == ssid


@hypothesis.settings(max_examples=50)
@given(SSIDS)
def test_any_ssid(ssid: str) -> None:
    found = load(network_config(CardSettings(ssid=ssid, country="DE", hidden=True)))
    wifi = found["network"]["wifis"]["wlan0"]
    assert wifi["access-points"] == {ssid: {"auth": {"key-management": "none"}, "hidden": True}}
    assert wifi["regulatory-domain"] == "DE"


def test_network_config() -> None:
    found = load(network_config(FULL))["network"]
    assert found["version"] == 2
    assert found["wifis"]["wlan0"]["access-points"] == {FULL.ssid: {"password": FULL.psk}}
    assert found["ethernets"]["eth0"]["dhcp4"] is True


@pytest.mark.parametrize("kept", ["", "#cloud-config\n\n# hostname: raspberrypi\n"])
def test_one_document_where_there_is_nothing_to_keep(kept: str) -> None:
    text = user_data(FULL, kept)
    assert text.startswith("#cloud-config\n")
    found = load(text)
    assert found["hostname"] == "sensor"
    (user,) = found["users"]
    assert (user["name"], user["passwd"], user["lock_passwd"]) == ("me", HASH, False)
    assert "audio" in user["groups"].split(",")
    assert "sudo" not in user
    assert found["ssh_pwauth"] is True
    assert found["timezone"] == "Europe/Berlin"
    assert found["keyboard"] == {"model": "pc105", "layout": "de"}
    assert found["runcmd"][-1][-1] == "emopi-first-boot.service"


def test_a_key_alone() -> None:
    found = load(user_data(KEY_ALONE, ""))
    (user,) = found["users"]
    assert user["ssh_authorized_keys"] == [KEY]
    assert (user["lock_passwd"], user["sudo"]) == (True, "ALL=(ALL) NOPASSWD:ALL")
    assert found["ssh_pwauth"] is False


def test_imagers_settings_stay_as_they_are() -> None:
    text = user_data(CardSettings(hostname="sensor"), cards.IMAGERS_USER_DATA)
    kept, wanted, commands = email.message_from_string(text).get_payload()
    assert kept.get_content_type() == wanted.get_content_type() == "text/cloud-config"
    assert kept.get_payload() == cards.IMAGERS_USER_DATA
    assert load(wanted.get_payload()) == {"hostname": "sensor", "manage_etc_hosts": True}
    assert set(load(commands.get_payload())) == {"merge_how", "runcmd"}


def test_nothing_set_overrides_nothing() -> None:
    text = user_data(CardSettings(), cards.IMAGERS_USER_DATA)
    parts = email.message_from_string(text).get_payload()
    assert [set(load(part.get_payload())) for part in parts[1:]] == [{"merge_how", "runcmd"}]


def test_an_archive_and_a_script_are_kept_too() -> None:
    archive = user_data(FULL, "#!/bin/sh\ntouch /root/mine\n")
    again = email.message_from_string(user_data(CardSettings(), archive)).get_payload()
    assert [part.get_content_type() for part in again] == [
        "text/x-shellscript",
        *["text/cloud-config"] * 3,
    ]
    assert again[0].get_payload() == "#!/bin/sh\ntouch /root/mine\n"


def test_what_is_kept_may_hold_what_divides_an_archive() -> None:
    kept = "#cloud-config\nmotd: |\n  a\n\n--=emopi-flash=\n\n--=emopi-flash=--\n"
    parts = email.message_from_string(user_data(FULL, kept)).get_payload()
    assert len(parts) == 3
    assert parts[0].get_payload() == kept


def test_what_nobody_knows_is_refused() -> None:
    with pytest.raises(CardError, match="which emopi cannot add to"):
        user_data(FULL, "hello: world\n")


@pytest.mark.skipif(not shutil.which("cloud-init"), reason="cloud-init is not installed")
@pytest.mark.parametrize("settings", [CardSettings(), FULL, KEY_ALONE])
def test_schema(tmp_path: Path, settings: CardSettings) -> None:
    path = tmp_path / "user-data"
    path.write_text(user_data(settings, ""))
    done = subprocess.run(
        ["cloud-init", "schema", "--config-file", path], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_meta_data() -> None:
    assert load(meta_data("emopi-1")) == {"dsmode": "local", "instance-id": "emopi-1"}
