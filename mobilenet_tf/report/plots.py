"""The plots of the report as SVG text: accuracy against size, training curves, confusion matrix.

Drawn without a plotting library: the text stays text, colours follow the page's light or dark
scheme, and series differ in shape or dash as well as in colour.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from mobilenet_tf.report.summary import (
    ACCURACY_LIMIT_POINTS,
    Artifact,
    Epoch,
    Summary,
    format_size,
    mapping,
    number,
)
from mobilenet_tf.report.svg import (
    Box,
    Scale,
    draw_axes,
    draw_line,
    draw_marker,
    draw_text,
    epoch_ticks,
    log_ticks,
    mark_box,
    nice_ticks,
    place_labels,
    shorten,
    text_width,
    wrap_svg,
)
from mobilenet_tf.report.tables import class_names

WIDTH_PX = 420.0
HEIGHT_PX = 300.0
LEAST_SPAN_POINTS = 1.0  # a tenth of a point must not look like a cliff
NUMBERED_CLASSES = 20
SHADES = 12
MARKERS = {"dynamic_range": "triangle", "int8_ptq": "square", "int8_qat": "diamond"}


def plot_accuracy_size(summary: Summary) -> str:
    """Return top-1 (%) against size (logarithmic) of every file; empty with nothing to show.

    The solid line is the float model's accuracy, the dashed one the promise: that accuracy less
    the points int8 may cost. Keras models are points only where there is no file yet.
    """
    rows = [row for row in summary.artifacts if row.top1 is not None and row.size_bytes]
    shown = [row for row in rows if row.format == "tflite"] or rows
    if not shown:
        return ""
    sizes = [row.size_bytes or 1.0 for row in shown]
    tops = [100 * (row.top1 or 0.0) for row in shown]
    lines = _accuracy_lines(summary)
    values = [*tops, *(value for value, _, _ in lines)]
    y_ticks = _percent_ticks(min(values), max(values))
    low, high = min(sizes) / 1.8, max(sizes) * 1.5
    x = Scale(low, high, 50, WIDTH_PX - 12, logarithmic=True)
    y = Scale(y_ticks[0], y_ticks[-1], HEIGHT_PX - 46, 30)
    decimals = _decimals(y_ticks)
    x_ticks = [tick for tick in log_ticks(low, high) if x(tick) < WIDTH_PX - 24]
    parts = draw_axes(
        x,
        y,
        [(tick, _plain_size(tick)) for tick in _spread(x_ticks, x, 48)],
        [(tick, f"{tick:.{decimals}f}") for tick in y_ticks],
        "file size, logarithmic",
    )
    parts.append(draw_text(4, 14, "top-1 accuracy on test images, %", "tick"))
    points = [
        (x(size), y(top), row.label) for size, top, row in zip(sizes, tops, shown, strict=True)
    ]
    area = Box(x.start_px + 2, 20, x.end_px, y.start_px - 2)
    taken = [Box(x.start_px, y(value) - 2, x.end_px, y(value) + 2) for value, _, _ in lines]
    labels = place_labels(points, area, taken)
    taken = [mark_box(px, py) for px, py, _ in points] + [label.box for label in labels]
    for value, note, style in lines:
        parts.append(draw_line(x.start_px, y(value), x.end_px, y(value), style))
        spot = _line_note_place(note, y(value), area, taken)
        taken.append(spot)
        parts.append(draw_text(spot.left, spot.bottom - 3, note, "tick"))
    for (px, py, _), label in zip(points, labels, strict=True):
        if label.leader:
            end_x = min(max(px, label.box.left), label.box.right)
            end_y = min(max(py, label.box.top), label.box.bottom)
            parts.append(draw_line(px, py, end_x, end_y, "leader"))
    for row, (px, py, text), label in zip(shown, points, labels, strict=True):
        kind = "int8" if row.quantization.startswith("int8") else "float"
        title = f"{row.label}: {100 * (row.top1 or 0):.2f} %, {format_size(row.size_bytes or 0)}"
        shape = "ring" if row.format == "keras" else MARKERS.get(row.quantization, "circle")
        parts.append(draw_marker(px, py, shape, f"{kind} {shape}", title))
        strong = "label strong" if row is summary.headline else "label"
        parts.append(draw_text(label.x, label.y, text, strong, label.anchor))
    told = "; ".join(
        f"{row.label} {top:.2f} % at {format_size(size)}"
        for row, top, size in zip(shown, tops, sizes, strict=True)
    )
    return wrap_svg(WIDTH_PX, HEIGHT_PX, "Accuracy against size", told, parts)


def _accuracy_lines(summary: Summary) -> list[tuple[float, str, str]]:
    """Return the float model's accuracy and the least that counts as good: (%, text, class)."""
    reference = summary.reference
    if reference is None or reference.top1 is None:
        return []
    top = 100 * reference.top1
    return [
        (top, reference.label, "float-line"),
        (top - ACCURACY_LIMIT_POINTS, f"{ACCURACY_LIMIT_POINTS} points under", "limit"),
    ]


