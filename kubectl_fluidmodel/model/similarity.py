"""Names that are similar to one that does not exist, probably because of a typing error. Pure."""

from __future__ import annotations

from collections.abc import Iterable


def sort_by_similarity(target: str, names: Iterable[str]) -> list[str]:
    """Names by their similarity to the target, most similar first."""
    from difflib import SequenceMatcher

    def sort_key(name: str) -> tuple[float, str]:
        return -SequenceMatcher(None, target.lower(), name.lower()).ratio(), name

    return sorted(set(names), key=sort_key)


def most_similar(target: str, names: Iterable[str], cutoff: float) -> str | None:
    """Return the most similar name, of those with a similarity of `cutoff` (0 to 1) or more."""
    from difflib import get_close_matches

    return next(iter(get_close_matches(target, list(names), n=1, cutoff=cutoff)), None)
