"""The base of all typed results, and how two models compare on the same images."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

Count = Annotated[int, Meta(ge=0, le=2**53)]
Share = Annotated[float, Meta(ge=0, le=1)]
Amount = Annotated[float, Meta(ge=0, le=1e18)]  # of seconds, milliseconds, steps, nats
Sha256 = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]
Line = Annotated[str, Meta(pattern=r"^[^\x00-\x1f\x7f-\x9f]*\Z", max_length=1024)]
# Plain names: they can leave neither their folder nor a line of the terminal.
_NAME = r"[A-Za-z0-9][A-Za-z0-9._-]*"
FileName = Annotated[str, Meta(pattern=rf"^{_NAME}\Z", max_length=128)]
FilePath = Annotated[str, Meta(pattern=rf"^{_NAME}(/{_NAME})*\Z", max_length=512)]


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """The base of everything that is recorded: immutable, every field by name."""


class Parity(Record, frozen=True, kw_only=True):
    """How far two sets of probabilities differ; steps are those of an int8 output, 1/256."""

    count: Count
    top1_agreement: Share
    largest_difference_steps: Amount
    mean_difference_steps: Amount


class Paired(Record, frozen=True, kw_only=True):
    """Predictions against those of the Keras float model on the same images, class by class."""

    lost: tuple[Count, ...]  # images that the float model alone has right
    gained: tuple[Count, ...]  # images that this one alone has right


def differ(gained: int, lost: int) -> bool:
    """Tell whether gains and losses differ by more than the standard error of their difference."""
    return abs(gained - lost) > (gained + lost) ** 0.5


class Preference(Record, frozen=True, kw_only=True):
    """Whether a fine-tuned int8 network is preferred to the calibrated one, and what decided it.

    `gained` and `lost` are images that one of them alone has right or, by agreement, classes as the
    float network does.
    """

    fine_tuned: bool
    measure: Literal["accuracy", "agreement"]
    images: Literal["validation", "augmented training"]
    count: Count
    gained: Count
    lost: Count

    @property
    def decisive(self) -> bool:
        """Whether the images show a difference."""
        return differ(self.gained, self.lost)

    @property
    def reason(self) -> str:
        """What decided it, as the second half of a sentence."""
        measure = {"accuracy": "accuracy", "agreement": "agreement with the float network"}
        found = (
            f"fine-tuning gains {self.gained:,} and loses {self.lost:,} of {self.count:,}"
            f" {self.images} images in {measure[self.measure]}"
        )
        if self.decisive:
            return found
        before = "; fine-tuning had gained when it ended" if self.fine_tuned else ""
        return f"{found}, no more than chance{before}"
