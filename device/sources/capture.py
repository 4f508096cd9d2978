"""All channels of an input device as it delivers them, for as long as it takes.

    PortAudio's thread -> callback -> Ring -> chunks(), in the reader's thread
    keeper's thread: starts PortAudio, opens the device, watches it, and all that again when it
    is lost

The keeper alone talks to PortAudio, so that a sound server that hangs holds nobody else.
"""

from __future__ import annotations

import contextlib
import dataclasses
import queue
import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any

from emopi.device.errors import MicrophoneError
from emopi.device.frontend import Floats
from emopi.device.sources import portaudio
from emopi.device.sources.conditioning import decode
from emopi.device.sources.notice import Notice, NoticeKind, Tell, tell_nobody
from emopi.device.sources.portaudio import Deliver, StreamFormat
from emopi.device.sources.ring import Ring
from emopi.device.sources.settings import SourceSettings

BLOCK_S = 0.1
BUFFER_S = 10.0
"""Audio that waits for a slow reader before blocks are dropped, the oldest first."""

IDLE_S = 0.5
"""A reader hears that there is nothing so often."""

POLL_S = 0.1
"""The keeper looks after the device so often."""

FIRST_RETRY_S = 0.25
"""Pause before a lost device is opened again; it doubles up to `SourceSettings.retry_s`."""

CLOSE_S = 2.0
"""Closing a device that does not answer is given up after so long."""

STUCK_S = 60.0
"""PortAudio has not returned for so long: this process will hear nothing any more."""

OPEN_S = 20.0
"""The same at the start, when a person waits."""


@dataclasses.dataclass(frozen=True, slots=True)
class Chunk:
    """Consecutive samples of all channels."""

    samples: Floats
    """(n, channels), full scale ±1, at `stream.rate_hz`."""
    stream: StreamFormat
    lost: int
    """How often samples were lost between the chunk before and this one."""
    fresh: bool
    """The device was lost between the chunk before and this one."""


class _Session:
    """One time that the device is open: from the callback of PortAudio's thread into the ring."""

    def __init__(self, ring: Ring[tuple[_Session, bytes]]) -> None:
        pyaudio = portaudio.load_pyaudio()
        self._ring = ring
        self._continue, self._overflow = pyaudio.paContinue, pyaudio.paInputOverflow
        self.stream: StreamFormat | None = None
        self.has_delivered = False
        self.last_s = time.monotonic()
        """When the last block came, or it was opened."""

    def deliver_as(self, stream: StreamFormat) -> Deliver:
        """The callback for a stream of that format: never waits for the reader, never raises."""

        def deliver(
            raw: bytes, _frames: int, _times: Mapping[str, float], flags: int
        ) -> tuple[None, int]:
            self.stream, self.has_delivered, self.last_s = stream, True, time.monotonic()
            self._ring.put((self, raw), lost=1 if flags & self._overflow else 0)
            return None, self._continue

        return deliver


