"""A matplotlib figure as SVG for a page: text stays text, colours are the page's CSS variables.

matplotlib is given a stand-in for each colour; the SVG then names the variable, so that one plot
suits light and dark.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

from mobilenet_tf.system.terminal import escape as escape_control

if TYPE_CHECKING:
    import markupsafe
    from matplotlib.axes import Axes

WIDTH_PX, HEIGHT_PX = 420.0, 300.0
NAMES = ("ink", "muted", "line", "panel", "float", "int8", "shade", "on-shade", "page")
# the colours that stand in for CSS variables while matplotlib draws
COLORS = {name: f"#{number:02x}{number:02x}{number:02x}" for number, name in enumerate(NAMES, 1)}
INK, MUTED, LINE, PANEL, FLOAT, INT8, SHADE, ON_SHADE, PAGE = COLORS.values()
HOLLOW: dict[str, Any] = {
    "fillstyle": "none", "markersize": 9, "markeredgewidth": 1.75, "linestyle": "none",
}  # fmt: skip
RC = {
    "svg.fonttype": "none", "svg.hashsalt": "mobilenet-tf", "path.simplify": False,
    "font.size": 12, "font.family": "DejaVu Sans", "text.color": INK, "text.parse_math": False,
    "axes.edgecolor": MUTED, "axes.labelcolor": MUTED, "axes.titlecolor": MUTED,
    "axes.titlesize": 12, "axes.titlelocation": "left", "axes.titleweight": "normal",
    "axes.spines.top": False, "axes.spines.right": False, "axes.spines.left": False,
    "axes.grid": True, "axes.axisbelow": True, "axes.facecolor": "none", "axes.unicode_minus": True,
    "figure.facecolor": "none", "grid.color": LINE, "grid.linewidth": 1, "lines.linewidth": 2,
    "xtick.color": MUTED, "ytick.color": MUTED, "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED, "ytick.major.size": 0, "xtick.minor.size": 0,
    "legend.frameon": False, "legend.labelcolor": MUTED,
}  # fmt: skip


@dataclass(frozen=True)
class Plot:
    """A plot: its heading, its SVG and the caption below."""

    title: str
    svg: markupsafe.Markup
    caption: str = ""


def make_plot(
    title: str,
    draw: Callable[[Axes], None],
    told: str,
    caption: str = "",
    *,
    height_px: float = HEIGHT_PX,
) -> Plot:
    """Return the plot of what `draw` puts on axes; `told` says it in words."""
    return Plot(title, render_svg(draw, f"{title}: {told}", height_px=height_px), caption)


def render_svg(
    draw: Callable[[Axes], None],
    told: str,
    *,
    width_px: float = WIDTH_PX,
    height_px: float = HEIGHT_PX,
    page: bool = False,
) -> markupsafe.Markup:
    """Return what `draw` puts on axes as SVG; `page` gives it a page's background."""
    import markupsafe
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with rc_context(RC), warnings.catch_warnings():  # type: ignore[arg-type]
        # the page's fonts draw the text, not matplotlib's, which has no Chinese
        warnings.filterwarnings("ignore", "Glyph .* missing from")
        figure = Figure(figsize=(width_px / 72, height_px / 72), dpi=72, layout="constrained")
        FigureCanvasAgg(figure)  # measures text
        if page:
            figure.set_facecolor(PAGE)
        draw(figure.subplots())
        file = io.StringIO()
        figure.savefig(file, format="svg", metadata={"Date": None})
    return markupsafe.Markup(_clean(file.getvalue(), told))  # noqa: S704  # matplotlib escapes


def set_log_axis(axes: Axes, label: str, tick: Callable[[float], str]) -> None:
    """Give axes of top-1 accuracy a logarithmic x axis with round values, written by `tick`."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axes.set(title="top-1 accuracy on test images, %", xlabel=f"{label}, logarithmic")
    axes.grid(visible=False, axis="x")
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: tick(value)))
    axes.xaxis.set_minor_formatter(NullFormatter())


def _clean(svg: str, told: str) -> str:
    """Return matplotlib's SVG for a page: its colours and font, short, with a text alternative."""
    svg = svg[svg.index("<svg ") :]
    left_out = r'\s*<metadata>.*?</metadata>|<!--.*?-->\n?|<style type="text/css">.*?</style>'
    svg = re.sub(left_out, "", svg, flags=re.DOTALL)
    svg = re.sub(r'<g id="[^"]*">', "<g>", svg)
    for name, stand_in in COLORS.items():
        svg = svg.replace(stand_in, f"var(--{name})")
    svg = re.sub(r"font: (bold )?([\d.]+px) [^;\"]*", _font, svg)
    svg = re.sub(r"-?\d+\.\d{3,}", lambda number: f"{float(number[0]):.2f}", svg)
    # a level piece of a line, as the cells of a matrix are: M x y L x2 y
    svg = re.sub(r"M ([\d.]+) ([\d.]+) \nL ([\d.]+) \2 ?\n", _level, svg)
    box = re.search(r'viewBox="[^"]*"', svg)
    opening = (
        f'<svg class="plot" role="img" aria-label="{escape(escape_control(told))}"'
        f' {box[0] if box else ""} xmlns="http://www.w3.org/2000/svg"'
        ' xmlns:xlink="http://www.w3.org/1999/xlink">'
    )
    return opening + svg[svg.index(">") + 1 :].rstrip()


def _font(match: re.Match[str]) -> str:
    return f"font-size: {match[2]}" + ("; font-weight: 650" if match[1] else "")


def _level(match: re.Match[str]) -> str:
    return f"M{match[1]} {match[2]}h{float(match[3]) - float(match[1]):.2f}"
