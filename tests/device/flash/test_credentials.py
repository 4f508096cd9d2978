"""Secrets: where they may come from, what becomes of them."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emopi.device.errors import CardError, SpecError
from emopi.device.flash.credentials import hide, one_line, password_hash, read_secret, wifi_psk

needs_openssl = pytest.mark.skipif(not shutil.which("openssl"), reason="openssl is not installed")
needs_perl = pytest.mark.skipif(
    not shutil.which("perl"), reason="perl, which has the C library's crypt(), is not installed"
)

PASSWORDS = st.text(
    st.characters(codec="utf-8").filter(str.isprintable), min_size=1, max_size=40
).filter(lambda text: not text.startswith("$"))


def crypt(password: str, salt: str) -> str:
    """The C library's: what the Pi's login does."""
    done = subprocess.run(
        ["perl", "-e", 'chomp(my $p = <STDIN>); print crypt($p, $ARGV[0])', salt],
        input=password + "\n", capture_output=True, text=True, check=True,
    )  # fmt: skip
    return done.stdout


@needs_openssl
@needs_perl
@settings(max_examples=25)
@given(PASSWORDS)
def test_the_hash_is_one_that_login_accepts(password: str) -> None:
    found = password_hash(password)
    assert found.startswith("$6$")
    assert crypt(password, found) == found
    assert crypt(password + "x", found) != found


@needs_openssl
def test_the_salt_is_random_but_stays_on_a_card() -> None:
    first, second = password_hash("secret"), password_hash("secret")
    assert first != second
    assert password_hash("secret", f"passwd: {first!r}\n") == first
    assert password_hash("other", f"passwd: {first!r}\n") != first


@pytest.mark.parametrize("known", ["$6$ab$cdefghij./", "$y$j9T$abcdefgh$ijk", "$5$a$bcdefghi"])
def test_a_hash_is_taken_as_it_is(known: str) -> None:
    assert password_hash(known) == known


def test_passwords_that_are_too_long() -> None:
    with pytest.raises(SpecError, match="more than 255 bytes"):
        password_hash("ö" * 128)


def test_without_openssl(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(CardError, match="openssl is not here"):
        password_hash("secret")


def test_psk() -> None:
    """IEEE 802.11-2020, annex J.4.2: two of its test vectors."""
    assert wifi_psk("password", "IEEE") == (
        "f42c6fc52df0ebef9ebb4b90b38a5f902e83fe1b135a70e23aed762e9710a12e"
    )
    assert wifi_psk("ThisIsAPassword", "ThisIsASSID") == (
        "0dc0d6eb90555ed6419756b9a15ec3e3209b63df707dd508d14581f8982721af"
    )
    assert wifi_psk("A" * 64, "any") == "a" * 64


@pytest.mark.parametrize("passphrase", ["1234567", "x" * 65, "ö" * 32])
def test_passphrases_that_no_wifi_has(passphrase: str) -> None:
    with pytest.raises(SpecError, match="expected 8 to 63"):
        wifi_psk(passphrase, "ssid")


class TestFile:
    def test_one_line(self, tmp_path: Path) -> None:
        path = tmp_path / "secret"
        path.write_text(" two words \n")
        path.chmod(0o600)
        assert read_secret(str(path), "a password") == " two words "

    def test_that_everyone_can_read(self, tmp_path: Path) -> None:
        path = tmp_path / "secret"
        path.write_text("hunter2\n")
        path.chmod(0o644)
        with pytest.raises(CardError, match=r"can be read by everyone.*chmod 600") as caught:
            read_secret(str(path), "a password")
        assert "hunter2" not in str(caught.value)

    def test_a_pipe(self) -> None:
        read, write = os.pipe()
        os.write(write, b"hunter2\n")
        os.close(write)
        assert read_secret(f"/dev/fd/{read}", "a password") == "hunter2"
        os.close(read)

    def test_absent(self, tmp_path: Path) -> None:
        with pytest.raises(CardError, match="cannot be read: No such file"):
            read_secret(str(tmp_path / "absent"), "a password")

    @pytest.mark.parametrize("content", [b"", b"\n", b"a\nb\n", b"a\0b", b"a\tb", b"x" * 5000])
    def test_of_another_form(self, content: bytes) -> None:
        with pytest.raises(CardError, match="has not exactly one line") as caught:
            one_line(content, "stdin")
        assert "x" * 10 not in str(caught.value)

    def test_of_no_text(self) -> None:
        with pytest.raises(CardError, match="is not UTF-8"):
            one_line(b"\xff\xfe", "stdin")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("passwd: $6$abc$defghijkl", "passwd: ********"),
        ("    plain_text_passwd: 'a b'\n", "    plain_text_passwd: ********\n"),
        ("- {name: a, password: b c, type: text}", "- {name: a, password: ********, type: text}"),
        ("psk=" + "0a" * 32, "psk=********"),
        ('  "x": ' + "0a" * 32, '  "x": ********'),
        ("lock_passwd: false", "lock_passwd: false"),
        ("ssh_pwauth: true", "ssh_pwauth: true"),
        ("payload_sha256=" + "0a" * 32, "payload_sha256=" + "0a" * 32),
        ("hash='$y$j9T$abcdefgh$ijk'", "hash='********'"),
    ],
)
def test_what_a_dry_run_hides(text: str, shown: str) -> None:
    assert hide(text) == shown
