"""The wiring diagrams are those that the script draws, and their pins are Raspberry Pi's."""

from __future__ import annotations

import importlib.util
import re
import xml.etree.ElementTree as ET
from types import ModuleType

import pytest
from support import ROOT

WIRING = ROOT / "firmware_notes" / "wiring"
if not WIRING.is_dir():
    pytest.skip("firmware_notes is not in this copy", allow_module_level=True)


@pytest.fixture(scope="module")
def draw() -> ModuleType:
    spec = importlib.util.spec_from_file_location("draw", WIRING / "draw.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(__import__("sys").modules, "draw", module)  # dataclasses look it up
        spec.loader.exec_module(module)
        return module


def test_committed_diagrams_are_drawn_by_the_script(draw: ModuleType) -> None:
    assert {path.stem for path in WIRING.glob("*.svg")} == set(draw.DIAGRAMS)
    for name, diagram in draw.DIAGRAMS.items():
        assert (WIRING / f"{name}.svg").read_text() == draw.draw(diagram), "run draw.py"


def test_every_pin_is_power_ground_or_a_gpio(draw: ModuleType) -> None:
    kinds = [set(draw.GROUNDS), set(draw.POWER), set(draw.GPIO)]
    assert set().union(*kinds) == set(range(1, 41))
    assert sum(map(len, kinds)) == 40
    assert sorted(draw.GPIO.values()) == list(range(28))


def test_i2s_is_where_the_page_says(draw: ModuleType) -> None:
    page = (ROOT / "firmware_notes" / "wiring.md").read_text()
    rows = re.findall(r"^\| .* \| (\d+) \| (\d+) \|$", page, re.M)
    assert {int(pin): int(gpio) for gpio, pin in rows} == {pin: draw.GPIO[pin] for pin in draw.I2S}
    assert {pin: draw.GPIO[pin] for pin in draw.I2S} == {12: 18, 35: 19, 38: 20, 40: 21}


def test_microphones_get_3v3_ground_and_data_in(draw: ModuleType) -> None:
    for name in ("inmp441", "sph0645"):
        pins = [wire.pin for wire in draw.DIAGRAMS[name].wires]
        assert draw.POWER[pins[0]] == "3V3"
        assert {pins[1], pins[5]} <= set(draw.GROUNDS)
        assert pins[2:5] == [12, 35, 38]
    page = (ROOT / "firmware_notes" / "wiring.md").read_text()
    for wire in draw.DIAGRAMS["inmp441"].wires:
        assert f"{wire.to} to pin {wire.pin}" in page


def test_what_is_written_is_inside_the_picture(draw: ModuleType) -> None:
    for diagram in draw.DIAGRAMS.values():
        root = ET.fromstring(draw.draw(diagram))
        width, height = map(float, root.attrib["viewBox"].split()[2:])
        for text in root.iter("{http://www.w3.org/2000/svg}text"):
            size, x, y = (float(text.attrib[key]) for key in ("font-size", "x", "y"))
            long = 0.56 * size * len(text.text or "")
            start = {"start": x, "middle": x - long / 2, "end": x - long}[
                text.attrib["text-anchor"]
            ]
            assert start >= 0
            assert start + long <= width, text.text
            assert size <= y <= height
