"""The Jinja2 environment of every page: HTML escapes by itself, Markdown by the filter `md`."""

from __future__ import annotations

import functools
import re
from base64 import b64encode
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mobilenet_tf.report.tables import code_span, escape_markdown, format_table, longest_fence
from mobilenet_tf.report.units import MISSING, fixed, format_ms, format_size, plural, signed
from mobilenet_tf.system.terminal import escape

if TYPE_CHECKING:
    import jinja2
    import markupsafe

TEMPLATES = Path(__file__).parent / "templates"
STYLE = Path(__file__).parent / "style.css"
# The browser itself then refuses every request, whatever text the results hold.
POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action"
    " 'none'"
)


@functools.cache
def environment(folder: Path = TEMPLATES) -> jinja2.Environment:
    """Return an environment for the templates of a folder, which may use those of the report.

    `.html.` templates escape everything that is not markup already. In Markdown, the filters `md`
    (text), `code` (a code span), `table` and `fenced` make what the results hold harmless.
    """
    import jinja2

    env = jinja2.Environment(
        loader=jinja2.FileSystemLoader([folder, TEMPLATES]),
        autoescape=lambda name: bool(name and ".html" in name),  # noqa: S701  # Markdown: filters
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    env.filters |= {
        "md": escape_markdown,
        "code": code_span,
        "fenced": fence_code,
        "table": lambda table: format_table(table.columns, table.rows, "markdown"),
        "plain": escape_lines,
        "signs": _signs,
        "python": repr,
        "size": format_size,
        "ms": format_ms,
        "points": signed,
        "jpeg": lambda content: f"data:image/jpeg;base64,{b64encode(content).decode('ascii')}",
    }
    env.globals |= {"policy": POLICY, "missing": MISSING, "plural": plural, "fixed": fixed}
    return env


def render(template: str, folder: Path = TEMPLATES, /, **values: Any) -> str:
    """Return a page made from a template of a folder, no more than one blank line at a time."""
    env = environment(folder)
    if ".html" in template:
        import markupsafe

        values["style"] = markupsafe.Markup(STYLE.read_text("utf-8"))  # noqa: S704  # our own file
    text = env.get_template(template).render(**values)
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"


def fence_code(code: str, language: str) -> str:
    """Return a Markdown code block, fenced by more backticks than the code holds."""
    fence = "`" * max(3, longest_fence(code) + 1)
    return f"{fence}{language}\n{escape_lines(code)}\n{fence}"


def escape_lines(text: str) -> str:
    """Return `text` with its line breaks, but no other control or direction characters."""
    return "\n".join(map(escape, text.split("\n")))


def _signs(text: str) -> markupsafe.Markup:
    """Return escaped text with a real minus and with units that stay by their numbers."""
    import markupsafe

    text = str(markupsafe.escape(escape(text)))
    text = re.sub(r"(?<=\d) (?=(%|KB|MB|ms|points?)\b|%)", "\u00a0", text)
    return markupsafe.Markup(re.sub(r"(?<![\w.,])-(?=\d)", "\u2212", text))  # noqa: S704  # escaped
