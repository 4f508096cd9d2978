"""The settings file: what it may say, and what is said of one that is wrong."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import click
import pytest
from support import MODELS, run_emopi

from emopi.device.commands.listen import listen
from emopi.device.config import settings as config
from emopi.device.config.settings import PARTS, SINKS, Settings, part_class, read_settings
from emopi.device.config.text import render
from emopi.device.errors import ConfigError, SpecError


def written(folder: Path, text: str) -> Path:
    path = folder / "emopi.toml"
    path.write_text(text)
    return path


def problems(path: Path) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        read_settings(path)
    return str(caught.value).replace(f"{path}", "FILE").splitlines()


def test_an_empty_file_is_the_defaults(tmp_path: Path) -> None:
    assert read_settings(written(tmp_path, "")) == Settings.default()


def test_a_file_sets_what_it_names_and_nothing_else(tmp_path: Path) -> None:
    text = """
[model]
name = "lstm-int8"
[source]
gain_db = 6        # an integer where a number is wanted
[decision]
hop_s = 0.25
"""
    found = read_settings(written(tmp_path, text))
    default = Settings.default()
    assert found["model"] == dataclasses.replace(default["model"], name="lstm-int8")
    assert found["source"] == dataclasses.replace(default["source"], gain_db=6.0)
    assert isinstance(found["source"].gain_db, float)
    assert found["decision"] == dataclasses.replace(default["decision"], hop_s=0.25)
    assert found["gate"] == default["gate"]
    assert found.sinks == {}


def test_everything_wrong_is_said_at_once(tmp_path: Path) -> None:
    text = """
hop_s = 0.5
[model]
nam = "cnn-int8"
[source]
name = 3
wait = 1
retry_s = "long"
sample_format = "int12"
[decision]
hop_s = 100
[gate]
level_dbfs = true
[sinks.telegram]
[speaker]
"""
    path = written(tmp_path, text)
    tables = "model, source, gate, decision, service, sinks"
    found = problems(path)
    assert found[0].startswith(
        "FILE: unknown table 'hop_s'; expected one of: decision, gate, model"
    )
    assert found[1].startswith("FILE: unknown table 'speaker'; expected one of: decision, gate")
    assert set(found[0].partition("one of: ")[2].split(", ")) == set(tables.split(", "))
    assert found[2:9] == [
        "FILE, [model]: unknown key 'nam'; expected name (is it that?), or one of: profile",
        "FILE, [source], name: found 3; expected a text",
        "FILE, [source], wait: found 1; expected true or false",
        'FILE, [source], retry_s: found "long"; expected a number',
        'FILE, [source], sample_format: found "int12"; expected one of "auto", "int16", "int24", '
        '"int32", "float32"',
        "FILE, [gate], level_dbfs: found true; expected a number",
        "FILE, [decision]: hop_s is 100.0; expected 0.05 to 60 seconds",
    ]
    assert found[9].startswith("FILE, [sinks]: unknown sink 'telegram'; expected one of: ")
    assert len(found) == 10


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"[model\n", "FILE is not TOML: Expected ']' at the end of a table declaration (at line"),
        (b"[model]\nname = 'a'\nname = 'b'\n", "FILE is not TOML: Cannot overwrite a value"),
        (b"[model]\nname = '\xff'\n", "FILE is not TOML: 'utf-8' codec can't decode byte 0xff"),
        (b"model = 3\n", "FILE, [model]: found 3; expected a table"),
        (b"sinks = [1]\n", "FILE, sinks: found [1]; expected tables [sinks.NAME]"),
        (b"a = " + b"[" * 5000, "FILE is not TOML: maximum recursion depth exceeded"),
        (b"#" * 1_000_001, "FILE has more than 1000000 bytes; expected settings in TOML"),
        (b"[sinks.log]\nfile = ''\n", 'FILE, [sinks.log], file: found ""; expected a path'),
    ],
)
def test_not_a_settings_file(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "emopi.toml"
    path.write_bytes(content)
    (found,) = problems(path)
    assert found.startswith(message)


def test_no_file_and_a_folder(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"absent\.toml: no such file; .* emopi config show > "):
        read_settings(tmp_path / "absent.toml")
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        read_settings(tmp_path)


@dataclasses.dataclass(frozen=True)
class Everything:
    """Every type of field that a part may have.

    And a second paragraph, which is no comment.
    """

    file: Path
    """Needed."""
    mode: Literal["a", "b"] = "a"
    """A text over
    two lines."""
    level: float = -70.0
    limit: float | None = None
    """Of two kinds, or absent."""
    channel: int | str = "mean"
    labels: tuple[str, ...] = ("happy", 'a "quoted" \\ one')
    colours: Mapping[str, str] = dataclasses.field(default_factory=lambda: {"no speech": "#fff"})
    on: bool = True


@pytest.fixture
def everything(monkeypatch: pytest.MonkeyPatch) -> type[Everything]:
    where = f"{__name__}:Everything"
    monkeypatch.setattr(config, "part_class", lambda n: Everything if n == where else part_class(n))
    monkeypatch.setattr(config, "SINKS", {"everything": where})
    return Everything


@pytest.mark.usefixtures("everything")
class TestTypes:
    def test_all_set(self, tmp_path: Path) -> None:
        text = """