def _line_note_place(note: str, line_y: float, area: Box, taken: Sequence[Box]) -> Box:
    """Return the first free box along a line, from the right end leftwards, above then below."""
    width = text_width(note)
    spots = [
        Box(left, top, left + width, top + 14)
        for left in (area.right - width - step for step in range(4, 320, 8))
        if left >= area.left
        for top in (line_y - 16, line_y + 3)
    ]
    return min(spots, key=lambda spot: sum(spot.overlap(box) for box in taken))


def plot_accuracy_curves(summary: Summary) -> str:
    """Return accuracy (%) by epoch, float training then QAT; empty without a history."""
    return _plot_curves(
        summary,
        "accuracy, %",
        [("training", lambda row: row.accuracy), ("validation", lambda r: r.validation_accuracy)],
        100.0,
    )


def plot_loss_curves(summary: Summary) -> str:
    """Return loss by epoch, float training then QAT; empty without a history."""
    return _plot_curves(
        summary,
        "loss",
        [("training", lambda row: row.loss), ("validation", lambda row: row.validation_loss)],
        1.0,
    )


def plot_confusion(summary: Summary) -> str:
    """Return the confusion matrix, each row normalised to its class; empty without one.

    Up to 20 classes carry names and whole percents; shades grow with the square root of the
    share, so that a mistake of one percent can be seen.
    """
    row = summary.best_artifact
    if row is None or not row.confusion:
        return ""
    shares = [[count / (sum(line) or 1.0) for count in line] for line in row.confusion]
    names = class_names(summary)
    if len(shares) > NUMBERED_CLASSES:
        return _plot_dense_confusion(row, shares)
    count = len(shares)
    short = [shorten(name, 12) for name in names[:count]]
    left = 26 + max(text_width(name) for name in short)
    side = (WIDTH_PX - left - 4) / count
    size = min(12.0, side * 0.42)
    foot = max(text_width(name) for name in short) * 0.75 + 34
    top = 8.0
    height = top + side * count + foot
    parts = []
    for true, line in enumerate(shares):
        middle = top + (true + 0.5) * side
        parts.append(draw_text(left - 6, middle + 4, short[true], "tick", "end"))
        for taken, share in enumerate(line[:count]):
            parts.append(_cell(left + taken * side, top + true * side, side, share))
            if share >= 0.005:
                dark = "on-dark" if share**0.5 > 0.62 else ""
                text = f"{100 * share:.0f}"
                x = left + (taken + 0.5) * side
                parts.append(
                    f'<text x="{x:.1f}" y="{middle + size * 0.36:.1f}" text-anchor="middle"'
                    f' font-size="{size:.1f}" class="cell {dark}">{text}</text>'
                )
    below = top + side * count
    for column, name in enumerate(short):
        x = left + (column + 0.5) * side + 4
        parts.append(draw_text(x, below + 13, name, "tick", "end", turn=-48))
    parts.append(
        draw_text(14, top + side * count / 2, "true class", "tick strong", "middle", turn=-90)
    )
    parts.append(
        draw_text(left + side * count / 2, height - 6, "predicted class", "tick strong", "middle")
    )
    told = "; ".join(
        f"{name} {100 * shares[i][i]:.0f} % right"
        for i, name in enumerate(names[:count])
        if i < len(shares[i])
    )
    return wrap_svg(WIDTH_PX, height, f"Confusion matrix of {row.label}", told, parts)


