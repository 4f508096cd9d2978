"""Figures: that they show the data that goes in, and leave everything else as it was."""

from __future__ import annotations

import contextlib
import io
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from support import MODELS, speech

from emopi.device.classifier import Classifier
from emopi.device.decision import DecisionSettings
from emopi.device.errors import MissingExtraError
from emopi.device.frontend import extract
from emopi.device.gate import LEVEL_ALONE
from emopi.device.pipeline import Pipeline, decisions
from emopi.device.sources.audio import FileSource
from emopi.train.corpora import LABELS
from emopi.train.evaluation import figures
from emopi.train.evaluation.summary import NO_ANSWER, ModelSummary, Outcome, summarize
from emopi.train.evaluation.trace import HOP_S, Trace, trace

matplotlib = pytest.importorskip("matplotlib", reason="figures need matplotlib")


def outcome(network: str, protocol: str, fold: str, answers: list[int]) -> Outcome:
    """Two clips of each label, one from each of two speakers."""
    n = 2 * len(LABELS)
    return Outcome(
        network=network,
        precision="int8",
        protocol=protocol,
        fold=fold,
        seed=0,
        labels=LABELS,
        clip_ids=tuple(f"clip {k}" for k in range(n)),
        speakers=("a", "b") * len(LABELS),
        truth=tuple(k // 2 for k in range(n)),
        answers=tuple(answers),
        probabilities=tuple((0.125,) * 8 for _ in range(n)),
    )


def models(*protocols: str) -> tuple[ModelSummary, ...]:
    """cnn all right, lstm wrong at its first two clips, with two folds each."""
    right = [k // 2 for k in range(16)]
    wrong = [1, NO_ANSWER, *right[2:]]
    return summarize(
        outcome(network, protocol, fold, answers)
        for network, answers in (("cnn", right), ("lstm", wrong))
        for protocol in protocols
        for fold in ("fold1", "fold2")
    ).models


def history(n: int) -> list[dict[str, float]]:
    entries: list[dict[str, float]] = []
    for epoch in range(1, n + 1):
        entry = {"epoch": epoch, "loss": 2 / epoch, "accuracy": 1 - 1 / epoch}
        entries.append(entry | ({"validation_accuracy": 0.5} if epoch % 2 == 0 else {}))
    return entries


@pytest.fixture(scope="module")
def heard(tmp_path_factory: pytest.TempPathFactory) -> Trace:
    path = tmp_path_factory.mktemp("clip") / "03-01-05-01-01-01-01.wav"
    soundfile.write(path, speech(3.5), 16_000)
    return trace(path, "angry", Classifier(MODELS / "cnn-int8.tflite"))


CURVES = {"cnn": {"upm-5": [history(6), history(4)]}, "lstm": {"upm-5": [history(4)]}}

DRAWINGS: dict[str, Callable[..., None]] = {
    "accuracies": lambda path, **options: figures.draw_accuracies(
        path, models("paper-80-20", "upm-5"), {"cnn": 0.93}, **options
    ),
    "confusion": lambda path, **options: figures.draw_confusion(path, models("a")[1], **options),
    "curves": lambda path, **options: figures.draw_curves(path, CURVES, **options),
    "unseen": lambda path, **options: figures.draw_random_against_unseen(
        path, models("paper-80-20", "upm-5", "new"), **options
    ),
}


def settings() -> dict[str, Any]:
    """All of matplotlib's but the backend, which would import pyplot if it were read."""
    return {name: matplotlib.rcParams[name] for name in matplotlib.rcParams if name != "backend"}


@pytest.mark.parametrize("name", sorted(DRAWINGS))
def test_file(name: str, tmp_path: Path) -> None:
    from PIL import Image

    style, before = settings(), set(sys.modules)
    path = tmp_path / "figure.png"
    DRAWINGS[name](path)
    assert settings() == style
    assert "matplotlib.pyplot" not in set(sys.modules) - before
    content = path.read_bytes()
    with Image.open(io.BytesIO(content)) as picture:
        assert 700 <= picture.width <= 1000
        assert len(picture.convert("RGB").getcolors(1 << 20)) > 10
    assert len(content) < 100_000
    DRAWINGS[name](path)
    assert path.read_bytes() == content
    DRAWINGS[name](path, mark="only a trial")
    assert path.read_bytes() != content
    assert list(tmp_path.iterdir()) == [path]


@contextlib.contextmanager
def caught(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """The matplotlib figures that are drawn meanwhile, instead of files."""
    from matplotlib.figure import Figure

    drawn: list[Any] = []

    @contextlib.contextmanager
    def page(_path: Path, *_options: object) -> Iterator[Any]:
        drawn.append(Figure())
        yield drawn[-1]

    with monkeypatch.context() as patch:
        patch.setattr(figures, "figure_page", page)
        yield drawn


def test_accuracies_show_ours_and_the_papers(monkeypatch: pytest.MonkeyPatch) -> None:
    with caught(monkeypatch) as drawn:
        DRAWINGS["accuracies"](Path())
    (axes,) = drawn[0].axes
    heights = sorted(bar.get_height() for bar in axes.patches)
    assert heights == [0.875, 0.875, 0.93, 1.0, 1.0]
    (stated,) = (bar for bar in axes.patches if bar.get_height() == 0.93)
    assert stated.get_hatch()  # another look than ours
    legend = [text.get_text() for text in axes.get_legend().get_texts()]
    assert legend == ["as the paper states", "paper-80-20", "upm-5 (unseen speakers)"]
    assert {text.get_text() for text in axes.texts} == {"88", "93", "100"}


def test_confusion_shows_counts_and_shares(monkeypatch: pytest.MonkeyPatch) -> None:
    with caught(monkeypatch) as drawn:
        DRAWINGS["confusion"](Path())
    axes = drawn[0].axes[0]
    cells = {tuple(map(round, text.get_position())): text.get_text() for text in axes.texts}
    assert cells.pop((1, 0)) == "50%\n2"  # neutral, called calm; in the other clips no speech
    assert cells == {(k, k): "100%\n4" for k in range(1, 8)}
    assert axes.get_title() == "lstm int8, a: accuracy 87.5%, 32 test clips"
    assert axes.images[0].get_array()[0, 1] == 0.5


def test_curves_are_means_over_folds(monkeypatch: pytest.MonkeyPatch) -> None:
    with caught(monkeypatch) as drawn:
        DRAWINGS["curves"](Path())
    cnn_loss, lstm_loss, cnn_accuracy, _ = drawn[0].axes
    thin, other, mean = cnn_loss.lines
    assert (len(thin.get_xdata()), len(other.get_xdata())) == (6, 4)
    np.testing.assert_allclose(mean.get_xdata(), [1, 2, 3, 4])
    np.testing.assert_allclose(mean.get_ydata(), [2, 1, 2 / 3, 0.5])
    assert len(lstm_loss.lines) == 1
    validation = cnn_accuracy.lines[-1]
    assert validation.get_label() == "upm-5, validation speakers"
    np.testing.assert_allclose(validation.get_xdata(), [2, 4])


def test_every_fold_is_a_point(monkeypatch: pytest.MonkeyPatch) -> None:
    with caught(monkeypatch) as drawn:
        DRAWINGS["unseen"](Path())
    (axes,) = drawn[0].axes
    points = [line for line in axes.lines if line.get_marker() == "o" and len(line.get_xdata())]
    assert len(points) == 6
    assert all(len(line.get_xdata()) == 2 for line in points)
    names = [label.get_text() for label in axes.get_xticklabels()]
    assert names == ["paper-80-20", "upm-5", "new"]


def test_clip(heard: Trace, tmp_path: Path) -> None:
    figures.draw_clip(tmp_path / "clip.png", heard)
    content = (tmp_path / "clip.png").read_bytes()
    assert 10_000 < len(content) < 120_000
    figures.draw_clip(tmp_path / "clip.png", heard)
    assert (tmp_path / "clip.png").read_bytes() == content


def test_clip_shows_the_probabilities(heard: Trace, monkeypatch: pytest.MonkeyPatch) -> None:
    with caught(monkeypatch) as drawn:
        figures.draw_clip(Path(), heard)
    lines = {line.get_label(): line for axes in drawn[0].axes for line in axes.lines}
    for k, label in enumerate(LABELS):
        np.testing.assert_array_equal(lines[label].get_ydata(), heard.probabilities[:, k])
    widths = {label: lines[label].get_linewidth() for label in LABELS}
    assert max(widths, key=lambda label: widths[label]) == "angry"


def test_trace_is_what_the_device_computes(heard: Trace, tmp_path: Path) -> None:
    classifier = Classifier(MODELS / "cnn-int8.tflite")
    spec = classifier.contract.frontend
    assert (heard.clip_id, heard.label) == ("03-01-05-01-01-01-01", "angry")
    assert len(heard.samples) == 56_000
    frames = extract(heard.samples, spec)
    np.testing.assert_allclose(heard.mfccs, classifier.contract.normalization.apply(frames))
    # the mel energies give the MFCCs: DCT-II and lifter as in the front end's sources
    n = np.arange(spec.n_mfcc)
    k = np.arange(spec.n_mels)[:, None]
    dct = np.sqrt(2 / spec.n_mels) * np.cos(np.pi * n * (2 * k + 1) / (2 * spec.n_mels))
    dct[:, 0] /= np.sqrt(2)
    lifter = 1 + spec.lifter / 2 * np.sin(np.pi * n / spec.lifter)
    np.testing.assert_allclose(heard.log_mels @ dct * lifter, frames, atol=1e-2)
    # and what it says is what `emopi listen` says of silence and then the clip
    before = np.zeros(spec.samples_in(classifier.contract.window_frames), np.float32)
    path = tmp_path / "with-silence.wav"
    soundfile.write(path, np.concatenate([before, heard.samples]), 16_000, subtype="FLOAT")
    pipeline = Pipeline(classifier, DecisionSettings(hop_s=HOP_S), gate=LEVEL_ALONE)
    said = list(decisions(FileSource(path, 16_000), pipeline))
    assert len(said) == len(heard.times_s) == len(heard.probabilities)
    assert heard.times_s[0] == 0
    np.testing.assert_allclose(np.diff(heard.times_s)[:-1], HOP_S, atol=1e-5)
    assert np.isnan(heard.probabilities[0]).all()  # nothing but silence yet
    for one, row in zip(said[5:], heard.probabilities[5:], strict=True):
        np.testing.assert_allclose(list(one.probabilities.values()), row, atol=1e-5)


def test_a_failure_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "figure.png"
    path.write_bytes(b"old")

    def fail(*_: object) -> None:
        raise ValueError("no such colour")

    monkeypatch.setattr(figures, "_draw_folds", fail)
    with pytest.raises(ValueError, match="no such colour"):
        DRAWINGS["curves"](path)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_says_which_extra_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingExtraError, match=r"matplotlib, .* pip install 'emopi\[train\]'"):
        DRAWINGS["curves"](tmp_path / "figure.png")
