"""Draw the wiring diagrams beside this file: `python firmware_notes/wiring/draw.py`.

Pins and names of the 40-pin header are Raspberry Pi's; those of the microphones their makers'.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from xml.sax.saxutils import escape

HERE = Path(__file__).resolve().parent

GROUNDS = (6, 9, 14, 20, 25, 30, 34, 39)
POWER = {1: "3V3", 17: "3V3", 2: "5V", 4: "5V"}
GPIO = {
    3: 2, 5: 3, 7: 4, 8: 14, 10: 15, 11: 17, 12: 18, 13: 27, 15: 22, 16: 23, 18: 24, 19: 10,
    21: 9, 22: 25, 23: 11, 24: 8, 26: 7, 27: 0, 28: 1, 29: 5, 31: 6, 32: 12, 33: 13, 35: 19,
    36: 16, 37: 26, 38: 20, 40: 21,
}  # fmt: skip
"""Pin of the header to GPIO (BCM) number."""

I2S = {12: "bit clock", 35: "word select", 38: "data in", 40: "data out"}

RED, BLACK, BLUE, GREEN, ORANGE, VIOLET = (
    "#c62828", "#222222", "#1565c0", "#2e7d32", "#e06c00", "#7b1fa2",
)  # fmt: skip
GREY = "#b8b8b8"
PITCH, RADIUS, LEFT, TOP = 26, 9, 190, 74
EVEN_X = LEFT + PITCH


@dataclasses.dataclass(frozen=True)
class Wire:
    """From a pin of the header to a pin of the microphone."""

    pin: int
    to: str
    colour: str


@dataclasses.dataclass(frozen=True)
class Module:
    """A microphone on wires; they in the order of their pins, so that none crosses another."""

    name: str
    wires: tuple[Wire, ...]
    notes: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Hat:
    """A board that sits on all 40 pins, and what it does with some of them."""

    name: str
    uses: tuple[tuple[str, str, tuple[int, ...]], ...]
    """What for, colour, pins."""
    notes: tuple[str, ...]


def wires(
    power: str, ground: str, clock: str, word: str, data: str, select: str
) -> tuple[Wire, ...]:
    """Those of one I2S microphone, by the names of its pins."""
    return (
        Wire(1, power, RED),
        Wire(6, ground, BLACK),
        Wire(12, clock, BLUE),
        Wire(35, word, GREEN),
        Wire(38, data, ORANGE),
        Wire(39, select, BLACK),
    )


ORDER = "The pins of your board may be in another order: go by their names."
DIAGRAMS: dict[str, Module | Hat] = {
    "inmp441": Module(
        "INMP441",
        wires("VDD", "GND", "SCK", "WS", "SD", "L/R"),
        (
            "L/R to ground: the left channel.",
            "A second one: L/R to 3V3, all else the same pins.",
            ORDER,
        ),
    ),
    "sph0645": Module(
        "SPH0645LM4H",
        wires("3V", "GND", "BCLK", "LRCL", "DOUT", "SEL"),
        (
            "SEL to ground: the left channel.",
            "A second one: SEL to 3V3, all else the same pins.",
            ORDER,
        ),
    ),
    "respeaker-2mic": Hat(
        "ReSpeaker 2-Mics Pi HAT",
        (
            ("I2S: sound", BLUE, tuple(I2S)),
            ("I2C: settings of the codec", GREEN, (3, 5)),
            ("SPI: its three LEDs", VIOLET, (19, 23)),
            ("its button", ORANGE, (11,)),
            ("its Grove socket", RED, (32, 33)),
        ),
        (
            "Codec: WM8960 (v1) or TLV320AIC3104 (v2).",
            "For an LED of emopi: a GPIO of the grey pins.",
        ),
    ),
    "respeaker-4mic": Hat(
        "ReSpeaker 4-Mic Array",
        (
            ("I2S: sound", BLUE, tuple(I2S)),
            ("I2C: settings of the converter", GREEN, (3, 5)),
            ("SPI: its twelve LEDs", VIOLET, (19, 23)),
            ("power of its LEDs", ORANGE, (29,)),
            ("its Grove socket", RED, (32, 33)),
        ),
        ("Converter: AC108, four channels.", "For an LED of emopi: a GPIO of the grey pins."),
    ),
}


def pin_name(pin: int) -> str:
    """Such as "GPIO18, bit clock"; "GND"; "3V3"."""
    if pin in GROUNDS:
        return "GND"
    if pin in POWER:
        return POWER[pin]
    return f"GPIO{GPIO[pin]}" + (f", {I2S[pin]}" if pin in I2S else "")


def place(pin: int) -> tuple[int, int]:
    """Centre of a pin: odd ones left, even ones right, pin 1 on top."""
    return (LEFT if pin % 2 else EVEN_X), TOP + (pin - 1) // 2 * PITCH


def text(
    x: float, y: float, words: str, *, size: int = 13, anchor: str = "start", **more: str
) -> str:
    """One line of text, its baseline at y."""
    extra = "".join(f' {key.replace("_", "-")}="{value}"' for key, value in more.items())
    return (
        f'<text x="{x:g}" y="{y:g}" font-size="{size}" text-anchor="{anchor}"{extra}>'
        f"{escape(words)}</text>"
    )


def header(colours: dict[int, str]) -> list[str]:
    """The 40 pins, those of `colours` filled and named."""
    height = 20 * PITCH
    drawn = [
        f'<rect x="{LEFT - 18}" y="{TOP - 18}" width="{PITCH + 36}" height="{height + 10}" rx="6" '
        'fill="#f4f4f4" stroke="#555"/>',
        text(
            LEFT + PITCH / 2,
            TOP - 28,
            "40-pin header, pin 1 at the corner",
            size=12,
            anchor="middle",
        ),
    ]
    for pin in range(1, 41):
        x, y = place(pin)
        colour = colours.get(pin)
        side = 2 * RADIUS
        square = f'<rect x="{x - RADIUS}" y="{y - RADIUS}" width="{side}" height="{side}"'
        shape = square if pin == 1 else f'<circle cx="{x}" cy="{y}" r="{RADIUS}"'
        drawn.append(f'{shape} fill="{colour or "white"}" stroke="{colour or GREY}"/>')
        drawn.append(
            text(x, y + 3.5, str(pin), size=10, anchor="middle", fill="white" if colour else "#888")
        )
    return drawn


def draw_module(module: Module) -> list[str]:
    """Header, wires, microphone, notes."""
    box_x, box_y, step = 560, 190, 44
    box_height = step * len(module.wires)
    drawn = header({wire.pin: wire.colour for wire in module.wires})
    ends = {wire: box_y + step * (k + 0.5) for k, wire in enumerate(module.wires)}
    # the farther from the microphone's height a wire begins, the later it turns: none crosses
    down = [wire for wire in module.wires if place(wire.pin)[1] < ends[wire]]
    up = [wire for wire in module.wires if wire not in down]
    lanes = {wire: 500 - 22 * k for k, wire in enumerate(down)}
    lanes |= {wire: 500 - 22 * k for k, wire in enumerate(reversed(up))}
    for wire in module.wires:
        x, y = place(wire.pin)
        odd = wire.pin % 2
        out_y = y + PITCH / 2 if odd else y  # between two pins of the other column
        start = (
            f"M{x + RADIUS} {y} L{LEFT + PITCH / 2:g} {out_y:g}" if odd else f"M{x + RADIUS} {y}"
        )
        drawn.append(
            f'<path d="{start} H{lanes[wire]} V{ends[wire]:g} H{box_x}" fill="none" '
            f'stroke="{wire.colour}" stroke-width="3"/>'
        )
        where = (LEFT - 26, "end") if odd else (EVEN_X + 26, "start")
        drawn.append(
            text(
                where[0],
                y + 4 if odd else y - 6 if y < box_y else y + 17,
                pin_name(wire.pin),
                anchor=where[1],
            )
        )
        drawn.append(text(box_x + 14, ends[wire] + 5, wire.to, size=15, font_weight="bold"))
        drawn.append(f'<circle cx="{box_x}" cy="{ends[wire]:g}" r="5" fill="{wire.colour}"/>')
    drawn.append(
        f'<rect x="{box_x}" y="{box_y}" width="150" height="{box_height}" rx="8" fill="none" '
        'stroke="#222" stroke-width="2"/>'
    )
    drawn.append(
        text(box_x + 75, box_y - 12, module.name, size=16, anchor="middle", font_weight="bold")
    )
    return drawn + notes(module.notes, 290, TOP + 20 * PITCH + 4)


def draw_hat(hat: Hat) -> list[str]:
    """Header and what the board does with its pins."""
    drawn = header({pin: colour for _, colour, pins in hat.uses for pin in pins})
    for _, colour, pins in hat.uses:
        for pin in pins:
            x, y = place(pin)
            at = (x - 26, "end") if pin % 2 else (x + 26, "start")
            drawn.append(text(at[0], y + 4, pin_name(pin), anchor=at[1], fill=colour))
    x, y = 430, TOP + 40
    drawn.append(text(x, y - 30, "It sits on all 40 pins and uses", size=16, font_weight="bold"))
    for what, colour, pins in hat.uses:
        drawn.append(f'<rect x="{x}" y="{y - 11}" width="14" height="14" fill="{colour}"/>')
        numbers = ", ".join(map(str, sorted(pins)))
        drawn.append(text(x + 24, y, f"{what}: pin{'s' * (len(pins) > 1)} {numbers}"))
        y += 28
    return drawn + notes(hat.notes, x, y + 14)


def notes(lines: tuple[str, ...], x: float, y: float) -> list[str]:
    """Lines below each other."""
    return [text(x, y + 20 * k, line) for k, line in enumerate(lines)]


def draw(diagram: Module | Hat) -> str:
    """The whole SVG file."""
    drawn = draw_module(diagram) if isinstance(diagram, Module) else draw_hat(diagram)
    title = f"{diagram.name} on a Raspberry Pi"
    width, height = 800, TOP + 20 * PITCH + 66
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
            'font-family="sans-serif" role="img">',
            f"<title>{escape(title)}</title>",
            f'<rect width="{width}" height="{height}" fill="white"/>',
            text(20, 28, title, size=18, font_weight="bold"),
            *drawn,
            "</svg>\n",
        ]
    )


if __name__ == "__main__":
    for name, diagram in DIAGRAMS.items():
        (HERE / f"{name}.svg").write_text(draw(diagram))
