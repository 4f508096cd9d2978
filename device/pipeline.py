"""The signal path, one page: audio -> features -> model -> decision.

    source.blocks() -> FrontendStream -> last window_frames frames -> Classifier -> Smoother
        -> the wearer's Profile, if there is one

`emopi classify`, `emopi listen` and `emopi evaluate` all run this, and nothing beside it.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from typing import Protocol

import numpy as np

from emopi.device.audio import AudioBlock, AudioSource
from emopi.device.classifier import Classifier
from emopi.device.decision import NO_SPEECH, Decision, Smoother
from emopi.device.errors import AudioError, SpecError
from emopi.device.frontend import Floats, FrontendStream
from emopi.device.normalization import fit_window
from emopi.device.profile import Profile


class Frontend(Protocol):
    """Frames from samples, as `FrontendStream` gives them."""

    def push(self, samples: Floats) -> Floats:
        """(frames, n_mfcc) that the samples complete."""

    def reset(self) -> None:
        """Start anew, as at the beginning of another source."""


class Pipeline:
    """Decisions from samples. The same samples give the same decisions, however they are cut."""

    def __init__(
        self,
        classifier: Classifier,
        *,
        hop_s: float = 0.5,
        memory_s: float = 3.0,
        gate_dbfs: float = -70.0,
        profile: Profile | None = None,
        frontend: Frontend | None = None,
    ) -> None:
        """`hop_s` from one decision to the next, `memory_s` of windows averaged, `gate_dbfs` the
        level below which there is no speech, `profile` the wearer's, `frontend` one that gives
        what the model's own would. Raises `SpecError` for a value out of range, `ProfileError`
        for another model's profile."""
        if not 0.05 <= hop_s <= 60:
            raise SpecError(f"hop_s is {hop_s}; expected 0.05 to 60 seconds")
        if not memory_s > 0:
            raise SpecError(f"memory_s is {memory_s}; expected a positive number of seconds")
        if not -200 <= gate_dbfs <= 0:
            raise SpecError(f"gate_dbfs is {gate_dbfs}; expected -200 to 0")
        contract = classifier.contract
        if profile:
            profile.check_model(contract)
        self._classifier = classifier
        self._profile = profile
        self._spec = contract.frontend
        self._window_frames = contract.window_frames
        self._hop_samples = max(1, round(hop_s * self._spec.sample_rate_hz))
        self._gate_dbfs = gate_dbfs
        self._forgets = math.isfinite(memory_s)
        self._frontend: Frontend = frontend or FrontendStream(self._spec)
        self._smoother = Smoother(memory_s)
        self.reset()

    @property
    def sample_rate_hz(self) -> int:
        """Of the samples that it takes."""
        return self._spec.sample_rate_hz

    def reset(self) -> None:
        """Start anew, as at the beginning of another source."""
        self._frontend.reset()
        self._smoother.reset()
        self._frames: Floats = np.empty((0, self._spec.n_mfcc), np.float32)
        self._samples: Floats = np.empty(0, np.float32)
        self._window_samples = self._spec.samples_in(self._window_frames)
        self._clock = 0
        self._last_decision = 0
        self._next_decision = self._window_samples
        self._overflows = 0

    def push(self, block: AudioBlock) -> Iterator[Decision]:
        """Take in a block; yield a decision for each window that it completes."""
        self._overflows += block.overflows
        rest = block.samples
        while len(rest):
            started_s = time.perf_counter()
            due = self._next_decision - self._clock
            piece, rest = rest[:due], rest[due:]
            self._take(piece)
            if self._clock == self._next_decision:
                self._next_decision += self._hop_samples
                yield self._decide(started_s)

    def finish(self) -> Decision | None:
        """The source has ended: decide on what came after the last decision, None if nothing did.

        A clip shorter than the window stands in its middle, silence around it. Raises `AudioError`
        if there was not one frame of audio.
        """
        if self._last_decision and self._clock == self._last_decision:
            return None
        if not len(self._frames):
            raise AudioError(
                f"the audio ended after {self._clock} samples; expected at least "
                f"{self._spec.frame_samples} at {self._spec.sample_rate_hz} Hz: give a longer one"
            )
        started_s = time.perf_counter()
        if len(self._frames) < self._window_frames:
            self._frames = fit_window(self._frames, self._window_frames, self._spec)
        return self._decide(started_s)

    def _take(self, piece: Floats) -> None:
        frames = self._frontend.push(piece)
        self._frames = np.concatenate([self._frames, frames])[-self._window_frames :]
        self._samples = np.concatenate([self._samples, piece])[-self._window_samples :]
        self._clock += len(piece)

    def _decide(self, started_s: float) -> Decision:
        labels = self._classifier.contract.labels
        time_s = self._clock / self._spec.sample_rate_hz
        self._last_decision = self._clock
        loudest_dbfs, newest_dbfs = self._levels_dbfs()
        if loudest_dbfs < self._gate_dbfs:
            if self._forgets:
                self._smoother.reset()
            label, probabilities = NO_SPEECH, np.zeros(len(labels), np.float32)
        else:
            window = self._classifier.probabilities(self._frames)
            probabilities = self._smoother.push(time_s, float(np.var(self._samples)), window)
            if self._profile:
                probabilities = self._profile.adjust(probabilities)
            label = labels[int(np.argmax(probabilities))]
        return Decision(
            time_s=time_s,
            label=label,
            confidence=float(probabilities.max()),
            probabilities=dict(zip(labels, probabilities.tolist(), strict=True)),
            level_dbfs=newest_dbfs,
            latency_ms=1000 * (time.perf_counter() - started_s),
            overflows=self._overflows,
            model=self._classifier.contract.model_id,
        )

    def _levels_dbfs(self) -> tuple[float, float]:
        """Level of the loudest and of the newest hop of the window, without DC."""
        levels = [
            10
            * math.log10(
                float(np.var(self._samples[max(0, end - self._hop_samples) : end])) + 1e-20
            )
            for end in range(len(self._samples), 0, -self._hop_samples)
        ]
        return max(levels), levels[0]


def decisions(source: AudioSource, pipeline: Pipeline) -> Iterator[Decision]:
    """Everything that the pipeline says about a source, until the source ends; closes it."""
    try:
        for block in source.blocks():
            yield from pipeline.push(block)
        try:
            last = pipeline.finish()
        except AudioError as error:
            raise AudioError(f"{source.name}: {error}") from None
        if last:
            yield last
    finally:
        source.close()


def classify(
    source: AudioSource,
    classifier: Classifier,
    profile: Profile | None = None,
    *,
    frontend: Frontend | None = None,
) -> Decision:
    """One decision for a whole recording: the mean over its windows with speech, by power.

    For a source without long silence, no longer than the window and `memory_s` together, this is
    the last decision that listening to it gives. `NO_SPEECH` if no window has speech. `frontend`
    as in `Pipeline`.
    """
    pipeline = Pipeline(classifier, memory_s=math.inf, profile=profile, frontend=frontend)
    every = list(decisions(source, pipeline))
    return next((one for one in reversed(every) if one.label != NO_SPEECH), every[-1])
