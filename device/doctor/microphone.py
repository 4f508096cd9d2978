"""What is wrong with the microphone: is there one, does it deliver, and what does it hear."""

from __future__ import annotations

import dataclasses
import getpass
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from emopi.device.board import ROOT
from emopi.device.doctor.examine import Finding, Section, Verdict
from emopi.device.doctor.sound_check import FRAME_S, ChannelReport, in_low_bits
from emopi.device.errors import EmopiError, MissingExtraError
from emopi.device.frontend import Floats
from emopi.device.sources.capture import Capture
from emopi.device.sources.notice import tell_nobody
from emopi.device.sources.portaudio import StreamFormat
from emopi.device.sources.settings import SourceSettings

TOO_QUIET_DBFS = -40.0
"""A peak below, while somebody speaks, leaves the models little."""
CLIPS_FROM = 0.001
NOISY_DBFS = -45.0
NOISE_MARGIN_DB = 10.0
LARGE_DC = 0.1
HANG_S = 40.0
"""PortAudio needs no longer, whatever it has to search."""
PATIENCE_S = 3.0
"""A device may deliver so much later than real time before it is called slow."""


@dataclasses.dataclass(frozen=True, slots=True)
class Sample:
    """What a device has delivered."""

    stream: StreamFormat
    samples: Floats
    """(n, channels), full scale ±1; maybe less than was wanted."""
    lost: int
    """How often samples were lost in it."""


def check_microphone(
    settings: SourceSettings, seconds: float, model_rate_hz: int, root: Path = ROOT
) -> Section:
    """Record `seconds` from the device of the settings and judge them."""
    try:
        sample = record(dataclasses.replace(settings, wait=False), seconds)
    except EmopiError as error:
        remedy = _why_none(root) if not isinstance(error, MissingExtraError) else _INSTALL
        return Section("microphone", (Finding(Verdict.PROBLEM, str(error), remedy),), {})
    return judge(sample, settings, seconds, model_rate_hz)


def check_microphone_apart(settings: SourceSettings, seconds: float, model_rate_hz: int) -> Section:
    """As `check_microphone`, in a process of its own: a broken sound system can crash PortAudio."""
    asked = json.dumps([dataclasses.asdict(settings), seconds, model_rate_hz])
    command = [sys.executable, "-m", "emopi.device.doctor.microphone", asked]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=seconds + HANG_S, check=False
        )
        return Section.from_json("microphone", json.loads(done.stdout))
    except subprocess.TimeoutExpired:
        text = f"PortAudio has hung for {HANG_S:g} s"
    except ValueError:
        text = f"PortAudio has crashed its process (exit status {done.returncode})"
    remedy = (
        "see whether arecord -d 1 /dev/null works, and what /etc/asound.conf and ~/.asoundrc say; "
        "restart the sound server"
    )
    return Section("microphone", (Finding(Verdict.PROBLEM, text, remedy),), {})


def record(settings: SourceSettings, seconds: float) -> Sample:
    """What the device delivers in `seconds`, all channels; raises as `Capture` does."""
    capture = Capture(settings, tell=tell_nobody)
    pieces: list[Floats] = []
    lost = 0
    deadline_s = time.monotonic() + seconds + PATIENCE_S
    try:
        stream = capture.stream
        assert stream is not None  # opened, since it is not waited for
        left = round(seconds * stream.rate_hz)
        for chunk in capture.chunks():
            if chunk and chunk.stream == stream:
                pieces.append(chunk.samples[:left])
                left -= len(pieces[-1])
                lost += chunk.lost
            if left <= 0 or time.monotonic() > deadline_s:
                break
    finally:
        capture.close()
    empty = np.empty((0, stream.channels), np.float32)
    return Sample(stream, np.concatenate([empty, *pieces]), lost)


def judge(sample: Sample, settings: SourceSettings, seconds: float, model_rate_hz: int) -> Section:
    """The findings about a recording that should have `seconds`."""
    stream, samples = sample.stream, sample.samples
    delivered_s = len(samples) / stream.rate_hz
    facts: dict[str, Any] = dataclasses.asdict(stream) | {
        "delivered_s": round(delivered_s, 3),
        "lost": sample.lost,
    }
    opened = f"{stream.name!r} opens at {stream.describe()}"
    if delivered_s < FRAME_S:
        finding = Finding(Verdict.PROBLEM, f"{opened}, but delivers nothing", _WIRES)
        return Section("microphone", (finding,), facts)
    reports = [ChannelReport.of(samples[:, k], stream.rate_hz) for k in range(stream.channels)]
    heard = _heard(reports, settings.channel)
    facts["channels"] = [report.to_json() for report in reports]
    facts["heard"] = heard + 1
    findings = [
        Finding(Verdict.OK, f"{opened}; {delivered_s:.1f} s recorded, {sample.lost} losses in it"),
        *_of_delivery(sample, delivered_s, seconds, model_rate_hz),
        *_of_channels(reports, heard),
    ]
    if not reports[heard].dead:
        suspect = stream.sample_format == "int32" and not settings.low_bits
        low_bits = suspect and in_low_bits(samples[:, heard])
        findings += _of_sound(reports[heard], settings.gain_db, low_bits)
    return Section("microphone", tuple(findings), facts)


