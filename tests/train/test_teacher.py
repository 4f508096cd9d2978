"""Learning from another network: the loss, and that a teacher has seen no test clip."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from emopi.device.errors import RunError
from emopi.train.augment import Perturbation
from emopi.train.backend import load_model
from emopi.train.fit import fit
from emopi.train.recipe import Recipe
from emopi.train.run_record import RECORD, History, RunRecord
from emopi.train.teacher import Teacher, Teaching
from emopi.train.training import MODEL

pytest.importorskip("keras", reason="training needs TensorFlow")

SMALL = Recipe("cnn", epochs=2, window_frames=40, batch=128, perturbation=Perturbation(copies=0))
STUDENT = dataclasses.replace(SMALL, network="lstm")


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


def train(corpus: Path, out: Path, cache: Path, recipe: Recipe, **options) -> RunRecord:
    return fit(recipe, corpus, "paper-80-20", None, out, cache=cache, **options)


@pytest.fixture(scope="module")
def teacher(tiny_corpus: Path, cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("teacher") / "cnn"
    train(tiny_corpus, out, cache, SMALL)
    return out


def softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("share", [0.0, 0.7, 1.0])
def test_loss_is_the_formula(share: float) -> None:
    from emopi.train.taught_loss import TaughtLoss, accuracy

    rng = np.random.default_rng(0)
    student, teacher = rng.normal(0, 2, (2, 16, 8)).astype(np.float32)
    classes = rng.integers(0, 8, 16)
    labels = np.eye(8, dtype=np.float32)[classes]
    loss = TaughtLoss(share, 3.0, 0.1)
    targets = np.concatenate([labels, teacher], axis=1)
    told = -((0.9 * labels + 0.1 / 8) * np.log(softmax(student))).sum(axis=1)
    taught = -(softmax(teacher / 3) * np.log(softmax(student / 3))).sum(axis=1)
    expected = np.mean((1 - share) * told + share * 9 * taught)
    assert float(loss(targets, student)) == pytest.approx(expected, rel=1e-5)
    again = TaughtLoss.from_config(loss.get_config())
    assert float(again(targets, student)) == pytest.approx(expected, rel=1e-5)
    right = student.argmax(axis=1) == classes
    np.testing.assert_array_equal(np.array(accuracy(targets, student)), right)
    np.testing.assert_array_equal(np.array(accuracy(labels, student)), right)


def test_student_learns_is_interrupted_and_resumed(
    teacher: Path,
    tiny_corpus: Path,
    cache: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("emopi.train.training.SAVE_EVERY_S", 0.0)

    def watch(entry: dict[str, float]) -> None:
        if entry["epoch"] == 2:
            raise KeyboardInterrupt

    out = tmp_path / "lstm"
    recipe = dataclasses.replace(STUDENT, epochs=3)
    with pytest.raises(RunError, match="interrupted"):
        train(tiny_corpus, out, cache, recipe, teacher=teacher, watch=watch)
    with pytest.raises(RunError, match=r"was started with teacher = .*, now it is None"):
        train(tiny_corpus, out, cache, recipe, resume=True)
    record = train(tiny_corpus, out, cache, recipe, teacher=teacher, resume=True)
    assert record.teacher is not None
    assert record.teacher["network"] == "cnn"
    assert len(record.teacher["run_sha256"]) == 64
    assert record.teacher | dataclasses.asdict(Teaching()) == record.teacher
    losses = [entry["loss"] for entry in History.read(out).epochs]
    assert losses[2] < losses[0]
    window = np.random.default_rng(0).normal(size=(1, 40, 40)).astype(np.float32)
    assert load_model(out / MODEL).predict(window, verbose=0).shape == (1, 8)


def test_student_comes_closer_to_its_teacher(
    teacher: Path, tiny_corpus: Path, cache: Path, tmp_path: Path
) -> None:
    """Than to a teacher that it has not had: one with other weights."""
    other = tmp_path / "other"
    train(tiny_corpus, other, cache, dataclasses.replace(SMALL, seed=5, epochs=1))
    run = tmp_path / "lstm"
    train(tiny_corpus, run, cache, dataclasses.replace(STUDENT, epochs=6), teacher=teacher)
    windows = np.random.default_rng(0).normal(size=(64, 40, 40)).astype(np.float32)
    answers = softmax(load_model(run / MODEL).predict(windows, verbose=0))
    near, far = (
        np.abs(softmax(Teacher(one).logits(windows)) - answers).mean() for one in (teacher, other)
    )
    assert near < far


def test_a_teacher_that_has_heard_other_clips_is_refused(
    teacher: Path, tiny_corpus: Path, cache: Path, tmp_path: Path
) -> None:
    out = tmp_path / "lstm"
    with pytest.raises(RunError, match="cannot teach: it was trained with fold = 'seed0', this"):
        fit(STUDENT, tiny_corpus, "paper-80-20", "seed1", out, cache=cache, teacher=teacher)
    with pytest.raises(RunError, match=r"with validation_share = 0\.0, this training has 0\.1"):
        train(tiny_corpus, out, cache, STUDENT, teacher=teacher, validation_share=0.1)
    short = dataclasses.replace(STUDENT, window_frames=30)
    with pytest.raises(RunError, match="window_frames = 40, this training has 30; expected the"):
        train(tiny_corpus, out, cache, short, teacher=teacher)
    with pytest.raises(RunError, match=r"is not a run folder: it has no run\.json"):
        train(tiny_corpus, out, cache, STUDENT, teacher=tmp_path)
    unfinished = tmp_path / "unfinished"
    unfinished.mkdir()
    record = json.loads((teacher / RECORD).read_text()) | {"finished": False}
    (unfinished / RECORD).write_text(json.dumps(record))
    with pytest.raises(RunError, match="unfinished cannot teach: its training is not finished"):
        train(tiny_corpus, out, cache, STUDENT, teacher=unfinished)
    assert not out.exists()
