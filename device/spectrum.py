"""|spectrum|² of a signal's frames, fast: most of what the front end computes.

The memory for it is a thread's own and is kept. What malloc would get anew for each hop are fresh
pages, and to clear those takes the kernel as long as all the rest of a decision.
"""

from __future__ import annotations

import threading

import numpy as np
from numpy.typing import NDArray

_BYTES = 128_000
"""Of spectra that are computed at a time: small enough for a processor's cache."""
_NUMPY_1 = np.__version__.startswith("1.")


def power_spectra(
    signal: NDArray[np.float32],
    n_frames: int,
    hop_samples: int,
    taper: NDArray[np.float32],
    n_fft: int,
) -> NDArray[np.float32]:
    """(n_frames, n_fft // 2 + 1) of frames as long as `taper`, which they are multiplied with.

    Frames begin `hop_samples` apart in `signal`, float32, which must hold all of them. The result
    holds until the thread's next call.
    """
    item = signal.itemsize
    frames: NDArray[np.float32] = np.ndarray(  # sliding_window_view takes a tenth of a hop's time
        (n_frames, len(taper)), np.float32, signal, strides=(hop_samples * item, item)
    )
    power = _memory.prepare(n_frames, len(taper), n_fft)
    step = len(_memory.padded)
    for start in range(0, n_frames, step):
        block = power[start : start + step]
        # padded here: to have rfft do it takes half as long again as the transform
        padded = _memory.padded[: len(block)]
        np.multiply(frames[start : start + step], taper, out=padded[:, : len(taper)])
        spectrum = rfft(padded, _memory.spectrum[: len(block)])
        np.square(spectrum.real, out=block)
        block += np.square(spectrum.imag, out=spectrum.imag)
    return power


def rfft(rows: NDArray[np.float32], out: NDArray[np.complex64]) -> NDArray[np.complex64]:
    """The real FFT of each row, into `out`, which NumPy 1 cannot do by itself."""
    if _NUMPY_1:
        out[:] = np.fft.rfft(rows)
    else:
        np.fft.rfft(rows, out=out)  # type: ignore[arg-type]
    return out


class _Memory(threading.local):
    """A thread's, for `_BYTES` of spectra."""

    padded: NDArray[np.float32]
    """(rows, n_fft): zeros behind the frames."""
    spectrum: NDArray[np.complex64]
    """(rows, n_fft // 2 + 1)."""
    _power: NDArray[np.float32]
    """Likewise."""

    def __init__(self) -> None:
        self._shape = (0, 0)

    def prepare(self, n_frames: int, frame_samples: int, n_fft: int) -> NDArray[np.float32]:
        """Have rows for all the frames, or as many as go at a time; return memory for |.|²."""
        n_bins = n_fft // 2 + 1
        rows = min(n_frames, max(1, _BYTES // (n_bins * np.dtype(np.complex64).itemsize)))
        if self._shape != (frame_samples, n_fft) or len(self.padded) < rows:
            self._shape = frame_samples, n_fft
            self.padded = np.zeros((rows, n_fft), np.float32)
            self.spectrum = np.empty((rows, n_bins), np.complex64)
            self._power = np.empty((rows, n_bins), np.float32)
        if n_frames <= len(self._power):
            return self._power[:n_frames]
        return np.empty((n_frames, n_bins), np.float32)


_memory = _Memory()
