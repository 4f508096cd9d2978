"""The signal path, one page: audio -> features -> model -> decision.

    source.blocks() -> FrontendStream -> last window_frames frames -> Classifier -> Smoother
        |                   -> the wearer's Profile, if there is one -> Announcer
        +-> Gate: is there speech in the window at all?

`emopi classify`, `emopi listen` and `emopi evaluate` all run this, and nothing beside it.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Iterator
from typing import Protocol

import numpy as np

from emopi.device.classifier import Classifier
from emopi.device.contract import Contract
from emopi.device.decision import (
    NO_SPEECH,
    UNSURE,
    WHOLE_RECORDING,
    Announcer,
    Decision,
    DecisionSettings,
    Smoother,
)
from emopi.device.errors import AudioError, SpecError
from emopi.device.frontend import Floats, FrontendStream
from emopi.device.gate import LEVEL_ALONE, Gate, GateSettings
from emopi.device.normalization import fit_window
from emopi.device.profile import Profile
from emopi.device.recent import Recent
from emopi.device.sources.audio import AudioBlock, AudioSource

Moments = tuple[int, float, float]
"""Number of samples, their mean, and their variance."""


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
        settings: DecisionSettings | None = None,
        *,
        gate: GateSettings | None = None,
        profile: Profile | None = None,
        frontend: Frontend | None = None,
    ) -> None:
        """`profile` is the wearer's, `frontend` one that gives what the model's own would.

        Raises `SpecError` for a window that is longer than the model's, `ProfileError` for another
        model's profile, and what `Gate` raises.
        """
        settings = settings or DecisionSettings()
        contract = classifier.contract
        if profile:
            profile.check_model(contract)
        self._classifier = classifier
        self._profile = profile
        self._spec = contract.frontend
        self._window_frames = _window_frames(contract, settings.window_s)
        self._window_samples = self._spec.samples_in(self._window_frames)
        self._hop_samples = max(1, round(settings.hop_s * self._spec.sample_rate_hz))
        self._forgets = math.isfinite(settings.memory_s)
        self._frontend: Frontend = frontend or FrontendStream(self._spec)
        self._gate = Gate(
            gate or GateSettings(), self.sample_rate_hz, self._window_samples / self.sample_rate_hz
        )
        self._smoother = Smoother(settings.memory_s)
        self._announcer = Announcer(settings)
        self._frames = Recent(self._window_frames, self._spec.n_mfcc)
        self._samples = Recent(self._window_samples)
        self.reset()

    @property
    def sample_rate_hz(self) -> int:
        """Of the samples that it takes."""
        return self._spec.sample_rate_hz

    @property
    def most_speech_s(self) -> float:
        """Most seconds of speech that any window has held; infinite where the gate cannot tell."""
        return self._gate.most_speech_s

    def reset(self) -> None:
        """Start anew, as at the beginning of another source."""
        self._clock = 0
        self._last_decision = 0
        self._overflows = 0
        self._begin_anew()

    def _begin_anew(self) -> None:
        """Forget all samples; the clock goes on."""
        self._frontend.reset()
        self._gate.reset()
        self._smoother.reset()
        self._announcer.reset()
        self._frames.clear()
        self._samples.clear()
        self._waiting: list[Floats] = []
        self._caught_up = self._clock
        self._known: dict[int, Moments] = {}
        self._next_decision = self._clock + self._window_samples

    def push(self, block: AudioBlock) -> Iterator[Decision]:
        """Take in a block; yield a decision for each window that it completes.

        After a fresh block (`AudioBlock.fresh`) the window fills anew.
        """
        if block.fresh and self._clock:
            self._begin_anew()
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

        What is shorter than the window is judged as it is. Raises `AudioError` if there never was
        one frame of audio.
        """
        if self._last_decision and self._clock == self._last_decision:
            return None
        self._catch_up()
        if not len(self._frames):
            if self._last_decision:
                return None
            raise AudioError(
                f"the audio ended after {self._clock} samples; expected at least "
                f"{self._spec.frame_samples} at {self._spec.sample_rate_hz} Hz: give a longer one"
            )
        return self._decide(time.perf_counter())

    def _take(self, piece: Floats) -> None:
        self._gate.push(piece)
        self._waiting.append(piece)
        self._clock += len(piece)
        # hop by hop: what many seconds at once take is never given back
        if self._clock - self._caught_up >= min(self._hop_samples, self._window_samples):
            self._catch_up()

    def _catch_up(self) -> None:
        """Take into the window what has come and is not in it yet.

        All at once: block by block, as a microphone gives them, takes NumPy three times as long.
        """
        if not self._waiting:
            return
        new = np.concatenate(self._waiting)
        self._waiting.clear()
        self._caught_up = self._clock
        self._frames.push(self._frontend.push(new))
        self._samples.push(new)

    def _decide(self, started_s: float) -> Decision:
        self._catch_up()
        labels = self._classifier.contract.labels
        self._last_decision = self._clock
        hops = self._measure_hops()
        levels_dbfs = [10 * math.log10(variance + 1e-20) for _, _, variance in hops]
        label, confidence = NO_SPEECH, 0.0
        probabilities: Floats = np.zeros(len(labels), np.float32)
        if self._gate.is_open(max(levels_dbfs)):
            probabilities = self._judge(_power(hops))
            chosen = self._announcer.choose(self._time_s, probabilities)
            label = UNSURE if chosen is None else labels[chosen]
            confidence = float(probabilities.max() if chosen is None else probabilities[chosen])
        else:
            self._announcer.reset()
            if self._forgets:
                self._smoother.reset()
        return Decision(
            time_s=self._time_s,
            label=label,
            confidence=confidence,
            probabilities=dict(zip(labels, probabilities.tolist(), strict=True)),
            level_dbfs=levels_dbfs[0],
            latency_ms=1000 * (time.perf_counter() - started_s),
            overflows=self._overflows,
            model=self._classifier.contract.model_id,
        )

    @property
    def _time_s(self) -> float:
        return self._clock / self._spec.sample_rate_hz

    def _judge(self, power: float) -> Floats:
        """(labels,) probabilities: of the window, averaged, turned towards the wearer.

        A window shorter than the model's stands in the middle of that, silence around it.
        """
        whole = self._classifier.contract.window_frames
        frames = self._frames.rows
        if len(frames) < whole:
            frames = fit_window(frames, whole, self._spec)
        window = self._classifier.probabilities(frames)
        mean = self._smoother.push(self._time_s, power, window)
        return self._profile.adjust(mean) if self._profile else mean

    def _measure_hops(self) -> list[Moments]:
        """Of the window's hops, the newest first; each is measured once."""
        samples, hop = self._samples.rows, self._hop_samples
        oldest = self._clock - len(samples)
        # a hop that the window's start has cut meanwhile is another one
        known = {end: one for end, one in self._known.items() if end - hop >= oldest}
        self._known = {
            oldest + end: known.get(oldest + end) or _moments(samples[max(0, end - hop) : end])
            for end in range(len(samples), 0, -hop)
        }
        return list(self._known.values())