def _plot_dense_confusion(row: Artifact, shares: list[list[float]]) -> str:
    """Return a matrix of many classes, one path a shade: 100 classes stay under 100 KB."""
    count = len(shares)
    left, top = 50.0, 8.0
    side = (WIDTH_PX - left - 8) / count
    height = top + side * count + 42
    cells: dict[int, list[str]] = {}
    for true, line in enumerate(shares):
        for taken, share in enumerate(line[:count]):
            shade = round(SHADES * share**0.5)
            if shade:
                x, y = left + taken * side, top + true * side
                square = f"h{side:.2f}v{side:.2f}h-{side:.2f}z"
                cells.setdefault(shade, []).append(f"M{x:.2f} {y:.2f}{square}")
    parts = [
        f'<path d="{"".join(squares)}" class="shade" fill-opacity="{shade / SHADES:.2f}"/>'
        for shade, squares in sorted(cells.items())
    ]
    edge = side * count
    parts.append(
        f'<rect x="{left:g}" y="{top:g}" width="{edge:.1f}" height="{edge:.1f}" class="frame"/>'
    )
    for index in range(0, count, 10 if count <= 120 else 100):
        at = (index + 0.5) * side
        parts.append(draw_text(left - 6, top + at + 4, str(index), "tick", "end"))
        parts.append(draw_text(left + at, top + edge + 15, str(index), "tick", "middle"))
    parts.append(
        draw_text(14, top + edge / 2, "true class, number", "tick strong", "middle", turn=-90)
    )
    parts.append(
        draw_text(left + edge / 2, height - 6, "predicted class, number", "tick strong", "middle")
    )
    right = sum(line[i] for i, line in enumerate(shares) if i < len(line)) / count
    told = f"{count} classes, {100 * right:.1f} % right on average"
    return wrap_svg(WIDTH_PX, height, f"Confusion matrix of {row.label}", told, parts)


def _cell(x: float, y: float, side: float, share: float) -> str:
    return (
        f'<rect x="{x + 0.5:.1f}" y="{y + 0.5:.1f}" width="{side - 1:.1f}"'
        f' height="{side - 1:.1f}" class="shade" fill-opacity="{max(share, 0) ** 0.5:.3f}"/>'
        f'<rect x="{x + 0.5:.1f}" y="{y + 0.5:.1f}" width="{side - 1:.1f}"'
        f' height="{side - 1:.1f}" class="frame"/>'
    )


Reader = Callable[[Epoch], "float | None"]


def _plot_curves(
    summary: Summary, title: str, series: Sequence[tuple[str, Reader]], factor: float
) -> str:
    train, qat = summary.train_history, summary.qat_history
    offset = (train[-1].epoch + 1 - qat[0].epoch) if train and qat else 0.0
    lines: list[tuple[str, str, list[tuple[float, float | None]]]] = []
    for name, read in series:
        for rows, shift in ((train, 0.0), (qat, offset)):
            points = [(row.epoch + shift, read(row)) for row in rows]
            if any(value is not None for _, value in points):
                scaled = [(at, None if value is None else value * factor) for at, value in points]
                lines.append((name, "qat" if rows is qat else "train", scaled))
    values = [value for _, _, points in lines for _, value in points if value is not None]
    if not values:
        return ""
    epochs = [at for _, _, points in lines for at, _ in points]
    first, last = min(epochs), max(epochs)
    margin = 0.5 if first == last else 0.0
    ticks = nice_ticks(min(values), max(values), 5)
    x = Scale(first - margin, last + margin, 50, WIDTH_PX - 14)
    y = Scale(ticks[0], ticks[-1] if len(ticks) > 1 else ticks[0] + 1, HEIGHT_PX - 46, 50)
    decimals = _decimals(ticks)
    parts = []
    if train and qat:
        edge = x((train[-1].epoch + qat[0].epoch + offset) / 2)
        band = f'width="{x.end_px + 6 - edge:.1f}" height="{y.start_px - y.end_px + 14:.1f}"'
        parts.append(f'<rect x="{edge:.1f}" y="{y.end_px - 14:.1f}" {band} class="band"/>')
        parts.append(draw_text(x.end_px + 4, y.end_px - 3, "QAT", "tick strong", "end"))
    parts += draw_axes(
        x,
        y,
        [(tick, f"{tick:g}") for tick in epoch_ticks(first, last)],
        [(tick, f"{tick:.{decimals}f}") for tick in ticks],
        "epoch",
    )
    parts.append(draw_text(4, 14, title, "tick"))
    parts += _legend([name for name, _ in series if any(line[0] == name for line in lines)])
    for name, _, points in lines:
        parts += _draw_curve(x, y, points, name)
    parts += _best_marks(summary, x, y, lines, offset)
    told = ", ".join(
        f"{name} ends {'QAT' if stage == 'qat' else 'float training'} at {points[-1][1]:.2f}"
        for name, stage, points in lines
        if points[-1][1] is not None
    )
    return wrap_svg(WIDTH_PX, HEIGHT_PX, f"{title} by epoch", told, parts)


