"""Where samples come from: files and arrays here, the microphone in `microphone.py`.

A source yields mono blocks at one sample rate, whatever the recording's rate and channels.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from emopi.device.errors import AudioError, AudioFileError
from emopi.device.frontend import Floats, as_samples
from emopi.device.quiet import quiet_stderr

MIN_RATE_HZ, MAX_RATE_HZ = 4_000, 384_000
"""Sample rates that are resampled; anything else is taken for a damaged header."""


@dataclasses.dataclass(frozen=True, slots=True)
class AudioBlock:
    """Consecutive samples of a source; its `samples` are the receiver's to keep, not to change."""

    samples: Floats
    """(n,) mono, full scale ±1, at the source's rate; n varies and may be 0."""
    overflows: int = 0
    """How often samples were lost between the block before and this one."""
    fresh: bool = False
    """The source began anew: nothing before this block belongs to it."""


class AudioSource(Protocol):
    """Something that samples come from; the sample clock is the count of samples so far."""

    sample_rate_hz: int

    @property
    def name(self) -> str:
        """What a person would call it: a path, a microphone's name."""

    def blocks(self) -> Iterator[AudioBlock]:
        """Yield the blocks in order until the source ends; a microphone never does."""

    def close(self) -> None:
        """Release the device or file; safe to call twice."""


class Resampler:
    """Streaming conversion to mono at another rate (soxr, very high quality)."""

    def __init__(self, from_hz: int, to_hz: int) -> None:
        self._stream: Any = None
        if from_hz != to_hz:
            import soxr

            self._stream = soxr.ResampleStream(from_hz, to_hz, 1, dtype="float32", quality="VHQ")

    def push(self, samples: NDArray[Any], *, last: bool = False) -> Floats:
        """(n,) or (n, channels) float32 to (m,) float32: the channels' mean, resampled.

        What the filter still holds comes with later pushes, all of it when `last`.
        """
        mono = samples if samples.ndim == 1 else samples.mean(axis=1, dtype=np.float32)
        if self._stream is None:
            return mono
        resampled: Floats = self._stream.resample_chunk(np.ascontiguousarray(mono), last=last)
        return resampled


class FileSource:
    """An audio file (WAV, FLAC, Ogg, MP3, ...: what libsndfile reads), block by block.

    With `realtime` the blocks come at the pace of a microphone. Raises `AudioFileError` where the
    file is missing, not audio or cut short, and `AudioError` where samples are not finite.
    """

    def __init__(
        self,
        path: str | Path,
        sample_rate_hz: int,
        *,
        realtime: bool = False,
        block_s: float = 0.1,
    ) -> None:
        self.name = str(path)
        self.sample_rate_hz = sample_rate_hz
        self._realtime = realtime
        self._block_s = block_s
        self._file = _open(Path(path))
        self.file_rate_hz: int = self._file.samplerate

    @property
    def bandwidth_warning(self) -> str | None:
        """What a person should know of a recording with too low a rate, if it is one."""
        if self.file_rate_hz >= self.sample_rate_hz:
            return None
        return (
            f"{self.name} has {self.file_rate_hz} Hz, so nothing above "
            f"{self.file_rate_hz // 2} Hz; the model was trained on {self.sample_rate_hz} Hz and "
            "will be wrong more often: record at a higher rate"
        )

    def blocks(self) -> Iterator[AudioBlock]:
        """See `AudioSource.blocks`."""
        rate_hz = self.file_rate_hz
        resampler = Resampler(rate_hz, self.sample_rate_hz)
        block_samples = max(1, round(self._block_s * rate_hz))
        expected, read, start_s = self._file.frames, 0, time.monotonic()
        while read < expected:
            samples = self._read(block_samples)
            if not len(samples):
                raise AudioFileError(
                    f"{self.name}: its header promises {expected} samples a channel but only {read}"
                    " can be decoded; the file is cut short or damaged: copy it again"
                )
            try:
                as_samples(samples.reshape(-1))
            except AudioError as error:
                raise AudioError(f"{self.name}, after {read / rate_hz:.2f} s: {error}") from error
            read += len(samples)
            if self._realtime:
                time.sleep(max(0.0, start_s + read / rate_hz - time.monotonic()))
            yield AudioBlock(resampler.push(samples, last=read >= expected))

    def close(self) -> None:
        """See `AudioSource.close`."""
        self._file.close()

    def _read(self, n: int) -> NDArray[Any]:
        import soundfile

        quiet = quiet_stderr() if self._file.format == "MP3" else contextlib.nullcontext()
        try:
            with quiet:
                samples: NDArray[Any] = self._file.read(n, dtype="float32", always_2d=True)
        except soundfile.LibsndfileError as error:
            raise AudioFileError(
                f"{self.name}: cannot be decoded ({error}): copy it again"
            ) from None
        return samples


