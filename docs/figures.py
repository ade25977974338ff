"""Draw docs/assets/zoo.svg from the cards of the zoo: accuracy against size of the int8 files."""

from __future__ import annotations

import json
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt

ROOT = Path(__file__).resolve().parent.parent
FIGURE = ROOT / "docs" / "assets" / "zoo.svg"
TEXT, LINE, POINT = "#7d8590", "#7d859055", "#16a394"  # legible on white and on black


def read_points() -> list[tuple[float, float, str]]:
    """Return size in KB, top-1 in percent and a label for each model that ships."""
    points = []
    for path in (ROOT / "artifacts" / "zoo").glob("*/card.json"):
        card = json.loads(path.read_text("utf-8"))
        rows = card["stages"]["benchmark"]["metrics"]["rows"]
        row = next(row for row in rows if row["file"] == card["tflite"])
        model = card["recipe"]["model"]
        blocks = f", {model['block_count']} blocks" if model["block_count"] else ""
        label = f"alpha {model['alpha']:g}{blocks}"
        points.append((row["size_bytes"] / 1000, row["top1"] * 100, label))
    return sorted(points)


def draw(path: Path) -> None:
    """Write the figure as an SVG with a transparent background and no fonts."""
    mpl.rcParams.update({"svg.hashsalt": "zoo", "font.size": 12, "text.color": TEXT})
    figure, axes = plt.subplots(figsize=(8, 3.6), layout="constrained")
    sizes, top1, labels = zip(*read_points(), strict=True)
    axes.scatter(sizes, top1, s=90, color=POINT, zorder=3)
    for size, accuracy, label in zip(sizes, top1, labels, strict=True):
        axes.annotate(
            f"{label}\n{accuracy:.2f} %, {size:,.0f} KB",
            (size, accuracy),
            xytext=(9, -3) if size < 2000 else (-9, 2),
            textcoords="offset points",
            ha="left" if size < 2000 else "right",
            va="top" if size < 2000 else "bottom",
            fontsize=10.5,
        )
    axes.set_xscale("log")
    axes.set_xlim(75, 5000)
    axes.set_ylim(89.5, 94.2)
    axes.set_xticks([100, 300, 1000, 3000], ["100", "300", "1,000", "3,000"])
    axes.minorticks_off()
    axes.set_xlabel("size of the int8 file, KB", color=TEXT)
    axes.set_title("CIFAR-10 top-1 of the int8 files, %", loc="left", fontsize=12, color=TEXT)
    axes.grid(color=LINE, linewidth=0.6)
    axes.tick_params(colors=TEXT, length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
    figure.savefig(path, transparent=True, metadata={"Date": None})


if __name__ == "__main__":
    draw(FIGURE)
