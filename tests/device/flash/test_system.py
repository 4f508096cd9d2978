"""Which cards are taken, and what is said of the others."""

from __future__ import annotations

from pathlib import Path

import cards
import pytest

from emopi.device.errors import CardError
from emopi.device.flash.partition import FolderPartition
from emopi.device.flash.system import System, recognize


def test_trixie_by_its_seed(tmp_path: Path) -> None:
    card = FolderPartition(cards.trixie(tmp_path / "card"))
    assert recognize(card) == System("trixie", "aarch64")
    assert recognize(card).target == "trixie-aarch64"


@pytest.mark.parametrize("date", ["2023-10-10", "2025-05-13", "2025-11-24", "2026-09-15"])
def test_bookworm(tmp_path: Path, date: str) -> None:
    card = FolderPartition(cards.bookworm(tmp_path / "card", date))
    assert recognize(card) == System("bookworm", "aarch64")


def test_32_bit_bookworm_by_its_kernels(tmp_path: Path) -> None:
    folder = cards.bookworm(tmp_path / "card")
    (folder / "kernel7l.img").touch()
    assert recognize(FolderPartition(folder)).target == "bookworm-armhf"


def test_32_bit_trixie_is_refused(tmp_path: Path) -> None:
    folder = cards.trixie(tmp_path / "card")
    (folder / "kernel7.img").touch()
    with pytest.raises(CardError, match="32-bit Trixie, for which there is no TFLite interpreter"):
        recognize(FolderPartition(folder))


@pytest.mark.parametrize("name", ["config.txt", "cmdline.txt", "bcm2710-rpi-zero-2-w.dtb"])
def test_no_boot_partition(tmp_path: Path, name: str) -> None:
    folder = cards.trixie(tmp_path / "card")
    (folder / name).unlink()
    pattern = "*.dtb" if name.endswith(".dtb") else name
    with pytest.raises(CardError) as caught:
        recognize(FolderPartition(folder), "trixie")
    assert f"is not the boot partition of a Raspberry Pi: {pattern} missing" in str(caught.value)


def test_no_kernel(tmp_path: Path) -> None:
    folder = cards.trixie(tmp_path / "card")
    for kernel in folder.glob("kernel*.img"):
        kernel.unlink()
    with pytest.raises(CardError, match=r"kernel\*.img missing"):
        recognize(FolderPartition(folder))


def test_another_system(tmp_path: Path) -> None:
    folder = cards.trixie(tmp_path / "card")
    (folder / "issue.txt").write_text("Ubuntu\n")
    with pytest.raises(CardError, match="its system is unknown"):
        recognize(FolderPartition(folder))
    assert recognize(FolderPartition(folder), "trixie").release == "trixie"


def test_bullseye(tmp_path: Path) -> None:
    folder = cards.bookworm(tmp_path / "card", "2025-05-06")
    (folder / "config.txt").write_text("dtparam=audio=on\n")
    with pytest.raises(CardError, match="of 2025-05-06 and older than Bookworm"):
        recognize(FolderPartition(folder))


def test_the_first_weeks_of_trixie_cannot_be_told(tmp_path: Path) -> None:
    card = FolderPartition(cards.bookworm(tmp_path / "card", "2025-10-01"))
    with pytest.raises(CardError, match="--os bookworm"):
        recognize(card)
    assert recognize(card, "bookworm").release == "bookworm"
    with pytest.raises(CardError, match="images of Trixie before 2025-11-24 have no cloud-init"):
        recognize(card, "trixie")
