"""Changes to cmdline.txt and config.txt, which can be made again without piling up."""

from __future__ import annotations

import re
from collections.abc import Sequence

from emopi.device.errors import CardError

BEGIN = "# emopi flash: begin"
END = "# emopi flash: end"


def change_cmdline(text: str, words: Sequence[str]) -> str:
    """The kernel's one line with the words at its end, in place of those of the same names.

    Raises `CardError` if there are several lines: the firmware reads the first alone.
    """
    lines = [line for line in text.splitlines() if line.strip()]
    if len(lines) != 1:
        raise CardError(f"cmdline.txt has {len(lines)} lines; expected one")
    line = lines[0].strip()
    for word in words:
        name = re.escape(word.partition("=")[0])
        line = re.sub(rf"(?:^|\s+){name}=\S*", "", line)
    return " ".join([line.strip(), *words]) + "\n"


def change_config(text: str, settings: Sequence[str]) -> str:
    """config.txt with the settings in a block at its end, for all models.

    One that stands there already, outside of such a block, is not given twice.
    """
    text = re.sub(rf"\n?^{BEGIN}$.*?^{END}$\n?", "", text, flags=re.MULTILINE | re.DOTALL)
    have = _for_all_models(text)
    new = [setting for setting in settings if setting not in have]
    if not new:
        return text
    separator = "" if not text or text.endswith("\n") else "\n"
    block = "\n".join([BEGIN, "[all]", *new, END])
    return f"{text}{separator}\n{block}\n"


def _for_all_models(text: str) -> set[str]:
    """The settings that no filter such as [pi4] limits."""
    found = set()
    section = "[all]"
    for line in map(str.strip, text.splitlines()):
        if line.startswith("["):
            section = line
        elif section == "[all]":
            found.add(line)
    return found
