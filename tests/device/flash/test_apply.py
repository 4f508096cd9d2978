"""Cards are changed as a whole, again without piling up, and put back to the byte."""

from __future__ import annotations

import json
import os
import shutil
import struct
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import cards
import pytest

from emopi.device.errors import CardError
from emopi.device.flash.apply import apply, restore, work_out
from emopi.device.flash.card_settings import CardSettings
from emopi.device.flash.first_boot import Installation
from emopi.device.flash.image import ImagePartition
from emopi.device.flash.partition import FolderPartition, Partition
from emopi.device.flash.plan import make_plan
from emopi.device.flash.system import recognize

SETTINGS = CardSettings(hostname="sensor", ssid="home", psk="0a" * 32, country="DE", i2s="inmp441")
START = 8192


def prepare(
    card: Partition,
    settings: CardSettings = SETTINGS,
    installation: Installation = Installation(),  # noqa: B008 - frozen
) -> list[str]:
    work = work_out(card, make_plan(card, recognize(card), settings, installation))
    apply(card, work)
    return work.names


def image_of(folder: Path, path: Path) -> Path:
    """A disk image whose first partition holds what is in the folder."""
    partition = path.with_suffix(".fat")
    for command in (
        ["mkfs.vfat", "-C", "-n", "bootfs", str(partition), "40000"],
        ["mcopy", "-s", "-i", str(partition), *map(str, sorted(folder.iterdir())), "::/"],
    ):
        subprocess.run(command, check=True, capture_output=True)
    entry = struct.pack("<B3sB3sII", 0, bytes(3), 0x0C, bytes(3), START, 80_000)
    record = bytes(446) + entry + bytes(48) + b"\x55\xaa"
    path.write_bytes(record.ljust(START * 512, b"\0") + partition.read_bytes())
    return path


def image_snapshot(image: Path, folder: Path) -> dict[str, bytes]:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    drive = f"{image}@@{START * 512}"
    subprocess.run(["mcopy", "-s", "-i", drive, "::/*", str(folder)], check=True)
    return cards.snapshot(folder)


Card = tuple[Partition, Callable[[], dict[str, bytes]]]
needs_mtools = pytest.mark.skipif(
    not (shutil.which("mcopy") and shutil.which("mkfs.vfat")),
    reason="mtools or dosfstools are not installed",
)


@pytest.fixture(params=["folder", pytest.param("image", marks=needs_mtools)])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def card_of(kind: str, folder: Path, tmp_path: Path) -> Card:
    """The card, and what is on it."""
    if kind == "folder":
        return FolderPartition(folder), lambda: cards.snapshot(folder)
    image = image_of(folder, tmp_path / "card.img")
    return ImagePartition(image), lambda: image_snapshot(image, tmp_path / "seen")


@pytest.mark.parametrize("make", [cards.trixie, cards.bookworm])
class TestOnFolderAndImage:
    def test_prepare_again_and_restore(
        self, tmp_path: Path, kind: str, make: Callable[[Path], Path]
    ) -> None:
        folder = make(tmp_path / "card")
        card, seen = card_of(kind, folder, tmp_path)
        before = seen()
        payload = cards.bundle(tmp_path / "emopi-0.1.0-any.tar.gz")
        written = prepare(card, SETTINGS, Installation(bundle=payload))
        assert written[-1] == "cmdline.txt"
        after = seen()
        assert after["emopi/emopi-0.1.0-any.tar.gz"] == payload.read_bytes()
        assert after["cmdline.txt.before-emopi"] == before["cmdline.txt"]
        assert after["cmdline.txt"].count(b"\n") == 1
        assert prepare(card, SETTINGS, Installation(bundle=payload)) == []
        assert seen() == after
        restore(card)
        assert seen() == before

    def test_other_options_start_from_what_was_there(
        self, tmp_path: Path, kind: str, make: Callable[[Path], Path]
    ) -> None:
        card, seen = card_of(kind, make(tmp_path / "card"), tmp_path)
        before = seen()
        other = CardSettings(hostname="other")
        prepare(card, SETTINGS, Installation(bundle=cards.bundle(tmp_path / "old.tar.gz")))
        prepare(card, other)
        changed = seen()
        assert "emopi/old.tar.gz" not in changed
        assert changed["config.txt"] == before["config.txt"]
        assert b"regdom" not in changed["cmdline.txt"]
        restore(card)
        prepare(card, other)
        directly = seen()
        # the record of a card that has had other settings names more files
        ours = {name for name in directly if "before-emopi" not in name and "json" not in name}
        assert {name: changed[name] for name in ours} == {name: directly[name] for name in ours}
        restore(card)
        assert seen() == before


