"""The sections of a recipe: every setting's name, type, range, default and help, once.

Options of the command line, the table in docs/reference/settings.md and all checks are derived
from here. Units are in the names.
"""

from __future__ import annotations

from typing import Annotated, Literal, get_args

import msgspec
from msgspec import Meta

ActivationName = Literal["paper", "relu", "relu6", "silu", "hard_swish"]
ACTIVATIONS: tuple[ActivationName, ...] = get_args(ActivationName)
SqueezeExcitation = Literal["paper", "on", "off"]
StridePlan = Literal["cifar", "imagenet"]
STRIDE_PLANS: tuple[StridePlan, ...] = get_args(StridePlan)
Quantization = Literal["float32", "float16", "dynamic_range", "int8_ptq", "int8_qat"]
QUANTIZATIONS: tuple[Quantization, ...] = get_args(Quantization)
PrecisionName = Literal["auto", "float32", "bfloat16"]
Schedule = Literal["one_cycle", "cosine", "step"]
View = Literal["flip", "rotate"]

Share = Annotated[float, Meta(ge=0, le=1)]
Rate = Annotated[float, Meta(ge=0, lt=1)]
Text = Annotated[str, Meta(max_length=4096)]
SidePx = Annotated[int, Meta(ge=1, le=1024)]
Epochs = Annotated[int, Meta(ge=1, le=10_000)]
Images = Annotated[int, Meta(ge=0, le=10_000_000)]
Count = Annotated[int, Meta(ge=1, le=100_000)]
BetaParameter = Annotated[float, Meta(ge=0, le=100)]
PeakLearningRate = Annotated[float, Meta(gt=0, le=100)]
Temperature = Annotated[float, Meta(gt=0, le=1000)]


def about(text: str) -> Meta:
    """Return the help text of a setting."""
    return Meta(description=text)


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The base of every section: immutable, no unknown key."""


class DataSettings(Settings, frozen=True, kw_only=True):
    """Which images, and how many of the training ones are held out for every choice."""

    name: Annotated[Text, about("Dataset, one of `mtf datasets`.")] = "cifar10"
    validation_count: Annotated[
        Images,
        about("Training images held out, stratified by class; 0 for none, the last epoch is kept."),
    ] = 5000
    path: Annotated[
        Text,
        Meta(
            description="Folder of images, or CSV file, in place of a named dataset; `name` and"
            " `validation_count` are then ignored."
        ),
    ] = ""
    classes: Annotated[
        tuple[Text, ...],
        Meta(
            max_length=10_000,
            description="Classes of that folder in label order; noted by the run itself.",
        ),
    ] = ()
    resize: Annotated[
        Literal["crop", "pad", "stretch"],
        Meta(description="How photographs become square: centre crop, grey bars or squeezed."),
    ] = "crop"
    holdout_share: Annotated[
        float,
        Meta(
            ge=0,
            lt=0.5,
            description="Share of a folder's images held out for validation, and again for test,"
            " where it has none; 0 follows their number.",
        ),
    ] = 0.0
    unreadable_share: Annotated[
        Share,
        Meta(description="Share of unreadable images above which a run stops."),
    ] = 0.01


class Options(Settings, frozen=True, kw_only=True):
    """Departures from the paper's table; the defaults are none.

    `squeeze_excitation`: arXiv 1905.02244, section 5.3. `stochastic_depth`: Huang 2016, arXiv
    1603.09382, equation 4. `block_count`: the "shallow" network of arXiv 1704.04861, table 5, but
    cut at the end.
    """

    activation: Annotated[
        ActivationName, about("Activation everywhere, in place of the paper's.")
    ] = "paper"
    squeeze_excitation: Annotated[
        SqueezeExcitation,
        about("Squeeze-and-excitation: `on` in every depthwise bottleneck, `off` in none."),
    ] = "paper"
    stochastic_depth: Annotated[
        Rate,
        about("Share of samples that skip the last residual block in training; less before it."),
    ] = 0.0
    head_units: Annotated[
        int,
        Meta(ge=0, le=65_536),
        about("Width of a hidden layer before the classifier; 0 for none."),
    ] = 0
    head_dropout: Annotated[Rate, about("Dropout rate after that hidden layer, in training.")] = 0.0
    block_count: Annotated[
        int,
        Meta(ge=0, le=100),
        about("Keep only the first blocks between stem and head, for a smaller file; 0 keeps all."),
    ] = 0


# Not kw_only, so that its own fields come before those of Options.
class ModelSettings(Options, frozen=True):
    """Which network: the width multiplier alpha, the input resolution and where it strides.

    "paper" is what the model's table has.
    """

    name: Annotated[Text, about("Model, one of `mtf models`.")] = "mobilenet_v1"
    alpha: Annotated[float, Meta(gt=0, le=1.5), about("Width multiplier.")] = 0.5
    resolution_px: Annotated[
        int,
        Meta(ge=8, le=1024),
        about("Input resolution in pixels; images of another size are resized."),
    ] = 32
    stride_plan: Annotated[
        StridePlan, about("`imagenet` strides as in the paper; `cifar` later, for small images.")
    ] = "cifar"
    dropout: Annotated[
        Rate | Literal["paper"],
        about("Dropout rate before the classifier; `paper` is 0.5 for AlexNet, 0.001 elsewhere."),
    ] = "paper"
    batch_norm_momentum: Annotated[
        Rate, about("Share of the moving statistics kept at each step.")
    ] = 0.9

    @property
    def options(self) -> Options:
        """The departures from the paper's table alone."""
        return Options(**{name: getattr(self, name) for name in Options.__struct_fields__})


