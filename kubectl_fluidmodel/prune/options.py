"""The options of `prune`. Pure."""

from __future__ import annotations

import re
from dataclasses import field

from kubectl_fluidmodel.errors import UsageError
from kubectl_fluidmodel.objectstore.layout import BucketPrefix, parse_bucket_prefix
from kubectl_fluidmodel.objectstore.options import StoreOptions
from kubectl_fluidmodel.records import dataclass

_SECONDS = {"d": 86400, "h": 3600, "m": 60, "s": 1}
_AGE = re.compile(r"(\d+(?:\.\d+)?)([dhms])")


@dataclass(frozen=True)
class PruneOptions:
    """One command line of `prune`."""

    names: tuple[str, ...] = ()
    """Caches that are also removed if nothing reads them."""
    from_prefix: BucketPrefix | None = None
    """Where models are staged; None for the buckets of the caches that are found."""
    store: StoreOptions = field(default_factory=StoreOptions)
    min_age: float = 14 * 86400.0
    """Seconds; younger objects are excluded."""
    dry_run: str = "client"
    """`client` lists; `server` also asks the API server; `none` removes."""
    all_namespaces: bool = False


def parse_prune_options(
    names: tuple[str, ...],
    from_uri: str | None,
    store: StoreOptions,
    older_than: str,
    *,
    dry_run: str | None,
    yes: bool,
    all_namespaces: bool,
) -> PruneOptions:
    """Check the flags against each other.

    Args:
        names: Caches that are also removed.
        from_uri: The value of --from.
        store: The flags of the store.
        older_than: The value of --older-than.
        dry_run: The value of --dry-run; None if it is not set.
        yes: Whether --yes is set.
        all_namespaces: Whether -A is set.

    Raises:
        UsageError: names the flags that cannot be combined.
    """
    if yes and dry_run not in (None, "none"):
        raise UsageError(
            f"cannot combine --yes and --dry-run={dry_run}", "a dry run removes nothing"
        )
    if names and all_namespaces:
        raise UsageError("cannot combine NAME and -A", "a name belongs to one namespace", "-n NS")
    if from_uri is None and store != StoreOptions():
        raise UsageError(
            "--endpoint, --region and --s3-secret apply to the store of --from",
            "without it, the stores of the caches are used",
            "--from s3://BUCKET/PREFIX",
        )
    return PruneOptions(
        names=names,
        from_prefix=parse_bucket_prefix(from_uri, "--from") if from_uri else None,
        store=store,
        min_age=parse_age(older_than),
        dry_run="none" if yes else dry_run or "client",
        all_namespaces=all_namespaces,
    )


def parse_age(text: str) -> float:
    """Parse an age to seconds: `14d`, `12h`, `1d12h`, `0`.

    Raises:
        UsageError: it is not an age.
    """
    if text == "0":
        return 0.0
    if not re.fullmatch(f"(?:{_AGE.pattern})+", text):
        raise UsageError(f"--older-than '{text}' is not an age", "use 14d, 12h or 0")
    return sum(float(number) * _SECONDS[unit] for number, unit in _AGE.findall(text))