class ArraySource:
    """Samples that are in memory already, mono, at `sample_rate_hz`; for tests and notebooks."""

    name = "array"

    def __init__(
        self, samples: NDArray[Any], sample_rate_hz: int, *, block_samples: int = 1600
    ) -> None:
        self.sample_rate_hz = sample_rate_hz
        self._samples = as_samples(samples)
        self._block_samples = block_samples

    def blocks(self) -> Iterator[AudioBlock]:
        """See `AudioSource.blocks`."""
        for start in range(0, len(self._samples), self._block_samples):
            yield AudioBlock(self._samples[start : start + self._block_samples])

    def close(self) -> None:
        """See `AudioSource.close`."""


def read_clip(path: str | Path, sample_rate_hz: int) -> Floats:
    """A whole file as (n,) float32 mono at `sample_rate_hz`; raises as `FileSource` does."""
    source = FileSource(path, sample_rate_hz, block_s=60.0)
    try:
        blocks = [block.samples for block in source.blocks()]
    finally:
        source.close()
    return np.concatenate(blocks) if blocks else np.empty(0, np.float32)


def _open(path: Path) -> Any:
    """The file as an open `soundfile.SoundFile`, its header checked."""
    import soundfile

    if not path.exists():
        raise AudioFileError(f"{path}: no such file")
    if path.is_dir():
        raise AudioFileError(f"{path} is a folder; expected an audio file")
    if not path.is_file():
        raise AudioFileError(
            f"{path} is a pipe or a device; expected an audio file: save the recording first"
        )
    if not path.stat().st_size:
        raise AudioFileError(f"{path} is empty (0 bytes); expected an audio file: copy it again")
    _refuse_cut_short(path)
    try:
        with quiet_stderr():  # the MP3 decoder talks
            file = soundfile.SoundFile(os.fsencode(path))
    except (soundfile.LibsndfileError, OSError) as error:
        raise AudioFileError(
            f"{path} is not an audio file that can be read ({error}); "
            "expected WAV, FLAC, Ogg or MP3"
        ) from None
    if not MIN_RATE_HZ <= file.samplerate <= MAX_RATE_HZ:
        file.close()
        raise AudioFileError(
            f"{path} claims a sample rate of {file.samplerate} Hz; "
            f"expected {MIN_RATE_HZ} to {MAX_RATE_HZ}"
        )
    if not file.frames:
        file.close()
        raise AudioFileError(f"{path} has a header but no samples; expected a recording")
    return file


def _refuse_cut_short(path: Path) -> None:
    """Raise if a RIFF file is shorter than its header says: libsndfile would not tell."""
    with path.open("rb") as file:
        header = file.read(12)
    if header[:4] != b"RIFF" or header[8:12] != b"WAVE":
        return
    promised = int.from_bytes(header[4:8], "little") + 8
    found = path.stat().st_size
    # written to a pipe, whose writer did not know the length: 0, or near 2 or 4 GiB
    streamed = promised == 8 or promised >= 0x7FFF_F000
    if found < promised and not streamed:
        raise AudioFileError(
            f"{path} is cut short: its header promises {promised} bytes, it has {found}; "
            "copy or download it again"
        )