class AugmentationSettings(Settings, frozen=True, kw_only=True):
    """What is done to whole training batches; 0 or false turns a part off.

    All but crop and flip are strong: they end after `strong_share` of the epochs.
    """

    crop_padding_px: Annotated[
        int,
        Meta(ge=0, le=64),
        about("Random crops from the image padded by this much, with reflection; 0 for none."),
    ] = 4
    flip: Annotated[
        bool | Literal["alternating"],
        about("Mirror images at random; `alternating` mirrors each one in every other epoch."),
    ] = True
    rotation_degrees: Annotated[
        float,
        Meta(ge=0, le=180),
        about("Largest rotation, in both directions; bilinear, with reflected edges."),
    ] = 0.0
    translation_share: Annotated[
        float, Meta(ge=0, lt=0.5), about("Largest translation, as a share of each side.")
    ] = 0.0
    color_jitter: Annotated[
        Rate, about("Largest relative change of brightness, contrast and saturation.")
    ] = 0.0
    cutout_px: Annotated[
        int, Meta(ge=0, le=512), about("Side of a square blanked at a random place; 0 for none.")
    ] = 0
    mixup_alpha: Annotated[
        BetaParameter, about("Parameter of mixup's beta distribution; 0 for none.")
    ] = 0.0
    cutmix_alpha: Annotated[
        BetaParameter,
        about("Parameter of CutMix's beta distribution; 0 for none. A batch gets mixup or this."),
    ] = 0.0
    strong_share: Annotated[
        Share,
        about("Share of the float epochs after which all but crop and flip stops, in QAT too."),
    ] = 1.0
    random_resized_crop_scale: Annotated[
        Share,
        Meta(description="Smallest share of the area that a random crop keeps; 0 for none."),
    ] = 0.0
    trivial_augment: Annotated[
        bool, Meta(description="One random change of geometry or colour for each image.")
    ] = False
    erasing_probability: Annotated[
        Share, Meta(description="Probability that a rectangle is erased; 0 for none.")
    ] = 0.0


class FitSettings(Settings, frozen=True, kw_only=True):
    """How weights are fitted; float training and quantization-aware training share it."""

    epochs: Annotated[Epochs, about("Passes over the training images.")] = 30
    batch_size: Annotated[
        int,
        Meta(ge=1, le=65_536),
        about("Batch size; the last, partial batch of an epoch is dropped."),
    ] = 128
    optimizer: Annotated[
        Literal["sgd", "adamw"], about("Optimizer; `sgd` has Nesterov momentum.")
    ] = "sgd"
    learning_rate: Annotated[PeakLearningRate, about("Peak learning rate.")] = 0.2
    momentum: Annotated[Rate, about("Momentum of `sgd`.")] = 0.9
    schedule: Annotated[
        Schedule,
        about(
            "Learning rate after the warm-up: `one_cycle` falls linearly, `cosine` along half a "
            "cosine, `step` in steps."
        ),
    ] = "one_cycle"
    final_learning_rate: Annotated[
        BetaParameter, about("Learning rate at the end of `one_cycle` and `cosine`.")
    ] = 0.0
    warmup_share: Annotated[
        Rate, about("Share of the steps in which the learning rate rises linearly from 0.")
    ] = 0.2
    step_epochs: Annotated[Epochs, about("Epochs between two drops of the `step` schedule.")] = 60
    step_factor: Annotated[
        float,
        Meta(gt=0, le=1),
        about("Factor of the learning rate at each drop of the `step` schedule."),
    ] = 0.2
    weight_decay: Annotated[
        float,
        Meta(ge=0, le=10),
        about("Decoupled weight decay of kernels but depthwise ones, times the learning rate."),
    ] = 0.005
    decay_everything: Annotated[
        bool, about("Also decay depthwise kernels, batch-norm scales and shifts, and biases.")
    ] = False
    label_smoothing: Annotated[
        Rate, about("Share of the target spread evenly over all classes.")
    ] = 0.1
    clip_norm: Annotated[
        float,
        Meta(ge=0, le=1_000_000),
        about("Largest global norm of the gradients; 0 for no clipping."),
    ] = 0.0
    ema_decay: Annotated[
        Rate,
        about("Decay of the weights' moving average, which is evaluated and kept; 0 for none."),
    ] = 0.0
    early_stopping_epochs: Annotated[
        int,
        Meta(ge=0, le=10_000),
        about(
            "Stop after this many epochs at full resolution without a better validation accuracy; "
            "0 for never."
        ),
    ] = 0


