"""Trying each cache's mount against its store for real. Reads only; a probe makes a Job on request.

What came of it goes into `Snapshot.texts`, see `doctor/answer.py`.
"""

from __future__ import annotations

from collections.abc import Sequence

from kubectl_fluidmodel.kube.client import Client
from kubectl_fluidmodel.overview.cached import Cached
from kubectl_fluidmodel.snapshot.snapshot import Snapshot
from kubectl_fluidmodel.staging.job import IMAGE

PATIENCE = 10.0
"""Seconds that one store may take, from here."""


def ask(
    client: Client,
    caches: Sequence[Cached],
    snapshot: Snapshot,
    *,
    probe: bool = False,
    image: str = IMAGE,
    patience: float = PATIENCE,
) -> None:
    """Try the mounts of all caches side by side, each distinct one once.

    With `probe` they are tried from a short-lived Job in the cache's namespace, with the Secret
    as the cache has it, and `image` as `cache --image` takes it. Nothing is raised for a store
    or a permission that fails: that is what the answers are for.
    """