def test_a_network_config_that_was_not_there_goes_again(tmp_path: Path) -> None:
    folder = cards.trixie(tmp_path / "card")
    (folder / "network-config").unlink()
    before = cards.snapshot(folder)
    card = FolderPartition(folder)
    prepare(card)
    assert (folder / "network-config").exists()
    prepare(card, CardSettings(hostname="sensor"))
    assert not (folder / "network-config").exists()
    prepare(card)
    restore(card)
    assert cards.snapshot(folder) == before


def test_the_instance_is_another_when_the_settings_are(tmp_path: Path) -> None:
    """Or cloud-init would not set them on a card that has booted."""
    folder = cards.trixie(tmp_path / "card")
    names = []
    for hostname in ("a", "b"):
        prepare(FolderPartition(folder), CardSettings(hostname=hostname))
        token = (folder / "cmdline.txt").read_text().split()[-1]
        names.append(token.removeprefix("ds=nocloud;i="))
        assert f'instance-id: "{names[-1]}"' in (folder / "meta-data").read_text()
    assert names[0] != names[1]


def test_imagers_first_run_is_kept_and_hooked_through_ours(tmp_path: Path) -> None:
    folder = cards.bookworm(tmp_path / "card")
    (folder / "firstrun.sh").write_text(cards.IMAGERS_FIRST_RUN)
    hook = "systemd.run=/boot/firstrun.sh systemd.run_success_action=reboot "
    hook += "systemd.unit=kernel-command-line.target"
    (folder / "cmdline.txt").write_text(f"{cards.CMDLINE} {hook}\n")
    prepare(FolderPartition(folder), CardSettings(hostname="sensor"))
    assert (folder / "firstrun.sh").read_text() == cards.IMAGERS_FIRST_RUN
    words = (folder / "cmdline.txt").read_text().split()
    assert [w for w in words if w.startswith("systemd.run=")] == [
        "systemd.run=/boot/firmware/emopi/first-run.sh"
    ]
    assert words.count("systemd.unit=kernel-command-line.target") == 1


def test_a_persons_changes_are_not_lost(tmp_path: Path) -> None:
    folder = cards.trixie(tmp_path / "card")
    card = FolderPartition(folder)
    prepare(card)
    with (folder / "config.txt").open("a") as file:
        file.write("# mine\n")
    prepare(card, CardSettings(hostname="sensor"))
    assert (folder / "config.txt").read_text() == f"{cards.CONFIG}# mine\n"
    with (folder / "user-data").open("a") as file:
        file.write("# mine\n")
    before = cards.snapshot(folder)
    with pytest.raises(CardError, match="user-data was changed after emopi flash wrote it"):
        prepare(card)
    assert cards.snapshot(folder) == before


class Failing(FolderPartition):
    """A card that is pulled out, or full, at the n-th writing."""

    def __init__(self, folder: Path, writes: int) -> None:
        super().__init__(folder)
        self.writes = writes

    def write(self, name: str, content: bytes) -> None:
        self.writes -= 1
        if self.writes == 0:
            raise CardError("no space left on device")
        super().write(name, content)


@pytest.mark.parametrize("earlier", [False, True])
def test_all_or_nothing(tmp_path: Path, earlier: bool) -> None:
    folder = cards.trixie(tmp_path / "card")
    if earlier:
        prepare(FolderPartition(folder), CardSettings(hostname="earlier"))
    before = cards.snapshot(folder)
    for writes in range(1, 40):
        card = Failing(folder, writes)
        try:
            prepare(card)
        except CardError:
            assert cards.snapshot(folder) == before, writes
        else:
            break
    else:
        pytest.fail("never went through")
    assert writes > 5


