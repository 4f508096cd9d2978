"""The figures: clips as a model hears them, accuracies, confusions, curves. Data in, PNG out.

Every function replaces the file at `path` or leaves it as it was; `mark` is printed across the
figure, so that a figure of a trial cannot pass for a result. Colours are those of Okabe and Ito
(2008), which people with colour blindness can tell apart.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from emopi.device.errors import MissingExtraError
from emopi.device.files import write_atomically
from emopi.device.frontend import Floats
from emopi.train.evaluation.summary import ModelSummary
from emopi.train.evaluation.trace import Trace

DPI = 120
WIDTH_IN = 8.0
"""960 pixels: what a README shows without shrinking it."""

STYLE = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": False,
    "legend.frameon": False,
    "savefig.facecolor": "white",
}

BLACK, ORANGE, SKY, GREEN, BLUE, RED, PINK, GREY = (
    "#000000", "#E69F00", "#56B4E9", "#009E73", "#0072B2", "#D55E00", "#CC79A7", "#8C8C8C",
)  # fmt: skip
EMOTIONS = (GREY, SKY, ORANGE, BLUE, RED, PINK, GREEN, BLACK)
"""One a label, in the models' order."""

NETWORKS = {"svm": GREY, "cnn": BLUE, "lstm": RED}
OTHER = PINK
PROTOCOLS = {
    "paper-80-20": BLUE,
    "paper-70-30": SKY,
    "random-10fold": GREEN,
    "upm-5": RED,
    "emobox-6": ORANGE,
}
UNSEEN = ("upm-5", "emobox-6")
"""Protocols that keep the test speakers out of the training."""

UNSEEN_NOTE, STATED = " (unseen speakers)", "as the paper states"

Curve = Sequence[Mapping[str, float]]
"""A training's history: entries with epoch, loss, accuracy, perhaps validation_accuracy."""


def draw_clip(path: Path, trace: Trace, *, mark: str = "") -> None:
    """Waveform, log-mel energies, MFCCs and the model's probabilities over the same seconds."""
    length_s = len(trace.samples) / trace.rate_hz
    with figure_page(path, WIDTH_IN, 7.4, mark) as figure:
        cells = figure.subplots(
            4, 2, sharex="col", height_ratios=(1, 1.5, 1.5, 1.7), width_ratios=(1, 0.015)
        )
        rows, beside = cells.T
        figure.suptitle(f"{trace.label}: clip {trace.clip_id}, heard by {trace.model}")
        _draw_waveform(rows[0], trace)
        bar = _draw_features(rows[1], trace.log_mels, trace.hop_s, "mel band")
        figure.colorbar(bar, cax=beside[1], label="ln energy")
        bar = _draw_features(rows[2], trace.mfccs, trace.hop_s, "MFCC", limit=3.0)
        figure.colorbar(bar, cax=beside[2], label="standard deviations")
        _draw_probabilities(rows[3], trace)
        handles, labels = rows[3].get_legend_handles_labels()
        beside[3].legend(handles, labels, loc="center left", labelspacing=0.35)
        for axes in (beside[0], beside[3]):
            axes.set_axis_off()
        rows[3].set(xlim=(0, length_s), xlabel="seconds from the clip's start")


def draw_accuracies(
    path: Path, models: Sequence[ModelSummary], stated: Mapping[str, float], *, mark: str = ""
) -> None:
    """Bars of each network's mean accuracy by protocol, beside the figure `stated` by a paper.

    `models` are one a network and protocol; whiskers are their 95 % intervals over speakers.
    """
    networks, protocols = _in_order(models)
    found = {(model.network, model.protocol): model for model in models}
    groups: list[str | None] = [*([None] if stated else []), *protocols]
    width = 0.82 / len(groups)
    with figure_page(path, WIDTH_IN, 3.8, mark) as figure:
        axes = figure.subplots()
        for place, protocol in enumerate(groups):
            at = [k + (place - (len(groups) - 1) / 2) * width for k in range(len(networks))]
            _draw_bars(axes, at, width, networks, protocol, found, stated)
        axes.set(xticks=range(len(networks)), ylim=(0, 1.1), ylabel="accuracy on test clips")
        axes.set_xticklabels(networks, fontsize=11)
        _percent(axes.yaxis)
        axes.legend(ncols=len(groups), loc="lower center", bbox_to_anchor=(0.5, 1.0))


