"""Names that are like a wanted one, which a typing error may have missed. Pure."""

from __future__ import annotations

from collections.abc import Iterable


def sort_by_similarity(target: str, names: Iterable[str]) -> list[str]:
    """Names by their similarity to the wanted one, most similar first."""
    from difflib import SequenceMatcher

    plain = target.lower()

    def likeness(name: str) -> tuple[float, str]:
        return -SequenceMatcher(None, plain, name.lower()).ratio(), name

    return sorted(set(names), key=likeness)


def most_similar(target: str, names: Iterable[str], cutoff: float) -> str | None:
    """Return the most similar name, of those with a similarity of `cutoff` (0 to 1) or more."""
    from difflib import get_close_matches

    return next(iter(get_close_matches(target, list(names), n=1, cutoff=cutoff)), None)
