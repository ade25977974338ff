"""The sections of a recipe: every setting's name, type, range, default and help, once.

Options of the command line, the table in docs/reference/settings.md and all checks are derived
from here. Units are in the names.
"""

from __future__ import annotations

from typing import Annotated, Literal, get_args

from msgspec import Meta

from mobilenet_tf.recipe.base import SHARE, TEXT, Settings
from mobilenet_tf.recipe.fit import QatSettings, TrainSettings

ActivationName = Literal["paper", "relu", "relu6", "silu", "hard_swish"]
ACTIVATIONS: tuple[ActivationName, ...] = get_args(ActivationName)
SqueezeExcitation = Literal["paper", "on", "off"]
StridePlan = Literal["cifar", "imagenet"]
STRIDE_PLANS: tuple[StridePlan, ...] = get_args(StridePlan)
Quantization = Literal["float32", "float16", "dynamic_range", "int8_ptq", "int8_qat"]
QUANTIZATIONS: tuple[Quantization, ...] = get_args(Quantization)
View = Literal["flip", "rotate"]

_RATE = Annotated[float, Meta(ge=0, lt=1)]


class DataSettings(Settings, frozen=True, kw_only=True):
    """Which images, and how many of the training ones are held out for every choice."""

    name: Annotated[str, TEXT, Meta(description="Dataset, one of `mtf datasets`.")] = "cifar10"
    validation_count: Annotated[
        int,
        Meta(
            ge=0,
            le=10_000_000,
            description="Training images held out for validation, stratified by class; 0 trains on"
            " all and keeps the last epoch.",
        ),
    ] = 5000
    path: Annotated[
        str,
        TEXT,
        Meta(
            description="Folder of images, or CSV file, in place of a named dataset; `name` and"
            " `validation_count` are then ignored."
        ),
    ] = ""
    classes: Annotated[
        tuple[str, ...],
        Meta(description="Classes of that folder in label order; noted by the run itself."),
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
        float,
        SHARE,
        Meta(description="Share of unreadable images above which a run stops."),
    ] = 0.01


class Options(Settings, frozen=True, kw_only=True):
    """Departures from the paper's table; the defaults are none.

    `squeeze_excitation`: arXiv 1905.02244, section 5.3. `stochastic_depth`: Huang 2016, arXiv
    1603.09382, equation 4. `block_count`: the "shallow" network of arXiv 1704.04861, table 5, but
    cut at the end.
    """

    activation: Annotated[
        ActivationName,
        Meta(description="Activation everywhere, in place of the paper's."),
    ] = "paper"
    squeeze_excitation: Annotated[
        SqueezeExcitation,
        Meta(
            description="Squeeze-and-excitation: `on` in every bottleneck with a depthwise"
            " convolution, `off` in none."
        ),
    ] = "paper"
    stochastic_depth: Annotated[
        float,
        Meta(
            ge=0,
            lt=1,
            description="Share of samples that skip the last residual bottleneck in training;"
            " proportionally less for earlier ones.",
        ),
    ] = 0.0
    head_units: Annotated[
        int,
        Meta(
            ge=0,
            le=65_536,
            description="Width of a hidden layer before the classifier; 0 for none.",
        ),
    ] = 0
    head_dropout: Annotated[
        float,
        Meta(ge=0, lt=1, description="Dropout rate after that hidden layer, in training."),
    ] = 0.0
    block_count: Annotated[
        int,
        Meta(
            ge=0,
            le=100,
            description="Keep only the first blocks between stem and head, for a smaller file; 0"
            " keeps all.",
        ),
    ] = 0


