"""A network with views gives the mean of what it gives for each, in Keras 3 and in its twin."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from emopi.device.frontend import Floats
from emopi.device.normalization import Normalization
from emopi.train.recipe import default_recipe
from emopi.train.topology import NETWORKS, VIEWS, build, transfer_weights, views_of
from emopi.train.vocal_tract import stretch

pytest.importorskip("tensorflow", reason="networks need TensorFlow")

RECIPE = default_recipe("cnn", epochs=1, batch=8, seed=0)
SHAPE: dict[str, Any] = {"window_frames": 48, "n_mfcc": 40, "n_labels": 8}
RNG = np.random.default_rng(0)
SCALING = Normalization(tuple(RNG.normal(0, 3, 40).tolist()), tuple(RNG.uniform(1, 4, 40)), 100.0)


@pytest.fixture(scope="module", params=NETWORKS)
def network(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def trained(network: str) -> Any:
    """A network whose every weight counts."""
    import keras

    keras.utils.set_random_seed(0)
    model = build(network, keras, **SHAPE)
    for weight in model.weights:
        if any(name in weight.path for name in ("gamma", "variance", "bias", "beta")):
            weight.assign(RNG.uniform(0.5, 1.5, weight.shape))
    return model


@pytest.fixture(scope="module")
def viewing(network: str, trained: Any) -> Any:
    """The same with the recipe's views."""
    from emopi.train.views import with_views

    return with_views(trained, network, RECIPE.views, RECIPE.frontend, SCALING)


@pytest.fixture(scope="module")
def windows() -> Floats:
    """MFCCs, not normalized."""
    mean, std = np.array(SCALING.mean), np.array(SCALING.std)
    return np.asarray(RNG.normal(mean, std, (5, 48, 40)), np.float32)


def normalized(windows: Any) -> Floats:
    """Without the level that `Normalization.apply` makes relative, which no view moves."""
    return np.asarray((windows - np.array(SCALING.mean)) / np.array(SCALING.std), np.float32)


def test_it_is_the_mean_over_stretched_windows(trained: Any, viewing: Any, windows: Floats) -> None:
    assert views_of(viewing) == len(RECIPE.views) == 3
    each = [
        trained.predict(normalized(windows @ stretch(factor, RECIPE.frontend)), verbose=0)
        for factor in RECIPE.views
    ]
    assert np.abs(each[0] - each[1]).max() > 0.1  # the views differ
    found = viewing.predict(normalized(windows), verbose=0)
    np.testing.assert_allclose(found, np.mean(each, axis=0), atol=1e-3)


def test_the_view_without_a_stretch_is_the_network(
    network: str, trained: Any, windows: Floats
) -> None:
    from emopi.train.views import with_views

    twice = with_views(trained, network, (1.0, 1.0), RECIPE.frontend, SCALING)
    x = normalized(windows)
    np.testing.assert_allclose(
        twice.predict(x, verbose=0), trained.predict(x, verbose=0), atol=1e-4
    )


def test_the_twin_that_is_converted_has_them_too(
    network: str, viewing: Any, windows: Floats
) -> None:
    import tf_keras

    twin = build(network, tf_keras, **SHAPE, batch=1, n_views=views_of(viewing))
    transfer_weights(viewing, twin)
    x = normalized(windows)
    found = np.concatenate([twin.predict(one[None], verbose=0) for one in x])
    np.testing.assert_allclose(found, viewing.predict(x, verbose=0), atol=1e-4)


def test_they_are_not_trained(viewing: Any) -> None:
    assert not any(VIEWS in variable.path for variable in viewing.trainable_variables)


def test_weights_must_fit(trained: Any, viewing: Any) -> None:
    with pytest.raises(ValueError, match="not compatible"):
        transfer_weights(viewing, trained)
