"""The speech gate: what it counts, whatever the cuts and the level; the real detectors."""

from __future__ import annotations

import math
import sys
import types
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import MODELS, RAVDESS_16K, SHARED, needs_16k, run_emopi

from emopi.device import gate as gate_module
from emopi.device.detectors import DETECTORS, RATE_HZ, MicroVad
from emopi.device.errors import SpecError
from emopi.device.gate import LEVEL_ALONE, Gate, GateSettings, GateWarning
from emopi.device.sources.audio import read_clip

WINDOW_S = 3.015
NOISE = SHARED / "noise_esc10"
needs_noise = pytest.mark.skipif(
    not NOISE.is_dir(), reason="ESC-10 is not beside the checkout (../shared)"
)


class Loud:
    """A detector that takes every chunk with a peak above 0.05 for speech."""

    chunk_samples = 100
    level_dbfs = -20.0

    def __init__(self) -> None:
        self.heard: list[np.ndarray] = []

    def speech(self, chunk: np.ndarray) -> float:
        self.heard.append(chunk)
        return float(np.abs(chunk).max() > 0.05)

    def reset(self) -> None:
        self.heard = []


def example() -> np.ndarray:
    return read_clip(MODELS / "example.wav", RATE_HZ)


def most_speech_s(samples: np.ndarray, detector: str = "auto", rate_hz: int = RATE_HZ) -> float:
    gate = Gate(GateSettings(detector=detector), rate_hz, WINDOW_S)
    gate.push(samples)
    return gate.most_speech_s


@pytest.mark.parametrize("rate_hz", [16_000, 44_100, 8_000])
@settings(max_examples=8)
@given(st.lists(st.integers(0, 20_000), max_size=8))
def test_counts_do_not_depend_on_the_cuts(rate_hz: int, cuts: list[int]) -> None:
    rng = np.random.default_rng(0)
    loudness = np.repeat(rng.random(20) < 0.5, 1000)
    samples = (rng.standard_normal(20_000) * np.where(loudness, 0.1, 1e-6)).astype(np.float32)
    gates = [Gate(GateSettings(), rate_hz, 0.2, Loud()) for _ in range(2)]
    at = 0
    for start, end in pairwise([0, *sorted(cuts), len(samples)]):
        gates[0].push(samples[start:end])
        gates[1].push(samples[at:end])
        at = end
        assert gates[0].speech_s == gates[1].speech_s
    whole = Gate(GateSettings(), rate_hz, 0.2, Loud())
    whole.push(samples)
    assert whole.speech_s == gates[0].speech_s
    assert whole.most_speech_s == gates[0].most_speech_s > 0


def test_counts_the_speech_of_the_window() -> None:
    gate = Gate(GateSettings(speech_s=0.5), RATE_HZ, 1.0, Loud())
    tone = np.sin(np.arange(RATE_HZ)).astype(np.float32)
    gate.push(tone[:4_000])
    assert gate.speech_s == pytest.approx(0.25)
    assert not gate.is_open(-10.0)
    gate.push(tone[:4_000])
    assert gate.is_open(-10.0)
    assert not gate.is_open(-80.0)  # too quiet, whatever the detector says
    gate.push(np.zeros(14_000, np.float32))
    assert gate.speech_s == pytest.approx(0.125)  # of the newest second
    assert gate.most_speech_s == pytest.approx(0.5)
    gate.reset()
    assert gate.speech_s == gate.most_speech_s == 0


def test_the_detector_hears_every_level_alike_and_no_dc() -> None:
    tone = np.sin(np.arange(RATE_HZ)).astype(np.float32)
    peaks = []
    for gain, dc in ((1.0, 0.0), (0.01, 0.0), (0.01, 0.5), (10.0, 0.0)):
        detector = Loud()
        Gate(GateSettings(), RATE_HZ, 1.0, detector).push(np.float32(gain) * tone + np.float32(dc))
        peaks.append(np.abs(np.concatenate(detector.heard[10:])).max())
    assert peaks == pytest.approx([peaks[0]] * 4, rel=0.05)


def test_level_alone_leaves_it_to_the_level() -> None:
    gate = Gate(LEVEL_ALONE, RATE_HZ, WINDOW_S)
    gate.push(np.zeros(100, np.float32))
    assert gate.speech_s == gate.most_speech_s == math.inf
    assert gate.is_open(-69.0)
    assert not gate.is_open(-71.0)


