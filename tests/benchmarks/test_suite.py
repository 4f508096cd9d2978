"""The benchmarks side by side: that each section finds what its page needs, and what it means.

Tiny input, and no assertion on a time. Sections that need packages of the extra `bench` skip
without them.
"""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import zipfile
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from support import MODELS, ROOT, speech

from emopi.device.errors import ComparisonError, CorpusError
from emopi.device.frontend import FrontendSpec, extract

if not (ROOT / "benchmarks").is_dir():
    pytest.skip("the benchmarks are not in this copy", allow_module_level=True)
with pytest.MonkeyPatch.context() as patch:
    patch.syspath_prepend(ROOT)
    from benchmarks.suite import (
        contenders,
        decision,
        decision_run,
        frontend,
        frontend_run,
        frontends,
        installation,
        memory,
        network,
        network_run,
        report,
        startup,
        timing,
        training,
        training_run,
    )
    from benchmarks.suite.order import Order
    from benchmarks.suite.speech import samples_in_window, windows
    from benchmarks.suite.tables import aim, short


def needs(*modules: str) -> pytest.MarkDecorator:
    absent = [name for name in modules if not find_spec(name)]
    return pytest.mark.skipif(bool(absent), reason=f"needs {absent} of the extra bench")


def page_and_figures(section: ModuleType, found: dict[str, Any], folder: Path) -> str:
    """The page of what went through JSON, as what is kept does; its figures are PNG files."""
    found = json.loads(json.dumps(found))
    for path in section.draw(found, folder):
        assert path.read_bytes().startswith(b"\x89PNG")
    text: str = section.page(found)
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert rows
    assert "nan" not in text
    return text


def test_calls_take_turns_and_ratios_are_of_one_round() -> None:
    order: list[str] = []
    taken = timing.interleaved(
        {"a": lambda _: order.append("a"), "b": lambda _: order.append("b")}, 2
    )
    assert "".join(order) == "ab" + "aabb" + "bbaa"
    assert {name: len(times) for name, times in taken.items()} == {"a": 2, "b": 2}
    assert timing.ratio([1, 4, 9], [1, 2, 3]) == timing.Spread(2.0, 1.2, 2.8, 1.0, 3)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (0.01234, "0.0123"),
        (1.0, "1.00"),
        (9.996, "10.0"),
        (12345.6, "12300"),
        (-2, "-2.00"),
    ],
)
def test_three_digits(value: float, text: str) -> None:
    assert short(value) == text


def test_aims_say_met_or_missed() -> None:
    assert aim("x", 1.5, 1.6)[2:] == ["at most 1.60", "met"]
    assert aim("x", 1.5, 1.6, least=True)[2:] == ["at least 1.60", "**missed**"]


def test_windows_of_a_corpus_are_spread_over_it(tiny_corpus: Path) -> None:
    pieces = windows(str(tiny_corpus), 24)
    assert {piece.shape for piece in pieces} == {(samples_in_window(),)}
    assert len({piece.tobytes() for piece in pieces}) == 24
    assert len(windows(None)) == 24


def test_a_folder_with_too_few_clips(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="holds 0 WAV files; expected 24 at least"):
        windows(str(tmp_path))


@needs("python_speech_features")
def test_python_speech_features_are_our_features() -> None:
    spec = FrontendSpec()
    theirs = frontends.python_speech_features(spec)(speech(1.0))
    ours = extract(speech(1.0), spec)
    np.testing.assert_allclose(theirs[: len(ours)], ours, atol=1e-2)