def _heard(reports: list[ChannelReport], channel: int | str) -> int:
    """Index of the channel that would be heard, of the mean the loudest."""
    if isinstance(channel, int):
        return channel - 1
    return max(range(len(reports)), key=lambda k: (not reports[k].dead, reports[k].level_dbfs))


def _of_delivery(
    sample: Sample, delivered_s: float, seconds: float, model_rate_hz: int
) -> list[Finding]:
    found = []
    if delivered_s < 0.95 * seconds:
        text = f"it has delivered only {delivered_s:.1f} s of audio in {seconds + PATIENCE_S:g} s"
        found.append((text, "try another USB port, cable or power supply"))
    if sample.lost:
        text = f"samples were lost {sample.lost} times in {delivered_s:.1f} s"
        found.append((text, "end other programs; see speed and machine above"))
    if sample.stream.rate_hz < model_rate_hz:
        text = (
            f"{sample.stream.rate_hz} Hz leave nothing above {sample.stream.rate_hz // 2} Hz; the "
            f"model was trained on {model_rate_hz} Hz and will be wrong more often"
        )
        found.append((text, "use a microphone of at least that rate, not a headset's call mode"))
    return [Finding(Verdict.WARNING, *one) for one in found]


def _of_channels(reports: list[ChannelReport], heard: int) -> list[Finding]:
    numbers = [str(number) for number, report in enumerate(reports, 1) if report.dead]
    if len(numbers) == len(reports):
        text = "every sample is the same: this is digital silence"
        return [Finding(Verdict.PROBLEM, text, _WIRES)]
    if reports[heard].dead:
        text = f"channel {heard + 1} is dead, and the settings choose it"
        return [Finding(Verdict.PROBLEM, text, "choose another one, or --channel loudest")]
    if numbers:
        text = f"channel {', '.join(numbers)} is dead, as with any single I2S microphone; "
        return [Finding(Verdict.OK, f"{text}channel {heard + 1} is heard")]
    return []


def _of_sound(report: ChannelReport, gain_db: float, low_bits: bool) -> list[Finding]:
    text = (
        f"level {report.level_dbfs:.0f} dBFS, peak {report.peak_dbfs:.0f}, noise floor "
        f"{report.noise_dbfs:.0f}, DC {report.dc:+.4f}, {report.clipped:.1%} clipped"
    )
    found = [Finding(Verdict.OK, text)]
    if low_bits:
        text = "its 32-bit words seem to hold 24-bit samples in their low bits: 48 dB too quiet"
        found.append(Finding(Verdict.WARNING, text, "try --low-bits (low_bits = true in [source])"))
    elif report.peak_dbfs + gain_db < TOO_QUIET_DBFS:
        text = "nothing louder than a whisper was heard"
        remedy = "speak while it records; raise the level in alsamixer (F4), or give --gain 20"
        found.append(Finding(Verdict.WARNING, text, remedy))
    elif _is_noisy(report):
        text = f"the noise floor of {report.noise_dbfs:.0f} dBFS is close to what was heard"
        remedy = "go nearer to the microphone, away from fans; use another power supply"
        found.append(Finding(Verdict.WARNING, text, remedy))
    if report.clipped > CLIPS_FROM:
        text = f"{report.clipped:.1%} of the samples are at full scale: it clips"
        remedy = "lower the capture level in alsamixer (F4), or go farther away"
        found.append(Finding(Verdict.WARNING, text, remedy))
    if abs(report.dc) > LARGE_DC:
        text = f"an offset of {report.dc:+.2f} leaves loud sound less room; emopi removes it"
        found.append(Finding(Verdict.WARNING, text, "see the microphone's supply and wiring"))
    return found


def _is_noisy(report: ChannelReport) -> bool:
    close = report.level_dbfs - report.noise_dbfs < NOISE_MARGIN_DB
    return report.noise_dbfs > NOISY_DBFS and close


_INSTALL = "sudo apt install portaudio19-dev python3-dev gcc; pip install 'emopi[mic]'"
_WIRES = (
    "unmute it (alsamixer, F4); I2S: see data and select pin, and the overlay in config.txt; is "
    "it the right device (emopi devices)?"
)


def _why_none(root: Path) -> str:
    """What to do where no device could be opened, by what the kernel knows of sound cards."""
    nodes = sorted((root / "dev/snd").glob("pcmC*c"))
    if not nodes:
        return (
            "the kernel has no card that records: plug one in (lsusb, dmesg), or for I2S see "
            "dtoverlay in config.txt"
        )
    if not any(os.access(node, os.R_OK | os.W_OK) for node in nodes):
        user = getpass.getuser()
        return (
            f"{user} may not use the sound cards: sudo usermod -aG audio {user}, then log in anew"
        )
    return f"the kernel has {len(nodes)} that record: who uses them? fuser -v /dev/snd/*"


def _main() -> None:
    """The process of `check_microphone_apart`."""
    settings, seconds, model_rate_hz = json.loads(sys.argv[1])
    section = check_microphone(SourceSettings(**settings), seconds, model_rate_hz)
    print(json.dumps(section.to_json()))


if __name__ == "__main__":
    _main()
