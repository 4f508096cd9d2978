"""A wearer's profile: what it learns, what it refuses, and that the pipeline uses it."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from support import MODELS, run_emopi, speech

from emopi.device.classifier import Classifier
from emopi.device.errors import ProfileError
from emopi.device.gate import LEVEL_ALONE
from emopi.device.pipeline import Pipeline, classify, decisions
from emopi.device.profile import (
    BIAS_PENALTY,
    ORDINARY_PENALTY,
    WEIGHT_PENALTY,
    Example,
    Profile,
    fit_bias,
    fit_map,
    read_profile,
    write_profile,
)
from emopi.device.sources.audio import ArraySource

LABELS = ("calm", "happy", "angry")
MODEL = MODELS / "cnn-int8.tflite"


def a_profile(*examples: tuple[str, tuple[float, ...]]) -> Profile:
    """One for an imaginary model of three labels."""
    return Profile("imaginary", LABELS, tuple(Example(*example) for example in examples))


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    """The shipped int8 CNN."""
    return Classifier(MODEL)


def test_without_examples_changes_nothing() -> None:
    """Identity, but for probabilities raised to the floor."""
    row = np.float32([0.2, 0.7, 0.1])
    np.testing.assert_allclose(a_profile().adjust(row), row, atol=1e-6)


def test_turns_answers_towards_the_wearer() -> None:
    """A wearer whose anger the model takes for joy is understood after a few clips."""
    mistaken = (0.1, 0.55, 0.35)
    profile = a_profile(
        ("angry", mistaken), ("angry", (0.1, 0.5, 0.4)), ("happy", (0.05, 0.9, 0.05)),
        ("calm", (0.8, 0.1, 0.1)),
    )  # fmt: skip
    assert np.argmax(profile.adjust(np.float32([0.1, 0.56, 0.34]))) == 2
    assert np.argmax(profile.adjust(np.float32([0.04, 0.92, 0.04]))) == 1
    assert np.argmax(profile.adjust(np.float32([0.9, 0.05, 0.05]))) == 0
    assert profile.left_out() == (2, 4)


@given(
    st.lists(
        st.tuples(st.sampled_from(LABELS), st.lists(st.floats(0.01, 1), min_size=3, max_size=3)),
        max_size=12,
    ),
    st.lists(st.floats(0, 1), min_size=3, max_size=3),
)
def test_gives_probabilities(examples: list[tuple[str, list[float]]], row: list[float]) -> None:
    """Whatever it was taught and whatever it is asked: positive, finite, of sum 1."""
    normalized = [(label, tuple(p / sum(ps) for p in ps)) for label, ps in examples]
    adjusted = a_profile(*normalized).adjust(np.float32(row))
    assert adjusted.dtype == np.float32
    assert (adjusted >= 0).all()
    assert adjusted.sum() == pytest.approx(1, abs=1e-5)


def test_map_is_the_minimum() -> None:
    """The gradient of the penalized cross-entropy vanishes there, computed another way."""
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(20, 4)) * 3
    truth = rng.integers(0, 4, 20).tolist()
    start = rng.normal(size=4)
    weights, bias = fit_map(rows, truth, start)

    def loss(w: np.ndarray, b: np.ndarray) -> float:
        logits = rows @ w.T + b
        log_sum = np.log(np.exp(logits).sum(axis=1))
        cross_entropy = (log_sum - logits[np.arange(20), truth]).sum()
        held = WEIGHT_PENALTY * np.square(w - np.eye(4)).sum()
        held += BIAS_PENALTY * np.square(b - start).sum()
        return float(cross_entropy + held / 2)

    best = loss(weights, bias)
    for _ in range(50):
        away_w, away_b = rng.normal(size=(4, 4)) * 1e-3, rng.normal(size=4) * 1e-3
        assert loss(weights + away_w, bias + away_b) > best


def test_ordinary_speech_leans_to_neutral() -> None:
    """A voice that always sounds sad is no longer sad, and stays angry when it is clearly so."""
    sad_voice = {"neutral": 0.35, "sad": 0.5, "angry": 0.15}
    profile = Profile("imaginary", tuple(sad_voice)).with_example(None, sad_voice)
    assert np.argmax(profile.adjust(np.float32([0.35, 0.5, 0.15]))) == 0
    assert np.argmax(profile.adjust(np.float32([0.05, 0.05, 0.9]))) == 2
    longer = profile
    for _ in range(30):
        longer = longer.with_example(None, sad_voice)
    row = np.float32([0.2, 0.5, 0.3])
    np.testing.assert_allclose(longer.adjust(row), profile.adjust(row), atol=1e-5)
    with pytest.raises(ProfileError, match="has no label 'neutral'"):
        a_profile().with_example(None, dict.fromkeys(LABELS, 1 / 3))


def test_bias_is_the_minimum() -> None:
    """Where the mean cross-entropy and the penalty balance: the gradient, written out."""
    rows = np.random.default_rng(1).normal(size=(9, 4)) * 2
    bias = fit_bias(rows, 2)
    shares = np.exp(rows + bias)
    shares /= shares.sum(axis=1, keepdims=True)
    gradient = shares.mean(axis=0) - np.eye(4)[2] + ORDINARY_PENALTY * bias
    np.testing.assert_allclose(gradient, 0, atol=1e-9)


def test_round_trip(tmp_path: Path, classifier: Classifier) -> None:
    """What is written is read again, and only whole files appear."""
    contract = classifier.contract
    uniform = dict.fromkeys(contract.labels, 1 / 8)
    profile = Profile.empty(contract).with_example("happy", uniform).with_example(None, uniform)
    write_profile(profile, tmp_path / "me.json")
    assert read_profile(tmp_path / "me.json", contract) == profile
    assert [path.name for path in tmp_path.iterdir()] == ["me.json"]
    with pytest.raises(ProfileError, match="No such file or directory; choose another --out"):
        write_profile(profile, tmp_path / "nowhere" / "me.json")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": 2}, "version is 2; this emopi knows 1"),
        ({"model": "lstm-int8-00000000"}, "was made with the model lstm-int8-00000000"),
        ({"extra": 1}, "unknown field 'extra'"),
        ({"labels": ["calm"]}, "label is 'happy'; expected one of: calm"),
        ({"examples": [{"label": "happy", "probabilities": [0.5]}]}, "has 1 probabilities"),
        ({"examples": [{"label": "happy", "probabilities": [9.0] * 8}]}, "outside 0 to 1"),
        ({"examples": [{"label": "happy", "probabilities": ["x"] * 8}]}, "malformed"),
        ({"examples": 3}, "malformed"),
        ({"ordinary": [[0.5]]}, "has 1 probabilities"),
        ({"ordinary": ["x"]}, "malformed"),
    ],
)
def test_refuses_what_is_no_profile(
    change: dict[str, object], message: str, tmp_path: Path, classifier: Classifier
) -> None:
    """What was found, with the file's name."""
    contract = classifier.contract
    good = Profile.empty(contract).with_example("happy", dict.fromkeys(contract.labels, 1 / 8))
    path = tmp_path / "me.json"
    path.write_text(json.dumps(good.to_json() | change))
    with pytest.raises(ProfileError, match=message) as caught:
        read_profile(path, contract)
    assert "me.json" in str(caught.value)