def test_no_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = cards.trixie(tmp_path / "card")
    before = cards.snapshot(folder)
    monkeypatch.setattr(FolderPartition, "free_bytes", lambda _: 3 << 20)
    payload = tmp_path / "emopi.tar.gz"
    payload.write_bytes(bytes(2 << 20))
    with pytest.raises(CardError, match=r"has 3.0 MiB free; expected 4.0 MiB"):
        prepare(FolderPartition(folder), SETTINGS, Installation(bundle=payload))
    assert cards.snapshot(folder) == before


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Path]:
    """A file system of 4 MiB with a card of 3."""
    folder = tmp_path / "mounted"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)]
    if os.geteuid() or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting needs root")
    cards.trixie(folder / "card")
    (folder / "card/big").write_bytes(bytes(3 << 20))
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_a_locked_card(mounted: Path) -> None:
    before = cards.snapshot(mounted)
    subprocess.run(["mount", "-o", "remount,ro", mounted], check=True)
    with pytest.raises(CardError, match=r"Read-only file system.*the lock switch of the card"):
        prepare(FolderPartition(mounted / "card"))
    assert cards.snapshot(mounted) == before


def test_a_full_card(mounted: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = cards.snapshot(mounted)
    with pytest.raises(CardError, match=r"MiB free; expected 2.0 MiB"):
        prepare(FolderPartition(mounted / "card"))
    assert cards.snapshot(mounted) == before
    # room that another program takes at the same time
    monkeypatch.setattr("emopi.device.flash.apply._check_room", lambda *_: None)
    payload = mounted.parent / "emopi.tar.gz"
    payload.write_bytes(bytes(2 << 20))
    with pytest.raises(
        CardError, match=r"No space left on device.*remove what is not of the system"
    ):
        prepare(FolderPartition(mounted / "card"), SETTINGS, Installation(bundle=payload))
    assert cards.snapshot(mounted) == before


@needs_mtools
def test_a_full_image(tmp_path: Path) -> None:
    folder = cards.trixie(tmp_path / "card")
    (folder / "big").write_bytes(bytes(37 << 20))
    image = image_of(folder, tmp_path / "card.img")
    before = image.read_bytes()
    payload = tmp_path / "emopi.tar.gz"
    payload.write_bytes(bytes(3 << 20))
    with pytest.raises(CardError, match=r"MiB free; expected 5.0 MiB"):
        prepare(ImagePartition(image), SETTINGS, Installation(bundle=payload))
    assert image.read_bytes() == before


@pytest.mark.parametrize("content", [b"", b"\xfd7zXZ\0" * 200, bytes(510) + b"\x55\xaa"])
def test_no_image(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "card.img"
    path.write_bytes(content)
    with pytest.raises(CardError, match="is no disk image with a boot partition"):
        ImagePartition(path)


def test_nothing_to_restore(tmp_path: Path) -> None:
    with pytest.raises(CardError, match="emopi flash has not prepared it"):
        restore(FolderPartition(cards.trixie(tmp_path / "card")))


@pytest.mark.parametrize("record", ["", "[]", '{"digests": 1}', "\xff"])
def test_a_damaged_record(tmp_path: Path, record: str) -> None:
    folder = cards.trixie(tmp_path / "card")
    prepare(FolderPartition(folder))
    (folder / "emopi/flash.json").write_bytes(record.encode("latin-1"))
    with pytest.raises(CardError, match="is damaged; write the card anew"):
        prepare(FolderPartition(folder))


def test_the_record(tmp_path: Path) -> None:
    folder = cards.bookworm(tmp_path / "card")
    prepare(FolderPartition(folder), CardSettings(hostname="sensor"))
    record = json.loads((folder / "emopi/flash.json").read_text())
    assert list(record["digests"]) == ["cmdline.txt"]  # config.txt has not changed
    assert record["created"] == []
