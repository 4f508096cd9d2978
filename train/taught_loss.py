"""What a network pays for that learns from labels and from a teacher's answers. Imports Keras."""

from __future__ import annotations

from typing import Any

import keras


@keras.saving.register_keras_serializable("emopi")
class TaughtLoss(keras.losses.Loss):  # type: ignore[misc]
    """Distillation of knowledge (Hinton, Vinyals and Dean 2015, section 2).

    `share` of it is the cross-entropy between teacher and student, the logits of both divided by
    `temperature`, times `temperature`²; the rest is that between smoothed labels and student.
    """

    def __init__(
        self, share: float, temperature: float, label_smoothing: float, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.share, self.temperature = share, temperature
        self.label_smoothing = label_smoothing

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """(batch,) from one-hot labels beside the teacher's logits, (batch, 2 * labels), and the
        student's logits, (batch, labels)."""
        ops = keras.ops
        labels, teacher = ops.split(y_true, 2, axis=-1)
        told = keras.losses.categorical_crossentropy(
            labels, y_pred, from_logits=True, label_smoothing=self.label_smoothing
        )
        taught = keras.losses.categorical_crossentropy(
            ops.softmax(teacher / self.temperature), y_pred / self.temperature, from_logits=True
        )
        return (1 - self.share) * told + self.share * self.temperature**2 * taught

    def get_config(self) -> dict[str, Any]:
        """What `from_config` takes."""
        return {
            **super().get_config(),
            "share": self.share,
            "temperature": self.temperature,
            "label_smoothing": self.label_smoothing,
        }


@keras.saving.register_keras_serializable("emopi")  # type: ignore[untyped-decorator]
def accuracy(y_true: Any, y_pred: Any) -> Any:
    """(batch,) 1 where the label is met; `y_true` may have a teacher's logits behind it."""
    return keras.metrics.categorical_accuracy(y_true[:, : y_pred.shape[-1]], y_pred)
