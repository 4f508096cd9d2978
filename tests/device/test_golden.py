"""Golden values of the shipped models at three depths: features, logits, decision.

They were computed once from synthesized speech and are compared on every machine and interpreter.
After a change that is meant to change them: `python tests/device/test_golden.py`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from support import MODELS, SHIPPED, speech

from emopi.device.classifier import Classifier
from emopi.device.frontend import FrontendSpec, extract
from emopi.device.pipeline import classify
from emopi.device.sources.audio import ArraySource

GOLDEN = Path(__file__).with_name("golden.json")
FRAMES = (0, 1, 57, 150, 299)
SEEDS = (0, 1, 2)

LOGIT_TOLERANCE = {"float32": 2e-3, "int8": 0.15}
"""Between processors, interpreters and versions of NumPy; an int8 input may round the other way."""
PROBABILITY_TOLERANCE = {"float32": 1e-3, "int8": 0.03}


def compute() -> dict[str, Any]:
    """Everything that the golden file holds."""
    values: dict[str, Any] = {
        "features": {
            str(seed): extract(speech(3.1, seed=seed), FrontendSpec())[list(FRAMES)].tolist()
            for seed in SEEDS
        }
    }
    for name in SHIPPED:
        classifier = Classifier(MODELS / f"{name}.tflite")
        contract = classifier.contract
        values[name] = {"model": contract.model_id, "logits": {}, "decision": {}}
        for seed in SEEDS:
            frames = extract(speech(3.1, seed=seed), contract.frontend)
            logits = classifier.logits(frames[: contract.window_frames])
            decision = classify(ArraySource(speech(4.6, seed=seed), 16_000), classifier)
            values[name]["logits"][str(seed)] = logits.tolist()
            values[name]["decision"][str(seed)] = decision.probabilities
    return values


@pytest.fixture(scope="module")
def golden() -> dict[str, Any]:
    return dict(json.loads(GOLDEN.read_text()))


@pytest.fixture(scope="module")
def found() -> dict[str, Any]:
    return compute()


@pytest.mark.parametrize("seed", [str(seed) for seed in SEEDS])
def test_features(golden: dict[str, Any], found: dict[str, Any], seed: str) -> None:
    expected = np.array(golden["features"][seed])
    assert expected.shape == (len(FRAMES), 40)
    np.testing.assert_allclose(found["features"][seed], expected, atol=5e-3)


@pytest.mark.parametrize("name", SHIPPED)
def test_model_is_the_one_of_the_golden_file(
    golden: dict[str, Any], found: dict[str, Any], name: str
) -> None:
    assert found[name]["model"] == golden[name]["model"], "run: python tests/device/test_golden.py"


@pytest.mark.parametrize("seed", [str(seed) for seed in SEEDS])
@pytest.mark.parametrize("name", SHIPPED)
def test_logits(golden: dict[str, Any], found: dict[str, Any], name: str, seed: str) -> None:
    tolerance = LOGIT_TOLERANCE[name.split("-")[1]]
    np.testing.assert_allclose(
        found[name]["logits"][seed], golden[name]["logits"][seed], atol=tolerance
    )


@pytest.mark.parametrize("seed", [str(seed) for seed in SEEDS])
@pytest.mark.parametrize("name", SHIPPED)
def test_decision(golden: dict[str, Any], found: dict[str, Any], name: str, seed: str) -> None:
    tolerance = PROBABILITY_TOLERANCE[name.split("-")[1]]
    assert found[name]["decision"][seed] == pytest.approx(
        golden[name]["decision"][seed], abs=tolerance
    )


if __name__ == "__main__":
    GOLDEN.write_text(json.dumps(compute(), indent=1) + "\n")
    print(f"wrote {GOLDEN}")
