"""What a training does, apart from the clips: frozen, and kept in the run folder."""

from __future__ import annotations

import dataclasses

from emopi.device.frontend import FrontendSpec
from emopi.train.augment import FeatureAugmentation, Perturbation


@dataclasses.dataclass(frozen=True, slots=True)
class Recipe:
    """Everything that decides what a training gives, apart from the clips."""

    network: str
    """"cnn" or "lstm"."""
    epochs: int = 200
    batch: int = 64
    learning_rate: float = 2e-3
    """The highest: after a linear warm-up over 5 % of the steps it falls to 0 as a cosine."""
    weight_decay: float = 0.02
    label_smoothing: float = 0.1
    seed: int = 0
    with_validation: bool = False
    """Whether the fold's validation clips are trained on too: once nothing is left to choose."""
    views: tuple[float, ...] = (1.0,)
    """In the mean of which views the finished network sees a window: factors that
    `emopi.train.views.stretch` takes. The training is with the window as it is alone."""
    window_frames: int = 300
    frontend: FrontendSpec = dataclasses.field(
        default_factory=lambda: FrontendSpec(energy_floor=1e-10)
    )
    perturbation: Perturbation = dataclasses.field(default_factory=Perturbation)
    augmentation: FeatureAugmentation = dataclasses.field(default_factory=FeatureAugmentation)


EPOCHS = {"cnn": 200, "lstm": 120}

FACTORS = {1: (1.0,), 3: (0.88, 1.0, 1.12)}
"""Of a recipe's views, by how many there are."""

VIEWS = {"cnn": 3, "lstm": 1}
"""How many the shipped models have. With three an lstm would be dearer than a cnn, no better."""


def default_recipe(
    network: str,
    *,
    epochs: int | None,
    batch: int,
    seed: int,
    with_validation: bool = False,
    n_views: int | None = None,
) -> Recipe:
    """The recipe of the shipped models, with what a user may change; None is theirs."""
    return Recipe(
        network,
        epochs=epochs or EPOCHS[network],
        batch=batch,
        seed=seed,
        views=FACTORS[n_views or VIEWS[network]],
        with_validation=with_validation,
    )
