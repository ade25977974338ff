"""The sections of a recipe: every setting's name, type, range, default and help, once.

Options of the command line, the table in docs/reference/settings.md and all checks are derived
from here; the text below a setting is its help. Units are in the names.
"""

from __future__ import annotations

from typing import Annotated, Literal, get_args

import msgspec
from msgspec import Meta

ActivationName = Literal["paper", "relu", "relu6", "silu", "hard_swish"]
ACTIVATIONS: tuple[ActivationName, ...] = get_args(ActivationName)
SqueezeExcitation = Literal["paper", "on", "off"]
StridePlan = Literal["cifar", "imagenet", "late"]
STRIDE_PLANS: tuple[StridePlan, ...] = get_args(StridePlan)
Quantization = Literal["float32", "float16", "dynamic_range", "int8_ptq", "int8_qat"]
QUANTIZATIONS: tuple[Quantization, ...] = get_args(Quantization)
IoType = Literal["int8", "uint8", "float32"]
IO_TYPES: tuple[IoType, ...] = get_args(IoType)
PrecisionName = Literal["auto", "float32", "bfloat16"]
Schedule = Literal["one_cycle", "cosine", "step"]
View = Literal["flip", "rotate"]
ResizeRule = Literal["crop", "pad", "stretch"]
RESIZE_RULES: tuple[ResizeRule, ...] = get_args(ResizeRule)

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


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The base of every section: immutable, no unknown key."""


class DataSettings(Settings, frozen=True, kw_only=True):
    """Which images, and how many of the training ones are held out for every choice."""

    name: Text = "cifar10"
    """Dataset, one of `mtf datasets`."""
    validation_count: Images = 5000
    """Training images held out, stratified by class; 0 for none, the last epoch is kept."""
    path: Text = ""
    """Folder of images, or CSV file, in place of a named dataset; `name` and `validation_count` are
    then ignored."""
    classes: Annotated[tuple[Text, ...], Meta(max_length=10_000)] = ()
    """Classes of that folder in label order; noted by the run itself."""
    resize: ResizeRule = "crop"
    """How photographs become square: centre crop, grey bars or squeezed."""
    holdout_share: Annotated[float, Meta(ge=0, lt=0.5)] = 0.0
    """Share of a folder's images held out for validation, and again for test, where it has none; 0
    follows their number."""
    unreadable_share: Share = 0.01
    """Share of unreadable images above which a run stops."""


class Options(Settings, frozen=True, kw_only=True):
    """Departures from the paper's table; the defaults are none.

    `squeeze_excitation`: arXiv 1905.02244, section 5.3. `stochastic_depth`: Huang 2016, arXiv
    1603.09382, equation 4. `block_count`: the "shallow" network of arXiv 1704.04861, table 5, but
    cut at the end.
    """

    activation: ActivationName = "paper"
    """Activation everywhere, in place of the paper's."""
    squeeze_excitation: SqueezeExcitation = "paper"
    """Squeeze-and-excitation: `on` in every depthwise bottleneck, `off` in none."""
    stochastic_depth: Rate = 0.0
    """Share of samples that skip the last residual block in training; less before it."""
    head_units: Annotated[int, Meta(ge=0, le=65_536)] = 0
    """Width of a hidden layer before the classifier; 0 for none."""
    head_dropout: Rate = 0.0
    """Dropout rate after that hidden layer, in training."""
    residual: bool = False
    """Residual connections around MobileNetV1's blocks where the shapes agree."""
    block_count: Annotated[int, Meta(ge=0, le=100)] = 0
    """Keep only the first blocks between stem and head, for a smaller file; 0 keeps all."""


# Not kw_only, so that its own fields come before those of Options.
class ModelSettings(Options, frozen=True):
    """Which network: the width multiplier alpha, the input resolution and where it strides.

    "paper" is what the model's table has.
    """

    name: Text = "mobilenet_v1"
    """Model, one of `mtf models`."""
    alpha: Annotated[float, Meta(gt=0, le=1.5)] = 0.5
    """Width multiplier."""
    resolution_px: Annotated[int, Meta(ge=8, le=1024)] = 32
    """Input resolution in pixels; images of another size are resized."""
    stride_plan: StridePlan = "cifar"
    """`imagenet` strides as in the paper; `cifar` later, for small images; `late` without the first
    stride of `cifar`: more arithmetic for the same weights."""
    dropout: Rate | Literal["paper"] = "paper"
    """Dropout rate before the classifier; `paper` is 0.5 for AlexNet, 0.001 elsewhere."""
    batch_norm_momentum: Rate = 0.9
    """Share of the moving statistics kept at each step."""

    @property
    def options(self) -> Options:
        """The departures from the paper's table alone."""
        return Options(**{name: getattr(self, name) for name in Options.__struct_fields__})


