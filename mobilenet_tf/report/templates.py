"""Stand-in until the report's own environment is merged."""

from __future__ import annotations

from pathlib import Path

import jinja2

from mobilenet_tf.report.tables import escape_markdown


def environment(folder: Path) -> jinja2.Environment:
    """Return the Jinja2 environment."""
    env = jinja2.Environment(  # noqa: S701  # Markdown and text
        loader=jinja2.FileSystemLoader(folder),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    env.filters["md"] = escape_markdown
    return env
