"""Options for reading a model from the Hub, which `cache` and `stage` share."""

from __future__ import annotations

from kubectl_fluidmodel.records import dataclass


@dataclass(frozen=True)
class HubOptions:
    """The Hub, the token, and the selection of the model's files."""

    endpoint: str | None = None
    """URL; None for HF_ENDPOINT, else the public Hub."""
    secret: str | None = None
    """Secret in the cluster that holds the token."""
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