class AugmentationSettings(Settings, frozen=True, kw_only=True):
    """What is done to whole training batches; 0 or false turns a part off.

    All but crop and flip are strong: they end after `strong_share` of the epochs.
    """

    crop_padding_px: Annotated[int, Meta(ge=0, le=64)] = 4
    """Random crops from the image padded by this much, with reflection; 0 for none."""
    flip: bool | Literal["alternating"] = True
    """Mirror images at random; `alternating` mirrors each one in every other epoch."""
    rotation_degrees: Annotated[float, Meta(ge=0, le=180)] = 0.0
    """Largest rotation, in both directions; bilinear, with reflected edges."""
    translation_share: Annotated[float, Meta(ge=0, lt=0.5)] = 0.0
    """Largest translation, as a share of each side."""
    color_jitter: Rate = 0.0
    """Largest relative change of brightness, contrast and saturation."""
    cutout_px: Annotated[int, Meta(ge=0, le=512)] = 0
    """Side of a square blanked at a random place; 0 for none."""
    mixup_alpha: BetaParameter = 0.0
    """Parameter of mixup's beta distribution; 0 for none."""
    cutmix_alpha: BetaParameter = 0.0
    """Parameter of CutMix's beta distribution; 0 for none. A batch gets mixup or this."""
    strong_share: Share = 1.0
    """Share of the float epochs, or of each round of `train.distinct_epochs`, after which all but
    crop and flip stops, in QAT too."""
    random_resized_crop_scale: Share = 0.0
    """Smallest share of the area that a random crop keeps, in place of `crop_padding_px`'s; 0 for
    none."""
    trivial_augment: bool = False
    """One random change of geometry or colour for each image."""
    erasing_probability: Share = 0.0
    """Probability that a rectangle is erased; 0 for none."""


class FitSettings(Settings, frozen=True, kw_only=True):
    """How weights are fitted; float training and quantization-aware training share it."""

    epochs: Epochs = 30
    """Passes over the training images."""
    batch_size: Annotated[int, Meta(ge=1, le=65_536)] = 128
    """Batch size; the last, partial batch of an epoch is dropped."""
    ghost_batches: Annotated[int, Meta(ge=1, le=1024)] = 1
    """Equal parts of a batch that batch normalization sees one by one; 2 are 5 to 8 % faster on
    two cores, which compute them side by side."""
    optimizer: Literal["sgd", "adamw"] = "sgd"
    """Optimizer; `sgd` has Nesterov momentum."""
    learning_rate: PeakLearningRate = 0.2
    """Peak learning rate."""
    momentum: Rate = 0.9
    """Momentum of `sgd`."""
    schedule: Schedule = "one_cycle"
    """Learning rate after the warm-up: `one_cycle` falls linearly, `cosine` along half a cosine,
    `step` in steps."""
    final_learning_rate: BetaParameter = 0.0
    """Learning rate at the end of `one_cycle` and `cosine`."""
    warmup_share: Rate = 0.2
    """Share of the steps in which the learning rate rises linearly from 0."""
    step_epochs: Epochs = 60
    """Epochs between two drops of the `step` schedule."""
    step_factor: Annotated[float, Meta(gt=0, le=1)] = 0.2
    """Factor of the learning rate at each drop of the `step` schedule."""
    weight_decay: Annotated[float, Meta(ge=0, le=10)] = 0.005
    """Decoupled weight decay of kernels but depthwise ones, times the learning rate."""
    decay_everything: bool = False
    """Also decay depthwise kernels, batch-norm scales and shifts, and biases."""
    label_smoothing: Rate = 0.1
    """Share of the target spread evenly over all classes."""
    class_balance: Share = 0.0
    """Weight of a class in the loss: its number of images to the power of minus this; 0 for none, 1
    counts all classes alike."""
    layer_decay: Annotated[float, Meta(gt=0, le=1)] = 1.0
    """Factor by which each convolution learns slower than the one after it."""
    clip_norm: Annotated[float, Meta(ge=0, le=1_000_000)] = 0.0
    """Largest global norm of the gradients; 0 for no clipping."""
    ema_decay: Rate = 0.0
    """Decay of the weights' moving average, which is evaluated and kept; 0 for none."""
    early_stopping_epochs: Annotated[int, Meta(ge=0, le=10_000)] = 0
    """Stop after this many epochs at full resolution without a better validation accuracy; 0 for
    never."""

    @property
    def round_epochs(self) -> int:
        """The epochs after which the same batches come again: all of them."""
        return self.epochs


