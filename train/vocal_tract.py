"""Another length of the vocal tract: the same words from a smaller or a larger speaker.

N. Jaitly and G. E. Hinton, "Vocal tract length perturbation (VTLP) improves speech recognition",
ICML workshop on deep learning for audio, speech and language processing, 2013. MFCCs that keep all
coefficients are an invertible transform of the log mel bands, so stretching the mel axis is a
product with a matrix.
"""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray

from emopi.device.frontend import FrontendSpec, liftered_dct, mel_edges_hz


def stretch(factor: float, spec: FrontendSpec) -> NDArray[np.float64]:
    """(n_mfcc, n_mfcc): MFCCs times this are those of a voice whose formants lie `factor` higher.

    Each mel band takes the logarithm that is found at its centre / `factor`, interpolated between
    the centres of two bands; beyond the outermost their own. Exact to that where `n_mfcc` is
    `n_mels`; else what the coefficients that are kept tell of it.
    """
    centres_hz = _centres_hz(spec)
    bands = np.arange(spec.n_mels)
    found_at = np.interp(centres_hz / factor, centres_hz, bands)
    share = np.maximum(0, 1 - np.abs(found_at - bands[:, None]))  # of each band in each new one
    cosines, inverse = _cosines(spec)
    matrix: NDArray[np.float64] = inverse @ share @ cosines
    return matrix


@functools.lru_cache(maxsize=8)
def _centres_hz(spec: FrontendSpec) -> NDArray[np.float64]:
    """(n_mels,) of the mel filters."""
    return mel_edges_hz(spec)[1:-1]


@functools.lru_cache(maxsize=8)
def _cosines(spec: FrontendSpec) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(n_mels, n_mfcc) and the way back, (n_mfcc, n_mels)."""
    cosines = liftered_dct(spec).astype(np.float64)
    return cosines, np.asarray(np.linalg.pinv(cosines), np.float64)