def draw_confusion(path: Path, model: ModelSummary, *, mark: str = "") -> None:
    """Counts over all folds, shaded by their share of an emotion's clips.

    A row adds up to less than 100 % where the model heard no speech in some.
    """
    counts = model.confusion
    truth = [label for outcome in model.outcomes for label in outcome.truth]
    clips = np.maximum(np.bincount(truth, minlength=len(counts)), 1)[:, None]
    with figure_page(path, 6.2, 5.1, mark) as figure:
        axes = figure.subplots()
        image = axes.imshow(counts / clips, cmap="Blues", vmin=0, vmax=1)
        for (row, column), count in np.ndenumerate(counts):
            if count:
                share = count / clips[row, 0]
                axes.text(
                    column, row, f"{share:.0%}\n{count}", ha="center", va="center", fontsize=7.5,
                    color="white" if share > 0.55 else "black",
                )  # fmt: skip
        ticks = range(len(model.labels))
        axes.set(xticks=ticks, yticks=ticks, xlabel="the model's label", ylabel="the clip's label")
        axes.set_xticklabels(model.labels, rotation=35, ha="right")
        axes.set_yticklabels(model.labels)
        axes.spines[:].set_visible(False)
        axes.set_title(
            f"{model.network} {model.precision}, {model.protocol}: "
            f"accuracy {model.mean.accuracy:.1%}, {model.n} test clips"
        )
        _percent(figure.colorbar(image, shrink=0.8, label="share of the emotion's clips").ax.yaxis)


def draw_curves(
    path: Path, curves: Mapping[str, Mapping[str, Sequence[Curve]]], *, mark: str = ""
) -> None:
    """Loss and accuracy over the epochs by network and protocol: a thin line a fold, their mean.

    Accuracy is that of the augmented training clips and, dotted, of validation speakers where the
    protocol has some. Test clips have no part in it.
    """
    networks = [name for name in (*NETWORKS, *curves) if name in curves]
    networks = list(dict.fromkeys(networks))
    with figure_page(path, WIDTH_IN, 4.6, mark) as figure:
        rows = figure.subplots(2, len(networks), sharex="col", sharey="row", squeeze=False)
        for column, network in enumerate(networks):
            for protocol, folds in curves[network].items():
                colour = PROTOCOLS.get(protocol, OTHER)
                _draw_folds(rows[0, column], folds, "loss", colour, "-", protocol)
                _draw_folds(rows[1, column], folds, "accuracy", colour, "-", protocol)
                _draw_folds(rows[1, column], folds, "validation_accuracy", colour, ":",
                            f"{protocol}, validation speakers")  # fmt: skip
            rows[0, column].set_title(network)
            rows[1, column].set(xlabel="epoch", ylim=(0, 1))
        rows[0, 0].set_ylabel("training loss")
        rows[1, 0].set_ylabel("accuracy")
        _percent(rows[1, 0].yaxis)
        handles, labels = rows[1, 0].get_legend_handles_labels()
        figure.legend(handles, labels, ncols=3, loc="outside lower center")


def draw_random_against_unseen(
    path: Path, models: Sequence[ModelSummary], *, mark: str = ""
) -> None:
    """Accuracy of every fold, speakers known on the left, unseen on the right; bars are means.

    `models` are one a network and protocol.
    """
    networks, protocols = _in_order(models)
    found = {(model.network, model.protocol): model for model in models}
    known = sum(protocol not in UNSEEN for protocol in protocols)
    with figure_page(path, WIDTH_IN, 3.8, mark) as figure:
        axes = figure.subplots()
        for k, network in enumerate(networks):
            offset = (k - (len(networks) - 1) / 2) * 0.26
            for place, protocol in enumerate(protocols):
                if model := found.get((network, protocol)):
                    _draw_spread(axes, place + offset, model)
            axes.plot([], [], "o", color=NETWORKS.get(network, OTHER), label=network)
        if 0 < known < len(protocols):
            axes.axvline(known - 0.5, color="0.6", linestyle="--", linewidth=1)
            for x, text in ((known - 0.53, "same speakers  "), (known - 0.47, "  unseen speakers")):
                axes.text(x, 1.16, text, ha="right" if "same" in text else "left", va="top")
        axes.set(xticks=range(len(protocols)), ylabel="accuracy on test clips", ylim=(0, 1.17))
        axes.set_xticklabels(protocols)
        axes.set(xlim=(-0.5, len(protocols) - 0.5), yticks=np.linspace(0, 1, 6))
        _percent(axes.yaxis)
        axes.legend(loc="lower left", ncols=len(networks))


def _draw_waveform(axes: Any, trace: Trace) -> None:
    seconds = np.arange(len(trace.samples)) / trace.rate_hz
    axes.plot(seconds, trace.samples, color=BLUE, linewidth=0.4)
    top = max(float(np.abs(trace.samples).max()), 1e-3) * 1.05
    axes.set(ylabel="amplitude", ylim=(-top, top))


def _draw_features(axes: Any, values: Floats, hop_s: float, name: str, limit: float = 0.0) -> Any:
    """(frames, n) as an image: diverging up to ±`limit`, else its brightest 99 %."""
    low, high = (-limit, limit) if limit else np.percentile(values, (5, 99.8))
    image = axes.imshow(
        values.T, origin="lower", aspect="auto", interpolation="nearest",
        extent=(0, len(values) * hop_s, -0.5, values.shape[1] - 0.5),
        cmap="PuOr_r" if limit else "viridis", vmin=low, vmax=high,
    )  # fmt: skip
    axes.set_ylabel(name)
    return image