def _moments(samples: Floats) -> Moments:
    n = len(samples)
    mean = np.float32(np.add.reduce(samples) / n)  # half the time of samples.mean()
    return n, float(mean), float(np.add.reduce(np.square(samples - mean))) / n


def _power(parts: list[Moments]) -> float:
    """Variance of all the parts' samples together."""
    total = sum(n for n, _, _ in parts)
    mean = sum(n * mean for n, mean, _ in parts) / total
    return sum(n * (variance + (own - mean) ** 2) for n, own, variance in parts) / total


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
    gate: GateSettings = LEVEL_ALONE,
    frontend: Frontend | None = None,
) -> Decision:
    """One decision for a whole recording: the mean over its windows with speech, by power.

    Never `UNSURE`. `NO_SPEECH` if no window is loud enough, or none holds as much speech as `gate`
    asks for; one that does opens the gate to all of them. With the level alone this is, for a
    source without long silence and no longer than the window and `memory_s` together, what
    listening to it comes to. `frontend` as in `Pipeline`.
    """
    pipeline = Pipeline(
        classifier,
        WHOLE_RECORDING,
        gate=dataclasses.replace(gate, speech_s=0.0),
        profile=profile,
        frontend=frontend,
    )
    every = list(decisions(source, pipeline))
    found = next((one for one in reversed(every) if one.label != NO_SPEECH), every[-1])
    if pipeline.most_speech_s >= gate.speech_s:
        return found
    nothing = dict.fromkeys(found.probabilities, 0.0)
    return dataclasses.replace(found, label=NO_SPEECH, confidence=0.0, probabilities=nothing)


def _window_frames(contract: Contract, window_s: float) -> int:
    """Frames of a window of that length; `SpecError` for more than the model's."""
    spec = contract.frontend
    if not window_s:
        return contract.window_frames
    frames = spec.frames_in(round(window_s * spec.sample_rate_hz))
    if not 1 <= frames <= contract.window_frames:
        raise SpecError(
            f"window_s is {window_s:g}; expected at least a frame and at most the "
            f"{contract.window_s:g} seconds of {contract.model_id}"
        )
    return frames
