"""The sections that fit weights: float training and quantization-aware training."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from mobilenet_tf.recipe.base import SHARE, TEXT, Settings

PrecisionName = Literal["auto", "float32", "bfloat16"]
Schedule = Literal["one_cycle", "cosine", "step"]
SIDE_PX = Meta(ge=1, le=1024)


class FitSettings(Settings, frozen=True, kw_only=True):
    """How weights are fitted; float training and quantization-aware training share it."""

    epochs: Annotated[
        int, Meta(ge=1, le=10_000, description="Passes over the training images.")
    ] = 30
    batch_size: Annotated[
        int,
        Meta(
            ge=1,
            le=65_536,
            description="Batch size; the last, partial batch of an epoch is dropped.",
        ),
    ] = 128
    optimizer: Annotated[
        Literal["sgd", "adamw"],
        Meta(description="Optimizer; `sgd` has Nesterov momentum."),
    ] = "sgd"
    learning_rate: Annotated[float, Meta(gt=0, le=100, description="Peak learning rate.")] = 0.2
    momentum: Annotated[float, Meta(ge=0, lt=1, description="Momentum of `sgd`.")] = 0.9
    schedule: Annotated[
        Schedule,
        Meta(
            description="Learning rate after the warm-up: `one_cycle` falls linearly, `cosine`"
            " along half a cosine, `step` in steps."
        ),
    ] = "one_cycle"
    final_learning_rate: Annotated[
        float,
        Meta(ge=0, le=100, description="Learning rate at the end of `one_cycle` and `cosine`."),
    ] = 0.0
    warmup_share: Annotated[
        float,
        Meta(
            ge=0,
            lt=1,
            description="Share of the steps in which the learning rate rises linearly from 0.",
        ),
    ] = 0.2
    step_epochs: Annotated[
        int,
        Meta(ge=1, le=10_000, description="Epochs between two drops of the `step` schedule."),
    ] = 60
    step_factor: Annotated[
        float,
        Meta(
            gt=0,
            le=1,
            description="Factor of the learning rate at each drop of the `step` schedule.",
        ),
    ] = 0.2
    weight_decay: Annotated[
        float,
        Meta(
            ge=0,
            le=10,
            description="Decoupled weight decay of kernels, not depthwise ones: learning rate times"
            " this at each step.",
        ),
    ] = 0.005
    decay_everything: Annotated[
        bool,
        Meta(description="Also decay depthwise kernels, batch-norm scales and shifts, and biases."),
    ] = False
    label_smoothing: Annotated[
        float,
        Meta(ge=0, lt=1, description="Share of the target spread evenly over all classes."),
    ] = 0.1
    clip_norm: Annotated[
        float,
        Meta(
            ge=0,
            le=1_000_000,
            description="Largest global norm of the gradients; 0 for no clipping.",
        ),
    ] = 0.0
    ema_decay: Annotated[
        float,
        Meta(
            ge=0,
            lt=1,
            description="Decay of the moving average of the weights, which is then what is"
            " evaluated and kept; 0 for none.",
        ),
    ] = 0.0
    early_stopping_epochs: Annotated[
        int,
        Meta(
            ge=0,
            le=10_000,
            description="Stop after this many epochs at full resolution without a better"
            " validation accuracy; 0 for never.",
        ),
    ] = 0


class TrainSettings(FitSettings, frozen=True, kw_only=True):
    """Float training: what it has beside the fit that it shares with fine-tuning."""

    progressive_px: Annotated[
        Annotated[tuple[Annotated[int, SIDE_PX], ...], Meta(max_length=16)] | Literal["auto"],
        Meta(
            description="Growing resolutions of the first epochs, such as [16, 24]: multiples of"
            " the network's total stride; `auto` takes half and three quarters of the full one;"
            " empty for full resolution throughout."
        ),
    ] = ()
    progressive_share: Annotated[
        float,
        SHARE,
        Meta(
            description="Share of the epochs that these take, in equal parts; the last epoch is"
            " always at full resolution."
        ),
    ] = 0.6
    recalibrate_batch_norm_count: Annotated[
        int,
        Meta(
            ge=0,
            le=10_000_000,
            description="Training images, not augmented, that batch-norm statistics are"
            " re-estimated from at the end; 0 for none.",
        ),
    ] = 0
    teacher: Annotated[
        str,
        TEXT,
        Meta(
            description="Distillation: folder of a finished run on the same data whose float"
            " network teaches this one; empty for none."
        ),
    ] = ""
    distill_share: Annotated[
        float,
        SHARE,
        Meta(
            description="With a teacher: share of the loss against its probabilities instead of"
            " the labels."
        ),
    ] = 0.5
    distill_temperature: Annotated[
        float,
        Meta(gt=0, le=1000, description="Temperature of the logits of both for that."),
    ] = 2.0
    precision: Annotated[
        PrecisionName,
        Meta(
            description="Precision of 1x1 convolutions and dense layers; `auto` picks the faster"
            " one for each layer. QAT is always float32."
        ),
    ] = "float32"  # fake quantization needs float32: there is no choice
    weights: Annotated[
        str,
        TEXT,
        Meta(
            description="Initial weights: a .safetensors file, a name of `mtf zoo`, or a dataset"
            " that the zoo has this network for; for other classes the classifier starts at random."
            " Empty for a random start."
        ),
    ] = ""


class QatSettings(FitSettings, frozen=True, kw_only=True):
    """Fine-tuning with fake quantization; 0 epochs leaves quantization-aware training out."""

    epochs: Annotated[
        int,
        Meta(
            ge=0,
            le=10_000,
            description="Passes over the training images; 0 leaves quantization-aware training"
            " out.",
        ),
    ] = 3
    learning_rate: Annotated[float, Meta(gt=0, le=100, description="Peak learning rate.")] = 0.015
    schedule: Annotated[Schedule, Meta(description="Schedule, as in `train`.")] = "cosine"
    warmup_share: Annotated[
        float, Meta(ge=0, lt=1, description="Share of the steps that warm up, as in `train`.")
    ] = 0.05
    calibration_count: Annotated[
        int,
        Meta(
            ge=1,
            le=100_000,
            description="Training images that the initial activation ranges come from, outliers"
            " left out.",
        ),
    ] = 512
    freeze_batch_norm_share: Annotated[
        float,
        SHARE,
        Meta(
            description="Share of the epochs after which batch normalisation uses its moving"
            " statistics; 0 for never."
        ),
    ] = 0.5
    freeze_ranges_share: Annotated[
        float, SHARE, Meta(description="Share of the epochs after which ranges are fixed.")
    ] = 0.5
    distill_share: Annotated[
        float,
        SHARE,
        Meta(
            description="Share of the loss against the float network's probabilities instead of"
            " the labels; 0 for none."
        ),
    ] = 0.0
    distill_temperature: Annotated[
        float,
        Meta(gt=0, le=1000, description="Temperature of the logits of both for that."),
    ] = 2.0
