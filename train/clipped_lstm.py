"""An LSTM cell with a bounded cell state, as TFLite's fused operator has it. Imports Keras."""

from __future__ import annotations

from typing import Any

import keras


@keras.saving.register_keras_serializable("emopi")
class ClippedLSTMCell(keras.layers.LSTMCell):  # type: ignore[misc]
    """Hochreiter and Schmidhuber 1997 with forget gate; c = clip(f * c + i * g, ±clip).

    Same weights, in the same order, as `keras.layers.LSTMCell`.
    """

    def __init__(self, units: int, *, clip: float, **kwargs: Any) -> None:
        super().__init__(units, **kwargs)
        self.clip = clip

    def call(self, inputs: Any, states: Any, training: bool = False) -> Any:  # noqa: ARG002
        """(batch, features) and [h, c] of (batch, units) to the new h, [h, c]."""
        h, c = states
        ops = keras.ops
        gates = ops.matmul(inputs, self.kernel) + ops.matmul(h, self.recurrent_kernel) + self.bias
        i, f, g, o = ops.split(gates, 4, axis=-1)
        c = ops.sigmoid(f) * c + ops.sigmoid(i) * ops.tanh(g)
        c = ops.clip(c, -self.clip, self.clip)
        h = ops.sigmoid(o) * ops.tanh(c)
        return h, [h, c]

    def get_config(self) -> dict[str, Any]:
        """What `from_config` takes."""
        return {**super().get_config(), "clip": self.clip}