def _draw_curve(
    x: Scale, y: Scale, points: list[tuple[float, float | None]], name: str
) -> list[str]:
    """Return a line with gaps where a value is missing; single points become dots."""
    runs: list[list[tuple[float, float]]] = [[]]
    for at, value in points:
        if value is None:
            runs.append([])
        else:
            runs[-1].append((x(at), y(value)))
    parts = []
    for run in filter(None, runs):
        if len(run) == 1:
            parts.append(
                f'<circle cx="{run[0][0]:.1f}" cy="{run[0][1]:.1f}" r="3" class="{name}"/>'
            )
        else:
            path = " ".join(f"{px:.1f},{py:.1f}" for px, py in run)
            parts.append(f'<polyline points="{path}" class="curve {name}"/>')
    return parts


def _best_marks(
    summary: Summary,
    x: Scale,
    y: Scale,
    lines: list[tuple[str, str, list[tuple[float, float | None]]]],
    offset: float,
) -> list[str]:
    """Return a ring on the validation curve at each epoch whose weights were kept."""
    parts = []
    for name, stage, points in lines:
        metrics = mapping(summary.stages.get(stage, {}).get("metrics"))
        best = number(metrics.get("best_epoch"))
        if name != "validation" or best is None or metrics.get("selection") != "validation":
            continue
        shift = offset if stage == "qat" else 0.0
        for at, value in points:
            if value is not None and at == best + shift:
                parts.append(
                    draw_marker(x(at), y(value), "ring", "float ring", f"epoch {best:g} was kept")
                )
    return parts


def _legend(names: Sequence[str]) -> list[str]:
    parts = []
    right = WIDTH_PX - 14
    for name in reversed(names):
        right -= text_width(name)
        parts.append(draw_text(right, 14, name, "tick"))
        parts.append(draw_line(right - 30, 10, right - 6, 10, f"curve {name}"))
        right -= 44
    return parts


def _percent_ticks(low: float, high: float) -> list[float]:
    if high - low < LEAST_SPAN_POINTS:
        middle = (low + high) / 2
        low, high = middle - LEAST_SPAN_POINTS / 2, middle + LEAST_SPAN_POINTS / 2
    ticks = nice_ticks(max(low, 0.0), min(high, 100.0), 5)
    return ticks if len(ticks) > 1 else [ticks[0], ticks[0] + 1]


def _decimals(ticks: Sequence[float]) -> int:
    return next(
        (d for d in range(4) if all(abs(round(tick, d) - tick) < 1e-9 for tick in ticks)), 4
    )


def _spread(ticks: Sequence[float], scale: Scale, least_px: float) -> list[float]:
    kept: list[float] = []
    for tick in ticks:
        if not kept or scale(tick) - scale(kept[-1]) >= least_px:
            kept.append(tick)
    return kept


def _plain_size(size_bytes: float) -> str:
    return f"{size_bytes / 1e6:g} MB" if size_bytes >= 1e6 else f"{size_bytes / 1e3:g} KB"
