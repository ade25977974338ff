"""The pieces of a plot: scales, ticks, text and labels that keep out of each other's way.

Colours come from the page's style sheet by class name, so that a plot follows light and dark.
"""

from __future__ import annotations

import html
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

FONT_PX = 12.0
CHARACTER_EM = 0.56  # a sans-serif's mean advance, rounded up: labels are placed by it
MARKER_PX = 5.0
AMBIGUOUS_COST = 60.0  # in square pixels of overlap

Anchor = Literal["start", "middle", "end"]


@dataclass(frozen=True)
class Box:
    """An upright rectangle in plot pixels."""

    left: float
    top: float
    right: float
    bottom: float

    def overlap(self, other: Box) -> float:
        """Return the shared area in square pixels."""
        width = min(self.right, other.right) - max(self.left, other.left)
        height = min(self.bottom, other.bottom) - max(self.top, other.top)
        return max(0.0, width) * max(0.0, height)

    def distance(self, x: float, y: float) -> float:
        """Return how far a point lies from the box, 0 inside it."""
        return math.hypot(
            max(self.left - x, 0, x - self.right), max(self.top - y, 0, y - self.bottom)
        )

    def holds(self, other: Box) -> bool:
        """Tell whether `other` lies inside."""
        return (
            self.left <= other.left
            and self.right >= other.right
            and self.top <= other.top
            and self.bottom >= other.bottom
        )


@dataclass(frozen=True)
class Scale:
    """A mapping of values to pixels, linear or logarithmic."""

    low: float
    high: float
    start_px: float
    end_px: float
    logarithmic: bool = False

    def __call__(self, value: float) -> float:
        """Return the pixel of a value."""
        low, high = (self._turn(self.low), self._turn(self.high))
        share = (self._turn(value) - low) / ((high - low) or 1.0)
        return self.start_px + share * (self.end_px - self.start_px)

    def _turn(self, value: float) -> float:
        return math.log10(value) if self.logarithmic else value


@dataclass(frozen=True)
class Label:
    """A placed label: text anchor point, its box, and whether a line must lead to its point."""

    x: float
    y: float
    anchor: Anchor
    box: Box
    leader: bool


def text_width(text: str, size_px: float = FONT_PX) -> float:
    """Return the width a text may take, in pixels."""
    return len(text) * CHARACTER_EM * size_px


def shorten(text: str, limit: int) -> str:
    """Return `text`, cut with an ellipsis to at most `limit` characters."""
    return text if len(text) <= limit else f"{text[: limit - 1].rstrip()}…"


def draw_text(
    x: float, y: float, text: str, name: str = "", anchor: Anchor = "start", *, turn: float = 0
) -> str:
    """Return a text element; `turn` rotates it about its anchor point, in degrees."""
    turned = f' transform="rotate({turn:g} {x:.1f} {y:.1f})"' if turn else ""
    classes = f' class="{name}"' if name else ""
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{classes}{turned}>'
        f"{html.escape(text)}</text>"
    )


def draw_line(x1: float, y1: float, x2: float, y2: float, name: str) -> str:
    """Return a line element."""
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" class="{name}"/>'


def draw_marker(x: float, y: float, shape: str, name: str, title: str) -> str:
    """Return a marker (ring, circle, square, diamond, triangle) with a tooltip."""
    r = MARKER_PX
    corners = {
        "square": [(-r, -r), (r, -r), (r, r), (-r, r)],
        "diamond": [(0, -r * 1.4), (r * 1.4, 0), (0, r * 1.4), (-r * 1.4, 0)],
        "triangle": [(0, -r * 1.2), (r * 1.2, r), (-r * 1.2, r)],
    }
    tip = f"<title>{html.escape(title)}</title>"
    if shape in corners:
        points = " ".join(f"{x + dx:.1f},{y + dy:.1f}" for dx, dy in corners[shape])
        return f'<polygon points="{points}" class="{name}">{tip}</polygon>'
    radius = r * 1.5 if shape == "ring" else r
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius:.1f}" class="{name}">{tip}</circle>'


def wrap_svg(width: float, height: float, title: str, description: str, parts: list[str]) -> str:
    """Return a whole figure that scales with the page and says in words what it shows."""
    return (
        f'<svg viewBox="0 0 {width:g} {height:g}" role="img" class="plot"'
        f' aria-label="{html.escape(title)}. {html.escape(description)}">'
        f"{''.join(parts)}</svg>"
    )