[sinks.everything]
file = "/var/log/a"
mode = "b"
level = -60
limit = 2
channel = 3
labels = ["sad"]
colours = { sad = "blue" }
on = false
"""
        assert read_settings(written(tmp_path, text)).sinks["everything"] == Everything(
            Path("/var/log/a"), "b", -60.0, 2.0, 3, ("sad",), {"sad": "blue"}, False
        )

    def test_all_wrong(self, tmp_path: Path) -> None:
        text = """
[sinks.everything]
mode = "c"
level = "loud"
limit = "none"
channel = 1.5
labels = ["sad", 1]
colours = { sad = 1 }
on = "no"
"""
        where = "FILE, [sinks.everything]"
        assert problems(written(tmp_path, text)) == [
            f'{where}, mode: found "c"; expected one of "a", "b"',
            f'{where}, level: found "loud"; expected a number',
            f'{where}, limit: found "none"; expected a number',
            f"{where}, channel: found 1.5; expected an integer or a text",
            f'{where}, labels: found ["sad", 1]; expected a list, each a text',
            f'{where}, colours: found {{ "sad" = 1 }}; expected a table, each value a text',
            f'{where}, on: found "no"; expected true or false',
            f"{where}, file: is missing; expected a path",
        ]

    def test_shown_and_read_again(self, tmp_path: Path) -> None:
        sinks = {"everything": Everything(Path("a\tb"), limit=0.5)}
        settings = dataclasses.replace(Settings.default(), sinks=sinks)
        assert read_settings(written(tmp_path, render(settings))) == settings

    def test_comments(self) -> None:
        text = render(
            dataclasses.replace(Settings.default(), sinks={"everything": Everything("f")})
        )
        assert text.endswith(
            """
