"""The names of classes: those of a labels file, and those of a folder among a file's."""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from mobilenet_tf.errors import MtfError, UsageError
from mobilenet_tf.system.terminal import escape


def read_labels(path: Path, count: int) -> tuple[str, ...]:
    """Return the `count` class names of a text file, one a line in the order of the output.

    Raises:
        UsageError: there is no such file, it is not text in UTF-8, or has another number of lines.
    """
    try:
        text = path.read_text("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is no text in UTF-8; give class names, one a line") from error
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}; give a text file") from error
    names = tuple(line.strip() for line in text.rstrip().split("\n"))
    if len(names) != count:
        raise UsageError(
            f"{path} has {len(names)} lines and the model {count} classes; give one name a line"
        )
    return names


def match_classes(names: Sequence[str], known: Sequence[str]) -> dict[str, int]:
    """Return the number among `known` of each of `names` that is one of them.

    Case, spaces, hyphens and underscores may differ where that leaves one choice.

    Raises:
        MtfError: a name fits several classes, or two names the same one.
    """
    exact, alike = defaultdict[str, list[int]](list), defaultdict[str, list[int]](list)
    for number, name in enumerate(known):
        exact[name].append(number)
        alike[_letters(name)].append(number)
    found: dict[str, int] = {}
    for name in names:
        fitting = exact[name] or alike[_letters(name)]
        if len(fitting) > 1:
            raise MtfError(
                f"the class {escape(name)} may be any of the model's"
                f" {', '.join(f'{escape(known[at])} ({at})' for at in fitting)}; name it exactly,"
                " or give the model other names with --labels"
            )
        if fitting:
            twin = next((other for other, at in found.items() if at == fitting[0]), None)
            if twin is not None:
                raise MtfError(
                    f"the classes {escape(twin)} and {escape(name)} are both the model's"
                    f" {escape(known[fitting[0]])}; merge or rename them"
                )
            found[name] = fitting[0]
    return found


def _letters(name: str) -> str:
    return re.sub(r"[\s_-]", "", unicodedata.normalize("NFKC", name).casefold())
