"""The networks alone, every model and precision, by threads."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.suite import making, network_run
from benchmarks.suite.charts import bars
from benchmarks.suite.making import shipped
from benchmarks.suite.order import Order
from benchmarks.suite.tables import Found, short, table
from emopi.convert.comparison.footprint import footprints
from emopi.device.process import answers

TITLE = "Network"
PACKAGES: tuple[str, ...] = ("numpy", "ai-edge-litert", "tensorflow")

ABOUT = """One window of 3 s in the interpreter (LiteRT with XNNPACK), its input set; all models and
all numbers of threads in turns in one process. Percentiles over {rounds} rounds, milliseconds.
Loading, first inference and arena: medians over three fresh processes that have imported NumPy and
LiteRT before; the arena is that of TFLite's own planner. MACs are counted in the flatbuffer.
`models/` ships four of these; the others are of the same shape with weights by chance, which take
the same time, and `models/unquantized` has the shape of the float32 ones."""

PEAKS = """What one core can do: the best time of a product of 256 x 1024 with 1024 x 1024, in
NumPy's BLAS and in LiteRT, in turns with the rest. A model's share is its MACs in its best time
over the largest of its kind: int8 for what computes in int8, else float32. A low one says that
layers are small, or that time is spent beside the products."""


def measure(order: Order) -> dict[str, Any]:
    """Models that are not shipped are made first, in a trial only the matrix products."""
    with tempfile.TemporaryDirectory() as folder:
        wanted = {"folder": folder, "variants": not order.quick}
        made: dict[str, str] = next(answers(making.__name__, wanted))
        peaks = {name[5:]: path for name, path in made.items() if name.startswith("peak-")}
        others = {name: path for name, path in made.items() if not name.startswith("peak-")}
        models = {name: str(path) for name, path in shipped().items()} | others
        threads = _threads()
        asked = {
            "corpus": order.corpus, "models": models, "peaks": peaks, "threads": threads,
            "rounds": order.times(300, 10),
        }  # fmt: skip
        found: dict[str, Any] = next(answers(network_run.__name__, asked))
        starts = footprints([Path(path) for path in models.values()])
    return found | {
        "threads": threads,
        "starts": {name: one.to_json() for name, one in zip(models, starts, strict=True)},
    }


def _threads() -> list[int]:
    """1, 2, 4, ... up to the cores."""
    cores = os.cpu_count() or 1
    return sorted({1, cores} | {2**k for k in range(1, cores.bit_length()) if 2**k <= cores})


def page(found: Found) -> str:
    """A row a model; then threads; then peaks."""
    threads = found["threads"]
    rows = []
    for name, start in found["starts"].items():
        times = found["times_ms"][f"{name}/1"]
        rows.append([
            name, *(short(times[key]) for key in ("p50_ms", "p90_ms", "p99_ms")),
            short(found["best_ms"][f"{name}/1"]), short(start["load_ms"]),
            short(start["first_ms"]), f"{found['bytes'][name] / 1e3:.0f}",
            short(start["arena_kb"]), f"{found['macs'][name] / 1e6:.1f}",
            f"{100 * share(found, name):.0f} %",
        ])  # fmt: skip
    head = [
        "model", "p50", "p90", "p99", "best", "load", "first", "KB", "arena, KiB", "M MACs",
        "of peak",
    ]  # fmt: skip
    scaling = [
        [name, *(short(found["times_ms"][f"{name}/{n}"]["p50_ms"]) for n in threads)]
        for name in found["starts"]
    ]
    peaks = [[name, short(rate)] for name, rate in found["peak_gmacs_s"].items()]
    return "\n\n".join(
        [
            ABOUT.format(rounds=found["rounds"]),
            table(head, rows),
            "By threads of the interpreter, median milliseconds:",
            table(["model", *map(str, threads)], scaling),
            PEAKS,
            table(["product", "G MACs a second"], peaks),
        ]
    )


def share(found: Found, name: str) -> float:
    """Of the machine's peak at a model's kind of arithmetic, one thread, both at their best."""
    rate = found["macs"][name] / found["best_ms"][f"{name}/1"] / 1e6
    kind = "int8" if name.endswith("int8") else "float32"
    peaks = found["peak_gmacs_s"]
    return float(rate / max(v for k, v in peaks.items() if k.endswith(kind)))


def draw(found: Found, folder: Path) -> list[Path]:
    """One bar a model, one thread."""
    path = folder / "network.png"
    times = {
        f"emopi {name}": {"median": t["p50_ms"], "low": t["p50_ms"], "high": t["p90_ms"]}
        for name in found["starts"]
        for t in [found["times_ms"][f"{name}/1"]]
    }
    bars(path, "One inference, one thread (median, to the 90th percentile)", "milliseconds", times)
    return [path]
