"""Every command of firmware_notes/ is what it should be; the safe ones run.

A block of commands is fenced and marked: `sh` is run here as it stands, `sh pi` needs a Raspberry
Pi, its microphone, root or the network, and is checked for form. Settings are `toml`, files of the
system `ini` or `yaml`; what is not marked fails.
"""

from __future__ import annotations

import dataclasses
import os
import re
import shlex
import shutil
import stat
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from support import ROOT

from emopi.device.cli import cli
from emopi.device.config.settings import read_settings

NOTES = ROOT / "firmware_notes"
KINDS = ("sh", "sh pi", "toml", "yaml", "ini", "text")
PAGES = sorted(NOTES.glob("*.md")) if NOTES.is_dir() else []
if not PAGES:
    pytest.skip("firmware_notes is not in this copy", allow_module_level=True)


@dataclasses.dataclass(frozen=True)
class Block:
    """What stands between fences."""

    page: str
    line: int
    kind: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def blocks(page: Path) -> Iterator[Block]:
    """Fenced blocks; one that is not fenced has the kind "indented"."""
    lines = page.read_text().splitlines()
    number = 0
    while number < len(lines):
        line = lines[number]
        if fence := re.fullmatch(r"( *)```(.*)", line):
            end = next(k for k in range(number + 1, len(lines)) if lines[k].strip() == "```")
            inside = textwrap.dedent("\n".join(lines[number + 1 : end]) + "\n")
            yield Block(page.name, number + 1, fence[2].strip(), inside)
            number = end
        elif line.startswith("    ") and not lines[number - 1].strip():
            yield Block(page.name, number + 1, "indented", line.strip() + "\n")
        number += 1


BLOCKS = [block for page in PAGES for block in blocks(page)]
COMMANDS = [block for block in BLOCKS if block.kind.startswith("sh")]
OTHER_PAGES = [
    ROOT / "README.md",
    *(ROOT / f"{name}/README.md" for name in ("benchmarks", "convert", "models", "train")),
]


def of_kind(*kinds: str) -> pytest.MarkDecorator:
    chosen = [block for block in BLOCKS if block.kind in kinds]
    return pytest.mark.parametrize("block", chosen, ids=str)


def emopi_lines(text: str) -> list[str]:
    """What `text` runs as emopi, from that word on, shell's redirections and the like left out."""
    joined = text.replace("\\\n", " ")
    pattern = r"(?:^|[\s/`(])emopi(?![\w.\[-])((?: +(?:'[^']*'|\"[^\"]*\"|[^\s`|;&<>#'\"()]+))*)"
    return [found[1].strip() for found in re.finditer(pattern, joined, re.M)]


def check(words: list[str]) -> None:
    """Raise `click.UsageError` unless the real command line takes these words."""
    context = click.Context(cli, info_name="emopi")
    command: click.Command = cli
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        found = command.get_command(context, words[0])
        if found is None:
            raise click.UsageError(f"no command {words[0]!r}")
        command, words = found, words[1:]
        context = click.Context(command, info_name=words[0] if words else "", parent=context)
    values, left, _ = command.make_parser(context).parse_args(args=list(words))
    if left:
        raise click.UsageError(f"left over: {left}")
    for parameter in command.params:
        value = values.get(parameter.name or "")
        if isinstance(value, str) and not isinstance(parameter.type, click.Path):
            parameter.type.convert(value, parameter, context)


def test_every_block_is_marked() -> None:
    unmarked = [
        f"{block}: {block.text.splitlines()[0]}" for block in BLOCKS if block.kind not in KINDS
    ]
    assert not unmarked, f"expected a fence with one of {KINDS}"


@pytest.mark.parametrize(
    "page", [*PAGES, *OTHER_PAGES], ids=lambda page: f"{page.parent.name}-{page.name}"
)
def test_emopi_takes_what_the_pages_write(page: Path) -> None:
    inline = re.findall(r"`((?:sudo )?(?:[~/\w.-]*/)?emopi [^`]*)`", page.read_text())
    ours = [block.text for block in blocks(page)] + inline
    for line in (line for text in ours for line in emopi_lines(text)):
        words = [word for word in shlex.split(line) if word != "..."]
        if not words or not re.fullmatch(r"[a-z][a-z-]*", words[0]):
            continue  # a folder or a unit, as in "journalctl -u emopi -f"
        try:
            check(words)
        except click.UsageError as error:
            pytest.fail(f"{page.name}: emopi {line}: {error.format_message()}")


