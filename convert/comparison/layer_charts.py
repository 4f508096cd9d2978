"""Figures of what happens inside models. Data in, inline SVG out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from emopi.convert.comparison.canvas import (
    TEXT,
    Chart,
    canvas,
    colour,
    marker,
    named_rows,
)
from emopi.convert.comparison.layers import Inside, LayerRange
from emopi.convert.layer_noise import LIMIT_DB


def draw_noise(inside: Inside, place: int) -> Chart:
    """Signal to quantization noise behind every layer."""
    # what is exact would only squeeze the scale
    layers = [x for x in inside.noise if x.sqnr_db < LIMIT_DB] or list(inside.noise)
    worst = max(inside.noise[1:] or layers, key=lambda layer: layer.loss_db)
    with canvas(0.8 * len(layers) + 1) as (figure, drawn):
        axes = named_rows(figure, [layer.name for layer in layers])
        values = [layer.sqnr_db for layer in layers]
        axes.plot(
            values, range(len(layers)), marker(place) + "-", color=colour(place), markersize=4.5
        )
        if worst.loss_db:
            row = layers.index(worst)
            axes.plot(worst.sqnr_db, row, "o", color=TEXT, markersize=11, markerfacecolor="none")
        axes.set_xlabel("signal to quantization noise, dB")
        axes.set_title(f"{inside.name} against {inside.float_name}")
        axes.margins(x=0.12)
    told = ", ".join(f"{layer.name} {layer.sqnr_db:.0f}" for layer in layers)
    most = "No layer is noisier than 8 bits are at their best."
    if worst.loss_db:
        most = (
            f"Behind the input, {worst.name} ({worst.operator}) costs most by itself: "
            f"{worst.loss_db:.1f} dB."
        )
    return drawn(
        f"Signal to noise behind each layer of {inside.name}, dB: {told}",
        f"From the input down to the output; further left is noisier, 6 dB are a bit. {most}",
    )


def draw_ranges(group: Sequence[Inside], places: Sequence[int], what: str) -> Chart:
    """Values of the weights, or of the outputs, of models with the same layers.

    `what` is "weights" or "outputs".
    """
    rows = [k for k, one in enumerate(group[0].ranges) if what == "outputs" or one.weights]
    names = [group[0].ranges[k].layer for k in rows]
    step = 0.7 / len(group)
    with canvas((0.55 + 0.25 * len(group)) * len(rows) + 1) as (figure, drawn):
        axes = named_rows(figure, names)
        axes.axvline(0, color=TEXT, linewidth=0.8)
        for turn, (one, place) in enumerate(zip(group, places, strict=True)):
            for row, k in enumerate(rows):
                y = row - 0.35 + (turn + 0.5) * step
                _draw_range(axes, y, step, one.ranges[k], what, place)
            axes.barh(0, 0, color=colour(place), label=one.name)
        axes.set_xlabel(f"value of {'a weight' if what == 'weights' else 'an output'}")
        figure.legend(loc="outside upper left", ncols=2)
    told = "; ".join(
        f"{one.layer} {low:.3g} to {high:.3g}"
        for one in (group[0].ranges[k] for k in rows)
        for low, high in [(one.weights or one.outputs) if what == "weights" else one.outputs]
    )
    room = " A frame is what the integers there can stand for: much empty room wastes their "
    room += "steps, a filled frame cuts values off."
    return drawn(
        f"Range of the {what} of {group[0].name}: {told}",
        f"Least to greatest of each layer's {what}.{room * (what == 'outputs')}",
    )


def _draw_range(
    axes: Any, y: float, height: float, layer: LayerRange, what: str, place: int
) -> None:
    low, high = (layer.weights or layer.outputs) if what == "weights" else layer.outputs
    axes.barh(y, high - low, height * 0.8, left=low, color=colour(place))
    if what == "outputs" and layer.room:
        least, most = layer.room
        axes.barh(y, most - least, height * 0.95, left=least, fill=False, edgecolor=colour(place),
                  linewidth=0.9)  # fmt: skip
