"""The front end beside those of other libraries, on the same windows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.suite import frontend_run
from benchmarks.suite.charts import bars
from benchmarks.suite.frontend_run import FLOOR, HOP, HOP_FLOOR, WHOLE
from benchmarks.suite.frontends import OTHERS
from benchmarks.suite.order import Order
from benchmarks.suite.tables import AIMS_HEAD, Found, aim, short, spread, table
from emopi.device.process import answers

TITLE = "Front end"
PACKAGES: tuple[str, ...] = ("numpy", *OTHERS)
FLOORS, HOP_SHARE = 1.6, 0.2

ABOUT = """MFCCs of 3 s at 16 kHz, 25 ms frames every 10 ms, 40 mel bands, 40 coefficients; one
process, one thread, everything warm, each round in another order. The floor is NumPy's real FFT of
frames that have been cut and tapered before. malloc hands out to everyone what it was given once;
otherwise the kernel's fresh pages can take longer than the FFT, and emopi, which needs few of them
in any case, would be that much further ahead. Milliseconds: median, and the 10th to the 90th
percentile."""

AGREEING = """Features against ours, over the frames that both have. Difference: of a coefficient,
in its standard deviations. python_speech_features defines the same features; the other two lay
their mel filters between FFT bins, so theirs are close and not the same."""


def measure(order: Order) -> dict[str, Any]:
    """In a fresh process of one thread."""
    found: dict[str, Any] = next(answers(frontend_run.__name__, order.to_json()))
    return found


def page(found: Found) -> str:
    """Times, aims, agreement."""
    times = found["times_ms"]
    rows = [[name, spread(one), short(one["best"]), str(one["n"])] for name, one in times.items()]
    ratios = [
        [name, spread(one), short(_of_bests(name, times))] for name, one in found["ratios"].items()
    ]
    agreeing = [
        [name, short(one["difference"], 2), short(one["largest"], 2), f"{one['correlation']:.4f}"]
        for name, one in found["agreement"].items()
    ]
    return "\n\n".join(
        [
            ABOUT,
            table(["what", "ms", "best", "rounds"], rows),
            table(["ratio, of one round", "median (10th to 90th percentile)", "of bests"], ratios),
            table(AIMS_HEAD, list(_aims(found))),
            AGREEING,
            table(["library", "median difference", "largest", "least correlation"], agreeing),
        ]
    )


def _of_bests(name: str, times: Found) -> float:
    """The same ratio of the best times: what is left where others use the machine."""
    one, other = name.split(" / ")
    return float(times[one]["best"] / times[other]["best"])


def _aims(found: Found) -> list[list[str]]:
    ratios = {name: one["median"] for name, one in found["ratios"].items()}
    rows = [
        aim(f"{WHOLE} / {FLOOR}", ratios[f"{WHOLE} / {FLOOR}"], FLOORS),
        aim(f"{HOP} / {WHOLE}", ratios[f"{HOP} / {WHOLE}"], HOP_SHARE),
    ]
    for name in OTHERS:
        ours = f"{name} / {WHOLE}"
        rows.append(aim(ours, ratios[ours], 1.0, least=True))
    return rows


def draw(found: Found, folder: Path) -> list[Path]:
    """One bar a front end."""
    path = folder / "frontend.png"
    own = (FLOOR, HOP_FLOOR)
    bars(path, "MFCCs of a 3 s clip", "milliseconds", found["times_ms"], apart=own)
    return [path]
