"""The names of the caches, for the next command in a pipe."""

from __future__ import annotations

from kubectl_fluidmodel.fluid import names
from kubectl_fluidmodel.inspect.summary import summarize_caches
from kubectl_fluidmodel.inspect.view import Rendering, ViewContext

_RESOURCE = f"{names.DATASETS.name.lower()}.{names.DATASETS.group}"


def render(context: ViewContext) -> Rendering:
    """One line for each cache, as `kubectl get -o name` prints it."""
    return Rendering("".join(f"{_RESOURCE}/{cache.name}\n" for cache in summarize_caches(context)))
