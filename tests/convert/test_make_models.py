"""models/make.sh, which makes all that the folder holds; here with a stand-in for `emopi`.

The stand-in writes files of the names that the real commands write, each with one word in it, so
that the hours of training are left out. Tried with the real commands: `models/make.sh --quick`.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "models" / "make.sh"

EMOPI = """#!/bin/sh
set -eu
echo "$@" >>"$LOG"
case $* in "$FAILS"*) exit 1 ;; esac
command=$1
while [ $# -gt 0 ]; do
    case $1 in --work) work=$2 ;; --out) out=$2 ;; --expect) expect=$2 ;; esac
    shift
done
case $command in
reproduce)
    mkdir -p "$work/results/upm-5" "$work/models/upm-5" "$out/figures"
    for network in cnn lstm; do
        mkdir -p "$work/runs/upm-5/$network-fold1/models"
        echo new >"$work/runs/upm-5/$network-fold1/models/$network-float32.tflite"
        echo new >"$work/models/upm-5/$network-fold1.tflite"
        echo new >"$work/results/upm-5/$network-fold1.json"
    done
    echo new >"$out/RESULTS.md"
    echo new >"$out/figures/a.png"
    cat "$SUMMARY"
    ;;
train) mkdir -p "$out"; echo run >"$out/run.json" ;;
convert)
    name=$(basename "$expect" .json)
    cp "$expect" "$out/${name#expect-}.md"
    ;;
esac
"""


def model(network: str, protocol: str, precision: str, uar: float) -> dict[str, object]:
    fields = {"network": network, "protocol": protocol, "precision": precision}
    return fields | {"n": 1440, "accuracy": 0.5, "uar": uar, "ece": 0.1}


SUMMARY = {
    "models": [
        model("svm", "upm-5", "float64", 0.5),
        model("cnn", "paper-80-20", "int8", 0.8),
        model("cnn", "upm-5", "int8", 0.7),
        model("cnn", "emobox-6", "int8", 0.6),
        model("lstm", "upm-5", "float32", 0.6),
    ]
}


class Made:
    """A folder of models that make.sh is to make anew, and what it called to do so."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.out, self.log = folder, folder / "models", folder / "log"
        (self.out / "folds").mkdir(parents=True)
        (self.out / "folds" / "gone-fold1.tflite").write_text("old")
        (self.out / "README.md").write_text("old")
        (folder / "bin").mkdir()
        (folder / "bin" / "emopi").write_text(EMOPI)
        (folder / "bin" / "emopi").chmod(0o755)
        (folder / "summary.json").write_text(json.dumps(SUMMARY))

    def run(self, *arguments: str, fails: str = "never") -> subprocess.CompletedProcess[str]:
        environment = os.environ | {
            "PATH": f"{self.folder / 'bin'}{os.pathsep}{os.environ['PATH']}",
            "LOG": str(self.log),
            "FAILS": fails,
            "SUMMARY": str(self.folder / "summary.json"),
        }
        return subprocess.run(
            [SCRIPT, *arguments],
            env=environment, cwd=self.folder, capture_output=True, text=True, check=False,
        )  # fmt: skip

    def everything(self, **how: str) -> subprocess.CompletedProcess[str]:
        return self.run("ravdess", "noise", "work", "models", **how)

    def files(self) -> set[str]:
        return {str(one.relative_to(self.out)) for one in self.out.rglob("*") if one.is_file()}


@pytest.fixture
def made(tmp_path: Path) -> Made:
    return Made(tmp_path)


def test_makes_everything_anew(made: Made) -> None:
    done = made.everything()
    assert done.returncode == 0, done.stderr
    both = ("cnn", "lstm")
    assert made.files() == {
        "README.md",
        "RESULTS.md",
        "figures/a.png",
        *(f"{network}.md" for network in both),
        *(f"{folder}/{one}-fold1.tflite" for folder in ("folds", "unquantized") for one in both),
        *(f"results/upm-5/{network}-fold1.json" for network in both),
    }
    assert (made.out / "README.md").read_text() == "old"
    calls = made.log.read_text().splitlines()
    assert [call.split()[0] for call in calls] == [
        "reproduce", "train", "convert", "train", "convert",
    ]  # fmt: skip
    assert "--teacher work/runs/all/cnn" in calls[3]
    assert "--resume" not in made.log.read_text()


def test_expects_of_a_model_what_its_recipe_scored(made: Made) -> None:
    made.everything()
    cnn, lstm = (json.loads((made.out / f"{one}.md").read_text()) for one in ("cnn", "lstm"))
    score = {"fold": "mean", "n": 1440, "accuracy": 0.5, "precision": "int8"}
    assert cnn == [
        score | {"protocol": "upm-5", "uar": 0.7},
        score | {"protocol": "paper-80-20", "uar": 0.8},
    ]
    assert lstm == [score | {"protocol": "upm-5", "uar": 0.6, "precision": "float32"}]


@pytest.mark.parametrize("fails", ["reproduce", "train cnn", "convert", "train lstm"])
def test_a_step_that_fails_changes_nothing_and_is_taken_up(made: Made, fails: str) -> None:
    before = made.files()
    assert made.everything(fails=fails).returncode != 0
    assert made.files() == before
    assert made.everything().returncode == 0
    assert "folds/gone-fold1.tflite" not in made.files()
    again = made.log.read_text().splitlines()[-4:]
    resumed = [call.split()[1] for call in again if call.startswith("train") and "--resume" in call]
    assert resumed == {"convert": ["cnn"], "train lstm": ["cnn"]}.get(fails, [])


@pytest.mark.parametrize(
    "arguments",
    [(), ("ravdess", "noise"), ("a", "b", "c", "d", "e"), ("--quick", "ravdess", "noise", "work")],
)
def test_refuses_before_anything_is_done(made: Made, arguments: tuple[str, ...]) -> None:
    done = made.run(*arguments)
    assert done.returncode == 2
    assert "usage: " in done.stderr or "give another OUT" in done.stderr
    assert not made.log.exists()


@pytest.mark.skipif(not shutil.which("shellcheck"), reason="shellcheck is not installed")
def test_shellcheck() -> None:
    done = subprocess.run(["shellcheck", SCRIPT], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
