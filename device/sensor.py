"""A sensor that listens all day: source -> pipeline -> sinks, until it is told to stop."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable
from types import TracebackType
from typing import Protocol, Self

from emopi.device.config.settings import Settings
from emopi.device.decision import Decision
from emopi.device.errors import AudioError, AudioFileError, ConfigError, EmopiError
from emopi.device.pipeline import Pipeline
from emopi.device.recording import Recording
from emopi.device.signals import Signals
from emopi.device.sinks import Sink
from emopi.device.sources.audio import AudioBlock, AudioSource
from emopi.device.sources.notice import Notice, Tell
from emopi.device.watchdog import Watchdog

Say = Callable[[str], None]
"""Takes a line for the person in charge; no emotion is in it."""

RESTART = ("source", "service")
"""Tables that a running sensor cannot take anew."""


class Parts(Protocol):
    """What settings become. Each raises an `EmopiError` for what a person must change."""

    def settings(self) -> Settings:
        """Those of this moment: the file's, where there is one, and the command line's."""

    def pipeline(self, settings: Settings) -> Pipeline:
        """Model, profile, thresholds."""

    def source(self, settings: Settings, rate_hz: int, tell: Tell) -> AudioSource:
        """What is listened to, opened."""

    def sinks(self, settings: Settings, source: str) -> Sink:
        """All of them as one, not yet opened; `source` is the source's name."""

    def recording(self, rate_hz: int) -> Recording | None:
        """What keeps the last seconds, if that is wanted."""


class Sensor:
    """Listens to one source. A context manager, which opens and closes everything.

    What has been decided when a stop signal comes is shown, the sinks are closed, and then the
    source. SIGHUP exchanges model, profile, thresholds and sinks between two blocks; the sample
    clock goes on, and the first decision after another model comes when its window is full.
    """

    def __init__(self, parts: Parts, signals: Signals, watchdog: Watchdog, say: Say) -> None:
        self._parts = parts
        self._signals = signals
        self._watchdog = watchdog
        self._say = say
        self._sinks: Sink | None = None
        self._samples = self._overflows = self._decisions = 0
        self._samples_before = self._overflows_before = 0
        self._level_dbfs: float | None = None

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            self._settings = self._parts.settings()
            self._pipeline = self._parts.pipeline(self._settings)
            rate_hz = self._pipeline.sample_rate_hz
            self._recording = self._parts.recording(rate_hz)
            self._source = stack.enter_context(
                contextlib.closing(self._parts.source(self._settings, rate_hz, self._notice))
            )
            stack.callback(self._keep_at_end)
            self._sinks = self._opened(self._settings)
            stack.push(self._close_sinks)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._watchdog.stopping()
        self._stack.__exit__(kind, error, trace)

    def run(self) -> None:
        """Until the source ends or a stop signal comes. Raises what source and pipeline raise."""
        for block in self._signals.until_stopped(self._source.blocks()):
            self._hear(block)
            if self._signals.keep:
                self._signals.keep = False
                self._keep()
            if self._signals.reload:
                self._signals.reload = False
                self._reload()
        if not self._signals.stopped:
            self._finish()

    def _hear(self, block: AudioBlock) -> None:
        self._samples += len(block.samples)
        self._overflows += block.overflows
        if self._recording:
            self._recording.push(block.samples)
        for decision in self._pipeline.push(block):
            self._show(decision)
        self._watchdog.heard(len(block.samples), self._state)

    def _finish(self) -> None:
        try:
            last = self._pipeline.finish()
        except AudioError as error:
            if self._samples_before:  # the settings were read anew just now
                return
            raise AudioError(f"{self._source.name}: {error}") from None
        if last:
            self._show(last)

    def _show(self, decision: Decision) -> None:
        """Give it to the sinks, on the clock of the source: the pipeline may be a younger one."""
        self._decisions += 1
        self._level_dbfs = decision.level_dbfs
        if self._samples_before:
            decision = dataclasses.replace(
                decision,
                time_s=decision.time_s + self._samples_before / self._source.sample_rate_hz,
                overflows=decision.overflows + self._overflows_before,
            )
        if self._sinks:
            self._sinks.show(decision)

    def _notice(self, notice: Notice) -> None:
        self._watchdog.state(notice.text)
        self._say(notice.text)
        if self._sinks:
            self._sinks.notice(notice)

    def _state(self) -> str:
        """One line without an emotion, for the service manager."""
        heard_s = self._samples / self._source.sample_rate_hz
        level = "" if self._level_dbfs is None else f", {self._level_dbfs:.0f} dBFS"
        return (
            f"hears {self._source.name}{level}: {heard_s:.0f} s of audio, "
            f"{self._decisions} decisions, {self._overflows} overflows"
        )

    def _reload(self) -> None:
        """Take the settings anew; whatever is wrong with them, go on with the old ones."""
        self._watchdog.reloading()
        try:
            changed = self._renew(self._parts.settings())
        except (EmopiError, OSError) as error:
            self._say(f"the settings stay as they were: {error}")
            if not self._sinks:  # the old ones cannot be had any more
                raise
            return
        self._say(f"settings read anew; changed: {', '.join(changed) or 'nothing'}")
        if later := [f"[{table}]" for table in RESTART if table in changed]:
            self._say(f"{' and '.join(later)} will hold after a restart")

    def _renew(self, settings: Settings) -> list[str]:
        """Exchange what has changed; the names of those tables. On an error nothing is."""
        changed = [name for name in settings.parts if settings[name] != self._settings[name]]
        pipeline = None
        if set(changed) - set(RESTART):
            pipeline = self._parts.pipeline(settings)
            if pipeline.sample_rate_hz != self._source.sample_rate_hz:
                raise ConfigError(
                    f"the model {settings['model'].name} hears {pipeline.sample_rate_hz} Hz and "
                    f"the source was opened for {self._source.sample_rate_hz} Hz: restart"
                )
        if settings.sinks != self._settings.sinks:
            changed.append("sinks")
            self._exchange_sinks(settings)
        if pipeline:
            self._pipeline = pipeline
            self._samples_before, self._overflows_before = self._samples, self._overflows
        self._settings = settings
        return changed

    def _exchange_sinks(self, settings: Settings) -> None:
        """Close the old ones first: both may want the same file, pin or port."""
        self._close_sinks(None, None, None)
        try:
            self._sinks = self._opened(settings)
        except EmopiError:
            self._sinks = self._opened(self._settings)
            raise

    def _opened(self, settings: Settings) -> Sink:
        return self._parts.sinks(settings, self._source.name).__enter__()

    def _close_sinks(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._sinks:
            sinks, self._sinks = self._sinks, None
            sinks.__exit__(kind, error, trace)

    def _keep(self) -> bool:
        """Write the recording; whether that was possible."""
        if not self._recording:
            self._say("nothing is recorded: give --record to keep what is heard")
            return True
        try:
            path = self._recording.keep()
        except OSError as error:
            self._say(f"the recording cannot be written: {error}")
            return False
        self._say(f"what was heard is in {path}" if path else "nothing was heard to be kept")
        return True

    def _keep_at_end(self) -> None:
        if self._recording:
            self._signals.let_finish()  # an SD card may need seconds
            if not self._keep():
                raise AudioFileError("what was heard is lost")
