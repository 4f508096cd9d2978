"""The settings of a source: ranges, and what a name means."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from emopi.device.errors import SpecError
from emopi.device.sources.settings import SourceSettings


@pytest.mark.parametrize(
    ("name", "is_microphone", "device"),
    [
        ("mic", True, None),
        ("mic:2", True, "2"),
        ("mic:USB: Audio (hw:1,0)", True, "USB: Audio (hw:1,0)"),
        ("auto", False, None),
        ("mic.wav", False, None),
    ],
)
def test_name(name: str, is_microphone: bool, device: str | None) -> None:
    settings = SourceSettings(name)
    assert (settings.is_microphone, settings.device) == (is_microphone, device)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"rate_hz": 4_000},
        {"rate_hz": 384_000},
        {"sample_format": "int24"},
        {"channel": "mean"},
        {"channel": 1},
        {"channel": 8},
        {"gain_db": -60},
        {"lost_after_s": 0.2},
        {"retry_s": 3600},
        {"low_bits": True, "sample_format": "int32"},
    ],
)
def test_accepted(fields: dict[str, Any]) -> None:
    settings = SourceSettings(**fields)
    assert SourceSettings(**dataclasses.asdict(settings)) == settings


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"name": ""}, "name is ''"),
        ({"name": "mic:"}, "name is 'mic:'"),
        ({"name": 3}, "name is 3"),
        ({"rate_hz": 3_999}, "rate_hz is 3999; expected an integer from 4000 to 384000"),
        ({"rate_hz": 16_000.5}, "rate_hz is 16000.5; expected an integer"),
        ({"sample_format": "int8"}, "sample_format is 'int8'; expected one of"),
        ({"channel": 0}, "channel is 0; expected 'loudest', 'mean' or an integer from 1 to 8"),
        ({"channel": 9}, "channel is 9"),
        ({"channel": "left"}, "channel is 'left'"),
        ({"channel": True}, "channel is True"),
        ({"gain_db": 61}, "gain_db is 61; expected a number from -60 to 60"),
        ({"gain_db": float("nan")}, "gain_db is nan"),
        ({"gain_db": "6"}, "gain_db is '6'"),
        ({"lost_after_s": 0.1}, "lost_after_s is 0.1"),
        ({"retry_s": 0}, "retry_s is 0"),
        ({"wait": 1}, "wait is 1; expected true or false"),
        ({"low_bits": True, "sample_format": "int16"}, "low_bits needs sample_format int32"),
    ],
)
def test_refused(fields: dict[str, Any], problem: str) -> None:
    with pytest.raises(SpecError) as caught:
        SourceSettings(**fields)
    assert problem in str(caught.value)