class TrainSettings(FitSettings, frozen=True, kw_only=True):
    """Float training: what it has beside the fit that it shares with fine-tuning."""

    progressive_px: Annotated[
        Annotated[tuple[SidePx, ...], Meta(max_length=16)] | Literal["auto"],
        about(
            "Growing resolutions of the first epochs, such as [16, 24]: multiples of the network's "
            "total stride; `auto` takes half and three quarters of the full one; empty for full "
            "resolution throughout."
        ),
    ] = ()
    progressive_share: Annotated[
        Share,
        about("Share of the epochs that these take, in equal parts; never the last epoch."),
    ] = 0.6
    recalibrate_batch_norm_count: Annotated[
        Images,
        about("Training images that batch-norm statistics are re-estimated from; 0 for none."),
    ] = 0
    teacher: Annotated[
        Text, about("Distillation: folder of a finished run on the same data; empty for none.")
    ] = ""
    distill_share: Annotated[
        Share,
        about("With a teacher: share of the loss against its probabilities instead of the labels."),
    ] = 0.5
    distill_temperature: Annotated[
        Temperature, about("Temperature of the logits of both for that.")
    ] = 2.0
    precision: Annotated[
        PrecisionName,
        about(
            "Precision of 1x1 convolutions and dense layers; `auto` picks the faster one for each "
            "layer. QAT is always float32."
        ),
    ] = "float32"  # fake quantization needs float32: there is no choice
    weights: Annotated[
        Text,
        about(
            "Initial weights: a .safetensors file, a name of `mtf zoo`, or a dataset that the zoo "
            "has this network for; for other classes the classifier starts at random. Empty for a "
            "random start."
        ),
    ] = ""


class QatSettings(FitSettings, frozen=True, kw_only=True):
    """Fine-tuning with fake quantization; 0 epochs leaves quantization-aware training out."""

    epochs: Annotated[
        int,
        Meta(ge=0, le=10_000),
        about("Passes over the training images; 0 leaves quantization-aware training out."),
    ] = 3
    learning_rate: Annotated[PeakLearningRate, about("Peak learning rate.")] = 0.015
    schedule: Annotated[Schedule, about("Schedule, as in `train`.")] = "cosine"
    warmup_share: Annotated[Rate, about("Share of the steps that warm up, as in `train`.")] = 0.05
    calibration_count: Annotated[
        Count,
        about("Training images that the initial activation ranges come from, outliers left out."),
    ] = 512
    freeze_batch_norm_share: Annotated[
        Share,
        about("Share of the epochs after which batch-norm statistics are fixed; 0 for never."),
    ] = 0.5
    freeze_ranges_share: Annotated[
        Share, about("Share of the epochs after which ranges are fixed.")
    ] = 0.5
    distill_share: Annotated[
        Share, about("Share of the loss against the float network's probabilities; 0 for none.")
    ] = 0.0
    distill_temperature: Annotated[
        Temperature, about("Temperature of the logits of both for that.")
    ] = 2.0


class ExportSettings(Settings, frozen=True, kw_only=True):
    """Which `.tflite` files are written, and how their int8 ranges are calibrated."""

    quantizations: Annotated[
        tuple[Quantization, ...], Meta(max_length=16), about("Files to write.")
    ] = QUANTIZATIONS
    io_type: Annotated[
        Literal["int8", "uint8"],
        about("Type of input and output of int8 files; MediaPipe and LiteRT.js need `uint8`."),
    ] = "int8"
    logits: Annotated[bool, about("Return logits: leave the final softmax out.")] = False
    calibration_count: Annotated[
        Count, about("Training images that int8_ptq is calibrated on, outliers left out.")
    ] = 512


class BenchmarkSettings(Settings, frozen=True, kw_only=True):
    """How the final figures are measured, on the test split."""

    threads: Annotated[int, Meta(ge=1, le=256), about("Threads of the interpreter.")] = 1
    latency_warmup_runs: Annotated[
        int, Meta(ge=0, le=100_000), about("Runs of each model before the timed ones.")
    ] = 10
    latency_runs: Annotated[Count, about("Timed runs of each model on one image, in turns.")] = 100
    test_time_augmentation: Annotated[
        tuple[View, ...],
        Meta(max_length=16),
        about("Also test-time augmentation: `flip` (mirrored), `rotate` (90, 180, 270 degrees)."),
    ] = ()


class Recipe(Settings, frozen=True, kw_only=True):
    """One experiment, from images to the benchmarked file."""

    seed: Annotated[
        int,
        Meta(ge=0, le=2**31 - 1),
        about("Seed of weights, validation split, order, augmentation and calibration images."),
    ] = 1
    deterministic: Annotated[
        bool, about("Bit-equal weights for the same seed and machine; slower.")
    ] = False
    data: DataSettings = DataSettings()
    model: ModelSettings = ModelSettings()
    augmentation: AugmentationSettings = AugmentationSettings()
    train: TrainSettings = TrainSettings()
    qat: QatSettings = QatSettings()
    export: ExportSettings = ExportSettings()
    benchmark: BenchmarkSettings = BenchmarkSettings()