# Not kw_only, so that its own fields come before those of Options.
class ModelSettings(Options, frozen=True):
    """Which network: the width multiplier alpha, the input resolution and where it strides.

    "paper" is what the model's table has.
    """

    name: Annotated[str, TEXT, Meta(description="Model, one of `mtf models`.")] = "mobilenet_v1"
    alpha: Annotated[float, Meta(gt=0, le=1.5, description="Width multiplier.")] = 0.5
    resolution_px: Annotated[
        int,
        Meta(
            ge=8,
            le=1024,
            description="Input resolution in pixels; images of another size are resized.",
        ),
    ] = 32
    stride_plan: Annotated[
        StridePlan,
        Meta(
            description="`imagenet` strides as the paper does; `cifar` keeps small images at full"
            " resolution in the first stages."
        ),
    ] = "cifar"
    dropout: Annotated[
        _RATE | Literal["paper"],
        Meta(
            description="Dropout rate before the classifier, in training; `paper` is 0.5 for"
            " AlexNet (before fc7 too) and 0.001 for the others."
        ),
    ] = "paper"
    batch_norm_momentum: Annotated[
        float,
        Meta(ge=0, lt=1, description="Share of the moving statistics kept at each step."),
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
        Meta(
            ge=0,
            le=64,
            description="Random crops from the image padded by this much, with reflection; 0 for"
            " none.",
        ),
    ] = 4
    flip: Annotated[
        bool | Literal["alternating"],
        Meta(
            description="Mirror every other image at random; `alternating` mirrors each image in"
            " every other epoch."
        ),
    ] = True
    rotation_degrees: Annotated[
        float,
        Meta(
            ge=0,
            le=180,
            description="Largest rotation, in both directions; bilinear, with reflected edges.",
        ),
    ] = 0.0
    translation_share: Annotated[
        float, Meta(ge=0, lt=0.5, description="Largest translation, as a share of each side.")
    ] = 0.0
    color_jitter: Annotated[
        float,
        Meta(
            ge=0,
            lt=1,
            description="Largest relative change of brightness, contrast and saturation.",
        ),
    ] = 0.0
    cutout_px: Annotated[
        int,
        Meta(ge=0, le=512, description="Side of a square blanked at a random place; 0 for none."),
    ] = 0
    mixup_alpha: Annotated[
        float,
        Meta(ge=0, le=100, description="Parameter of mixup's beta distribution; 0 for none."),
    ] = 0.0
    cutmix_alpha: Annotated[
        float,
        Meta(
            ge=0,
            le=100,
            description="Parameter of CutMix's beta distribution; 0 for none. With mixup too, each"
            " batch gets one of the two.",
        ),
    ] = 0.0
    strong_share: Annotated[
        float,
        SHARE,
        Meta(
            description="Share of the float epochs after which everything but crop and flip stops,"
            " in QAT too."
        ),
    ] = 1.0
    random_resized_crop_scale: Annotated[
        float,
        SHARE,
        Meta(description="Smallest share of the area that a random crop keeps; 0 for none."),
    ] = 0.0
    trivial_augment: Annotated[
        bool, Meta(description="One random change of geometry or colour for each image.")
    ] = False
    erasing_probability: Annotated[
        float, SHARE, Meta(description="Probability that a rectangle is erased; 0 for none.")
    ] = 0.0


class ExportSettings(Settings, frozen=True, kw_only=True):
    """Which `.tflite` files are written, and how their int8 ranges are calibrated."""

    quantizations: Annotated[
        tuple[Quantization, ...], Meta(max_length=16, description="Files to write.")
    ] = QUANTIZATIONS
    io_type: Annotated[
        Literal["int8", "uint8"],
        Meta(
            description="Type of input and output of the int8 files; MediaPipe Tasks and LiteRT.js"
            " need `uint8`."
        ),
    ] = "int8"
    logits: Annotated[bool, Meta(description="Return logits: leave the final softmax out.")] = False
    calibration_count: Annotated[
        int,
        Meta(
            ge=1,
            le=100_000,
            description="Training images that int8_ptq is calibrated on, outliers left out.",
        ),
    ] = 512


class BenchmarkSettings(Settings, frozen=True, kw_only=True):
    """How the final figures are measured, on the test split."""

    threads: Annotated[int, Meta(ge=1, le=256, description="Threads of the interpreter.")] = 1
    latency_warmup_runs: Annotated[
        int, Meta(ge=0, le=100_000, description="Runs of each model before the timed ones.")
    ] = 10
    latency_runs: Annotated[
        int,
        Meta(ge=1, le=100_000, description="Timed runs of each model on one image, in turns."),
    ] = 100
    test_time_augmentation: Annotated[
        tuple[View, ...],
        Meta(
            max_length=16,
            description="Also report accuracy with test-time augmentation: `flip` (mirrored),"
            " `rotate` (by 90, 180 and 270 degrees).",
        ),
    ] = ()


class Recipe(Settings, frozen=True, kw_only=True):
    """One experiment, from images to the benchmarked file."""

    seed: Annotated[
        int,
        Meta(
            ge=0,
            le=2**31 - 1,
            description="Seed of initial weights, validation split, order, augmentation and"
            " calibration images.",
        ),
    ] = 1
    deterministic: Annotated[
        bool,
        Meta(description="Bit-equal weights for the same seed and machine; slower."),
    ] = False
    data: DataSettings = DataSettings()
    model: ModelSettings = ModelSettings()
    augmentation: AugmentationSettings = AugmentationSettings()
    train: TrainSettings = TrainSettings()
    qat: QatSettings = QatSettings()
    export: ExportSettings = ExportSettings()
    benchmark: BenchmarkSettings = BenchmarkSettings()