# Every type of field that a part may have.
[sinks.everything]
# Needed.
file = "f"
# A text over
# two lines.
mode = "a"
level = -70.0
# Of two kinds, or absent.
# limit =
channel = "mean"
labels = ["happy", "a \\"quoted\\" \\\\ one"]
colours = { "no speech" = "#fff" }
on = true
"""
        )

    def test_a_sink_that_is_not_wanted_is_a_comment(self) -> None:
        lines = render(Settings.default()).partition("[service]")[2].splitlines()
        assert "# [sinks.everything]" in lines
        assert '# mode = "a"' in lines
        assert "# # file =" in lines


def test_defaults_are_shown_with_a_comment_each_and_read_again(tmp_path: Path) -> None:
    text = render(Settings.default())
    assert read_settings(written(tmp_path, text)) == Settings.default()
    lines = text.splitlines()
    keys = [number for number, line in enumerate(lines) if " = " in line and line[0] != "#"]
    assert len(keys) == sum(len(dataclasses.fields(part_class(name))) for name in PARTS.values())
    assert [lines[k] for k in keys if not lines[k - 1].startswith("#")] == []


@pytest.mark.parametrize("name", [*PARTS.values(), *SINKS.values()])
def test_every_part_is_frozen_and_of_types_that_toml_has(name: str) -> None:
    kind = part_class(name)
    assert kind.__dataclass_params__.frozen
    for problem in config._problems(kind, {f.name: object() for f in dataclasses.fields(kind)}, ""):
        assert "<object object" in problem
        assert "expected" in problem


def test_options_win_and_are_checked() -> None:
    default = Settings.default()
    found = default.with_options({"decision__hop_s": 0.25, "model__name": None})
    assert found["decision"].hop_s == 0.25
    assert found["model"] == default["model"]
    with pytest.raises(SpecError, match=r"hop_s is 0\.0; expected"):
        default.with_options({"decision__hop_s": 0.0})


def shows(shown: object, value: object) -> bool:
    """Whether an option's help names the default; 0 may be in words, and a flag has none."""
    if isinstance(value, bool) or value == "":
        return not shown
    if isinstance(value, str):
        return shown == value
    with contextlib.suppress(ValueError):
        return float(str(shown)) == value
    return value == 0


def test_the_options_of_listen_show_the_defaults_of_the_settings() -> None:
    default = Settings.default()
    checked = 0
    for option in listen.params:
        table, _, field = (option.name or "").partition("__")
        if field and isinstance(option, click.Option):
            assert not isinstance(option.default, str | int | float), option.name
            assert shows(option.show_default, getattr(default[table], field)), option.name
            checked += 1
    assert checked >= 6


class TestCommands:
    def test_check(self, tmp_path: Path) -> None:
        path = written(tmp_path, "[decision]\nhop_s = 1\n")
        done = run_emopi("config", "check", path)
        assert done.returncode == 0, done.stderr
        assert "all right (model cnn-int8; sinks: none but stdout)" in done.stdout

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            (
                "[decision]\nhop = 1\n",
                "[decision]: unknown key 'hop'; expected hop_s (is it that?)",
            ),
            (
                '[model]\nname = "absent"\n',
                "'absent': no such model file; expected a path",
            ),
            ('[model]\nprofile = "absent"\n', "absent"),
            (
                "[decision]\nwindow_s = 5\n",
                "window_s is 5; expected at least a frame and at most the 3.015 seconds",
            ),
        ],
    )
    def test_check_of_what_is_wrong(self, tmp_path: Path, text: str, message: str) -> None:
        path = written(tmp_path, text)
        done = run_emopi("config", "check", path)
        assert done.returncode == 1
        assert done.stdout == ""
        assert done.stderr.startswith(f"emopi: {path}")
        assert message in done.stderr

    def test_show(self, tmp_path: Path) -> None:
        shown = run_emopi("config", "show")
        assert shown.returncode == 0, shown.stderr
        assert tomllib.loads(shown.stdout)["decision"]["hop_s"] == 0.5
        path = written(tmp_path, shown.stdout.replace("hop_s = 0.5", "hop_s = 0.25"))
        again = run_emopi("config", "show", "--config", path)
        assert again.stdout == path.read_text()

    def test_listen_takes_the_file_and_options_win(self, tmp_path: Path) -> None:
        path = written(
            tmp_path,
            f'[source]\nname = "{MODELS / "example.wav"}"\n[decision]\nhop_s = 0.25\n'
            '[model]\nname = "lstm-int8"\n',
        )
        done = run_emopi("listen", "--fast", "--json", "--config", path, "--model", "cnn-int8")
        assert done.returncode == 0, done.stderr
        lines = done.stdout.splitlines()
        assert len(lines) == 28
        assert '"time_s": 3.265' in lines[1]
        assert '"model": "cnn-int8-' in lines[0]


def test_infinity(tmp_path: Path) -> None:
    found = read_settings(written(tmp_path, "[decision]\nmemory_s = inf\n"))
    assert found["decision"].memory_s == math.inf
    assert "memory_s = inf\n" in render(found)
