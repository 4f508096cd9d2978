"""What `emopi compare` refuses, and before any work."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from support import MODELS

from emopi.convert.comparison import comparison, page
from emopi.convert.comparison.command import compare as command
from emopi.convert.comparison.comparison import compare
from emopi.convert.comparison.layers import can_look_inside
from emopi.device.contract import attach, read
from emopi.device.errors import ComparisonError, CorpusError, MissingExtraError, ModelError

FLOAT, INT8 = MODELS / "cnn-float32.tflite", MODELS / "cnn-int8.tflite"
ON = ("--protocol", "random-5fold", "--fold", "fold1")


@pytest.fixture
def no_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail where a refusal comes after the work has begun."""

    def never(*_: object) -> None:
        pytest.fail("it began to work")

    monkeypatch.setattr(comparison, "hear", never)
    monkeypatch.setattr(comparison, "timings", never)
    monkeypatch.setattr(comparison, "footprints", never)


def refused(*arguments: object) -> BaseException | None:
    """The error that the command ends with, which must be one for a person to read."""
    done = CliRunner().invoke(command, [str(argument) for argument in arguments])
    assert done.exit_code, done.output
    assert done.stdout == ""
    return done.exception


@pytest.mark.usefixtures("no_work")
class TestRefusals:
    def usage(self, *arguments: object) -> str:
        done = CliRunner().invoke(command, [str(argument) for argument in arguments])
        assert done.exit_code == 2, done.output
        return done.stderr

    def test_one_model(self, voices: Path) -> None:
        said = self.usage(FLOAT, "--corpus", voices, *ON)
        assert "one MODEL is nothing to compare; name two or more" in said
        with pytest.raises(ComparisonError, match="1 model; expected two or more"):
            compare([FLOAT], voices, "random-5fold")

    def test_the_same_model_twice(self, voices: Path, tmp_path: Path) -> None:
        copy = Path(shutil.copy(FLOAT, tmp_path / "copy.tflite"))
        for other in (FLOAT, copy, "cnn-float32"):
            error = refused(FLOAT, other, "--corpus", voices, *ON)
            assert isinstance(error, ComparisonError)
            assert "are the same model; name two that differ" in str(error)

    def test_a_folder(self, voices: Path) -> None:
        said = self.usage(FLOAT, MODELS, "--corpus", voices, *ON)
        assert "is a folder; name model files" in said

    def test_no_such_model(self, voices: Path) -> None:
        error = refused(FLOAT, "nothing.tflite", "--corpus", voices, *ON)
        assert isinstance(error, ModelError)
        assert "no such model file; expected a path, or one of: cnn-float32" in str(error)

    def test_a_model_of_another_project(self, voices: Path, tmp_path: Path) -> None:
        bare = tmp_path / "bare.tflite"
        bare.write_bytes(read(FLOAT)[0])
        error = refused(bare, INT8, "--corpus", voices, *ON)
        assert isinstance(error, ModelError)
        assert "bare.tflite has no contract that can be read" in str(error)

    def test_other_labels(self, voices: Path, tmp_path: Path) -> None:
        flatbuffer, contract = read(INT8)
        other = tmp_path / "other.tflite"
        labels = contract.labels[::-1]
        other.write_bytes(attach(flatbuffer, dataclasses.replace(contract, labels=labels)))
        error = refused(FLOAT, other, "--corpus", voices, *ON)
        assert isinstance(error, ComparisonError)
        assert "expected the same in the same order" in str(error)

    @pytest.mark.parametrize("change", [{"precision": "int8"}, {"window_frames": 299}])
    def test_a_contract_that_is_not_the_tensors(
        self, voices: Path, tmp_path: Path, change: dict[str, Any]
    ) -> None:
        flatbuffer, contract = read(FLOAT)
        liar = tmp_path / "liar.tflite"
        liar.write_bytes(attach(flatbuffer, dataclasses.replace(contract, **change)))
        error = refused(INT8, liar, "--corpus", voices, *ON)
        assert isinstance(error, ModelError)
        assert "but its contract says" in str(error)

    @pytest.mark.skipif(not can_look_inside(), reason="tflite-runtime has no schema to read with")
    @pytest.mark.parametrize(
        ("change", "says"),
        [
            ({"precision": "dynamic-int8"}, "has no INT8 weights"),
            ({"precision": "float16"}, "has no FLOAT16 weights"),
            ({"network": "lstm"}, "has no fused LSTM"),
        ],
    )
    def test_a_contract_that_is_not_the_operators(
        self, voices: Path, tmp_path: Path, change: dict[str, Any], says: str
    ) -> None:
        """What goes in and out is of the same type as it should be."""
        flatbuffer, contract = read(FLOAT)
        liar = tmp_path / "liar.tflite"
        liar.write_bytes(attach(flatbuffer, dataclasses.replace(contract, **change)))
        error = refused(INT8, liar, "--corpus", voices, *ON)
        assert isinstance(error, ModelError)
        assert "liar.tflite is not the" in str(error)
        assert says in str(error)
        assert str(error).endswith("Convert anew")

    def test_a_corpus_without_the_clips(self, voices: Path) -> None:
        error = refused(FLOAT, INT8, "--corpus", voices, "--protocol", "upm-5", "--fold", "fold1")
        assert isinstance(error, CorpusError)
        assert "are of RAVDESS, which is not in the corpus" in str(error)

    @pytest.mark.parametrize("option", ["--csv", "--html"])
    @pytest.mark.parametrize("name", ["missing/a", "/proc/a", "."])
    def test_what_cannot_be_written(
        self, voices: Path, tmp_path: Path, option: str, name: str
    ) -> None:
        self.usage(FLOAT, INT8, "--corpus", voices, *ON, option, tmp_path / name)
        assert not list(tmp_path.iterdir())

    def test_both_in_one_file(self, voices: Path, tmp_path: Path) -> None:
        file = tmp_path / "a"
        said = self.usage(FLOAT, INT8, "--corpus", voices, *ON, "--csv", file, "--html", file)
        assert "cannot be both" in said

    @pytest.mark.parametrize("package", page.PACKAGES)
    def test_a_page_without_its_packages(
        self, voices: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str
    ) -> None:
        found = page.find_spec
        monkeypatch.setattr(page, "find_spec", lambda name: name != package and found(name))
        error = refused(FLOAT, INT8, "--corpus", voices, *ON, "--html", tmp_path / "a.html")
        assert isinstance(error, MissingExtraError)
        assert f"needs {package}" in str(error)
        assert "pip install 'emopi[report]'" in str(error)
        assert not list(tmp_path.iterdir())

    def test_nothing_to_explain(self, voices: Path) -> None:
        error = refused(FLOAT, MODELS / "lstm-int8.tflite", "--corpus", voices, *ON, "--explain")
        assert isinstance(error, ComparisonError)
        assert "name both" in str(error)
