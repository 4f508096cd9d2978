"""cmdline.txt stays one line, config.txt gets one block."""

from __future__ import annotations

import cards
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emopi.device.errors import CardError
from emopi.device.flash.boot_text import change_cmdline, change_config

WORDS = ["cfg80211.ieee80211_regdom=DE", "ds=nocloud;i=emopi-1"]
I2S = ["dtparam=i2s=on", "dtoverlay=googlevoicehat-soundcard"]


def test_words_take_the_place_of_those_of_the_same_name() -> None:
    changed = change_cmdline(cards.TRIXIE_CMDLINE, WORDS)
    assert changed == f"{cards.CMDLINE} resize {' '.join(WORDS)}\n"
    assert change_cmdline(changed, WORDS) == changed


def test_names_are_whole_words() -> None:
    assert change_cmdline("ads=1 x.ds=2 ds2=3", ["ds=4"]) == "ads=1 x.ds=2 ds2=3 ds=4\n"


@pytest.mark.parametrize("end", ["", "\n", "\r\n", "\n\n", "  \n"])
def test_one_line_whatever_its_end(end: str) -> None:
    assert change_cmdline(f"a=1 b{end}", ["c=2"]) == "a=1 b c=2\n"


@pytest.mark.parametrize(("text", "count"), [("", 0), ("a\nb\n", 2)])
def test_another_number_of_lines(text: str, count: int) -> None:
    with pytest.raises(CardError, match=f"cmdline.txt has {count} lines; expected one"):
        change_cmdline(text, WORDS)


@given(st.lists(st.sampled_from(["a", "a=1", "ds=x", "root=/dev/x", "c.d=e;f"]), min_size=1))
def test_any_line_stays_one_and_changes_once(tokens: list[str]) -> None:
    changed = change_cmdline(" ".join(tokens), WORDS)
    assert changed.count("\n") == 1
    assert [t for t in changed.split() if t not in WORDS] == [t for t in tokens if t != "ds=x"]
    assert change_cmdline(changed, WORDS) == changed


def test_a_block_for_all_models() -> None:
    changed = change_config(cards.CONFIG, I2S)
    assert changed.startswith(cards.CONFIG)
    begin, *inside, end = changed.removeprefix(cards.CONFIG).split("\n")[1:-1]
    assert (begin, inside, end) == (
        "# emopi flash: begin",
        ["[all]", *I2S],
        "# emopi flash: end",
    )
    assert change_config(changed, I2S) == changed
    assert change_config(changed, []) == cards.CONFIG


def test_what_is_there_already_is_not_given_twice() -> None:
    changed = change_config(f"{cards.CONFIG}dtparam=i2s=on\n", I2S)
    assert changed.count("dtparam=i2s=on\n") == 1
    limited = change_config("[pi4]\ndtparam=i2s=on\n", I2S)
    assert limited.count("dtparam=i2s=on\n") == 2
    assert change_config(f"{I2S[1]}\n{I2S[0]}\n", I2S) == f"{I2S[1]}\n{I2S[0]}\n"
