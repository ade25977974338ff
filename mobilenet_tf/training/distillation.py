"""Learning from a teacher: its probabilities as soft targets beside the labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mobilenet_tf.keras import tf
from mobilenet_tf.runs.answers import Answers


@dataclass(frozen=True)
class Teacher:
    """A trained network or its stored answers, and how much its word counts.

    `model` maps images (B, R, R, 3) to logits (B, C); with `answers` it is not asked.
    """

    model: Any
    share: float  # of the loss, in [0, 1]
    temperature: float  # divides both sides' logits: high, wrong classes count more
    answers: Answers | None = None

    def blend(self, loss: Any, images: Any, logits: Any, taught: Any = None) -> Any:
        """Return the loss against labels mixed with the cross-entropy against the teacher.

        `taught` are its logits where they were stored. The cross-entropy is multiplied by the
        temperature's square, which keeps its gradients as large as the labels' (Hinton 2015, arXiv
        1503.02531, section 2).
        """
        if taught is None:
            taught = self.model(images, training=False)
        soft_target = tf.nn.softmax(taught / self.temperature)
        soft_logits = logits / self.temperature
        entropy = tf.nn.softmax_cross_entropy_with_logits(
            tf.stop_gradient(soft_target), soft_logits
        )
        soft_loss = tf.reduce_mean(entropy) * self.temperature**2
        return (1 - self.share) * loss + self.share * soft_loss