class Capture:
    """What an input device delivers, in the best format that it has, lost or not.

    A device that stops delivering is a `Notice` LOST, then tried again after growing pauses, and
    BACK when it delivers again; PortAudio is started anew each time, as it knows only the devices
    of its start. A reader that is late loses the oldest blocks, which is counted.

    Raises `MicrophoneError` if there is no such device or it cannot be opened, unless
    `settings.wait`; `MissingExtraError` without PyAudio.
    """

    def __init__(
        self,
        settings: SourceSettings,
        *,
        tell: Tell = tell_nobody,
        block_s: float = BLOCK_S,
        buffer_s: float = BUFFER_S,
    ) -> None:
        portaudio.load_pyaudio()
        self.name = settings.device or "the default microphone"
        """The device's own name once it has been opened."""
        self.stream: StreamFormat | None = None
        """As it was opened the last time."""
        self._settings, self._tell, self._block_s = settings, tell, block_s
        self._ring: Ring[tuple[_Session, bytes]] = Ring(round(buffer_s / block_s))
        self._read: _Session | None = None
        self._notices: queue.SimpleQueue[Notice] = queue.SimpleQueue()
        self._lost_since_s: float | None = None
        self._busy_since_s: float | None = None
        self._failure: Exception | None = None
        self._tried, self._closing = threading.Event(), threading.Event()
        self._keeper = threading.Thread(target=self._keep, name="microphone", daemon=True)
        self._keeper.start()
        try:
            if not self._tried.wait(OPEN_S):
                raise self._stuck(OPEN_S)
            self._raise_failure()
        except BaseException:
            self.close()
            raise

    def chunks(self) -> Iterator[Chunk | None]:
        """Yield what comes until `close`; None where nothing has come for `IDLE_S`.

        Raises `MicrophoneError` when PortAudio has hung for `STUCK_S`: the process must end.
        """
        while not self._closing.is_set():
            taken = self._ring.take(IDLE_S)
            while not self._notices.empty():
                self._tell(self._notices.get())
            if self._closing.is_set():
                return
            if taken is None:
                self._raise_failure()
                yield None
            else:
                (session, raw), lost = taken
                yield self._chunk(session, raw, lost)

    def close(self) -> None:
        """Release the device and end `chunks`; safe to call twice and from any thread.

        Takes at most `CLOSE_S`: a sound server that hangs would hold PortAudio for ever.
        """
        self._closing.set()
        self._ring.close()
        self._keeper.join(CLOSE_S)

    def _chunk(self, session: _Session, raw: bytes, lost: int) -> Chunk:
        before, self._read = self._read, session
        stream = session.stream
        assert stream is not None  # the callback sets it before the first block
        if session is not before and self._lost_since_s is not None:
            away_s = time.monotonic() - self._lost_since_s
            self._lost_since_s = None
            self._tell(
                Notice(
                    NoticeKind.BACK,
                    f"the microphone {stream.name!r} delivers again, after {away_s:.0f} s, at "
                    f"{stream.describe()}",
                )
            )
        return Chunk(
            decode(raw, stream.sample_format, stream.channels, low_bits=self._settings.low_bits),
            stream,
            lost,
            fresh=before not in (None, session),
        )

    def _keep(self) -> None:
        """The keeper's thread: open and watch, again and again."""
        pause_s = FIRST_RETRY_S
        try:
            while not self._closing.is_set():
                session = _Session(self._ring)
                self._keep_open(session)
                if session.has_delivered:
                    pause_s = FIRST_RETRY_S
                self._closing.wait(pause_s)
                pause_s = min(2 * pause_s, self._settings.retry_s)
        except Exception as error:
            self._failure = error
        finally:
            self._tried.set()

    def _keep_open(self, session: _Session) -> None:
        """Open the device and watch it until it is lost or no longer wanted."""
        try:
            with self._in_portaudio():
                audio = portaudio.start()
        except MicrophoneError as error:
            self._not_there(error)
            return
        try:
            with self._in_portaudio():
                opened = self._open(audio, session)
            self._tried.set()
            self._watch(opened, session)
        except MicrophoneError as error:
            self._not_there(error)
        finally:
            with self._in_portaudio():
                portaudio.terminate(audio)

    def _open(self, audio: Any, session: _Session) -> Any:
        devices, wanted = portaudio.inputs(audio), self._settings.device
        if self.stream is None:
            device = portaudio.choose(devices, wanted)
        else:
            device = portaudio.choose_again(devices, wanted, self.stream.name)
        opened, self.stream = portaudio.open_best(
            audio, device, self._settings, self._block_s, session.deliver_as
        )
        self.name = device.name
        session.last_s = time.monotonic()
        return opened

    def _watch(self, opened: Any, session: _Session) -> None:
        while not self._closing.wait(POLL_S):
            silent_s = time.monotonic() - session.last_s
            # a lost device of a sound server is not active, one of ALSA claims to be
            if silent_s > self._settings.lost_after_s or not _is_active(opened):
                self._lose(
                    f"the microphone {self.name!r} has delivered nothing for {silent_s:.1f} s; is "
                    "it still plugged in, and the sound server running? Waiting for it"
                )
                return

    def _not_there(self, error: MicrophoneError) -> None:
        if self.stream is None and not self._settings.wait:
            raise error
        self._lose(f"{error}. Waiting for it")
        self._tried.set()

    def _lose(self, text: str) -> None:
        if self._lost_since_s is None:
            self._lost_since_s = time.monotonic()
            self._notices.put(Notice(NoticeKind.LOST, text))

    @contextlib.contextmanager
    def _in_portaudio(self) -> Iterator[None]:
        """Let the reader know since when PortAudio has not returned."""
        self._busy_since_s = time.monotonic()
        try:
            yield
        finally:
            self._busy_since_s = None

    def _raise_failure(self) -> None:
        if self._failure:
            raise self._failure
        since_s = self._busy_since_s
        if since_s is not None and time.monotonic() - since_s > STUCK_S:
            raise self._stuck(STUCK_S)

    def _stuck(self, seconds: float) -> MicrophoneError:
        return MicrophoneError(
            f"the sound system has not answered for {seconds:g} s about {self.name!r}, so nothing "
            "can be heard in this process any more; restart the sound server, then emopi"
        )


def _is_active(opened: Any) -> bool:
    try:
        return bool(opened.is_active())
    except OSError:
        return False