def _draw_probabilities(axes: Any, trace: Trace) -> None:
    for k, (label, row) in enumerate(zip(trace.labels, trace.probabilities.T, strict=True)):
        own = label == trace.label
        axes.plot(
            trace.times_s, row, label=label, color=EMOTIONS[k % len(EMOTIONS)],
            linewidth=2.6 if own else 1.3, zorder=3 if own else 2,
        )  # fmt: skip
    axes.set(ylabel="probability", ylim=(0, 1))


def _draw_bars(
    axes: Any,
    at: Sequence[float],
    width: float,
    networks: Sequence[str],
    protocol: str | None,
    found: Mapping[tuple[str, str], ModelSummary],
    stated: Mapping[str, float],
) -> None:
    """One protocol's bars, one a network; those of the paper where `protocol` is None."""
    legend: str | None = f"{protocol}{UNSEEN_NOTE * (protocol in UNSEEN)}" if protocol else STATED
    for x, network in zip(at, networks, strict=True):
        model = found.get((network, protocol)) if protocol else None
        height = model.mean.accuracy if model else stated.get(network) if not protocol else None
        if height is None:
            continue
        colour = PROTOCOLS.get(protocol, OTHER) if protocol else "white"
        axes.bar(
            x, height, width * 0.94, color=colour, label=legend,
            edgecolor="0.35" if not protocol else colour, hatch="" if protocol else "////",
        )  # fmt: skip
        top = height
        if model:
            low, top = model.intervals["accuracy"]
            axes.plot([x, x], [low, top], color=BLACK, linewidth=1)
        axes.text(x, max(top, height) + 0.012, f"{100 * height:.0f}", ha="center", fontsize=8)
        legend = None


def _draw_folds(
    axes: Any, folds: Sequence[Curve], key: str, colour: str, style: str, label: str
) -> None:
    """A thin line a fold and the mean of those that reach as far; nothing if none has `key`."""
    lines = [{entry["epoch"]: entry[key] for entry in fold if key in entry} for fold in folds]
    lines = [line for line in lines if line]
    if not lines:
        return
    for line in lines if len(lines) > 1 else ():
        axes.plot(line.keys(), line.values(), style, color=colour, linewidth=0.6, alpha=0.35)
    shared = sorted(set.intersection(*(set(line) for line in lines)))
    mean = [np.mean([line[epoch] for line in lines]) for epoch in shared]
    axes.plot(shared, mean, style, color=colour, linewidth=1.8, label=label)


def _draw_spread(axes: Any, x: float, model: ModelSummary) -> None:
    colour = NETWORKS.get(model.network, OTHER)
    values = [outcome.figures.accuracy for outcome in model.outcomes]
    spread = x + 0.05 * np.linspace(-1, 1, len(values)) * (len(values) > 1)
    axes.plot(spread, values, "o", color=colour, markersize=4, alpha=0.55, markeredgewidth=0)
    axes.plot([x - 0.11, x + 0.11], [model.mean.accuracy] * 2, color=colour, linewidth=2.5)
    axes.text(
        x, max(values) + 0.02, f"{model.mean.accuracy:.0%}", ha="center", fontsize=8, color=colour
    )


def _in_order(models: Sequence[ModelSummary]) -> tuple[list[str], list[str]]:
    """Names of the networks and of the protocols, the known ones first and in their usual order."""
    networks = {model.network for model in models}
    protocols = {model.protocol for model in models}
    return (
        [n for n in NETWORKS if n in networks] + sorted(networks - set(NETWORKS)),
        [p for p in PROTOCOLS if p in protocols] + sorted(protocols - set(PROTOCOLS)),
    )


def _percent(axis: Any) -> None:
    from matplotlib.ticker import PercentFormatter

    axis.set_major_formatter(PercentFormatter(1.0, decimals=0))


@contextlib.contextmanager
def figure_page(path: Path, width_in: float, height_in: float, mark: str = "") -> Iterator[Any]:
    """An empty figure to draw on, which becomes the PNG file `path` at the end."""
    try:
        import matplotlib as mpl
        from matplotlib.figure import Figure
    except ImportError:
        raise MissingExtraError("drawing figures", "train", "matplotlib") from None

    # a person's own matplotlibrc changes nothing; to set a backend would import pyplot
    defaults = {
        name: mpl.rcParamsDefault[name] for name in mpl.rcParamsDefault if name != "backend"
    }
    with mpl.rc_context({**defaults, **STYLE}):
        figure = Figure(figsize=(width_in, height_in), dpi=DPI, layout="constrained")
        yield figure
        if mark:
            figure.text(0.5, 0.5, mark, fontsize=34, color="0.5", alpha=0.35, rotation=25,
                        ha="center", va="center", zorder=10)  # fmt: skip
        content = io.BytesIO()
        # without the version that matplotlib writes by default: same data, same file
        figure.savefig(content, format="png", metadata={"Software": None})
    write_atomically(path, _smaller(content))


def _smaller(png: io.BytesIO) -> bytes:
    """The same picture with a palette: a third of the size."""
    from PIL import Image

    small = io.BytesIO()
    with Image.open(png) as picture:
        picture.convert("RGB").quantize(
            256, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE
        ).save(small, format="png", optimize=True)
    return small.getvalue()
