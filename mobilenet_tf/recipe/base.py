"""What every section of a recipe is."""

from __future__ import annotations

import msgspec
from msgspec import Meta

SHARE = Meta(ge=0, le=1)
TEXT = Meta(max_length=4096)


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The base of every section: immutable, no unknown key."""
