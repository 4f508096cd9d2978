"""Changes to a clip that leave its emotion: on samples (cached) and on features (every epoch)."""

from __future__ import annotations

import dataclasses
import hashlib

import numpy as np
from numpy.typing import NDArray

from emopi.device.frontend import Floats


@dataclasses.dataclass(frozen=True, slots=True)
class Perturbation:
    """How the augmented copies of a clip are made: the ranges that are drawn from."""

    copies: int = 10
    """Augmented copies of a clip beside the clean one, 0 to 100."""
    speed: tuple[float, float] = (0.85, 1.15)
    """Playback speed; pitch and formants move with it."""
    gain_db: tuple[float, float] = (-25.0, 10.0)
    """Change of level: microphones differ by more than emotions do."""
    snr_db: tuple[float, float] = (5.0, 35.0)
    """Ratio of the clip's power to that of coloured noise added to it."""
    colour: tuple[float, float] = (0.0, 2.0)
    """Noise power falls as 1 / f**colour: 0 is white, 1 pink, 2 brown."""
    noisy: float = 0.7
    """Share of the copies that get noise."""
    decay_s: tuple[float, float] = (0.15, 0.8)
    """Time in which a room's echo falls by 60 dB."""
    direct_db: tuple[float, float] = (-5.0, 15.0)
    """Ratio of the energy of the direct sound to that of the echo."""
    reverberant: float = 0.4
    """Share of the copies that are heard in a room."""
    cutoff_hz: tuple[float, float] = (3_000.0, 7_500.0)
    """Upper end of the band that a narrow-band microphone or codec leaves."""
    narrow: float = 0.2
    """Share of the copies that are narrow-band."""
    bits: int = 24
    """Of the converter that each copy is rounded and clipped to, 8 to 24. With 16, quiet voices
    drown in its steps, and what is learnt of them costs the others 3 to 4 points."""


def rng_for(*parts: object) -> np.random.Generator:
    """A generator that depends on `parts` alone: not on order, process or machine."""
    seed = hashlib.sha256("/".join(map(str, parts)).encode()).digest()
    return np.random.default_rng(np.frombuffer(seed, np.uint64))


def perturb(samples: Floats, rate_hz: int, how: Perturbation, rng: np.random.Generator) -> Floats:
    """A copy of a clip as another microphone in another room would have heard another take of it.

    Speed, then perhaps a room, level, perhaps noise, perhaps a narrow band, and the converter's
    steps: (n / speed,) float32, full scale ±1.
    """
    import soxr

    speed = rng.uniform(*how.speed)
    changed: Floats = soxr.resample(samples, rate_hz * speed, rate_hz, quality="HQ")
    if rng.random() < how.reverberant:
        echo = room_response(rng.uniform(*how.decay_s), rng.uniform(*how.direct_db), rate_hz, rng)
        changed = _convolve(changed, echo)
    changed *= np.float32(10 ** (rng.uniform(*how.gain_db) / 20))
    if rng.random() < how.noisy:
        noise = coloured_noise(len(changed), rng.uniform(*how.colour), rng)
        power = float(np.mean(np.square(changed, dtype=np.float64)))
        changed = changed + noise * np.float32(
            np.sqrt(power * 10 ** (-rng.uniform(*how.snr_db) / 10))
        )
    if rng.random() < how.narrow:
        band_hz = 2 * rng.uniform(*how.cutoff_hz)
        changed = soxr.resample(soxr.resample(changed, rate_hz, band_hz), band_hz, rate_hz)
    return _converted(changed, how.bits)


def room_response(
    decay_s: float, direct_db: float, rate_hz: int, rng: np.random.Generator
) -> Floats:
    """(n,) float32 impulse response of energy 1: the direct sound, then noise that dies away.

    Polack's model of late reverberation (1988): Gaussian noise whose level falls by 60 dB in
    `decay_s`. Early reflections, which depend on a room's shape, are left out.
    """
    n = max(int(decay_s * rate_hz), 1)
    echo = rng.standard_normal(n) * 10 ** (-3 * np.arange(n) / n)
    echo *= 10 ** (-direct_db / 20) / np.sqrt(np.sum(np.square(echo)))
    response = np.concatenate([[1.0], echo])
    return np.asarray(response / np.sqrt(np.sum(np.square(response))), np.float32)


def _convolve(samples: Floats, response: Floats) -> Floats:
    """The first `len(samples)` of their convolution, float32."""
    n_fft = 1 << (len(samples) + len(response) - 1).bit_length()
    product = np.fft.rfft(samples, n_fft) * np.fft.rfft(response, n_fft)
    return np.asarray(np.fft.irfft(product, n_fft)[: len(samples)], np.float32)


def _converted(samples: Floats, bits: int) -> Floats:
    """The samples as a converter of so many bits gives them."""
    full_scale = np.float32(1 << (bits - 1))
    steps = np.clip(np.rint(samples * full_scale), -full_scale, full_scale - 1)
    return np.asarray(steps / full_scale, np.float32)


def coloured_noise(n: int, colour: float, rng: np.random.Generator) -> Floats:
    """(n,) float32 Gaussian noise of power 1 whose power falls as 1 / f**colour."""
    n_fft = 1 << max(n - 1, 1).bit_length()
    spectrum = np.fft.rfft(rng.standard_normal(n_fft))
    spectrum *= np.arange(1, len(spectrum) + 1) ** (-colour / 2)
    noise = np.fft.irfft(spectrum)[:n]
    noise /= np.sqrt(np.mean(np.square(noise)) + 1e-30)
    return np.asarray(noise, np.float32)


@dataclasses.dataclass(frozen=True, slots=True)
class FeatureAugmentation:
    """What is done to every training window anew, to its features."""

    stretched: float = 0.5
    """Share of the windows that are heard from another vocal tract (`emopi.train.vocal_tract`)."""
    vocal_tract: tuple[float, float] = (0.86, 1.14)
    """How much higher its formants lie."""

    time_masks: int = 1
    """SpecAugment (Park et al. 2019): stretches of frames set to the mean, 0."""
    longest_mask: int = 30
    """Frames in the longest such stretch."""
    channel: float = 0.05
    """Standard deviation of an offset of each coefficient, the same in all frames of a window:
    another microphone or room is just that, a convolution."""


def augment(windows: Floats, how: FeatureAugmentation, rng: np.random.Generator) -> Floats:
    """Augmented (batch, frames, coefficients) normalized windows."""
    n, n_frames, n_mfcc = windows.shape
    windows = windows + rng.normal(0, how.channel, (n, 1, n_mfcc)).astype(np.float32)
    windows *= ~_time_masks(n, n_frames, how, rng)[:, :, None]
    return windows


def _time_masks(
    n: int, n_frames: int, how: FeatureAugmentation, rng: np.random.Generator
) -> NDArray[np.bool_]:
    """(n, n_frames), true where a frame is masked."""
    masked = np.zeros((n, n_frames), np.bool_)
    frame = np.arange(n_frames)
    for _ in range(how.time_masks):
        width = rng.integers(0, how.longest_mask + 1, (n, 1))
        start = rng.integers(0, n_frames - width + 1)
        masked |= (frame >= start) & (frame < start + width)
    return masked