class TrainSettings(FitSettings, frozen=True, kw_only=True):
    """Float training: what it has beside the fit that it shares with fine-tuning."""

    progressive_px: Annotated[tuple[SidePx, ...], Meta(max_length=16)] | Literal["auto"] = ()
    """Growing resolutions of the first epochs, such as [16, 24]: multiples of the network's total
    stride; `auto` takes half and three quarters of the full one; empty for full resolution
    throughout."""
    progressive_share: Share = 0.6
    """Share of the epochs that these take, in equal parts; never the last epoch."""
    recalibrate_batch_norm_count: Images = 0
    """Training images that batch-norm statistics are re-estimated from; 0 for none."""
    calibrate_confidence: bool = False
    """Divide the logits by a temperature, here and after QAT, so that on validation images
    probabilities are as high as predictions are right."""
    teacher: Text = ""
    """Distillation: folder of a finished run on the same data, or of the answers that `mtf teach`
    stored for this schedule; empty for none."""
    distill_share: Share = 0.5
    """With a teacher: share of the loss against its probabilities instead of the labels."""
    distill_temperature: Temperature = 2.0
    """Temperature of the logits of both for that."""
    distinct_epochs: Annotated[int, Meta(ge=0, le=10_000)] = 0
    """Epochs until the same augmented images come again, so that a teacher's stored answers serve a
    longer training; 0 for never."""
    precision: PrecisionName = "auto"  # fake quantization needs float32: there is no choice
    """Precision of 1x1 convolutions and dense layers; `auto` measures which one is clearly faster,
    and with `--deterministic` is float32. QAT is always float32."""
    weights: Text = ""
    """Initial weights: `imagenet`, a .safetensors, .h5 or .keras file, a run's folder, a name of
    `mtf zoo`, or a dataset that the zoo has this network for; for other classes the classifier
    starts at random. Empty for a random start."""
    head_first: bool = False
    """Before the first epoch, fit a new classifier on the features of the initial weights."""
    freeze_batch_norm: bool = False
    """Leave batch normalization as it is in the initial weights."""

    @property
    def round_epochs(self) -> int:
        """The epochs after which the same batches come again."""
        return min(self.distinct_epochs or self.epochs, self.epochs)


class QatSettings(FitSettings, frozen=True, kw_only=True):
    """Fine-tuning with fake quantization; 0 epochs leaves quantization-aware training out."""

    epochs: Annotated[int, Meta(ge=0, le=10_000)] = 2
    """Passes over the training images; 0 leaves quantization-aware training out."""
    learning_rate: PeakLearningRate = 0.001
    """Peak learning rate."""
    schedule: Schedule = "cosine"
    """Schedule, as in `train`."""
    warmup_share: Rate = 0.05
    """Share of the steps that warm up, as in `train`."""
    calibration_count: Count = 512
    """Training images that the initial activation ranges come from, outliers left out."""
    freeze_batch_norm_share: Share = 0.0
    """Share of the epochs after which batch-norm statistics are fixed; 0 for from the start."""
    freeze_ranges_share: Share = 0.0
    """Share of the epochs after which ranges are fixed; 0 for from the start."""
    distill_share: Share = 1.0
    """Share of the loss against the float network's probabilities; 0 for labels alone."""
    distill_temperature: Temperature = 1.0
    """Temperature of the logits of both for that."""


class ExportSettings(Settings, frozen=True, kw_only=True):
    """Which `.tflite` files are written, and how their int8 ranges are calibrated."""

    quantizations: Annotated[tuple[Quantization, ...], Meta(max_length=16)] = QUANTIZATIONS
    """Files to write."""
    logits: bool = False
    """Return logits: leave the final softmax out."""
    calibration_count: Count = 512
    """Training images that int8_ptq is calibrated on, outliers left out."""
    accepted_accuracy: Annotated[float, Meta(ge=0, lt=1)] = 0.0
    """Store a threshold below which a prediction is unsure: on validation images this share of the
    others is right, and at least half of the mistakes are unsure; 0 stores none."""
    author: Text = ""
    """Who made the model, as the files' metadata say."""
    license: Text = ""
    """Licence of the model, as the files' metadata say."""


class BenchmarkSettings(Settings, frozen=True, kw_only=True):
    """How the final figures are measured, on the test split."""

    threads: Annotated[int, Meta(ge=1, le=256)] = 1
    """Threads of the interpreter."""
    latency_warmup_runs: Annotated[int, Meta(ge=0, le=100_000)] = 10
    """Runs of each model before the timed ones."""
    latency_runs: Count = 100
    """Timed runs of each model on one image, in turns."""
    test_time_augmentation: Annotated[tuple[View, ...], Meta(max_length=16)] = ()
    """Also test-time augmentation: `flip` (mirrored), `rotate` (90, 180, 270 degrees)."""


class Recipe(Settings, frozen=True, kw_only=True):
    """One experiment, from images to the benchmarked file."""

    seed: Annotated[int, Meta(ge=0, le=2**31 - 1)] = 1
    """Seed of weights, validation split, order, augmentation and calibration images."""
    deterministic: bool = False
    """Bit-equal weights for the same seed and machine; slower."""
    data: DataSettings = DataSettings()
    model: ModelSettings = ModelSettings()
    augmentation: AugmentationSettings = AugmentationSettings()
    train: TrainSettings = TrainSettings()
    qat: QatSettings = QatSettings()
    export: ExportSettings = ExportSettings()
    benchmark: BenchmarkSettings = BenchmarkSettings()
