"""What a model hears in one clip, moment by moment: what the figures of single clips show."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np

from emopi.device.classifier import Classifier
from emopi.device.decision import DecisionSettings
from emopi.device.frontend import Floats, extract
from emopi.device.gate import LEVEL_ALONE
from emopi.device.pipeline import Pipeline, decisions
from emopi.device.sources.audio import ArraySource, read_clip

HOP_S = 0.1
"""From one decision to the next."""


@dataclasses.dataclass(frozen=True, slots=True)
class Trace:
    """One clip on its way through the device: samples, features, probabilities."""

    clip_id: str
    label: str
    """The clip's own."""
    model: str
    """`Contract.model_id`."""
    labels: tuple[str, ...]
    """The model's."""
    rate_hz: int
    hop_s: float
    """From one frame to the next."""
    samples: Floats
    """(n,) full scale ±1."""
    log_mels: Floats
    """(frames, n_mels) natural logarithms of the mel energies."""
    mfccs: Floats
    """(frames, n_mfcc) normalized with the model's statistics, c0 relative to the loudest frame."""
    times_s: Floats
    """(decisions,) end of each decision's window, counted from the clip's start."""
    probabilities: Floats
    """(decisions, labels); rows of NaN where the model heard no speech."""


def trace(path: Path, label: str, classifier: Classifier) -> Trace:
    """Let `classifier` listen to a clip in a silent room: nothing before it, then the clip.

    The decisions are those of `emopi listen`, `HOP_S` apart.
    """
    contract = classifier.contract
    spec = contract.frontend
    samples = read_clip(path, spec.sample_rate_hz)
    times_s, probabilities = _listen(samples, classifier)
    return Trace(
        clip_id=path.stem,
        label=label,
        model=contract.model_id,
        labels=contract.labels,
        rate_hz=spec.sample_rate_hz,
        hop_s=spec.hop_samples / spec.sample_rate_hz,
        samples=samples,
        log_mels=_log_mels(samples, classifier),
        mfccs=contract.normalization.apply(extract(samples, spec)),
        times_s=times_s,
        probabilities=probabilities,
    )


def _listen(samples: Floats, classifier: Classifier) -> tuple[Floats, Floats]:
    """Times from the clip's start and probabilities (decisions, labels) of a clip after silence."""
    contract = classifier.contract
    rate_hz = contract.frontend.sample_rate_hz
    before = contract.frontend.samples_in(contract.window_frames)
    source = ArraySource(np.concatenate([np.zeros(before, np.float32), samples]), rate_hz)
    pipeline = Pipeline(classifier, DecisionSettings(hop_s=HOP_S), gate=LEVEL_ALONE)
    heard = list(decisions(source, pipeline))
    times_s = np.array([one.time_s for one in heard], np.float32) - np.float32(before / rate_hz)
    rows = np.array([[one.probabilities[label] for label in contract.labels] for one in heard])
    rows[rows.sum(axis=1) == 0] = np.nan
    return times_s, rows.astype(np.float32)


def _log_mels(samples: Floats, classifier: Classifier) -> Floats:
    """(frames, n_mels): the front end's own, by undoing its last step, an orthonormal DCT-II."""
    spec = classifier.contract.frontend
    whole = dataclasses.replace(spec, n_mfcc=spec.n_mels, lifter=0)
    k, n = np.arange(spec.n_mels)[:, None], np.arange(spec.n_mels)
    dct = np.sqrt(2 / spec.n_mels) * np.cos(np.pi * n * (2 * k + 1) / (2 * spec.n_mels))
    dct[:, 0] /= np.sqrt(2)
    return np.asarray(extract(samples, whole) @ dct.T, np.float32)