@pytest.mark.parametrize("content", ["", "[]", "3", "{", "\x00\x01"])
def test_refuses_other_files(content: str, tmp_path: Path, classifier: Classifier) -> None:
    """Anything at all may stand in a file."""
    (tmp_path / "x").write_text(content)
    with pytest.raises(ProfileError):
        read_profile(tmp_path / "x", classifier.contract)


def test_pipeline_uses_it(classifier: Classifier) -> None:
    """Decisions are those of the model alone, adjusted; another model's profile is refused."""
    samples = speech(5.0)
    alone = list(decisions(ArraySource(samples, 16_000), Pipeline(classifier, gate=LEVEL_ALONE)))
    profile = Profile.empty(classifier.contract)
    for label in classifier.contract.labels[:4]:
        profile = profile.with_example(label, alone[0].probabilities)
    turned = Pipeline(classifier, gate=LEVEL_ALONE, profile=profile)
    heard = list(decisions(ArraySource(samples, 16_000), turned))
    assert len(heard) == len(alone) > 2
    for before, after in zip(alone, heard, strict=True):
        row = np.float32(list(before.probabilities.values()))
        expected = profile.adjust(row)
        np.testing.assert_allclose(list(after.probabilities.values()), expected, atol=1e-6)
        said = after.probabilities.get(after.label, expected.max())
        assert after.confidence == pytest.approx(said, abs=1e-6)
    whole = classify(ArraySource(samples, 16_000), classifier, profile)
    assert whole.probabilities != classify(ArraySource(samples, 16_000), classifier).probabilities
    with pytest.raises(ProfileError, match="made with the model other"):
        Pipeline(classifier, profile=dataclasses.replace(profile, model="other"))


