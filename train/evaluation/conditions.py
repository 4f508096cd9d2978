"""Listening conditions that a figure can be asked under: level, noise, a room, a narrow band.

Each alters clean samples as a microphone there would have heard them. What is drawn (a stretch
of noise, a room) depends on the condition and the clip alone, so figures repeat.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path

import numpy as np

from emopi.device.errors import CorpusError, MissingExtraError, SpecError
from emopi.device.frontend import INT16_SCALE, Floats
from emopi.device.sources.audio import read_clip
from emopi.train.augment import rng_for

GAINS_DB = (-20, -10, 10)
SNRS_DB = (20, 10, 5)
REVERB, NARROW = "reverberation", "8 kHz sampling"

CONDITIONS = (
    *(f"gain {gain:+d} dB" for gain in GAINS_DB),
    *(f"noise {snr} dB" for snr in SNRS_DB),
    REVERB,
    NARROW,
)
"""Names that `condition` knows, in the order of the tables."""

ROOMS = 16
"""How many different rooms stand for all."""

MOST_REFLECTIONS = 30

Alter = Callable[[Floats, str], Floats]
"""From (n,) samples and their clip's id to as many (±1) samples as heard under a condition."""


def condition(name: str, rate_hz: int, noise: Path | None = None) -> Alter:
    """The condition of that name, for samples at `rate_hz`.

    "noise N dB" mixes in a recording from below `noise` at that ratio of powers, both over the
    whole clip; "gain N dB" scales, clips at full scale and rounds to 16 bits as a converter does;
    "reverberation" puts voice and microphone 1 to 3 m apart in a room with a reverberation time of
    0.3 to 0.7 s; "8 kHz sampling" leaves what a telephone does, below 4 kHz. Raises `SpecError`
    for another name, `CorpusError` without recordings of noise, `MissingExtraError` without
    pyroomacoustics.
    """
    if name not in CONDITIONS:
        raise SpecError(f"no condition {name!r}; expected one of: {', '.join(CONDITIONS)}")
    if name == REVERB:
        return functools.partial(_reverberate, rooms=room_responses(ROOMS, rate_hz, "test"))
    if name == NARROW:
        return functools.partial(_narrow, rate_hz=rate_hz)
    value = float(name.split()[1])
    if name.startswith("gain"):
        return functools.partial(_amplify, gain_db=value)
    return functools.partial(_add_noise, snr_db=value, recordings=noises(noise, rate_hz))


def noises(folder: Path | None, rate_hz: int) -> list[Floats]:
    """The recordings below `folder` (WAV, FLAC, Ogg) at `rate_hz`, sorted by path.

    Raises `CorpusError` if there is none, or one of them is silent.
    """
    paths = [] if folder is None else sorted(folder.rglob("*.*"))
    paths = [path for path in paths if path.suffix.lower() in (".wav", ".flac", ".ogg")]
    if not paths:
        raise CorpusError(
            f"{folder or 'no folder'} holds no recording of noise; expected WAV, FLAC or Ogg "
            "files such as those of ESC-50 (github.com/karolpiczak/ESC-50): --noise DIR"
        )
    recordings = [read_clip(path, rate_hz) for path in paths]
    for path, samples in zip(paths, recordings, strict=True):
        if not samples.any():
            raise CorpusError(f"{path} is digital silence; expected noise: take it away")
    return recordings


def room_responses(n: int, rate_hz: int, salt: str) -> list[Floats]:
    """`n` impulse responses of rooms, each starting with the direct sound, of energy 1.

    Rectangular rooms by the image source method (Allen and Berkley 1979), as pyroomacoustics has
    it; sizes, places and reverberation times are drawn by `salt`.
    """
    try:
        import pyroomacoustics
    except ImportError:
        raise MissingExtraError("the condition reverberation", "train", "pyroomacoustics") from None
    responses = []
    for number in range(n):
        rng = rng_for("room", salt, number)
        size = rng.uniform((3, 3, 2.4), (7, 6, 3.2))
        absorption, order = pyroomacoustics.inverse_sabine(rng.uniform(0.3, 0.7), size)
        room = pyroomacoustics.ShoeBox(
            size,
            fs=rate_hz,
            materials=pyroomacoustics.Material(absorption),
            max_order=min(order, MOST_REFLECTIONS),
        )
        microphone = rng.uniform((1.2, 1.2, 0.8), size - (1.2, 1.2, 0.8))
        angle = rng.uniform(0, 2 * np.pi)
        away = rng.uniform(1, 3) * np.array([np.cos(angle), np.sin(angle), 0])
        room.add_source(np.clip(microphone + away, 0.3, size - 0.3))
        room.add_microphone(microphone)
        room.compute_rir()
        response = np.asarray(room.rir[0][0], np.float32)
        response = response[int(np.argmax(np.abs(response))) :]
        responses.append(response / np.sqrt(np.sum(np.square(response))))
    return responses


def _amplify(samples: Floats, clip_id: str, *, gain_db: float) -> Floats:  # noqa: ARG001
    scaled = np.rint(samples * np.float32(10 ** (gain_db / 20) * INT16_SCALE))
    return np.asarray(np.clip(scaled, -INT16_SCALE, INT16_SCALE - 1) / INT16_SCALE, np.float32)


def _add_noise(samples: Floats, clip_id: str, *, snr_db: float, recordings: list[Floats]) -> Floats:
    rng = rng_for("noise", clip_id)  # the same stretch at every ratio
    recording = recordings[int(rng.integers(len(recordings)))]
    turned = np.roll(recording, int(rng.integers(len(recording))))
    noise = np.resize(turned, len(samples))
    ratio = np.mean(np.square(samples)) / max(float(np.mean(np.square(noise))), 1e-20)
    return samples + noise * np.float32(np.sqrt(ratio * 10 ** (-snr_db / 10)))


def _reverberate(samples: Floats, clip_id: str, *, rooms: list[Floats]) -> Floats:
    from scipy.signal import fftconvolve

    room = rooms[int(rng_for("room of", clip_id).integers(len(rooms)))]
    return np.asarray(fftconvolve(samples, room)[: len(samples)], np.float32)


def _narrow(samples: Floats, clip_id: str, *, rate_hz: int) -> Floats:  # noqa: ARG001
    import soxr

    narrow: Floats = soxr.resample(soxr.resample(samples, rate_hz, 8_000), 8_000, rate_hz)
    return narrow
