"""What a stage leaves behind: a frozen, typed result, written to and read from result.json.

Every reader of a run reads these types: a file without them is refused with the field's name.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Annotated, Any, Generic, Literal, TypeVar

import msgspec
from msgspec import Meta

from mobilenet_tf import __version__
from mobilenet_tf.errors import MtfError
from mobilenet_tf.files import hash_file, read_json, write_json
from mobilenet_tf.recipe import (
    QUANTIZATIONS,
    IoType,
    PrecisionName,
    Quantization,
    Recipe,
    ResizeRule,
)
from mobilenet_tf.runs.records import (
    Amount,
    Count,
    FileName,
    FilePath,
    Line,
    Paired,
    Parity,
    Preference,
    Record,
    Sha256,
    Share,
)

RESULT_FILE = "result.json"
MISTAKES_FILE = "mistakes.json"  # of a benchmark
REMAKE = (
    "restore it, or remove it and make that stage again with mtf run or its own command (the old"
    " folder is kept under previous/)"
)


class FileRecord(Record, frozen=True, kw_only=True):
    """A file of a stage, by its content."""

    sha256: Sha256
    size_bytes: Count


class Machine(Record, frozen=True, kw_only=True):
    """What the speed of a stage depends on."""

    processor: Line = ""
    features: Line = ""
    architecture: Line = ""
    cores: Count = 0
    memory_gib: Amount = 0.0
    system: Line = ""


class Product(Record, frozen=True):
    """A convolution as a matrix product of (images * pixels, inputs) by (inputs, outputs)."""

    pixels: Count
    inputs: Count
    outputs: Count


class Timing(Record, frozen=True, kw_only=True):
    """How long a product and its two gradients took, the best of their turns."""

    product: Product
    layers: tuple[str, ...]
    float32_ms: Amount
    bfloat16_ms: Amount

    @property
    def ratio(self) -> float:
        """How many times as fast bfloat16 is."""
        return self.float32_ms / self.bfloat16_ms


class Precision(Record, frozen=True, kw_only=True):
    """Which layers multiply in bfloat16, and why those."""

    asked: PrecisionName
    bfloat16_layers: tuple[str, ...]
    reason: str
    timings: tuple[Timing, ...] = ()
    policy: str = "float32"  # Keras' dtype policy of the network that trains, another on a GPU


class FitMetrics(Record, frozen=True, kw_only=True):
    """What float training and quantization-aware training both report."""

    parameters: Count
    train_count: Count
    validation_count: Count
    best_epoch: Count
    selection: Literal["validation", "last epoch"]
    validation_top1: Share | None  # of the weights that were kept, None where nothing is held out
    epochs_done: Count
    stopped_early: bool
    steps_per_epoch: Count
    images_per_s: Amount
    fit_time_s: Amount  # of all epochs, however often the stage was resumed
    temperature: Annotated[float, Meta(gt=0)] | None = None  # what the logits were divided by
    calibration_error_before: Share | None = None  # on validation images
    calibration_error: Share | None = None
    changed_on_the_way: tuple[str, ...] = ()  # settings other than those it was begun with


class Epoch(Record, frozen=True, kw_only=True):
    """One epoch: means over its training batches, then the validation of the weights after it."""

    epoch: Count
    loss: float
    accuracy: Share
    validation_loss: float | None = None  # None where nothing is held out
    validation_accuracy: Share | None = None
    learning_rate: Amount
    resolution_px: Count | None = None  # of the training images while they grow
    images_per_s: Amount
    epoch_s: Amount  # validation included


class Start(Record, frozen=True, kw_only=True):
    """What training started from, where that was not a random network."""

    source: str  # address or path of the weights
    at_random: tuple[str, ...]  # the weights that it lacks
    head_top1: Share | None = None  # of a classifier fitted first, on validation images


class TrainMetrics(FitMetrics, frozen=True, kw_only=True):
    """What float training reports."""

    precision: Precision | None = None
    start: Start | None = None
    recalibration_count: Count = 0
    validation_top1_before_recalibration: Share | None = None


class QatMetrics(FitMetrics, frozen=True, kw_only=True):
    """What quantization-aware training reports; "before" is calibrated only, its epoch 0."""

    validation_top1_before: Share | None = None
    preference: Preference | None = None
    calibration_outlier_count: Count = 0


class Accepted(Record, frozen=True, kw_only=True):
    """The images with at least a certain confidence: their share, and the share of these right."""

    threshold: Share
    coverage: Share
    accuracy: Share


class Twin(Record, frozen=True, kw_only=True):
    """The same network with another type of input and output: the same scores."""

    file: FileName
    io_type: IoType
    size_bytes: Count


class ExportedFile(Twin, frozen=True, kw_only=True):
    """A `.tflite` file, and how close it is to the Keras model that it came from."""

    quantization: Quantization
    parity: Parity
    threshold: Accepted | None = None  # below it a prediction is unsure; on validation images
    twins: tuple[Twin, ...] = ()


class ExportMetrics(Record, frozen=True, kw_only=True):
    """What the export reports."""

    files: tuple[ExportedFile, ...]
    calibration_count: Count
    calibration: str  # the split that the ranges come from
    calibration_outlier_count: Count = 0
    preference: Preference | None = None  # of int8_qat to int8_ptq, where both were written

    @property
    def best(self) -> ExportedFile:
        """The file for an app: the preferred int8 one, or what comes closest."""
        order = list(QUANTIZATIONS)
        if self.preference and not self.preference.fine_tuned:
            order.remove("int8_qat")
            order.insert(0, "int8_qat")
        return max(self.files, key=lambda file: order.index(file.quantization))


class AugmentedScore(Record, frozen=True, kw_only=True):
    """Accuracy with test-time augmentation: the mean over `view_count` views of each image."""

    views: tuple[str, ...]
    view_count: Count
    top1: Share
    top5: Share | None
    loss: Amount


class BenchmarkedModel(Record, frozen=True, kw_only=True):
    """What is known of a benchmarked model or file before it runs."""

    artifact: Line
    stage: Literal["train", "qat", "export"]
    format: Literal["keras", "tflite"]
    quantization: Quantization
    io_type: IoType
    file: FilePath | None
    size_bytes: Count
    parameters: Count
    macs: Count
    threads: Count


class BenchmarkRow(BenchmarkedModel, frozen=True, kw_only=True):
    """One benchmarked model or file; `per_class` and `confusion` are those of a `Score`."""

    top1: Share
    top5: Share | None
    loss: Amount
    per_class: tuple[Share | None, ...]
    confusion: tuple[tuple[Count, ...], ...]
    latency_median_ms: Amount  # of one image
    latency_p90_ms: Amount
    peak_memory_bytes: Count | None = None
    channels: Count | None = None  # outputs of all layers with weights: each has a scale in int8
    test_time_augmentation: AugmentedScore | None = None
    paired: Paired | None = None
    calibration_error: Share | None = None
    accepted: Accepted | None = None  # by the file's threshold


class Mistake(Record, frozen=True, kw_only=True):
    """A test image that the int8 file gets wrong, and what the float network makes of it.

    `thumbnail` and `looked_at`, the places that spoke for what was predicted, are JPEG files; the
    latter is of photographs alone, else empty.
    """

    image: str
    label: str
    predicted: str
    confidence: Share
    float_predicted: str
    float_confidence: Share
    thumbnail: bytes
    looked_at: bytes = b""


class Preparations(Record, frozen=True, kw_only=True):
    """Top-1 of the int8 file on the same photographs prepared in several ways.

    `top1` has each resize rule, "sideways" (EXIF orientation ignored, which `turned_count` images
    have) and "bgr" (blue first); the way it was trained for is `rule`.
    """

    rule: ResizeRule
    image_count: Count
    turned_count: Count
    top1: dict[str, Share]


class BenchmarkMetrics(Record, frozen=True, kw_only=True):
    """What the benchmark reports: a row for every model and file, on the test split."""

    rows: tuple[BenchmarkRow, ...]
    classes: tuple[str, ...]
    test_count: Count
    threads: Count
    latency_runs: Count | None = None
    preparations: Preparations | None = None  # of photographs alone
    chosen: Quantization | None = None  # the export's file for an app

    @property
    def int8(self) -> BenchmarkRow | None:
        """The row of the int8 file for an app, chosen by the export and never on test images."""
        last = ("int8_qat", "int8_ptq")
        kinds = (self.chosen, *last) if self.chosen in last else last
        return self.find("tflite", *kinds)

    def find(self, form: str, *quantizations: str) -> BenchmarkRow | None:
        """Return the row of the first of `quantizations` that was measured in this format."""
        found = {row.quantization: row for row in self.rows if row.format == form}
        return next((found[q] for q in quantizations if q in found), None)


class ReportMetrics(Record, frozen=True, kw_only=True):
    """The report measures nothing."""


Metrics = TrainMetrics | QatMetrics | ExportMetrics | BenchmarkMetrics | ReportMetrics
METRICS: dict[str, type[Metrics]] = {
    "train": TrainMetrics,
    "qat": QatMetrics,
    "export": ExportMetrics,
    "benchmark": BenchmarkMetrics,
    "report": ReportMetrics,
}
M_co = TypeVar("M_co", bound=Metrics, covariant=True)


class StageRecord(Record, Generic[M_co], frozen=True, kw_only=True):
    """What a card of the zoo keeps of a stage: how it was run, where, and what came of it."""

    command: str
    commit: str | None
    machine: Machine
    versions: dict[str, str]
    data: dict[str, str]  # split -> fingerprint
    inputs: dict[
        str, str
    ]  # stage -> SHA-256 of its result.json; images, teacher, weights -> of theirs
    started_at: str  # ISO 8601, UTC
    wall_time_s: Amount
    metrics: M_co


class StageResult(StageRecord[M_co], Generic[M_co], frozen=True, kw_only=True):
    """What a run keeps of a stage: its settings and its files too."""

    stage: str
    settings: dict[str, Any]
    files: dict[FilePath, FileRecord]


class Stages(Record, frozen=True, kw_only=True):
    """The stages of a run or of a card, as far as they are done."""

    train: StageRecord[TrainMetrics] | None = None
    qat: StageRecord[QatMetrics] | None = None
    export: StageRecord[ExportMetrics] | None = None
    benchmark: StageRecord[BenchmarkMetrics] | None = None

    def items(self) -> list[tuple[str, StageRecord[Metrics]]]:
        """Return the stages that are done by name, in their order."""
        found = ((name, getattr(self, name)) for name in self.__struct_fields__)
        return [(name, record) for name, record in found if record is not None]


class RunRecord(Record, frozen=True, kw_only=True):
    """A whole run, as the report, a page of the zoo and JSON show it."""

    name: str
    recipe: Recipe
    stages: Stages
    command: str | None = None
    train_history: tuple[Epoch, ...] = ()
    qat_history: tuple[Epoch, ...] = ()
    mistakes: tuple[Mistake, ...] = ()  # of the int8 file, the surest first


class _Header(msgspec.Struct):
    versions: dict[str, str]


def save_result(result: StageResult[Metrics], folder: Path) -> None:
    """Write result.json into the folder of a stage, atomically."""
    write_json(folder / RESULT_FILE, result)


def load_result(folder: Path, stage: str) -> StageResult[Any]:
    """Read the result of a finished stage; its metrics are of the type of that stage.

    Raises:
        MtfError: it is damaged, edited, or another version of the project wrote it.
    """
    path = folder / RESULT_FILE
    version = read_json(path, _Header, REMAKE).versions.get("mobilenet_tf", __version__)
    # Results stay readable within a series of versions: (major, minor).
    if version.split(".")[:2] != __version__.split(".")[:2]:
        raise MtfError(
            f"{path} was written by mobilenet-tf {version}, this is {__version__}: use that"
            " version, or make the stage again with --overwrite"
        )
    result = read_json(path, StageResult[METRICS[stage]], REMAKE)  # type: ignore[valid-type]
    if result.stage != stage:
        raise damaged(path, f"it is the result of {result.stage!r} - at `$.stage`")
    return result


def damaged(path: Path, reason: str) -> MtfError:
    """Return the error for a file of a run that cannot be trusted."""
    return MtfError(f"{path} is damaged ({reason}); {REMAKE}")


def load_mistakes(folder: Path) -> tuple[Mistake, ...]:
    """Return the mistakes that a benchmark kept; none of one without an int8 file.

    Raises:
        MtfError: the file is damaged.
    """
    path = folder / MISTAKES_FILE
    return read_json(path, tuple[Mistake, ...], REMAKE) if path.is_file() else ()


def record_files(folder: Path, leave_out: Collection[str] = ()) -> dict[str, FileRecord]:
    """Return every file below a stage folder by its relative name, its result aside."""
    return {
        path.relative_to(folder).as_posix(): FileRecord(
            sha256=hash_file(path), size_bytes=path.stat().st_size
        )
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in (RESULT_FILE, *leave_out)
    }