@pytest.mark.parametrize("wrong", ["listen --loud", "hear", "listen --hop soon", "doctor now"])
def test_what_emopi_does_not_take_is_found(wrong: str) -> None:
    with pytest.raises(click.UsageError):
        check(wrong.split())


def test_commands_are_found_where_pages_write_them() -> None:
    text = "sudo ~/venv/bin/emopi listen --json | head\nX=1 emopi bench > a.json  # so\nemopi-venv"
    assert emopi_lines(text) == ["listen --json", "bench"]


@of_kind("sh", "sh pi")
def test_shell_can_read_it(block: Block) -> None:
    done = subprocess.run(
        ["bash", "-n"], input=block.text, text=True, capture_output=True, check=False
    )
    assert not done.returncode, f"{block}: {done.stderr}"


@pytest.mark.skipif(not shutil.which("shellcheck"), reason="shellcheck is not installed")
@of_kind("sh", "sh pi")
def test_shellcheck_finds_nothing(block: Block) -> None:
    # cd without "|| exit", and $USER without quotes, are what a person types
    command = ["shellcheck", "--shell=bash", "--exclude=SC2164,SC2086", "-"]
    done = subprocess.run(command, input=block.text, text=True, capture_output=True, check=False)
    assert not done.returncode, f"{block}: {done.stdout}"


@pytest.fixture
def sandbox(tmp_path: Path) -> dict[str, str]:
    """An environment whose home has emopi as the pages install it; the models are at hand."""
    home = tmp_path / "home"
    programs = home / "emopi-venv" / "bin"
    programs.mkdir(parents=True)
    for name, script in (
        ("emopi", f'exec {shlex.quote(sys.executable)} -m emopi.device.cli "$@"'),
        ("sudo", 'exec "$@"'),
    ):
        path = programs / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
    (tmp_path / "models").symlink_to(ROOT / "models")
    return os.environ | {"HOME": str(home), "PATH": f"{programs}:{os.environ['PATH']}"}


@of_kind("sh")
def test_it_runs(block: Block, sandbox: dict[str, str], tmp_path: Path) -> None:
    needs = {line.split()[0] for line in block.text.splitlines() if line[:1].isalpha()}
    if missing := sorted(name for name in needs if not shutil.which(name, path=sandbox["PATH"])):
        pytest.skip(f"{', '.join(missing)} is not installed")
    done = subprocess.run(
        ["bash", "-eu", "-o", "pipefail", "-c", block.text],
        env=sandbox, cwd=tmp_path, text=True, capture_output=True, timeout=240, check=False,
    )  # fmt: skip
    assert not done.returncode, f"{block}: {done.stderr}"


def test_some_blocks_run() -> None:
    assert sum(block.kind == "sh" for block in BLOCKS) >= 5


@of_kind("toml")
def test_settings_are_settings(block: Block, tmp_path: Path) -> None:
    path = tmp_path / "emopi.toml"
    path.write_text(block.text)
    read_settings(path)


@pytest.mark.parametrize(
    "page", [*PAGES, *OTHER_PAGES], ids=lambda page: f"{page.parent.name}-{page.name}"
)
def test_links_lead_somewhere(page: Path) -> None:
    for target, anchor in re.findall(r"\]\(([^)#:\s]*)(#[^)\s]*)?\)", page.read_text()):
        file = (page.parent / target) if target else page
        assert file.exists(), f"{page.name}: {target}"
        if anchor and file.suffix == ".md":
            titles = re.findall(r"^#+ (.*)$", file.read_text(), re.M)
            slugs = [re.sub(r"[^\w\- ]", "", one.lower()).replace(" ", "-") for one in titles]
            assert anchor[1:] in slugs, f"{page.name}: {target}{anchor}"


def test_readme_lists_every_page() -> None:
    listed = set(re.findall(r"\]\((\w+\.md)\)", (NOTES / "README.md").read_text()))
    assert {page.name for page in PAGES} - {"README.md"} <= listed