def test_command_line(tmp_path: Path) -> None:
    """Examples add up over runs; classify and listen take the profile."""
    for seed, name in enumerate(("a", "b", "c")):
        soundfile.write(tmp_path / f"{name}.wav", speech(3.5, seed=seed), 16_000)
    out = tmp_path / "me.json"
    a, b, c = (tmp_path / f"{name}.wav" for name in "abc")
    first = run_emopi("calibrate", f"happy={a}", f"sad={b}", "--out", out)
    assert first.returncode == 0, first.stderr
    assert "ordinary speech 0, happy 1, sad 1" in first.stdout
    assert "no clip yet of: neutral, calm, angry" in first.stdout
    second = run_emopi("calibrate", f"angry={c}", a, "--out", out, "--json")
    facts = json.loads(second.stdout)
    assert facts["n"] == 3
    assert facts["ordinary"] == 1
    assert facts["examples"]["angry"] == 1
    plain = json.loads(run_emopi("classify", "--json", a).stdout)
    mine = json.loads(run_emopi("classify", "--json", "--profile", out, a).stdout)
    assert mine["probabilities"]["happy"] > plain["probabilities"]["happy"]
    heard = run_emopi(
        "listen", "--source", a, "--fast", "--json", "--profile", out, "--detector", "none"
    )
    last = json.loads(heard.stdout.splitlines()[-1])
    assert last["probabilities"]["happy"] == pytest.approx(mine["probabilities"]["happy"], abs=0.01)


def test_command_line_refuses(tmp_path: Path) -> None:
    """Nothing is written, and what was there stays."""
    soundfile.write(tmp_path / "a.wav", speech(3.5), 16_000)
    soundfile.write(tmp_path / "silent.wav", np.zeros(48_000), 16_000)
    a, out = tmp_path / "a.wav", tmp_path / "me.json"
    for arguments, status, message in (
        ((), 2, "nothing to learn from"),
        ((tmp_path / "none.wav",), 1, "none.wav"),
        ((f"joyful={a}",), 1, "label is 'joyful'; expected one of: neutral"),
        ((f"happy={tmp_path / 'none.wav'}",), 1, "none.wav"),
        ((f"happy={a}", f"sad={tmp_path / 'silent.wav'}"), 1, "holds no speech"),
    ):
        result = run_emopi("calibrate", *arguments, "--out", out)
        assert (result.returncode, message in result.stderr) == (status, True), result.stderr
        assert not out.exists()
    out.write_text("mine, by hand")
    result = run_emopi("calibrate", f"happy={a}", "--out", out)
    assert result.returncode == 1
    assert "is not a profile" in result.stderr
    assert out.read_text() == "mine, by hand"
