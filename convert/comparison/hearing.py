"""What several models say of the same clips, each clip read once and its features computed once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from emopi.device.classifier import Classifier
from emopi.device.decision import Decision
from emopi.device.frontend import Floats, FrontendSpec, FrontendStream
from emopi.device.pipeline import classify
from emopi.device.sources.audio import AudioBlock, FileSource
from emopi.train.corpora import Utterance


class SharedClip:
    """One clip as source and front end of one pipeline after another: the first computes.

    The pipelines must cut the clip alike, so their models must have equal front ends and windows.
    """

    def __init__(self, source: FileSource, spec: FrontendSpec) -> None:
        self.name = source.name
        self.sample_rate_hz = source.sample_rate_hz
        self._source = source
        self._blocks = source.blocks()
        self._read: list[AudioBlock] = []
        self._stream = FrontendStream(spec)
        self._pieces: list[tuple[int, Floats]] = []
        self._next = 0

    def blocks(self) -> Iterator[AudioBlock]:
        """See `AudioSource.blocks`; from the file for the first pipeline alone."""
        yield from self._read
        for block in self._blocks:
            self._read.append(block)
            yield block

    def close(self) -> None:
        """See `AudioSource.close`."""
        self._source.close()

    def reset(self) -> None:
        """Go back to the clip's start, as every new pipeline asks its front end to."""
        self._next = 0

    def push(self, samples: Floats) -> Floats:
        """See `FrontendStream.push`; `samples` must be cut as they were for the first pipeline."""
        if self._next == len(self._pieces):
            self._pieces.append((len(samples), self._stream.push(samples)))
        n_samples, frames = self._pieces[self._next]
        if n_samples != len(samples):
            raise ValueError(f"{len(samples)} samples where another pipeline had {n_samples}")
        self._next += 1
        return frames


def hear(
    classifiers: Sequence[Classifier], clips: Sequence[Utterance]
) -> Iterator[tuple[Decision, ...]]:
    """For each clip, in order, one decision a model: what `emopi classify` says."""
    for clip in clips:
        shared: dict[tuple[FrontendSpec, int], SharedClip] = {}
        said = []
        for classifier in classifiers:
            spec, frames = classifier.contract.frontend, classifier.contract.window_frames
            if (spec, frames) not in shared:
                source = FileSource(clip.path, spec.sample_rate_hz)
                shared[spec, frames] = SharedClip(source, spec)
            once = shared[spec, frames]
            said.append(classify(once, classifier, frontend=once))
        yield tuple(said)
