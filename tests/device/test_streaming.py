"""The streaming form of the shipped lstm beside the whole-window form, over random cuts."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from streaming_models import streaming_model
from support import MODELS, speech

from emopi.device.classifier import Classifier
from emopi.device.contract import Stage, attach, read
from emopi.device.errors import AudioError, ModelError, SpecError
from emopi.device.frontend import Floats, FrontendSpec, extract
from emopi.device.streaming import Rows, StreamingClassifier, _Signature, relative_to


@pytest.fixture(scope="module", params=["lstm-float32", "lstm-int8"])
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def precision(name: str) -> str:
    return name.rpartition("-")[2]


@pytest.fixture(scope="module")
def path(name: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return streaming_model(tmp_path_factory.mktemp("streaming"), name)


@pytest.fixture(scope="module")
def streaming(path: Path) -> StreamingClassifier:
    return StreamingClassifier(path)


@pytest.fixture(scope="module")
def whole(name: str) -> Classifier:
    return Classifier(MODELS / f"{name}.tflite")


@pytest.fixture(scope="module")
def tolerance(whole: Classifier, precision: str) -> float:
    """Of a logit, beside the whole window. int8: two steps of the output; the mean over time alone
    may round otherwise, everything else is the same integers."""
    return 1e-5 if precision == "float32" else 2.001 * float(whole._output["quantization"][0])


def frames_of(spec: FrontendSpec, seed: int = 0, n: int = 300) -> Floats:
    return _long(spec, seed)[:n]


@functools.cache
def _long(spec: FrontendSpec, seed: int) -> Floats:
    return extract(speech(7.1, seed=seed), spec)


def loudest(frames: Floats) -> float:
    return float(frames[:, 0].max())


def push(classifier: StreamingClassifier, frames: Floats, cuts: Sequence[int]) -> None:
    for piece in np.split(frames, sorted(cuts)):
        classifier.push(piece)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 300), max_size=40), st.integers(0, 3))
def test_a_window_in_pieces_is_the_whole_window(
    streaming: StreamingClassifier,
    whole: Classifier,
    tolerance: float,
    cuts: list[int],
    seed: int,
) -> None:
    frames = frames_of(streaming.contract.frontend, seed)
    expected = whole.logits(frames)
    streaming.reset(loudest(frames))
    push(streaming, frames, cuts)
    streaming.finish()
    np.testing.assert_allclose(streaming.logits(), expected, atol=tolerance, rtol=0)
    np.testing.assert_allclose(streaming.probabilities().sum(), 1, rtol=1e-5)


def test_frame_by_frame(
    streaming: StreamingClassifier, whole: Classifier, tolerance: float
) -> None:
    frames = frames_of(streaming.contract.frontend, 1)
    streaming.reset(loudest(frames))
    push(streaming, frames, range(1, 300))
    streaming.finish()
    np.testing.assert_allclose(streaming.logits(), whole.logits(frames), atol=tolerance, rtol=0)


@settings(max_examples=15, deadline=None)
@given(st.integers(30, 700), st.lists(st.integers(0, 700), max_size=10))
def test_any_length_is_the_same_however_it_is_cut(
    streaming: StreamingClassifier, n: int, cuts: list[int]
) -> None:
    """With the level relative to the loudest frame up to now, and at every moment."""
    frames = frames_of(streaming.contract.frontend, 2, n)
    streaming.reset()
    streaming.push(frames)
    before = streaming.logits() if streaming.steps else None
    streaming.finish()
    at_once = streaming.logits()
    streaming.reset()
    push(streaming, frames, [cut for cut in cuts if cut < n])
    if before is not None:
        np.testing.assert_array_equal(streaming.logits(), before)
    streaming.finish()
    np.testing.assert_array_equal(streaming.logits(), at_once)


def test_windows_are_independent(streaming: StreamingClassifier) -> None:
    spec = streaming.contract.frontend

    def answer(seed: int) -> Floats:
        streaming.reset()
        streaming.push(frames_of(spec, seed))
        streaming.finish()
        return streaming.logits()

    first = answer(0)
    assert not np.array_equal(answer(1), first)
    np.testing.assert_array_equal(answer(0), first)


def test_each_row_is_computed_once(
    streaming: StreamingClassifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hop costs what its frames cost, however many came before."""
    calls = []

    def counted(signature: _Signature, rows: Mapping[str, Rows]) -> Rows:
        calls.append(rows)
        return compute(signature, rows)

    compute = _Signature.__call__
    monkeypatch.setattr(_Signature, "__call__", counted)
    streaming.reset()
    costs = []
    for hop in np.split(frames_of(streaming.contract.frontend, 0, 400), 8):
        calls.clear()
        streaming.push(hop)
        costs.append(len(calls))
    # the first hops fill what later stages wait for
    assert max(costs[-4:]) - min(costs[-4:]) <= len(streaming.contract.streaming)
    frames = {"frames": 1}
    for stage, its in zip(streaming.contract.streaming, streaming._stages, strict=True):
        (every,) = {frames[name] * stage.step for name in its.taken}
        frames[stage.signature] = every
    assert sum(costs) <= sum(1 + 400 / every for name, every in frames.items() if name != "frames")


