"""A corpus of all names, and empty folders."""

from __future__ import annotations

from pathlib import Path

import pytest

from emopi.convert.reproduction import reproduce as reproduce_module
from emopi.convert.reproduction.plan import Places, plan
from emopi.convert.reproduction.reproduce import Corpus, open_corpus


@pytest.fixture(scope="module")
def corpus(tiny_corpus: Path) -> Corpus:
    return open_corpus(tiny_corpus, plan())


@pytest.fixture
def places(tmp_path: Path) -> Places:
    return Places(tmp_path / "work", tmp_path / "work" / "results", tmp_path / "cache")


@pytest.fixture
def no_features(monkeypatch: pytest.MonkeyPatch) -> None:
    """For workers that need none."""
    monkeypatch.setattr(reproduce_module, "_extract", lambda *_: None)
