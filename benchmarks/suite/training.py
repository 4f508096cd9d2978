"""The section on training: features over cores, epochs, and memory as the corpus grows."""

from __future__ import annotations

import os
import statistics
from pathlib import Path
from typing import Any

from benchmarks.suite import training_run
from benchmarks.suite.charts import lines
from benchmarks.suite.order import Order
from benchmarks.suite.tables import AIMS_HEAD, Found, aim, short, table
from emopi.device.process import answers
from emopi.train.recipe import EPOCHS
from emopi.train.topology import NETWORKS

TITLE = "Training"
PACKAGES: tuple[str, ...] = ("numpy", "tensorflow", "keras", "librosa", "soundfile", "soxr")
FEATURES_S, TRAINING_MIN, CORPUS = 15.0, 30.0, 1440
COPIES = 10
"""Augmented, of each clip, in the recipe."""

ABOUT = """Everything in processes of its own, {jobs} cores unless it says otherwise. Features are
those of WAV files into an empty cache, starting the workers included."""

EPOCHS_ABOUT = """Training: upm-5 fold1, 64 windows a batch. Minutes are **extrapolated**: the
median of the measured epochs, without the first, times the epochs of the recipe; a whole training
was not run here. Beside it the same network in the way of most tutorials: tf.data, each clip read
and its MFCCs taken with librosa in every epoch, no augmentation."""

GROWTH = """Memory as the corpus grows: its clips under new names, features extracted, statistics
taken and an epoch's windows drawn, without a network. Anonymous memory is what must be there; the
features are mapped from disk, and what of them is resident the kernel takes back at need."""


def measure(order: Order) -> dict[str, Any]:
    """Nothing without a corpus."""
    if not order.corpus:
        return {}
    jobs = os.cpu_count() or 1
    clips = order.times(CORPUS, 96)
    scaling = [
        _ask("features", order, clips=clips, jobs=n, copies=0) | {"jobs": n}
        for n in range(1, jobs + 1)
    ]
    augmented = _ask("features", order, clips=order.times(288, 24), jobs=jobs, copies=COPIES)
    networks = NETWORKS[: order.times(len(NETWORKS), 0)]
    return {
        "jobs": jobs,
        "features": scaling,
        "augmented": augmented,
        "epochs": {
            name: _ask("epochs", order, network=name, epochs=5, jobs=jobs)
            for name in networks
        },
        "otherwise": {
            name: _ask("otherwise", order, network=name, epochs=2,
                       clips=CORPUS, jobs=jobs)
            for name in networks
        },
        "growth": [
            _ask("growth", order, clips=clips, times=times, jobs=jobs) for times in (1, 3, 10)
        ],
    }  # fmt: skip


def _ask(what: str, order: Order, **settings: Any) -> dict[str, Any]:
    asked = {"what": what, "corpus": order.corpus} | settings
    found: dict[str, Any] = next(answers(training_run.__name__, asked))
    return found


def page(found: Found) -> str:
    """Features, epochs, growth, aims."""
    if not found:
        return "Not run: it needs `--corpus`."
    first = found["features"][0]
    augmented = found["augmented"]
    scaling = [
        [str(one["jobs"]), str(one["clips"]), f"{one['seconds']:.1f}",
         f"{one['clips'] / one['seconds']:.0f}", f"{first['seconds'] / one['seconds']:.2f}"]
        for one in found["features"]
    ]  # fmt: skip
    copies = augmented["clips"] * (1 + COPIES)
    growth = [
        [str(one["clips"]), f"{one['seconds']:.1f}", f"{one['features_mb']:.0f}",
         *(f"{one[key]:.0f}" for key in ("before_mb", "anonymous_mb", "rss_mb", "peak_mb"))]
        for one in found["growth"]
    ]  # fmt: skip
    return "\n\n".join(
        [
            ABOUT.format(jobs=found["jobs"]),
            table(["cores", "clips", "seconds", "clips a second", "times one core"], scaling),
            f"With {COPIES} augmented copies of each: {copies} clips from {augmented['clips']} in "
            f"{augmented['seconds']:.1f} s, {copies / augmented['seconds']:.0f} a second.",
            EPOCHS_ABOUT,
            _epoch_table(found),
            GROWTH,
            table(["clips", "extraction, s", "features, MiB", "before, MiB", "anonymous, most",
                   "resident at the end", "resident, most"], growth),
            table(AIMS_HEAD, _aims(found)),
        ]
    )  # fmt: skip


def _epoch_table(found: Found) -> str:
    rows = []
    for kind, title in (("epochs", "emopi train {}"), ("otherwise", "tf.data + librosa, {}")):
        for network, one in found[kind].items():
            seconds = statistics.median(one["seconds"])
            rows.append([
                title.format(network), str(one.get("clips", "all")), short(seconds),
                str(len(one["seconds"])), f"{seconds * EPOCHS[network] / 60:.0f}",
                f"{one['peak_mb']:.0f}",
            ])  # fmt: skip
    head = [
        "training", "clips", "s an epoch", "epochs measured", "whole training, min",
        "most memory, MiB",
    ]  # fmt: skip
    return table(head, rows) if rows else "Not in a trial."


def _aims(found: Found) -> list[list[str]]:
    most = found["features"][-1]
    rows = [
        aim(f"features of {CORPUS} clips, s" + " (from fewer)" * (most["clips"] < CORPUS),
            most["seconds"] / most["clips"] * CORPUS, FEATURES_S)
    ]  # fmt: skip
    for network, one in found["epochs"].items():
        minutes = statistics.median(one["seconds"]) * EPOCHS[network] / 60
        rows.append(aim(f"training one {network}, min, extrapolated", minutes, TRAINING_MIN))
    first, last = found["growth"][0], found["growth"][-1]
    grown = (last["anonymous_mb"] - first["anonymous_mb"]) / (
        last["features_mb"] - first["features_mb"]
    )
    what = "anonymous memory a ten times larger corpus adds, of its features"
    return [*rows, aim(what, max(0.0, grown), 0.1)]


def draw(found: Found, folder: Path) -> list[Path]:
    """Memory over the corpus's size."""
    if not found:
        return []
    path = folder / "training_memory.png"
    series = {
        title: [(one["clips"], one[key]) for one in found["growth"]]
        for title, key in (
            ("features on disk", "features_mb"), ("resident, most", "peak_mb"),
            ("anonymous, most", "anonymous_mb"),
        )
    }  # fmt: skip
    lines(path, "Memory as the corpus grows", ("clips", "MiB"), series)
    return [path]
