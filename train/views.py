"""A window as longer and shorter vocal tracts would have spoken it, which a finished network sees.

Jaitly and Hinton (`emopi.train.vocal_tract`) average over such views at test time. Each is the
product of the MFCCs with a matrix, so a layer of the network makes them, and the device knows
nothing of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from emopi.device.frontend import Floats, FrontendSpec
from emopi.device.normalization import Normalization
from emopi.train.topology import build, transfer_weights
from emopi.train.vocal_tract import stretch


def with_views(
    model: Any, network: str, factors: Sequence[float], spec: FrontendSpec, scaling: Normalization
) -> Any:
    """A Keras 3 model that does what `model` does, but in the mean over views by `factors`.

    `model` is `network` as `build` gives it with one view. `factors` are what `stretch` takes.
    """
    import keras

    _, window_frames, n_mfcc = model.input_shape
    viewing = build(
        network,
        keras,
        window_frames=window_frames,
        n_mfcc=n_mfcc,
        n_labels=model.output_shape[-1],
        n_views=len(factors),
    )
    transfer_weights(model, viewing, first=view_weights(factors, spec, scaling))
    return viewing


def view_weights(
    factors: Sequence[float], spec: FrontendSpec, scaling: Normalization
) -> list[Floats]:
    """Kernel (1, 1, n_mfcc, views * n_mfcc) and bias of the layer that makes normalized views."""
    mean, std = np.array(scaling.mean), np.array(scaling.std)
    stretched = [stretch(factor, spec) for factor in factors]
    kernel = np.concatenate([std[:, None] * matrix / std for matrix in stretched], axis=1)
    bias = np.concatenate([(mean @ matrix - mean) / std for matrix in stretched])
    return [kernel[None, None].astype(np.float32), bias.astype(np.float32)]
