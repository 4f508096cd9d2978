"""What several tests of conversion need: trained networks."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest

from emopi.train.augment import Perturbation
from emopi.train.recipe import Recipe

SMALL = Recipe(
    "",
    epochs=2,
    batch=16,
    window_frames=120,
    views=(0.9, 1.0),
    perturbation=Perturbation(copies=1),
)
"""Little of everything that takes time: above all of augmented copies."""

Train = Callable[[str, str, Path, Path], None]


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory, train_briefly: Train) -> Path:
    """A folder with a briefly trained run of each network, and the cache of their features."""
    folder = tmp_path_factory.mktemp("runs")
    for network in ("cnn", "lstm"):
        train_briefly(network, "paper-80-20", folder / network, folder / "cache")
    return folder


@pytest.fixture(scope="session")
def train_briefly(tiny_corpus: Path) -> Train:
    """Trains (network, protocol, run folder, cache) on the tiny corpus, in this process."""
    pytest.importorskip("tensorflow", reason="training needs TensorFlow")
    from emopi.train.fit import fit

    def train(network: str, protocol: str, out: Path, cache: Path) -> None:
        recipe = dataclasses.replace(SMALL, network=network)
        fit(recipe, tiny_corpus, protocol, None, out, cache=cache)

    return train