@pytest.mark.parametrize("name", sorted(DETECTORS))
class TestDetectors:
    """Those that are installed, on a synthesized voice and on what is none."""

    @pytest.fixture(autouse=True)
    def _installed(self, name: str) -> None:
        try:
            DETECTORS[name]()
        except ImportError as error:
            pytest.skip(f"{error}")

    @pytest.mark.parametrize("gain_db", [-40, 0, 10])
    def test_hears_a_voice(self, name: str, gain_db: float) -> None:
        assert most_speech_s(example() * np.float32(10 ** (gain_db / 20)), name) > 1.0

    def test_hears_it_at_another_rate(self, name: str) -> None:
        samples = read_clip(MODELS / "example.wav", 44_100)
        assert most_speech_s(samples, name, 44_100) == pytest.approx(
            most_speech_s(example(), name), abs=0.2
        )

    def test_hears_none_in_silence_and_noise(self, name: str) -> None:
        rng = np.random.default_rng(0)
        for level in (0.0, 1e-5, 1e-3, 0.1):
            noise = level * rng.standard_normal(5 * RATE_HZ)
            assert most_speech_s(noise.astype(np.float32), name) < 0.1

    def test_reset_forgets(self, name: str) -> None:
        gate = Gate(GateSettings(detector=name), RATE_HZ, WINDOW_S)
        gate.push(example())
        first = gate.most_speech_s
        gate.reset()
        gate.push(example())
        assert gate.most_speech_s == first


def test_without_a_detector_it_warns(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> None:
        raise ImportError

    monkeypatch.setattr(gate_module, "DETECTORS", {"silero": missing, "micro": missing})
    with pytest.warns(GateWarning, match="no voice-activity detector is installed, so any sound"):
        gate = Gate(GateSettings(), RATE_HZ, WINDOW_S)
    assert gate.is_open(-20.0)
    with pytest.raises(SpecError, match="detector is 'micro', which is not installed"):
        Gate(GateSettings(detector="micro"), RATE_HZ, WINDOW_S)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"detector": "ears"}, "detector is 'ears'; expected one of"),
        ({"level_dbfs": 3.0}, "level_dbfs is 3.0; expected -200 to 0"),
        ({"threshold": -0.1}, "threshold is -0.1; expected 0 to 1"),
        ({"speech_s": math.nan}, "speech_s is nan; expected 0 to 60"),
    ],
)
def test_refuses_settings(values: dict[str, object], message: str) -> None:
    with pytest.raises(SpecError) as error:
        GateSettings(**values)
    assert message in str(error.value)


def test_one_thread_computes_the_detector() -> None:
    """OpenMP's others would only spin, at ten times the cost."""
    code = (
        "from emopi.device.gate import Gate, GateSettings\n"
        "import numpy, os, re\n"
        "Gate(GateSettings(), 16000, 3.0).push(numpy.zeros(16000, 'f4'))\n"
        "assert 'OMP_THREAD_LIMIT' not in os.environ\n"
        "import threading; print(len(os.listdir('/proc/self/task')))"
    )
    if not sys.platform.startswith("linux"):
        pytest.skip("threads are counted in /proc")
    import subprocess

    environment = {"OPENBLAS_NUM_THREADS": "1", "PATH": ""}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True,
                          timeout=120, check=False, env=environment)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) == 1


def test_listen_says_no_speech_where_there_is_none(tmp_path) -> None:
    import soundfile

    noise = np.random.default_rng(0).normal(0, 0.05, 4 * RATE_HZ)
    soundfile.write(tmp_path / "rain.wav", noise, RATE_HZ)
    done = run_emopi("listen", "--json", "--fast", "--source", tmp_path / "rain.wav")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count('"no speech"') == len(done.stdout.splitlines()) == 3
    done = run_emopi("classify", "--json", tmp_path / "rain.wav")
    assert '"no speech"' in done.stdout


@needs_noise
def test_household_noise_is_no_speech() -> None:
    clips = sorted(NOISE.glob("*/2-*.ogg"))[::8]
    assert len(clips) == 10
    found = [most_speech_s(read_clip(clip, RATE_HZ)) for clip in clips]
    assert max(found) < GateSettings().speech_s


@needs_16k
@pytest.mark.parametrize("gain_db", [-20, 10])
def test_actors_are_heard(gain_db: float) -> None:
    clips = sorted(RAVDESS_16K.glob("Actor_*/03-01-0[1278]-01-*.wav"))[::30]
    assert len(clips) == 13
    gain = np.float32(10 ** (gain_db / 20))
    found = [most_speech_s(read_clip(clip, RATE_HZ) * gain) for clip in clips]
    assert sum(one < GateSettings().speech_s for one in found) <= 1


class _OldMicroVad:
    """As in pymicro-vad 1.0, of which alone there are wheels for 32-bit ARM."""

    def Process10ms(self, samples: bytes) -> float:
        return len(samples) / 320


def test_the_old_microvad_is_understood(monkeypatch: pytest.MonkeyPatch) -> None:
    old = types.ModuleType("pymicro_vad")
    monkeypatch.setattr(old, "MicroVad", _OldMicroVad, raising=False)
    monkeypatch.setitem(sys.modules, "pymicro_vad", old)
    assert MicroVad().speech(np.zeros(160, np.float32)) == 1