@needs("python_speech_features")
def test_frontend_section(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for module, name in (("librosa", "librosa"), ("kaldi_native_fbank", "kaldi-native-fbank")):
        if not find_spec(module):  # they are no part of the extra dev
            monkeypatch.delitem(frontends.OTHERS, name)
    found = next(frontend_run.run(Order(quick=True).to_json()))
    assert list(found["agreement"]) == list(frontends.OTHERS)
    assert all(one["correlation"] > 0.7 for one in found["agreement"].values())
    assert found["agreement"]["python_speech_features"]["largest"] < 0.01
    assert all(one["best"] > 0 for one in found["times_ms"].values())
    text = page_and_figures(frontend, found, tmp_path)
    assert "| python_speech_features / emopi, whole clip |" in text


def test_network_section(tmp_path: Path) -> None:
    models = {name: str(MODELS / f"{name}.tflite") for name in ("cnn-int8", "cnn-float32")}
    asked = {"corpus": None, "models": models, "peaks": {}, "threads": [1], "rounds": 2}
    found = next(network_run.run(asked))
    assert found["macs"]["cnn-int8"] == found["macs"]["cnn-float32"] > 1e6
    start = {"load_ms": 1.0, "first_ms": 1.0, "arena_kb": 100}
    peaks = found["peak_gmacs_s"] | {"LiteRT, int8": 1e3}
    found |= {
        "threads": [1], "rounds": 2, "starts": dict.fromkeys(models, start), "peak_gmacs_s": peaks,
    }  # fmt: skip
    assert 0 < network.share(found, "cnn-int8") < 1
    assert "| cnn-int8 |" in page_and_figures(network, found, tmp_path)


def test_decision_section(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    heard = tmp_path / "speech.f32"
    speech(2.2).tofile(heard)
    order = {"speech": str(heard), "contender": "emopi", "decisions": 7}
    ours = next(decision_run.run(order))  # begins anew behind the end of the file
    assert len(ours["times_ms"]) == ours["said"] == 7
    assert 0 < ours["uss_mb"] <= ours["pss_mb"] <= ours["rss_mb"] <= ours["peak_mb"]

    def asked(_module: str, order: dict[str, Any]) -> Any:
        slow = {"times_ms": [ms * 30 for ms in ours["times_ms"]]}
        return iter([ours if order["contender"].startswith("emopi") else ours | slow])

    monkeypatch.setattr(decision, "answers", asked)
    found = decision.measure(Order(quick=True))
    assert [one["median"] for one in found["ratios"].values()] == pytest.approx([30] * 4)
    assert 0 <= found["python_share"] < 1
    text = page_and_figures(decision, found, tmp_path)
    assert "| librosa + Keras predict: time over ours | 30.0 | at least 20.0 | met |" in text
    assert "our resident memory over its | 1.00 | at most 0.200 | **missed** |" in text


@needs("python_speech_features")
def test_a_contender_says_a_label_each_half_second() -> None:
    hear = contenders.CONTENDERS["python_speech_features + TFLite"]()
    said = {hear(np.asarray(half)) for half in np.split(speech(3.0), 6)}
    assert said <= {"neutral", "calm", "happy", "sad", "angry", "fearful", "disgust", "surprised"}


def test_startup_section(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    python = [sys.executable, "-c", "print()"]
    names = startup._commands(tmp_path)
    monkeypatch.setattr(startup, "_commands", lambda _: dict.fromkeys(names, python))
    wait = [sys.executable, "-c", "import time; time.sleep(60)"]
    holders = startup._holders(tmp_path)
    monkeypatch.setattr(startup, "_holders", lambda _: dict.fromkeys([next(iter(holders))], wait))
    monkeypatch.setattr(startup, "SETTLED_S", 0.1)
    found = startup.measure(Order(quick=True))
    assert found["imports"][0][0] == "all imports"
    assert all(one["best"] > 0 for one in found["passed_s"].values())
    assert "| emopi --help, s |" in page_and_figures(startup, found, tmp_path)


def test_a_command_that_fails_is_no_time() -> None:
    with pytest.raises(subprocess.CalledProcessError):
        startup.timed([sys.executable, "-c", "raise SystemExit(3)"], os.environ)


def test_memory_of_another_process() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        held = memory.memory(process.pid)
        assert 0 < held["uss_mb"] <= held["pss_mb"] <= held["rss_mb"]
        process.kill()


def test_installation_section(tmp_path: Path) -> None:
    for name, n in (("numpy-2.0-any.whl", 3000), ("click-8-any.whl", 1000)):
        with zipfile.ZipFile(tmp_path / name, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("a.py", " " * n)
    ours = installation.sizes(tmp_path)
    assert {name: one["unpacked"] for name, one in ours.items()} == {"numpy": 3000, "click": 1000}
    found = {"bytes": {"emopi": ours, "tensorflow": ours}}
    assert "emopi, MB each: numpy 0.0, click 0.0." in page_and_figures(
        installation, found, tmp_path
    )


def test_training_section_without_networks(tiny_corpus: Path, tmp_path: Path) -> None:
    corpus = str(tiny_corpus)
    asked = {"corpus": corpus, "clips": 8, "jobs": 1}
    (features,) = training_run.run({"what": "features", "copies": 1} | asked)
    assert (features["clips"], features["seconds"] > 0) == (8, True)
    growth = [
        next(training_run.run({"what": "growth", "times": times} | asked)) for times in (1, 2)
    ]
    assert [one["clips"] for one in growth] == [8, 16]
    assert growth[1]["features_mb"] == pytest.approx(2 * growth[0]["features_mb"])
    epochs = {"cnn": {"seconds": [3.0, 6.0], "peak_mb": 1000.0}}
    found = {
        "jobs": 1, "features": [features | {"jobs": 1}], "augmented": features, "epochs": epochs,
        "otherwise": {}, "growth": growth,
    }  # fmt: skip
    text = page_and_figures(training, found, tmp_path)
    assert "| emopi train cnn | all | 4.50 | 2 | 15 | 1000 |" in text
    assert training.page({}) == "Not run: it needs `--corpus`."


def test_results_keep_what_other_sections_found(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    found = {"bytes": {"emopi": {"click": {"wheel": 1_000_000, "unpacked": 3_000_000}}}}
    monkeypatch.setattr(installation, "measure", lambda _: found)
    first = report.Kept.read(tmp_path)
    first.sections["installation"] = report.measured("installation", Order(quick=True))
    report.publish(first, tmp_path)
    page = (tmp_path / "RESULTS.md").read_text()
    assert "make bench BENCH=--quick" in page
    assert "emopi, MB each: click 3.0." in page
    assert "Not yet run." in page
    assert "synthesized speech" in page
    kept = report.Kept.read(tmp_path)
    assert kept.sections["installation"]["found"] == found
    (tmp_path / "results.json").write_text("{")
    with pytest.raises(ComparisonError, match="cannot be read"):
        report.Kept.read(tmp_path)


def test_an_order_survives_json() -> None:
    order = Order("x", True)
    assert Order(**json.loads(json.dumps(order.to_json()))) == order
    assert (order.times(100, 3), dataclasses.replace(order, quick=False).times(100, 3)) == (3, 100)
