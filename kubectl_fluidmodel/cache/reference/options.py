"""The options of `cache dataset://NAMESPACE/NAME`: the flags, validated once. Pure."""

from __future__ import annotations

from kubectl_fluidmodel.cache.options import CacheFlags, StagingFlags, changed_flags
from kubectl_fluidmodel.errors import UsageError
from kubectl_fluidmodel.fluid.names import is_valid_name, validate_name
from kubectl_fluidmodel.fluid.reference import SCHEME, reference_uri
from kubectl_fluidmodel.hub.options import HubOptions
from kubectl_fluidmodel.objectstore.options import StoreOptions
from kubectl_fluidmodel.output.shell import command
from kubectl_fluidmodel.records import dataclass


@dataclass(frozen=True)
class ReferenceOptions:
    """One `cache dataset://NAMESPACE/NAME` command."""

    source: tuple[str, str]
    """Namespace and name of the Dataset to refer to."""
    name: str
    wait: bool = True
    timeout: float = 1800.0
    """Seconds."""


def is_reference(source: str) -> bool:
    """Whether a SOURCE is the cache of another namespace."""
    return source.startswith(f"{SCHEME}://")


def parse_reference_options(
    source: str,
    flags: CacheFlags,
    others: tuple[StoreOptions, StagingFlags, HubOptions],
    waiting: tuple[bool, float],
) -> ReferenceOptions:
    """Validate the command line.

    Args:
        source: SOURCE, as on the command line.
        flags: The flags that define a cache; only --name applies.
        others: The flags of the store, of staging and of the Hub; none applies.
        waiting: Whether to wait, and for how many seconds at most.

    Raises:
        UsageError: SOURCE has another form, or a flag does not apply to a reference.
    """
    namespace, _, path = source.removeprefix(f"{SCHEME}://").rstrip("/").partition("/")
    name, _, directory = path.partition("/")
    if not is_valid_name(name) or not namespace:
        raise UsageError(
            f"'{source}' is not a cache of another namespace",
            "the format is dataset://NAMESPACE/NAME",
            "kubectl get datasets -A",
        )
    if directory:
        raise UsageError(
            f"'{source}' is a directory of a cache",
            "a reference shows the whole cache",
            command("kubectl", "fluidmodel", "cache", reference_uri(namespace, name)),
        )
    for flag_group in (flags, *others):
        for flag in changed_flags(flag_group, ("name",)):
            raise UsageError(
                f"{flag} with {reference_uri(namespace, name)}",
                "a reference has no workers, nodes or load of its own: its source has them",
            )
    return ReferenceOptions((namespace, name), validate_name(flags.name or name), *waiting)
