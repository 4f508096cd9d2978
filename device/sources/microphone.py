"""A microphone as the model hears it: one channel, without DC, at the model's rate."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from emopi.device.frontend import Floats
from emopi.device.sources import portaudio
from emopi.device.sources.audio import AudioBlock, Resampler
from emopi.device.sources.capture import BLOCK_S, BUFFER_S, Capture, Chunk
from emopi.device.sources.conditioning import ChannelPicker, DcBlocker, ZeroWatch
from emopi.device.sources.notice import Notice, NoticeKind, Tell, tell_nobody
from emopi.device.sources.portaudio import InputDevice, StreamFormat
from emopi.device.sources.settings import SourceSettings


class Microphone:
    """Blocks from an input device, mono, at `sample_rate_hz`; an `AudioSource`.

    The device is opened at its own rate, because soxr resamples better than most sound servers.
    While it is lost, the blocks are empty; the first one behind that is `fresh`. PortAudio's own
    thread fills a queue of `buffer_s`, so that slow inference never stalls the capture; what does
    not fit is dropped, the oldest first, and counted in `AudioBlock.overflows`. `tell` hears of
    loss and return, of digital silence, and of the first overflow.

    Raises as `Capture` does.
    """

    def __init__(
        self,
        settings: SourceSettings,
        sample_rate_hz: int,
        *,
        tell: Tell = tell_nobody,
        block_s: float = BLOCK_S,
        buffer_s: float = BUFFER_S,
    ) -> None:
        self.sample_rate_hz = sample_rate_hz
        self._settings, self._tell = settings, tell
        self._capture = Capture(settings, tell=tell, block_s=block_s, buffer_s=buffer_s)
        self._conditioner: _Conditioner | None = None
        self._told_of_overflow = False
        self._fresh = False
        """The device has come back, and the resampler has given nothing since."""

    @property
    def name(self) -> str:
        """What PortAudio calls it."""
        return self._capture.name

    @property
    def stream(self) -> StreamFormat | None:
        """How it was opened; None while a device is waited for that was never there."""
        return self._capture.stream

    def blocks(self) -> Iterator[AudioBlock]:
        """See `AudioSource.blocks`; ends at `close` alone."""
        for chunk in self._capture.chunks():
            yield self._block(chunk) if chunk else AudioBlock(np.empty(0, np.float32))

    def close(self) -> None:
        """See `Capture.close`."""
        self._capture.close()

    def _block(self, chunk: Chunk) -> AudioBlock:
        if chunk.fresh or self._conditioner is None:
            self._conditioner = _Conditioner(self._settings, chunk.stream, self.sample_rate_hz)
            self._told_of_overflow, self._fresh = False, chunk.fresh
        if chunk.lost and not self._told_of_overflow:
            self._told_of_overflow = True
            self._tell(self._overflow())
        samples, found = self._conditioner.push(chunk.samples)
        if found is not None:
            self._tell(self._silence() if found else self._sound_again())
        block = AudioBlock(samples, chunk.lost, self._fresh and len(samples) > 0)
        self._fresh = self._fresh and not len(samples)
        return block

    def _overflow(self) -> Notice:
        return Notice(
            NoticeKind.OVERFLOW,
            f"samples of the microphone {self.name!r} were lost, since the processor could not "
            "keep up; later losses are only counted. emopi doctor says whether it is too slow or "
            "too hot",
        )

    def _silence(self) -> Notice:
        return Notice(
            NoticeKind.ZEROS,
            f"the microphone {self.name!r} delivers, but nothing except digital silence: is it "
            "muted (alsamixer, F4), wired rightly (I2S: data and select pin), and the right one "
            "(emopi devices)?",
        )

    def _sound_again(self) -> Notice:
        return Notice(NoticeKind.SOUND_AGAIN, f"the microphone {self.name!r} gives sound")


class _Conditioner:
    """One opened device's samples to the model's: the chain of `conditioning.py`."""

    def __init__(self, settings: SourceSettings, stream: StreamFormat, rate_hz: int) -> None:
        self._picker = ChannelPicker(settings.channel, stream.rate_hz)
        self._zeros = ZeroWatch(stream.rate_hz)
        self._resampler = Resampler(stream.rate_hz, rate_hz)
        self._dc = DcBlocker(rate_hz) if settings.remove_dc else None
        self._gain = np.float32(10 ** (settings.gain_db / 20))

    def push(self, samples: Floats) -> tuple[Floats, bool | None]:
        """(m,) for (n, channels), and what `ZeroWatch.push` found."""
        mono = self._picker.push(samples)
        found = self._zeros.push(mono)
        resampled = self._resampler.push(mono)
        if self._dc:
            resampled = self._dc.push(resampled)
        return resampled if self._gain == 1 else resampled * self._gain, found


def input_devices() -> list[InputDevice]:
    """The inputs that PortAudio finds, perhaps none; `MissingExtraError` without PyAudio."""
    audio = portaudio.start()
    try:
        return portaudio.inputs(audio)
    finally:
        portaudio.terminate(audio)
