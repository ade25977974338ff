"""The tables of a report: every model and file, class by class, the most frequent mistakes."""

from __future__ import annotations

from msgspec.structs import astuple

from mobilenet_tf.evaluation.score import f1_by_class, mean_known
from mobilenet_tf.report.summary import Summary
from mobilenet_tf.report.tables import AUGMENTED, Column, Table, make_table, mistake_table
from mobilenet_tf.report.units import fixed, ms_decimals, plural, signed

LONG_TABLE_CLASSES = 20
WORST_CLASSES = 10
PREPARATIONS = {
    "crop": "centre crop",
    "pad": "grey bars",
    "stretch": "squeezed",
    "sideways": "EXIF orientation ignored",
    "bgr": "blue first (BGR)",
}


def stage_table(summary: Summary) -> Table:
    """Return the table that compares every model and file of the run.

    Sizes are in decimal units (1 KB = 1,000 bytes), differences to the float model in points.
    """
    settings, benchmark = summary.record.recipe.benchmark, summary.benchmark
    artifacts = summary.artifacts
    rows = [artifact.row for artifact in artifacts]
    views = [row.test_time_augmentation for row in rows]
    in_mb = max((row.size_bytes for row in rows), default=0) >= 1e7
    unit, factor, size_places = ("MB", 1e-6, 2) if in_mb else ("KB", 1e-3, 1)
    places = max((ms_decimals(row.latency_median_ms) for row in rows), default=2)
    columns = (
        (Column("step", align="left"), [artifact.label for artifact in artifacts]),
        (Column("top-1 %"), [fixed(row.top1, 100, 2) for row in rows]),
        (Column("top-5 %", optional=True), [fixed(row.top5, 100, 2) for row in rows]),
        (AUGMENTED, [fixed(view.top1 if view else None, 100, 2) for view in views]),
        (Column("points to float", "vs float"), [signed(a.delta_points) for a in artifacts]),
        (Column(f"size {unit}"), [fixed(row.size_bytes, factor, size_places) for row in rows]),
        (Column("% of float32", "size %"), [fixed(a.size_share, 100, 1) for a in artifacts]),
        (Column("median ms"), [fixed(row.latency_median_ms, 1, places) for row in rows]),
        (Column("p90 ms"), [fixed(row.latency_p90_ms, 1, places) for row in rows]),
        (Column("peak memory MB", "peak MB"), [fixed(r.peak_memory_bytes, 1e-6, 1) for r in rows]),
    )
    notes = []
    if benchmark:
        notes.append(
            f"Accuracy on {benchmark.test_count:,} test images. Latency of one image on"
            f" {plural(benchmark.threads, 'thread')}, over"
            f" {benchmark.latency_runs or settings.latency_runs:,} runs after"
            f" {settings.latency_warmup_runs:,} to warm up."
        )
    if augmented := next(filter(None, views), None):
        notes.append(
            f"Test-time augmentation: the mean over {augmented.view_count} versions of each image"
            f" ({', '.join(augmented.views)})."
        )
    return make_table(
        "Every model and file, side by side",
        columns,
        " ".join([*notes, "1 KB is 1,000 bytes."]),
        artifacts.index(summary.headline) if summary.headline else None,
    )


def class_table(summary: Summary) -> Table | None:
    """Return accuracy by class, float against int8; with many classes the largest losses first."""
    artifact, reference = summary.best_artifact, summary.reference
    if artifact is None:
        return None
    names, counts = summary.classes, [sum(line) for line in artifact.row.confusion]
    shares, f1 = artifact.row.per_class, f1_by_class(artifact.row.confusion)
    compared = reference if reference is not artifact else None
    base = compared.row.per_class if compared else (None,) * len(shares)
    changes = [
        None if before is None or share is None else 100 * (share - before)
        for before, share in zip(base, shares, strict=True)
    ]
    order = list(range(len(names)))
    worst_first = sorted(order, key=lambda i: (changes[i] or 0) if compared else (shares[i] or 0))
    note = ""
    if compared:
        worst = worst_first[0]
        note = f"Largest loss in a class: {names[worst]}, {signed(changes[worst], 1)} points."
        if (changes[worst] or 0) >= 0:
            note = "No class lost accuracy."
    if len(order) > LONG_TABLE_CLASSES:
        order = worst_first[:WORST_CLASSES]
        note += f" The {WORST_CLASSES} worst of {len(shares)} classes; report.json has all."
    before_title = f"{compared.label} %" if compared else ""
    columns = (
        (Column("class", align="left"), [names[i] for i in order]),
        (Column("images"), [f"{counts[i]:,}" for i in order]),
        (Column(before_title, optional=True), [fixed(base[i], 100, 1) for i in order]),
        (Column(f"{artifact.label} %"), [fixed(shares[i], 100, 1) for i in order]),
        (Column("points", optional=True), [signed(changes[i], 1) for i in order]),
        (Column("F1 %"), [fixed(f1[i], 100, 1) for i in order]),
    )
    return make_table("Accuracy by class", columns, note.strip())


def confusion_pairs(summary: Summary, limit: int = 5) -> Table | None:
    """Return the `limit` most frequent mistakes of the int8 file (else of the float model)."""
    artifact = summary.best_artifact
    if artifact is None:
        return None
    title, confusion = f"Most frequent mistakes of {artifact.label}", artifact.row.confusion
    table = mistake_table(title, summary.classes, confusion, limit)
    return table if table.rows else None


def trust_table(summary: Summary) -> Table | None:
    """Return how even the accuracy of each model and file is, and how far its confidence holds."""
    rows = [artifact.row for artifact in summary.artifacts if any(artifact.row.per_class)]
    if not rows:
        return None
    kept = [astuple(row.accepted) if row.accepted else (None,) * 3 for row in rows]
    columns = (
        (Column("step", align="left"), [a.label for a in summary.artifacts if a.row in rows]),
        (Column("balanced accuracy %"), [fixed(mean_known(r.per_class), 100, 2) for r in rows]),
        (Column("mean F1 %"), [fixed(mean_known(f1_by_class(r.confusion)), 100, 2) for r in rows]),
        (
            Column("calibration error %", optional=True),
            [fixed(row.calibration_error, 100, 2) for row in rows],
        ),
        (Column("unsure below", optional=True), [fixed(threshold, 1, 3) for threshold, *_ in kept]),
        (Column("sure %", optional=True), [fixed(coverage, 100, 1) for _, coverage, _ in kept]),
        (Column("right of these %", optional=True), [fixed(right, 100, 2) for *_, right in kept]),
    )
    note = "Balanced accuracy and mean F1 count each class alike. Calibration error: ECE, 15 bins."
    return make_table("How far to trust it", columns, note)


def preparation_table(summary: Summary) -> Table | None:
    """Return what the int8 file loses where an app prepares images differently."""
    found = summary.benchmark.preparations if summary.benchmark else None
    if found is None or not found.image_count:
        return None
    own = found.top1[found.rule]
    names = [
        PREPARATIONS[name] + (", as trained" if name == found.rule else "") for name in found.top1
    ]
    columns = (
        (Column("image", align="left"), names),
        (Column("top-1 %"), [fixed(top1, 100, 2) for top1 in found.top1.values()]),
        (Column("points"), [signed(100 * (top1 - own), 2) for top1 in found.top1.values()]),
    )
    note = (
        f"The int8 file on {plural(found.image_count, 'test photograph')};"
        f" EXIF turns {found.turned_count:,} of them."
    )
    return make_table(
        "What other preprocessing costs", columns, note, list(found.top1).index(found.rule)
    )
