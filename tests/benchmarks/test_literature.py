"""The published networks: as large as their papers say, and trained and scored as ours are."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from support import ROOT

pytest.importorskip("tensorflow", reason="needs the extra train")
if not (ROOT / "benchmarks").is_dir():
    pytest.skip("the benchmarks are not in this copy", allow_module_level=True)
with pytest.MonkeyPatch.context() as patch:
    patch.syspath_prepend(ROOT)
    from benchmarks.suite import accuracy, literature, literature_run, smaller

from emopi.train import training
from emopi.train.backend import import_tensorflow
from emopi.train.recipe import Recipe
from emopi.train.topology import build

PUBLISHED = {
    # of the authors' own code on 39 MFCCs, all parameters
    "tim-net": (300, 39, 107_032),
    # 0.88 MB in float16, as TIM-Net's paper quotes it
    "light-sernet": (184, 40, 463_656),
    # 46,772 trainable, of which 440 are the second biases, and 220 that follow the batches
    "res-lstm": (100, 46, 46_772 - 440 + 220),
}


@pytest.mark.parametrize("name", literature.NETWORKS)
def test_size_is_the_published_one(name: str) -> None:
    import_tensorflow("this test")
    import keras

    frames, width, parameters = PUBLISHED[name]
    model = literature.NETWORKS[name](keras, frames, width, 8)
    assert model.count_params() == parameters
    assert model.output_shape == (None, 8)
    assert literature.macs(model) > 10 * parameters


def test_a_training_builds_the_network_and_then_ours_again() -> None:
    """A whole epoch takes minutes: run `literature_run` with `--epochs 1` for that."""
    import_tensorflow("this test")
    import keras

    size = {"window_frames": 300, "n_mfcc": 40, "n_labels": 8}
    with literature_run.built_as("tim-net"):
        assert training.build("cnn", keras, **size).name == "tim_net"
    assert training.build("cnn", keras, **size).name == "cnn"


@pytest.mark.parametrize("name", smaller.NETWORKS)
def test_smaller_ones_are_ours_with_fewer_channels(name: str) -> None:
    import_tensorflow("this test")
    import keras

    whole = build("cnn", keras, window_frames=300, n_mfcc=40, n_labels=8)
    small = smaller.NETWORKS[name](keras, 300, 40, 8)
    share = {"cnn-whole": 1, "cnn-half": 2, "cnn-quarter": 4}[name]
    assert [type(layer) for layer in small.layers] == [type(layer) for layer in whole.layers]
    assert small.layers[-1].input.shape[-1] == whole.layers[-1].input.shape[-1] // share
    assert literature.macs(small) <= literature.macs(whole) / share


@pytest.mark.parametrize(
    ("n_frames", "n_windows"), [(1, 1), (299, 1), (300, 1), (349, 1), (350, 2), (449, 3)]
)
def test_windows_of_a_clip(n_frames: int, n_windows: int) -> None:
    frames = np.arange(n_frames * 40, dtype=np.float32).reshape(-1, 40)
    windows = literature_run.windows_of(frames, Recipe("cnn"))
    assert windows.shape == (n_windows, 300, 40)
    before = max(0, (301 - n_frames) // 2)  # of silence
    assert np.array_equal(windows[0, before : before + n_frames], frames[:300])
    assert np.array_equal(windows[-1, before:][:n_frames], frames[50 * (n_windows - 1) :][:300])


TIMES = {"median": 1.0, "low": 0.9, "high": 1.1, "best": 0.9, "n": 5}


def found_of(scores: dict[str, dict[str, float]], macs: dict[str, int]) -> dict[str, object]:
    costs = {name: {"macs": n, "bytes": 3000, "times_ms": TIMES} for name, n in macs.items()}
    return {"costs": costs, "scores": scores}


def test_page_compares_on_the_folds_that_were_run(tmp_path: Path) -> None:
    one = {"network": "tim-net", "fold": "fold2", "uar": 0.5}
    (tmp_path / "tim-net-fold2.json").write_text(json.dumps(one))
    names = ("cnn-int8", "tim-net-float32", "res-lstm-float32")
    scores = {"cnn-int8": {"fold1": 0.6, "fold2": 0.7}, **accuracy._published(tmp_path)}
    found = found_of(scores, dict.fromkeys(names, 2_000_000))
    text = accuracy.page(found)
    assert "| cnn-int8 | 65.0 ± 7.1 (2 folds) | +0.0 | 2.0 | 3 | 1.00 (0.900 to 1.10) |" in text
    assert "| tim-net-float32 | 50.0 (1 fold) | -20.0 |" in text
    assert "| res-lstm-float32 | not yet run |  |" in text
    assert "multiplications: cnn-int8." in text
    (path,) = accuracy.draw(found, tmp_path)
    assert path.read_bytes().startswith(b"\x89PNG")


def test_page_before_anything_was_run(tmp_path: Path) -> None:
    found = found_of({}, {"cnn-int8": 1})
    assert "not yet run" in accuracy.page(found)
    assert accuracy.front(found) == []
    accuracy.draw(found, tmp_path)


@pytest.mark.parametrize(
    ("reached", "kept"),
    [
        ({"a": 0.5, "b": 0.6, "cnn-int8": 0.55}, ["a", "b"]),
        ({"a": 0.6, "b": 0.6, "cnn-int8": 0.5}, ["a"]),
        ({"a": 0.5, "b": 0.6, "cnn-int8": 0.7}, ["a", "b", "cnn-int8"]),
    ],
)
def test_front(reached: dict[str, float], kept: list[str]) -> None:
    scores = {name: {"fold1": score} for name, score in reached.items()}
    assert accuracy.front(found_of(scores, {"a": 1, "b": 2, "cnn-int8": 3})) == kept
