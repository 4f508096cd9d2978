"""Our cnn with fewer channels and one view: what it reaches at the size of a published network.

"cnn-whole" has all channels, so that there is one of ours that only the network sets apart.

Trained and scored as those are (`literature_run`), in float32; not shipped.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from emopi.train.topology import build


def _narrow(width: float, keras: Any, frames: int, n_mfcc: int, n_labels: int) -> Any:
    return build("cnn", keras, window_frames=frames, n_mfcc=n_mfcc, n_labels=n_labels, width=width)


NETWORKS: dict[str, Callable[[Any, int, int, int], Any]] = {
    "cnn-whole": functools.partial(_narrow, 1.0),
    "cnn-half": functools.partial(_narrow, 0.5),
    "cnn-quarter": functools.partial(_narrow, 0.25),
}
