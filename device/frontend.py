"""The front end: audio samples to MFCCs, in NumPy, whole clip or streaming.

This module defines the features. Training, conversion and the device all call it.

The steps and their constants are those of python_speech_features 0.6 (J. Lyons), which follows
S. Davis and P. Mermelstein, "Comparison of parametric representations for monosyllabic word
recognition", IEEE Trans. ASSP 28(4), 1980, and HTK's liftering (The HTK Book, 3.4, eq. 5.12):

    python_speech_features.mfcc(
        samples, samplerate=16000, winlen=0.025, winstep=0.01, numcep=spec.n_mfcc,
        nfilt=spec.n_mels, nfft=spec.n_fft, lowfreq=spec.low_hz, highfreq=spec.high_hz,
        preemph=spec.preemphasis, ceplifter=spec.lifter, appendEnergy=False, winfunc=np.hanning)

One convention differs: python_speech_features pads the last frame with zeros so that every sample
is in a frame. A stream can't know its last sample, so only frames that are complete count here:
1 + floor((n - frame_samples) / hop_samples) of them.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from emopi.device.errors import AudioError, SpecError
from emopi.device.spectrum import power_spectra

Floats = NDArray[np.float32]
Window = Literal["hann", "hamming", "rectangular"]

INT16_SCALE = 32768.0
"""The one scale between int16 and float samples: float = int16 / 32768."""

LARGEST = 1e6
"""Samples beyond this are damage: their power would leave the range of float32."""

_WINDOWS: dict[str, Callable[[int], NDArray[Any]]] = {
    "hann": np.hanning,
    "hamming": np.hamming,
    "rectangular": np.ones,
}
_EMPTY_BAND = np.float32(np.finfo(np.float64).eps)
"""What python_speech_features puts into an empty mel band, so that its logarithm exists."""


@dataclasses.dataclass(frozen=True, slots=True)
class FrontendSpec:
    """Everything that determines the features of given samples. Immutable, hashable, JSON-able.

    Raises `SpecError` for a value out of range, with the value and the bound.
    """

    sample_rate_hz: int = 16_000
    """Rate of the samples that go in, 4000 to 48000."""
    frame_samples: int = 400
    """Length of one frame (25 ms at 16 kHz), 1 to `n_fft`."""
    hop_samples: int = 160
    """From one frame's start to the next (10 ms at 16 kHz), 1 to `frame_samples`."""
    n_fft: int = 512
    """Length of the FFT; frames are padded with zeros to it. A power of two, 64 to 8192."""
    window: Window = "hann"
    """Taper of a frame: the symmetric Hann or Hamming window, or none ("rectangular")."""
    preemphasis: float = 0.97
    """y[t] = x[t] - preemphasis * x[t - 1]; 0 up to, not including, 1."""
    n_mels: int = 40
    """Triangular filters, evenly spaced in mel = 2595 log10(1 + f / 700)."""
    low_hz: float = 50.0
    """Lower edge of the first filter."""
    high_hz: float = 8_000.0
    """Upper edge of the last filter, at most half the sample rate."""
    n_mfcc: int = 40
    """Coefficients kept of the orthonormal DCT-II of the log filter energies, 1 to `n_mels`."""
    lifter: int = 22
    """Sinusoidal lifter L of HTK: c[n] *= 1 + L/2 sin(pi n / L). 0 switches it off."""
    energy_floor: float = 0.0
    """Least energy of a mel band before the logarithm, 0 to 1. With 0, as in
    python_speech_features, only an empty band is raised, to 2.2e-16."""

    def __post_init__(self) -> None:
        """Check every field against its range."""
        _check("sample_rate_hz", self.sample_rate_hz, 4_000, 48_000)
        _check("n_fft", self.n_fft, 64, 8192)
        if self.n_fft & (self.n_fft - 1):
            raise SpecError(f"n_fft is {self.n_fft}; expected a power of two")
        _check("frame_samples", self.frame_samples, 1, self.n_fft)
        _check("hop_samples", self.hop_samples, 1, self.frame_samples)
        if self.window not in get_args(Window):
            raise SpecError(f"window is {self.window!r}; expected one of {get_args(Window)}")
        for name in ("preemphasis", "low_hz", "high_hz", "energy_floor"):
            if not isinstance(value := getattr(self, name), int | float):
                raise SpecError(f"{name} is {value!r}; expected a number")
        if not 0 <= self.preemphasis < 1:
            raise SpecError(f"preemphasis is {self.preemphasis}; expected 0 <= preemphasis < 1")
        _check("n_mels", self.n_mels, 2, 256)
        _check("n_mfcc", self.n_mfcc, 1, self.n_mels)
        _check("lifter", self.lifter, 0, 1000)
        if not 0 <= self.energy_floor <= 1:
            raise SpecError(f"energy_floor is {self.energy_floor}; expected 0 to 1")
        if not 0 <= self.low_hz < self.high_hz <= self.sample_rate_hz / 2:
            raise SpecError(
                f"low_hz is {self.low_hz} and high_hz {self.high_hz}; expected "
                f"0 <= low_hz < high_hz <= {self.sample_rate_hz / 2} (half the sample rate)"
            )
        empty = np.flatnonzero(~_mel_filters(self).any(axis=1))
        if empty.size:
            raise SpecError(
                f"mel filter {empty[0] + 1} of {self.n_mels} covers no FFT bin; "
                "use fewer n_mels, a larger n_fft or a higher low_hz"
            )

    def to_json(self) -> dict[str, Any]:
        """The fields by name, of JSON types."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> FrontendSpec:
        """The spec that `to_json` described.

        Raises `SpecError` for an unknown or a missing field, or one of another type.
        """
        return cls(**checked_fields(cls, fields))

    def frames_in(self, n_samples: int) -> int:
        """How many frames `n_samples` samples give, 0 if fewer than one frame's."""
        return max(0, 1 + (n_samples - self.frame_samples) // self.hop_samples)

    def samples_in(self, n_frames: int) -> int:
        """How many samples `n_frames` >= 1 frames take."""
        return self.frame_samples + (n_frames - 1) * self.hop_samples


class FrontendStream:
    """Features of a stream: the same frames as of the whole clip, however it is cut.

    State is the last sample (for the pre-emphasis) and the samples of the frame not yet complete.
    """

    def __init__(self, spec: FrontendSpec) -> None:
        self.spec = spec
        self.reset()

    def reset(self) -> None:
        """Forget all samples, as at the start of another clip."""
        self._previous = np.float32(0.0)
        self._pending: Floats = np.empty(0, np.float32)

    def push(self, samples: NDArray[Any]) -> Floats:
        """The frames that these samples complete: (frames, n_mfcc) float32, perhaps none.

        `samples` is 1-D, int16, or floating with full scale at ±1 (values up to a million times
        that are taken as they are). Raises `AudioError` for other types and shapes and for values
        that are larger or not finite; the state is then as before.
        """
        block = as_samples(samples)
        if not len(block):
            return np.empty((0, self.spec.n_mfcc), np.float32)
        signal = np.empty(len(self._pending) + len(block), np.float32)
        signal[: len(self._pending)] = self._pending
        emphasized = signal[len(self._pending) :]
        emphasized[0] = self._previous
        emphasized[1:] = block[:-1]
        emphasized *= -np.float32(self.spec.preemphasis)
        emphasized += block
        self._previous = block[-1]
        n_frames = self.spec.frames_in(len(signal))
        self._pending = signal[n_frames * self.spec.hop_samples :].copy()
        return _mfcc(signal, n_frames, self.spec)


def extract(samples: NDArray[Any], spec: FrontendSpec) -> Floats:
    """MFCCs of a whole clip: (frames, n_mfcc) float32, with frames = `spec.frames_in(n)`.

    Digital silence gives ln(2.2e-16) in every mel band, so a large negative c0 and zeros after it;
    a constant (DC) the same but for the first frame. `samples` as in `FrontendStream.push`.
    Raises `AudioError` for what that refuses, and for fewer samples than one frame.
    """
    block = as_samples(samples)
    if len(block) < spec.frame_samples:
        raise AudioError(
            f"the clip has {len(block)} samples; expected at least {spec.frame_samples} "
            f"({1000 * spec.frame_samples / spec.sample_rate_hz:g} ms): give a longer one"
        )
    return FrontendStream(spec).push(block)


def as_samples(samples: NDArray[Any]) -> Floats:
    """1-D int16 or floating samples as float32, full scale ±1; else `AudioError`."""
    if samples.ndim != 1:
        raise AudioError(
            f"the samples have shape {samples.shape}; expected one dimension: mix channels first"
        )
    if samples.dtype == np.int16:
        scaled = samples.astype(np.float32)
        scaled /= np.float32(INT16_SCALE)
        return scaled
    if not np.issubdtype(samples.dtype, np.floating):
        raise AudioError(
            f"the samples are {samples.dtype}; expected int16, or floating with full scale at ±1"
        )
    block = samples.astype(np.float32, copy=False)
    # NaN is neither below nor above, so this is all that sound samples need
    if len(block) and not (block.min() >= -LARGEST and block.max() <= LARGEST):
        raise AudioError(_damage(block))
    return block


def _damage(block: Floats) -> str:
    """What is wrong with samples that are not finite, or too large."""
    finite = np.isfinite(block)
    if not finite.all():
        return (
            f"{np.count_nonzero(~finite)} of {len(block)} samples are not finite (NaN or infinity),"
            f" the first at index {int(np.argmin(finite))}: repair the recording"
        )
    return (
        f"a sample is {float(np.abs(block).max()):g}; expected full scale at ±1, and {LARGEST:g} "
        "at most: repair the recording"
    )


def _mfcc(emphasized: Floats, n_frames: int, spec: FrontendSpec) -> Floats:
    """MFCCs of the first `n_frames` frames of a pre-emphasized signal."""
    if not n_frames:
        return np.empty((0, spec.n_mfcc), np.float32)
    power = power_spectra(emphasized, n_frames, spec.hop_samples, _taper(spec), spec.n_fft)
    mels: NDArray[Any] = power @ _scaled_filters(spec)
    if spec.energy_floor:
        np.maximum(mels, np.float32(spec.energy_floor), out=mels)
    else:
        mels[mels == 0] = _EMPTY_BAND
    np.log(mels, out=mels)
    coefficients: Floats = mels @ liftered_dct(spec)
    return coefficients


@functools.lru_cache(maxsize=8)
def _taper(spec: FrontendSpec) -> Floats:
    taper: Floats = _WINDOWS[spec.window](spec.frame_samples).astype(np.float32)
    return taper


@functools.lru_cache(maxsize=8)
def _scaled_filters(spec: FrontendSpec) -> Floats:
    """(n_fft // 2 + 1, n_mels): |spectrum|² to mel energies of the power spectrum |.|² / n_fft."""
    return np.ascontiguousarray(_mel_filters(spec).T / spec.n_fft, np.float32)


@functools.lru_cache(maxsize=8)
def liftered_dct(spec: FrontendSpec) -> Floats:
    """(n_mels, n_mfcc) float32: log mel energies to MFCCs, each the orthonormal DCT-II's times its
    lifter."""
    n = np.arange(spec.n_mfcc)
    k = np.arange(spec.n_mels)[:, None]
    dct = np.sqrt(2 / spec.n_mels) * np.cos(np.pi * n * (2 * k + 1) / (2 * spec.n_mels))
    dct[:, 0] /= np.sqrt(2)
    if spec.lifter:
        dct *= 1 + spec.lifter / 2 * np.sin(np.pi * n / spec.lifter)
    liftered: Floats = dct.astype(np.float32)
    return liftered


def mel_edges_hz(spec: FrontendSpec) -> NDArray[np.float64]:
    """(n_mels + 2,): filter k rises from edge k to its centre, edge k + 1, and falls to k + 2."""
    low, high = (2595 * np.log10(1 + hz / 700) for hz in (spec.low_hz, spec.high_hz))
    edges: NDArray[np.float64] = np.linspace(low, high, spec.n_mels + 2)
    return 700 * (10 ** (edges / 2595) - 1)


def _mel_filters(spec: FrontendSpec) -> NDArray[np.float64]:
    """(n_mels, n_fft // 2 + 1) triangles between FFT bins, as python_speech_features lays them."""
    edges = np.floor((spec.n_fft + 1) * mel_edges_hz(spec) / spec.sample_rate_hz)
    bins = np.arange(spec.n_fft // 2 + 1)
    left, centre, right = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    rising = (bins - left) / np.maximum(centre - left, 1)
    falling = (right - bins) / np.maximum(right - centre, 1)
    return np.where(
        (bins >= left) & (bins < centre),
        rising,
        np.where((bins >= centre) & (bins < right), falling, 0.0),
    )


def _check(name: str, value: int, least: int, most: int) -> None:
    if not isinstance(value, int) or not least <= value <= most:
        raise SpecError(f"{name} is {value!r}; expected an integer from {least} to {most}")


def checked_fields(cls: type, fields: Mapping[str, Any]) -> dict[str, Any]:
    """`fields` if they are just those of dataclass `cls`; `SpecError` names what is not."""
    names = {field.name for field in dataclasses.fields(cls)}
    if unknown := sorted(set(fields) - names):
        raise SpecError(f"unknown field {unknown[0]!r} in {cls.__name__}; it has {sorted(names)}")
    if missing := sorted(names - set(fields)):
        raise SpecError(f"field {missing[0]!r} is missing in {cls.__name__}")
    return dict(fields)
