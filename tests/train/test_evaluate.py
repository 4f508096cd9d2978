"""`emopi evaluate`: one model, a folder of them, and what must not be scored."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner
from support import MODELS, run_emopi

from emopi.device.contract import Contract, attach, read
from emopi.device.errors import CorpusError, ModelError, SpecError
from emopi.train.corpora import Ravdess, Savee, Utterance, ids_hash, read_corpora
from emopi.train.evaluation.command import evaluate as command
from emopi.train.evaluation.evaluate import Evaluation, evaluate, training_clips
from emopi.train.evaluation.folder import evaluate_folder
from emopi.train.evaluation.summary import Outcome
from emopi.train.splits import load_protocol

SHIPPED = "cnn-int8"


def trained_for(
    path: Path, protocol: str, fold: str, *, shipped: str = SHIPPED, seed: int = 0, **more: Any
) -> Path:
    """A shipped network whose contract says that it was trained for that fold of RAVDESS."""
    flatbuffer, contract = read(MODELS / f"{shipped}.tflite")
    recipe = contract.training["recipe"] | {"seed": seed}
    training = {"corpus": "ravdess", "protocol": protocol, "fold": fold, "recipe": recipe} | more
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(attach(flatbuffer, dataclasses.replace(contract, training=training)))
    return path


@pytest.fixture(scope="module")
def savee(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty clips of SAVEE: four speakers, five emotions, half a second of noise each."""
    folder = tmp_path_factory.mktemp("savee")
    for number, speaker in enumerate(("DC", "JE", "JK", "KL")):
        for emotion in ("a", "h", "n", "sa", "su"):
            samples = np.random.default_rng(number).normal(0, 0.1, 8000)
            soundfile.write(folder / f"{speaker}_{emotion}01.wav", samples, 16_000)
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Models of emobox-6: two folds of the CNN in int8, in other names and folders; one of LSTM."""
    out = tmp_path_factory.mktemp("models")
    trained_for(out / "b.tflite", "emobox-6", "fold1")
    trained_for(out / "deep" / "er" / "a.tflite", "emobox-6", "fold2")
    trained_for(out / "c.tflite", "emobox-6", "fold2", shipped="lstm-float32")
    (out / "._b.tflite").write_bytes(b"\0\5\x16\7")
    (out / "notes.md").write_text("not a model")
    return out


@pytest.fixture(scope="module")
def evaluated(folder: Path, tiny_corpus: Path) -> dict[str, Any]:
    """What the command prints of the folder."""
    done = run_emopi(
        "evaluate", folder, "--corpus", tiny_corpus, "--protocol", "emobox-6", "--json", "--jobs", 2
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


class TestFolder:
    def test_each_model_on_its_own_fold(
        self, evaluated: dict[str, Any], folder: Path, tiny_corpus: Path
    ) -> None:
        files = [Path(one["file"]).relative_to(folder).as_posix() for one in evaluated["folds"]]
        assert files == ["b.tflite", "deep/er/a.tflite", "c.tflite"]
        assert [one["fold"] for one in evaluated["folds"]] == ["fold1", "fold2", "fold2"]
        for one in evaluated["folds"]:
            alone = evaluate(Path(one["file"]), tiny_corpus, "emobox-6")
            assert one == {"file": one["file"]} | json.loads(json.dumps(alone.to_json()))
            assert one["n"] == 240
            test = load_protocol("emobox-6").fold(one["fold"]).test
            assert {u.clip_id for u in alone.utterances} == test

    def test_means_over_folds(self, evaluated: dict[str, Any]) -> None:
        cnn, lstm = evaluated["models"]
        assert (cnn["network"], cnn["precision"]) == ("cnn", "int8")
        assert (lstm["network"], lstm["precision"]) == ("lstm", "float32")
        folds = evaluated["folds"][:2]
        for key in ("accuracy", "uar", "macro_f1", "ece"):
            values = [one[key] for one in folds]
            assert cnn[key] == pytest.approx(np.mean(values))
            assert cnn["std"][key] == pytest.approx(np.std(values, ddof=1))
            assert lstm["std"][key] is None
        np.testing.assert_array_equal(
            cnn["confusion"], np.add(*(one["confusion"] for one in folds))
        )
        assert (cnn["n"], cnn["folds"], lstm["folds"]) == (480, 2, 1)
        assert cnn["missing"] == ["fold3", "fold4", "fold5", "fold6"]
        assert lstm["missing"] == ["fold1", "fold3", "fold4", "fold5", "fold6"]
        low, high = cnn["intervals"]["accuracy"]
        assert low <= np.trace(cnn["confusion"]) / 480 <= high
        assert set(cnn["recall"]) == set(cnn["labels"])

    def test_jobs_do_not_matter(
        self, evaluated: dict[str, Any], folder: Path, tiny_corpus: Path
    ) -> None:
        alone = evaluate_folder(folder, tiny_corpus, "emobox-6", jobs=1)
        assert json.loads(json.dumps(alone.to_json())) == evaluated

    def test_text(self, folder: Path, tiny_corpus: Path, evaluated: dict[str, Any]) -> None:
        arguments = [
            str(folder),
            "--corpus",
            str(tiny_corpus),
            "--protocol",
            "emobox-6",
            "--jobs",
            "1",
        ]
        done = CliRunner().invoke(command, arguments)
        assert done.exit_code == 0, done.output
        lines = done.stdout.splitlines()
        assert lines[0].endswith("on emobox-6: 3 model files, each on its own fold's test clips")
        cnn = evaluated["models"][0]
        row = next(line for line in lines if line.startswith("cnn-int8  "))
        assert row.split()[1:4] == ["2", "of", "6"]
        assert f"{cnn['accuracy']:.1%} ± {100 * cnn['std']['accuracy']:.1f}" in row
        assert "cnn-int8: no model for fold3, fold4, fold5, fold6" in lines
        assert "cnn-int8, 480 clips together" in lines
        angry = next(line for line in lines if line.startswith("angry "))
        counts = [int(cell) if cell != "." else 0 for cell in angry.split()[1:9]]
        assert counts == cnn["confusion"][cnn["labels"].index("angry")]
        assert angry.endswith(f"{cnn['recall']['angry']:.1%}")

    def test_two_seeds_of_a_fold(self, tmp_path: Path, savee: Path, tiny_corpus: Path) -> None:
        for seed in (0, 1):
            trained_for(tmp_path / f"{seed}.tflite", "emobox-6", "fold1", seed=seed)
        result = evaluate_folder(tmp_path, [savee, tiny_corpus], "emobox-6", jobs=1)
        (model,) = result.summary.models
        assert (model.folds, model.seeds, model.n) == (("fold1",), (0, 1), 480)
        assert model.std.accuracy == 0  # the same network
        arguments = [
            str(tmp_path),
            "--corpus",
            str(tiny_corpus),
            "--protocol",
            "emobox-6",
            "--jobs",
            "1",
        ]
        assert "1 of 6 x 2 seeds" in CliRunner().invoke(command, arguments).stdout

    def test_no_model(self, tmp_path: Path, tiny_corpus: Path) -> None:
        (tmp_path / "cnn.md").touch()
        (tmp_path / "._a.tflite").touch()
        with pytest.raises(ModelError, match=r"holds no model; expected \.tflite files that emopi"):
            evaluate_folder(tmp_path, tiny_corpus, "emobox-6")

    def test_a_model_of_another_protocol(self, tmp_path: Path, tiny_corpus: Path) -> None:
        trained_for(tmp_path / "a.tflite", "emobox-6", "fold1")
        trained_for(tmp_path / "b.tflite", "upm-5", "fold1")
        with pytest.raises(ModelError, match=r"b\.tflite was trained for upm-5 fold1, not for a"):
            evaluate_folder(tmp_path, tiny_corpus, "emobox-6")

    def test_the_same_model_twice(self, tmp_path: Path, tiny_corpus: Path) -> None:
        one = trained_for(tmp_path / "a.tflite", "emobox-6", "fold1")
        shutil.copy(one, tmp_path / "b.tflite")
        with pytest.raises(ModelError, match=r"a\.tflite and .*b\.tflite are both cnn int8 of emo"):
            evaluate_folder(tmp_path, tiny_corpus, "emobox-6")

    def test_a_fold_that_is_none(self, tmp_path: Path, tiny_corpus: Path) -> None:
        trained_for(tmp_path / "a.tflite", "emobox-6", "fold7")
        with pytest.raises(SpecError, match="protocol emobox-6 has no fold 'fold7'"):
            evaluate_folder(tmp_path, tiny_corpus, "emobox-6")

    def test_a_damaged_model(self, tmp_path: Path, tiny_corpus: Path) -> None:
        (tmp_path / "a.tflite").write_bytes(b"1234TFL3")
        with pytest.raises(ModelError, match=r"a\.tflite has no contract that can be read"):
            evaluate_folder(tmp_path, tiny_corpus, "emobox-6")

    def test_models_without_a_test(self, tmp_path: Path, tiny_corpus: Path) -> None:
        trained_for(tmp_path / "a.tflite", "all", "all")
        with pytest.raises(SpecError, match="protocol all has no test clips"):
            evaluate_folder(tmp_path, tiny_corpus, "all")

    @pytest.mark.parametrize(
        "option", [["--fold", "fold1"], ["--allow-seen"], ["--clips", "a.csv"]]
    )
    def test_options_for_one_model(
        self, folder: Path, tiny_corpus: Path, option: list[str]
    ) -> None:
        arguments = [str(folder), "--corpus", str(tiny_corpus), "--protocol", "emobox-6", *option]
        done = CliRunner().invoke(command, arguments)
        assert done.exit_code == 2
        assert "name one model file" in done.output


class TestOutcome:
    def test_evaluation_gives_its_outcome(self, tmp_path: Path, tiny_corpus: Path) -> None:
        model = trained_for(tmp_path / "a.tflite", "emobox-6", "fold3", seed=7)
        result = evaluate(model, tiny_corpus, "emobox-6")
        one = result.outcome
        assert (one.network, one.precision, one.fold, one.seed) == ("cnn", "int8", "fold3", 7)
        assert one.clip_ids == tuple(u.clip_id for u in result.utterances)
        assert {one.clip_ids[k][-2:] for k in range(240)} == set(one.speakers)
        labels = [one.labels[k] for k in one.truth]
        assert labels == [u.label for u in result.utterances]
        assert [d.label for d in result.decisions] == [
            one.labels[k] if k >= 0 else "no speech" for k in one.answers
        ]
        assert Outcome.from_json(json.loads(json.dumps(one.to_json()))) == one
        assert result.score.accuracy == np.mean(np.equal(one.truth, one.answers))
        assert result.to_json()["seed"] == 7


class TestSeenClips:
    """A figure on clips of the training would say nothing."""

    def test_a_model_trained_on_everything(self, tmp_path: Path, tiny_corpus: Path) -> None:
        model = trained_for(tmp_path / "a.tflite", "all", "all")
        for protocol in ("paper-80-20", "upm-5", "random-5fold", "speakers-5"):
            with pytest.raises(
                ModelError, match=r"made to be used, with nothing held out\. --allow"
            ):
                evaluate(model, tiny_corpus, protocol)
        for m in (model, MODELS / f"{SHIPPED}.tflite"):
            with pytest.raises(SpecError, match="protocol all has no test clips, all are for tr"):
                evaluate(m, tiny_corpus, "all")

    def test_another_corpus_is_unseen(self, tmp_path: Path, savee: Path) -> None:
        model = trained_for(tmp_path / "a.tflite", "all", "all")
        result = evaluate(model, savee, "speakers-5", "fold1")
        assert len(result.utterances) == 5
        assert len({u.speaker for u in result.utterances}) == 1
        assert result.to_json()["intervals"]["uar"] == [None, None]
        arguments = [str(model), "--corpus", str(savee), "--protocol", "speakers-5"]
        done = CliRunner().invoke(command, arguments)
        assert "(one speaker: no interval)" in done.stdout
        assert next(x for x in done.stdout.splitlines() if x.startswith("calm")).endswith(" -")

    def test_a_frozen_protocol_needs_its_corpus(self, tmp_path: Path, savee: Path) -> None:
        model = trained_for(tmp_path / "a.tflite", "upm-5", "fold1")
        with pytest.raises(CorpusError, match="are of RAVDESS, which is not in the corpus"):
            evaluate(model, savee, "upm-5")

    def test_labels_that_the_model_lacks(self, tmp_path: Path, savee: Path) -> None:
        flatbuffer, contract = read(MODELS / f"{SHIPPED}.tflite")
        labels = tuple(label.upper() for label in contract.labels)
        model = tmp_path / "a.tflite"
        model.write_bytes(attach(flatbuffer, dataclasses.replace(contract, labels=labels)))
        with pytest.raises(ModelError, match="does not know the label 'angry', which test clips"):
            evaluate(model, savee, "speakers-5")


class TestTrainingClips:
    """Which clips a model has seen, by its contract alone."""

    def contract(self, **training: Any) -> Contract:
        _, contract = read(MODELS / f"{SHIPPED}.tflite")
        return dataclasses.replace(contract, training=training)

    @pytest.fixture
    def mix(self, tiny_corpus: Path, savee: Path) -> tuple[Utterance, ...]:
        return read_corpora([tiny_corpus, savee]).utterances

    def test_frozen(self, mix: tuple[Utterance, ...]) -> None:
        test = load_protocol("upm-5").fold("fold2").test
        contract = self.contract(corpus="ravdess", protocol="upm-5", fold="fold2")
        ravdess = frozenset(Ravdess.published())
        assert training_clips(contract, mix) == ravdess - test
        contract = self.contract(corpus="ravdess+savee", protocol="upm-5", fold="fold2")
        assert training_clips(contract, mix) == {u.clip_id for u in mix} - test
        contract = self.contract(corpus="savee", protocol="all", fold="all")
        assert training_clips(contract, mix) == {u.clip_id for u in mix} - ravdess

    def test_other_corpora(self, mix: tuple[Utterance, ...]) -> None:
        for corpus in ("tess", "crema-d+emodb", None):
            contract = self.contract(corpus=corpus, protocol="all", fold="all")
            assert training_clips(contract, mix) == frozenset()

    def test_by_rule(self, mix: tuple[Utterance, ...]) -> None:
        savee = [u for u in mix if u.corpus == "savee"]
        fold = load_protocol("speakers-5", savee).fold("fold3")
        facts = {"corpus": "savee", "protocol": "speakers-5", "fold": "fold3"}
        contract = self.contract(**facts, clip_ids_sha256=ids_hash(savee))
        held = {u.clip_id for u in savee} - fold.test
        assert training_clips(contract, mix) == training_clips(contract, savee) == held
        # of fewer clips the rule would make other folds: nothing is known to be unseen
        fewer = savee[1:]
        assert training_clips(contract, fewer) == {u.clip_id for u in fewer}
        contract = self.contract(**facts)
        assert training_clips(contract, savee) == {u.clip_id for u in savee}

    def test_no_protocol(self, mix: tuple[Utterance, ...]) -> None:
        with pytest.raises(ModelError, match="does not say on which protocol and fold it was"):
            training_clips(self.contract(corpus="ravdess"), mix)


def test_model_of_a_mixture_by_rule(tmp_path: Path, tiny_corpus: Path, savee: Path) -> None:
    """Its own fold is open to it as long as the corpora are those of its training."""
    utterances = read_corpora([savee, tiny_corpus]).utterances
    facts = {"corpus": "ravdess+savee", "clip_ids_sha256": ids_hash(utterances)}
    model = trained_for(tmp_path / "m.tflite", "speakers-5", "fold2", **facts)
    result: Evaluation = evaluate(model, [tiny_corpus, savee], "speakers-5")
    assert result.fold == "fold2"
    assert {u.corpus for u in result.utterances} == {"ravdess", "savee"}
    with pytest.raises(
        ModelError, match=r"was trained on .* of the .* test clips of speakers-5 fold2"
    ):
        evaluate(model, tiny_corpus, "speakers-5")
    with pytest.raises(ModelError, match="was trained on"):
        evaluate(model, [tiny_corpus, savee], "speakers-5", "fold1")
    assert Savee.name in {u.corpus for u in utterances}
