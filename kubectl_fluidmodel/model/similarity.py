"""Names that are like a wanted one, which a typing error may have missed. Pure."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def sort_by_similarity(wanted: str, names: Iterable[str]) -> list[str]:
    """Names by their similarity to the wanted one, most similar first."""
    plain = wanted.lower()

    def likeness(name: str) -> tuple[float, str]:
        return -difflib.SequenceMatcher(None, plain, name.lower()).ratio(), name

    return sorted(set(names), key=likeness)
