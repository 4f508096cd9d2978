"""The published networks: as large as their papers say, and trained and scored as ours are."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support import ROOT

pytest.importorskip("tensorflow", reason="needs the extra train")
if not (ROOT / "benchmarks").is_dir():
    pytest.skip("the benchmarks are not in this copy", allow_module_level=True)
with pytest.MonkeyPatch.context() as patch:
    patch.syspath_prepend(ROOT)
    from benchmarks.suite import accuracy, literature, literature_run

from emopi.train import training
from emopi.train.backend import import_tensorflow

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


def test_page_shows_what_is_not_run_yet(tmp_path: Path) -> None:
    (tmp_path / "tim-net-fold1.json").write_text(json.dumps({"network": "tim-net", "uar": 0.5}))
    times = {"median": 1.0, "low": 0.9, "high": 1.1, "best": 0.9, "n": 5}
    cost = {"macs": 2_000_000, "bytes": 3000, "times_ms": times}
    names = ("cnn-int8", "tim-net-float32", "res-lstm-float32")
    scores = {"cnn-int8": [0.6, 0.7], **accuracy._published(tmp_path)}
    found = {"costs": dict.fromkeys(names, cost), "scores": scores}
    text = accuracy.page(found)
    assert "| cnn-int8 | 65.0 ± 7.1 (2 folds) | 2.0 | 3 | 1.00 (0.900 to 1.10) |" in text
    assert "| tim-net-float32 | 50.0 (1 fold) |" in text
    assert "| res-lstm-float32 | not yet run |" in text
    (path,) = accuracy.draw(found, tmp_path)
    assert path.read_bytes().startswith(b"\x89PNG")
