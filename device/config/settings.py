"""The settings of the sensor: one TOML file, a table for each part.

    [model]   [source]   [gate]   [decision]   [sinks.NAME]   [service]

A table's keys are the fields of that part's frozen dataclass, which has the defaults, the ranges
and, as the text under each field, the comment that `config_text.render` writes. So a part that
gets a setting gets it here too.
"""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, Self

from emopi.device.config.values import convert, describe, fits, toml
from emopi.device.errors import ConfigError, SpecError

DEFAULT_PATH = Path("/etc/emopi/emopi.toml")
"""Of the service. A command reads a file only where it is named."""

MAX_BYTES = 1_000_000
"""Of a settings file; more is none, such as /dev/zero."""

DEFAULT_MODEL = "cnn-int8"


@dataclasses.dataclass(frozen=True, slots=True)
class ModelSettings:
    """Which model answers, and for whom."""

    name: str = DEFAULT_MODEL
    """A .tflite file that emopi convert made, or the name of a shipped one."""
    profile: str = ""
    """A wearer's profile that emopi calibrate wrote for this model; "" for none."""


PARTS = {
    "model": "emopi.device.config.settings:ModelSettings",
    "source": "emopi.device.sources.settings:SourceSettings",
    "gate": "emopi.device.gate:GateSettings",
    "decision": "emopi.device.decision:DecisionSettings",
    "service": "emopi.device.service:ServiceSettings",
}
"""Table to the dataclass of its settings, imported when needed."""

SINKS = {
    "log": "emopi.device.sinks.log:LogSettings",
    "history": "emopi.device.sinks.history:HistorySettings",
    "mqtt": "emopi.device.sinks.mqtt_settings:MqttSettings",
    "led": "emopi.device.sinks.led:LedSettings",
    "web": "emopi.device.sinks.web:WebSettings",
}
"""The same for [sinks.NAME]: a sink has a table or is not there."""


@dataclasses.dataclass(frozen=True)
class Settings:
    """Everything that can be set: `parts` has each of `PARTS`, `sinks` those that are wanted."""

    parts: Mapping[str, Any]
    sinks: Mapping[str, Any]

    def __getitem__(self, table: str) -> Any:
        return self.parts[table]

    @classmethod
    def default(cls) -> Self:
        """What holds without a file: every part's defaults, no sinks."""
        return cls({table: part_class(name)() for table, name in PARTS.items()}, {})

    def with_options(self, options: Mapping[str, Any]) -> Self:
        """These settings, but those of the command line, named "TABLE__FIELD", where not None.

        Raises `SpecError` for a value out of range.
        """
        wanted: dict[str, dict[str, Any]] = {}
        for option, value in options.items():
            table, _, field = option.partition("__")
            if value is not None:
                wanted.setdefault(table, {})[field] = value
        changed = {t: dataclasses.replace(self.parts[t], **values) for t, values in wanted.items()}
        return dataclasses.replace(self, parts={**self.parts, **changed})


def part_class(name: str) -> type[Any]:
    """The dataclass that "MODULE:CLASS" names."""
    module, _, attribute = name.partition(":")
    found: type[Any] = getattr(import_module(module), attribute)
    return found


def read_settings(path: Path) -> Settings:
    """The settings of a file, defaults where it has none.

    Raises `ConfigError` with one line for each thing that is wrong: file, table, key, what was
    found and what was expected.
    """
    tables = _load(path)
    problems: list[str] = []
    parts: dict[str, Any] = {}
    sinks: dict[str, Any] = {}
    known = [*PARTS, "sinks"]
    problems += [_unknown(f"{path}", "table", key, known) for key in tables if key not in known]
    for table, name in PARTS.items():
        _add(parts, table, part_class(name), tables.get(table, {}), f"{path}, [{table}]", problems)
    wanted = tables.get("sinks", {})
    if not isinstance(wanted, dict):
        problems.append(f"{path}, sinks: found {wanted!r}; expected tables [sinks.NAME]")
        wanted = {}
    for sink, fields in wanted.items():
        where = f"{path}, [sinks.{sink}]"
        if sink in SINKS:
            _add(sinks, sink, part_class(SINKS[sink]), fields, where, problems)
        else:
            problems.append(_unknown(f"{path}, [sinks]", "sink", sink, list(SINKS)))
    if problems:
        raise ConfigError("\n".join(problems))
    return Settings(parts, sinks)


def _load(path: Path) -> dict[str, Any]:
    import tomllib

    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise ConfigError(f"{path} has more than {MAX_BYTES} bytes; expected settings in TOML")
        return tomllib.loads(content.decode())
    except ConfigError:
        raise
    except FileNotFoundError:
        raise ConfigError(
            f"{path}: no such file; expected settings in TOML. Write one with: "
            f"emopi config show > {path}"
        ) from None
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:  # of TOML, of UTF-8, of lists in lists in ...
        raise ConfigError(f"{path} is not TOML: {error}") from None


def _add(
    parts: dict[str, Any],
    key: str,
    kind: type[Any],
    fields: object,
    where: str,
    problems: list[str],
) -> None:
    """Put the part that the fields describe into `parts`, or what is wrong into `problems`."""
    if not isinstance(fields, dict):
        problems.append(f"{where}: found {toml(fields)}; expected a table")
        return
    found = list(_problems(kind, fields, where))
    problems += found
    if not found:
        hints = typing.get_type_hints(kind)
        try:
            parts[key] = kind(
                **{name: convert(value, hints[name]) for name, value in fields.items()}
            )
        except SpecError as error:
            problems.append(f"{where}: {error}")


def _problems(kind: type[Any], fields: Mapping[str, Any], where: str) -> Iterator[str]:
    hints = typing.get_type_hints(kind)
    known = {field.name: field for field in dataclasses.fields(kind) if field.init}
    for key, value in fields.items():
        if key not in known:
            yield _unknown(where, "key", key, list(known))
        elif not fits(value, hints[key]):
            yield f"{where}, {key}: found {toml(value)}; expected {describe(hints[key])}"
    for name, field in known.items():
        needed = field.default is field.default_factory is dataclasses.MISSING
        if needed and name not in fields:
            yield f"{where}, {name}: is missing; expected {describe(hints[name])}"


def _unknown(where: str, what: str, key: str, known: list[str]) -> str:
    import difflib  # costs memory that the sensor keeps

    close = difflib.get_close_matches(key, known, 1)
    meant = f"{close[0]} (is it that?), or " if close else ""
    others = ", ".join(sorted(set(known) - set(close))) or "none"
    return f"{where}: unknown {what} {key!r}; expected {meant}one of: {others}"