def draw_axes(
    x: Scale,
    y: Scale,
    x_ticks: Sequence[tuple[float, str]],
    y_ticks: Sequence[tuple[float, str]],
    x_title: str,
) -> list[str]:
    """Return grid lines, tick texts and the x title; the y title belongs above the plot."""
    left, right, bottom = x.start_px, x.end_px, y.start_px
    parts = []
    for value, text in y_ticks:
        parts.append(draw_line(left, y(value), right, y(value), "grid"))
        parts.append(draw_text(left - 7, y(value) + 4, text, "tick", "end"))
    for value, text in x_ticks:
        parts.append(draw_line(x(value), bottom, x(value), bottom + 4, "axis"))
        parts.append(draw_text(x(value), bottom + 18, text, "tick", "middle"))
    parts.append(draw_line(left, bottom, right, bottom, "axis"))
    parts.append(draw_text((left + right) / 2, bottom + 37, x_title, "tick", "middle"))
    return parts


def nice_ticks(low: float, high: float, count: int) -> list[float]:
    """Return about `count` round values (steps of 1, 2 or 5) that span low to high."""
    rough = max(high - low, 1e-9) / max(count, 1)
    magnitude = 10.0 ** math.floor(math.log10(rough))
    step = next(m * magnitude for m in (1, 2, 5, 10) if m * magnitude >= rough * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(index * step, 10) for index in range(first, last + 1)]


def epoch_ticks(first: float, last: float, count: int = 6) -> list[float]:
    """Return at most about `count` whole epochs from first to last."""
    step = max(1.0, nice_ticks(0, max(last - first, 1), count)[1])
    start = math.ceil(first / step) * step
    ticks = [start + index * step for index in range(int((last - start) // step) + 1)]
    return ticks or [first]


def log_ticks(low: float, high: float) -> list[float]:
    """Return the values 1, 2 and 5 times a power of ten between low and high."""
    exponents = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    return [m * 10.0**e for e in exponents for m in (1, 2, 5) if low <= m * 10.0**e <= high]


def place_labels(
    points: Sequence[tuple[float, float, str]], area: Box, taken: Sequence[Box] = ()
) -> list[Label]:
    """Return a place for each point's text inside `area`, off markers, off other labels.

    A place is free if it touches nothing and lies nearer to its own point than to another.
    Near places are tried first (right, left, above, below, then the corners), then ever farther
    ones with a leading line; where nothing is free, the place that overlaps least.
    """
    markers = [mark_box(x, y) for x, y, _ in points]
    placed: list[Label] = []
    for x, y, text in points:
        best: Label | None = None
        least = math.inf
        for candidate in _candidates(x, y, text_width(text)):
            if not area.holds(candidate.box):
                continue
            blocks = [*markers, *taken, *(label.box for label in placed)]
            cost = sum(candidate.box.overlap(block) for block in blocks)
            cost += AMBIGUOUS_COST * _nearer_others(candidate, (x, y), points)
            if cost < least:
                best, least = candidate, cost
            if cost == 0:
                break
        placed.append(best or next(_candidates(x, y, text_width(text))))
    return placed


def _nearer_others(
    label: Label, own: tuple[float, float], points: Sequence[tuple[float, float, str]]
) -> bool:
    """Tell whether a reader would take the label for another point's: nearer, and no leader."""
    if label.leader:
        return False
    reach = label.box.distance(*own)
    return any(label.box.distance(x, y) <= reach for x, y, _ in points if (x, y) != own)


def mark_box(x: float, y: float) -> Box:
    """Return the room a marker takes."""
    margin = MARKER_PX + 2
    return Box(x - margin, y - margin, x + margin, y + margin)


def _candidates(x: float, y: float, width: float) -> Iterator[Label]:
    """Yield label places around a point, nearest first."""
    directions = [(1, 0), (-1, 0), (0, -1), (0, 1), (1, -1), (-1, -1), (1, 1), (-1, 1)]
    anchors: dict[int, Anchor] = {1: "start", 0: "middle", -1: "end"}
    for distance in (10.0, 20.0, 32.0, 46.0, 62.0, 80.0):
        for dx, dy in directions:
            at_x, middle = x + dx * distance, y + dy * (distance + FONT_PX / 2)
            left = {1: at_x, 0: at_x - width / 2, -1: at_x - width}[dx]
            box = Box(left, middle - FONT_PX * 0.6, left + width, middle + FONT_PX * 0.6)
            yield Label(at_x, middle + FONT_PX * 0.35, anchors[dx], box, distance > 10)
