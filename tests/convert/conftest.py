"""What several tests of conversion need: trained networks."""

from __future__ import annotations

from pathlib import Path

import pytest
from support import run_emopi


@pytest.fixture(scope="session")
def runs(tiny_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a briefly trained run of each network."""
    folder = tmp_path_factory.mktemp("runs")
    for network in ("cnn", "lstm"):
        done = run_emopi(
            "train", network, "--corpus", tiny_corpus, "--out", folder / network,
            "--epochs", 2, "--batch", 8, "--cache", folder / "cache",
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert "epoch 2/2  loss" in done.stderr
    return folder
