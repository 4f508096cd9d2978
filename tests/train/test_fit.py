"""Training: it learns, it is interrupted and resumed, and it never sees a test clip."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from support import invoke, run_emopi

from emopi.device.errors import RunError
from emopi.device.files import write_atomically
from emopi.train import commands
from emopi.train import fit as fit_module
from emopi.train.augment import Perturbation
from emopi.train.backend import load_model
from emopi.train.corpora import Ravdess
from emopi.train.fit import fit, training_side
from emopi.train.recipe import Recipe, default_recipe
from emopi.train.run_record import History, RunRecord, in_use, own_folder
from emopi.train.splits import load_protocol
from emopi.train.training import CHECKPOINT, MODEL

pytest.importorskip("keras", reason="training needs TensorFlow")

SMALL = Recipe("cnn", epochs=3, window_frames=40, batch=128, perturbation=Perturbation(copies=1))


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


def train(corpus: Path, out: Path, cache: Path, recipe: Recipe = SMALL, **options) -> RunRecord:
    return fit(recipe, corpus, "paper-80-20", None, out, cache=cache, **options)


@pytest.fixture(scope="module")
def finished(tiny_corpus: Path, cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("run") / "cnn"
    train(tiny_corpus, out, cache)
    return out


def test_run_folder(finished: Path) -> None:
    record = RunRecord.read(finished)
    assert record.finished
    assert record.epochs_done == 3
    assert record.corpus["train"] == 1152
    assert record.corpus["test"] == 288
    assert record.recipe["seed"] == 0
    assert {"python", "tensorflow", "keras", "numpy"} <= set(record.versions)
    assert sorted(p.name for p in finished.iterdir()) == ["history.json", MODEL, "run.json"]
    epochs = History.read(finished).epochs
    assert [entry["epoch"] for entry in epochs] == [1, 2, 3]


@pytest.mark.parametrize("network", ["cnn", "lstm"])
def test_learns(tiny_corpus: Path, cache: Path, tmp_path: Path, network: str) -> None:
    recipe = dataclasses.replace(SMALL, network=network, epochs=8)
    train(tiny_corpus, tmp_path / "run", cache, recipe, validation_share=0.1)
    epochs = History.read(tmp_path / "run").epochs
    assert epochs[-1]["loss"] < epochs[0]["loss"] - 0.3
    assert epochs[-1]["validation_accuracy"] > 0.3  # chance: 0.133
    assert RunRecord.read(tmp_path / "run").corpus["validation"] == 115


def interrupt_after(epoch: int):
    def watch(entry: dict[str, float]) -> None:
        if entry["epoch"] == epoch + 1:
            raise KeyboardInterrupt

    return watch


def test_resumed_run_gives_the_undisturbed_model(
    finished: Path, tiny_corpus: Path, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("emopi.train.training.SAVE_EVERY_S", 0.0)
    out = tmp_path / "run"
    with pytest.raises(RunError, match=r"interrupted; .* Go on with the same command and --resume"):
        train(tiny_corpus, out, cache, watch=interrupt_after(1))
    assert (out / CHECKPOINT).exists()
    assert not RunRecord.read(out).finished
    assert RunRecord.read(out).epochs_done == 1
    record = train(tiny_corpus, out, cache, resume=True)
    assert record.finished
    assert not (out / CHECKPOINT).exists()
    whole = History.read(finished).epochs
    resumed = History.read(out).epochs
    assert [e["epoch"] for e in resumed] == [1, 2, 3]
    assert [e["loss"] for e in resumed] == pytest.approx([e["loss"] for e in whole], rel=2e-3)
    models = [load_model(folder / MODEL) for folder in (finished, out)]
    window = np.random.default_rng(0).normal(size=(1, 40, 40)).astype(np.float32)
    logits = [model.predict(window, verbose=0) for model in models]
    np.testing.assert_allclose(logits[0], logits[1], atol=0.02)


def test_resume_without_checkpoint_starts_anew(
    tiny_corpus: Path, cache: Path, tmp_path: Path
) -> None:
    with pytest.raises(RunError, match="interrupted"):
        train(tiny_corpus, tmp_path / "run", cache, watch=interrupt_after(0))
    assert train(tiny_corpus, tmp_path / "run", cache, resume=True).epochs_done == 3


def test_resuming_a_finished_run_changes_nothing(
    finished: Path, tiny_corpus: Path, cache: Path
) -> None:
    before = {p.name: p.read_bytes() for p in finished.iterdir()}
    train(tiny_corpus, finished, cache, resume=True)
    assert {p.name: p.read_bytes() for p in finished.iterdir()} == before


def test_refusals(finished: Path, tiny_corpus: Path, cache: Path, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="exists and is not empty; add --resume to go on"):
        train(tiny_corpus, finished, cache)
    with pytest.raises(RunError, match=r"is not a run folder: it has no run\.json"):
        train(tiny_corpus, tmp_path, cache, resume=True)
    other = dataclasses.replace(SMALL, epochs=4)
    with pytest.raises(RunError, match="was started with epochs = 3, now it is 4; resume with"):
        train(tiny_corpus, finished, cache, other, resume=True)


def test_test_clips_take_no_part(
    tiny_corpus: Path, finished: Path, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    utterances = Ravdess.read(tiny_corpus)
    record = RunRecord.read(finished)
    side = {u.clip_id for u in training_side(utterances, record)}
    test = load_protocol("paper-80-20").fold("seed0").test
    assert not side & test
    # and what really goes into the batches and the statistics
    given = []

    class Stop(Exception):
        pass

    def catch(data, indices, *_: object) -> None:
        given.append({data.clip_ids[k] for k in indices})
        raise Stop

    monkeypatch.setattr(fit_module, "statistics", catch)
    with pytest.raises(Stop):
        train(tiny_corpus, tmp_path / "run", cache)
    assert given == [side]
    monkeypatch.undo()
    samplers = []

    class Caught(fit_module.Training):
        def __init__(self, *arguments: object) -> None:
            samplers.append(arguments[2])
            raise Stop

    monkeypatch.setattr(fit_module, "Training", Caught)
    with pytest.raises(Stop):
        train(tiny_corpus, tmp_path / "other", cache)
    assert {samplers[0].data.clip_ids[k] for k in samplers[0].indices} == side
    held_out = dataclasses.replace(record, validation_share=0.1)
    assert len(training_side(utterances, held_out)) == 1152 - 115


def test_validation_clips_are_trained_on_if_asked_for(tiny_corpus: Path, finished: Path) -> None:
    utterances = Ravdess.read(tiny_corpus)
    fold = load_protocol("upm-5").fold("fold1")
    for with_validation, speakers in ((False, 17), (True, 19)):
        recipe = dataclasses.asdict(dataclasses.replace(SMALL, with_validation=with_validation))
        record = dataclasses.replace(
            RunRecord.read(finished), protocol="upm-5", fold="fold1", recipe=recipe
        )
        side = training_side(utterances, record)
        assert len({utterance.speaker for utterance in side}) == speakers
        assert not fold.test & {utterance.clip_id for utterance in side}


def test_two_trainings_do_not_share_a_folder(
    tiny_corpus: Path, cache: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    with own_folder(out, resume=False):
        assert in_use(out)
        with pytest.raises(RunError, match="another training is writing to"):
            train(tiny_corpus, out, cache)
    assert not out.exists()
    assert not in_use(out)


def test_unusable_out_is_found_at_once(tiny_corpus: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(RunError, match="cannot be written: Not a directory; choose another --out"):
        train(tiny_corpus, tmp_path / "file" / "run", tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


def test_damaged_checkpoint(
    tiny_corpus: Path, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("emopi.train.training.SAVE_EVERY_S", 0.0)
    out = tmp_path / "run"
    with pytest.raises(RunError, match="interrupted"):
        train(tiny_corpus, out, cache, watch=interrupt_after(1))
    content = (out / CHECKPOINT).read_bytes()
    for damaged in (content[: len(content) // 2], b""):
        (out / CHECKPOINT).write_bytes(damaged)
        with pytest.raises(RunError, match="is damaged; delete it, and --resume starts again"):
            train(tiny_corpus, out, cache, resume=True)


def test_default_recipe() -> None:
    assert default_recipe("cnn", epochs=None, batch=64, seed=0).epochs >= 100
    assert default_recipe("lstm", epochs=7, batch=32, seed=5).epochs == 7
    assert default_recipe("cnn", epochs=None, batch=64, seed=0).views == (0.88, 1.0, 1.12)
    assert default_recipe("lstm", epochs=None, batch=64, seed=0).views == (1.0,)


@pytest.mark.parametrize("n_views", [1, 3])
def test_views_by_the_command_line(
    tiny_corpus: Path, finished: Path, monkeypatch: pytest.MonkeyPatch, n_views: int
) -> None:
    asked = []

    def fit_nothing(recipe: Recipe, *_: object, **__: object) -> RunRecord:
        asked.append(recipe)
        return RunRecord.read(finished)

    monkeypatch.setenv("KERAS_BACKEND", "tensorflow")  # which the command sets for good
    monkeypatch.setattr("emopi.train.fit.fit", fit_nothing)
    arguments = "lstm", "--corpus", tiny_corpus, "--out", finished, "--views", n_views
    assert "trained for 3 epochs" in invoke(commands.train, *arguments)
    assert [len(recipe.views) for recipe in asked] == [n_views]


def test_damaged_record(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text("{")
    with pytest.raises(RunError, match="cannot be read"):
        RunRecord.read(tmp_path)
    (tmp_path / "run.json").write_text(json.dumps({"network": "cnn"}))
    with pytest.raises(RunError, match="cannot be read"):
        RunRecord.read(tmp_path)


def test_atomic_write_leaves_the_old_file_on_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.json"
    write_atomically(path, b"old")

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("emopi.train.run_record.os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_command_line_errors(tmp_path: Path, tiny_corpus: Path) -> None:
    done = run_emopi("train", "cnn", "--corpus", tmp_path, "--out", tmp_path / "run")
    assert done.returncode == 1
    assert "holds no RAVDESS speech clip" in done.stderr
    assert not (tmp_path / "run").exists()
    done = run_emopi("train", "cnn", "--corpus", tiny_corpus, "--out", tmp_path / "run",
                     "--protocol", "best-of-ten")  # fmt: skip
    assert done.returncode == 1
    assert "no protocol 'best-of-ten'; expected one of: all, emobox-6" in done.stderr
    assert run_emopi("train", "gru", "--corpus", tmp_path, "--out", tmp_path).returncode == 2
