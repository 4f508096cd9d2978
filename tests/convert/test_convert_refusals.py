"""What emopi convert refuses, before it takes long and with nothing written; and fine-tuning."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from support import invoke, run_emopi

from emopi.convert import bundle as bundle_module
from emopi.convert import fine_tune as fine_tune_module
from emopi.convert.bundle import bundle
from emopi.convert.commands import convert
from emopi.convert.fine_tune import FineTuning
from emopi.device.contract import read
from emopi.device.errors import CorpusError, RunError
from emopi.train.run_record import RunRecord

pytest.importorskip("tensorflow", reason="conversion needs TensorFlow")


def test_convert_refuses_an_unfinished_run(runs: Path, tmp_path: Path) -> None:
    record = json.loads((runs / "cnn" / "run.json").read_text())
    unfinished = tmp_path / "run"
    unfinished.mkdir()
    (unfinished / "run.json").write_text(json.dumps(record | {"finished": False}))
    with pytest.raises(RunError, match="is not finished: 2 of 2 epochs"):
        invoke(convert, unfinished, "--out", tmp_path / "models")
    assert not (tmp_path / "models").exists()


def test_convert_refuses_another_corpus(runs: Path, tmp_path: Path, tiny_corpus: Path) -> None:
    other = tmp_path / "corpus"
    other.mkdir()
    for clip in tiny_corpus.rglob("*.wav"):
        (other / clip.name).symlink_to(clip)
    changed = other / "03-01-01-01-01-01-01.wav"
    content = changed.read_bytes()
    changed.unlink()
    changed.write_bytes(content[:-2] + b"\x00\x01")
    with pytest.raises(RunError, match="its SHA-256 differs"):
        invoke(convert, runs / "cnn", "--out", tmp_path / "models", "--corpus", other)
    assert not (tmp_path / "models").exists()


def test_what_the_lstm_cannot_be_is_refused_at_once(runs: Path, tmp_path: Path) -> None:
    """Before TensorFlow is imported, which would be an error here."""
    code = """
import sys
sys.modules["tensorflow"] = sys.modules["tf_keras"] = None
from emopi.device.cli import main
main()
"""
    for precisions in (["int16x8"], ["float32", "int16x8"]):
        options = [word for one in precisions for word in ("--precision", one)]
        done = subprocess.run(
            [sys.executable, "-c", code, "convert", runs / "lstm", "--out", tmp_path / "out",
             *options], capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 1
        assert "the lstm cannot be converted to int16x8: TFLite's fused LSTM" in done.stderr
        assert "Choose from float32, float16, dynamic-int8, int8" in done.stderr
    done = run_emopi("convert", runs / "lstm", "--out", tmp_path / "out", "--precision", "int4")
    assert done.returncode == 2
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["file/x", "/proc/x"])
def test_a_folder_that_cannot_be_written_is_refused_at_once(
    runs: Path, tmp_path: Path, name: str
) -> None:
    (tmp_path / "file").touch()
    done = run_emopi("convert", runs / "cnn", "--out", tmp_path / name)
    assert done.returncode == 2
    assert f"--out {tmp_path / name} cannot be written: " in done.stderr
    assert "calibration" not in done.stderr


def test_fine_tuning_is_in_contract_and_card(runs: Path, tmp_path: Path) -> None:
    printed = invoke(
        convert, runs / "cnn", "--out", tmp_path, "--precision", "int8", "--fine-tune", 1,
        "--cache", runs / "cache",
    )  # fmt: skip
    assert "epoch 1/1  loss " in printed
    contract = read(tmp_path / "cnn-int8.tflite")[1]
    assert contract.training["fine_tuning"] == {"epochs": 1, "learning_rate": 1e-4}
    card = (tmp_path / "cnn.md").read_text()
    assert "--precision int8 --fine-tune 1\n" in card
    assert "1 epochs more with the rounding of int8" in card


class TestFineTuningThatCannotBe:
    """It says why, and writes nothing."""

    def test_of_a_run_that_was_augmented_otherwise(
        self, runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        record = RunRecord.read(runs / "cnn")
        record.recipe["perturbation"]["telephone"] = 0.5
        monkeypatch.setattr(bundle_module, "finished", lambda _: record)
        with pytest.raises(RunError, match=r"another version of emopi: its perturbation .*telepho"):
            self.tune(runs, tmp_path)

    def test_without_room_for_the_features(self, runs: Path, tmp_path: Path) -> None:
        (tmp_path / "cache").write_text("a file, no folder")
        with pytest.raises(CorpusError, match=r"features cannot be kept in .*cache"):
            self.tune(runs, tmp_path)

    def test_interrupted(self, runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "cache").symlink_to(runs / "cache")
        steps = []

        def interrupted(*arguments: Any) -> Any:
            steps.append(arguments)
            raise KeyboardInterrupt

        monkeypatch.setattr(fine_tune_module, "_training_step", lambda *_: interrupted)
        with pytest.raises(KeyboardInterrupt):
            self.tune(runs, tmp_path)
        assert len(steps) == 1

    @staticmethod
    def tune(runs: Path, folder: Path) -> None:
        try:
            bundle(runs / "cnn", folder / "out", None, fine_tuning=FineTuning(1, folder / "cache"))
        finally:
            assert not (folder / "out").exists()

    def test_cache_alone(self, runs: Path, tmp_path: Path) -> None:
        done = run_emopi("convert", runs / "cnn", "--out", tmp_path / "out", "--cache", tmp_path)
        assert done.returncode == 2
        assert "--cache is for the features that --fine-tune needs" in done.stderr


def test_the_cnn_has_no_streaming_form(runs: Path, tmp_path: Path) -> None:
    done = run_emopi("convert", runs / "cnn", "--out", tmp_path / "out", "--streaming")
    assert done.returncode == 1
    assert "the cnn has no streaming form: a whole window takes it less time" in done.stderr
    assert "calibration" not in done.stderr
    assert not (tmp_path / "out").exists()
