"""How to read a model from the Hub: the flags that `cache` and `stage` share."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class HubOptions:
    """Which Hub, whose token, and which of a model's files."""

    endpoint: str | None = None
    """URL; None for HF_ENDPOINT, else Hugging Face."""
    secret: str | None = None
    """Secret of the cluster that holds the token."""
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