def test_level_is_relative_to_the_loudest_frame_so_far(streaming: StreamingClassifier) -> None:
    norm = streaming.contract.normalization
    frames = frames_of(streaming.contract.frontend)
    known = np.full(len(frames), loudest(frames), np.float32)
    np.testing.assert_allclose(relative_to(known, frames, norm), norm.apply(frames), atol=1e-6)
    causal = relative_to(np.maximum.accumulate(frames[:, 0]), frames, norm)
    for k in (1, 17, 120):
        np.testing.assert_allclose(causal[k - 1], norm.apply(frames[:k])[-1], atol=1e-6)


def test_there_is_no_answer_before_the_first_step(streaming: StreamingClassifier) -> None:
    frames = frames_of(streaming.contract.frontend)
    streaming.reset()
    streaming.push(frames[:0])
    streaming.push(frames[:1])
    assert streaming.steps == 0
    with pytest.raises(AudioError, match="too few frames for an answer: push more"):
        streaming.logits()
    streaming.push(frames[1:])
    assert streaming.steps > 0
    assert np.isfinite(streaming.logits()).all()


def test_after_the_end_comes_a_reset(streaming: StreamingClassifier) -> None:
    frames = frames_of(streaming.contract.frontend)
    streaming.reset()
    streaming.push(frames)
    streaming.finish()
    with pytest.raises(SpecError, match="the utterance has ended; reset"):
        streaming.push(frames)
    streaming.reset()
    streaming.push(frames)


def test_threads_do_not_change_the_answer(path: Path, streaming: StreamingClassifier) -> None:
    frames = frames_of(streaming.contract.frontend)
    two = StreamingClassifier(path, threads=2)
    answers = []
    for classifier in (streaming, two):
        classifier.reset()
        classifier.push(frames)
        answers.append(classifier.logits())
    np.testing.assert_allclose(*answers, atol=1e-4)


def test_each_class_refuses_the_other_form(path: Path, name: str) -> None:
    with pytest.raises(ModelError, match="is a streaming form, which takes frames as they come"):
        Classifier(path)
    with pytest.raises(
        ModelError, match=r"takes whole windows; .* emopi convert RUN .*--streaming"
    ):
        StreamingClassifier(MODELS / f"{name}.tflite")


def test_a_contract_of_other_stages(path: Path, tmp_path: Path) -> None:
    flatbuffer, contract = read(path)
    other = dataclasses.replace(contract, streaming=(Stage("nothing", 1, 1, 0, 0),))
    broken = tmp_path / "model.tflite"
    broken.write_bytes(attach(flatbuffer, other))
    with pytest.raises(ModelError, match=r"lacks a part of its streaming form .*; convert anew"):
        StreamingClassifier(broken)
    backwards = dataclasses.replace(contract, streaming=contract.streaming[::-1])
    broken.write_bytes(attach(flatbuffer, backwards))
    with pytest.raises(ModelError, match=r"takes streaming_\d+, which nothing gives"):
        StreamingClassifier(broken)
    first, *rest = contract.streaming
    wrong = dataclasses.replace(first, taken=first.taken + 1)
    broken.write_bytes(attach(flatbuffer, dataclasses.replace(contract, streaming=(wrong, *rest))))
    with pytest.raises(ModelError, match="convert anew"):
        StreamingClassifier(broken)
