"""Front ends beside each other, in one process with one thread: see `frontend.py`.

python -m benchmarks.suite.frontend_run ORDER
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from benchmarks.suite.frontends import OTHERS
from benchmarks.suite.order import Order
from benchmarks.suite.speech import samples_in_window, windows
from benchmarks.suite.timing import Call, Spread, interleaved, ratio
from emopi.device.frontend import Floats, FrontendSpec, FrontendStream, extract
from emopi.device.process import serve

SPEC = FrontendSpec()
"""That of the shipped models but for a floor under the mel energies, which others lack."""
HOP_S = 0.5
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""Of malloc.h."""
WHOLE, HOP = "emopi, whole clip", "emopi, hop of 0.5 s"
FLOOR, HOP_FLOOR = "bare FFT, whole clip", "bare FFT, hop of 0.5 s"


def run(fields: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """One object: times, ratios, and how far the features of others are from ours."""
    keep_memory()
    order = Order(**fields)
    pieces = windows(order.corpus)
    others = {name: make(SPEC) for name, make in OTHERS.items()}
    n_frames = SPEC.frames_in(samples_in_window())
    calls: dict[str, Call] = {
        FLOOR: _fft(pieces, n_frames),
        HOP_FLOOR: _fft(pieces, hop_samples() // SPEC.hop_samples),
        WHOLE: lambda k: extract(pieces[k % len(pieces)], SPEC),
        HOP: _hop(pieces),
    }
    for name, mfcc in others.items():
        calls[name] = lambda k, mfcc=mfcc: mfcc(pieces[k % len(pieces)])  # type: ignore[misc]
    taken = interleaved(calls, order.times(400, 12))
    yield {
        "windows": len(pieces),
        "frames": n_frames,
        "hop_frames": hop_samples() // SPEC.hop_samples,
        "times_ms": {name: Spread.of(ms).to_json() for name, ms in taken.items()},
        "ratios": _ratios(taken),
        "agreement": {name: agreement(mfcc, pieces) for name, mfcc in others.items()},
    }


def keep_memory() -> None:
    """Have glibc's malloc hand out again what it was given, to everyone, in any size.

    Otherwise large arrays are fresh pages or not by what others have freed before (`mallopt(3)`,
    "dynamic mmap threshold"), and pages can take longer than an FFT.
    """
    mallopt = ctypes.CDLL(None).mallopt
    for parameter in (M_TRIM_THRESHOLD, M_MMAP_THRESHOLD):
        mallopt(parameter, 1 << 24)


def _ratios(taken: Mapping[str, list[float]]) -> dict[str, Any]:
    """Each whole clip, and the floor, in terms of ours; ours in terms of the floor."""
    others = {name: ratio(taken[name], taken[WHOLE]) for name in OTHERS}
    own = {
        f"{WHOLE} / {FLOOR}": ratio(taken[WHOLE], taken[FLOOR]),
        f"{HOP} / {HOP_FLOOR}": ratio(taken[HOP], taken[HOP_FLOOR]),
        f"{HOP} / {WHOLE}": ratio(taken[HOP], taken[WHOLE]),
    }
    named = own | {f"{name} / {WHOLE}": found for name, found in others.items()}
    return {name: found.to_json() for name, found in named.items()}


def hop_samples() -> int:
    """Of a decision's hop."""
    return round(HOP_S * SPEC.sample_rate_hz)


def _fft(pieces: list[Floats], n_frames: int) -> Call:
    """The real FFT of frames that are cut and tapered already: what no front end does without."""
    taper = np.hanning(SPEC.frame_samples).astype(np.float32)
    framed = [
        np.lib.stride_tricks.sliding_window_view(piece, SPEC.frame_samples)[:: SPEC.hop_samples][
            :n_frames
        ]
        * taper
        for piece in pieces
    ]
    return lambda k: np.fft.rfft(framed[k % len(framed)], SPEC.n_fft)


def _hop(pieces: list[Floats]) -> Call:
    """Half a second more of a stream that has been heard for some time."""
    stream = FrontendStream(SPEC)
    spoken = np.concatenate(pieces)
    hops = spoken[: len(spoken) // hop_samples() * hop_samples()].reshape(-1, hop_samples())
    stream.push(hops[-1])
    return lambda k: stream.push(hops[k % len(hops)])


def agreement(mfcc: Any, pieces: list[Floats]) -> dict[str, float]:
    """How far the features of another library are from ours, over the frames that both have.

    `difference` is the median absolute one in standard deviations of each coefficient, `largest`
    the largest; `correlation` the least of any coefficient's.
    """
    ours = [extract(piece, SPEC) for piece in pieces]
    theirs = [
        np.asarray(mfcc(piece), np.float32)[: len(own)]
        for piece, own in zip(pieces, ours, strict=True)
    ]
    a, b = (
        np.concatenate([own[: len(o)] for own, o in zip(ours, theirs, strict=True)]),
        np.concatenate(theirs),
    )
    differences = np.abs(a - b) / a.std(axis=0)
    correlations = [np.corrcoef(a[:, k], b[:, k])[0, 1] for k in range(a.shape[1])]
    return {
        "difference": float(np.median(differences)),
        "largest": float(differences.max()),
        "correlation": float(min(correlations)),
    }


if __name__ == "__main__":
    sys.exit(serve(run))
