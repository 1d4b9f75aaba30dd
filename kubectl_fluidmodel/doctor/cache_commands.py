"""Commands of this plugin that fix a cache, with the user's own names in them. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from kubectl_fluidmodel.doctor import fix_commands
from kubectl_fluidmodel.errors import UsageError
from kubectl_fluidmodel.fluid import fuse, names
from kubectl_fluidmodel.fluid import status as fluid_status
from kubectl_fluidmodel.fluid.placement import bound_hostnames
from kubectl_fluidmodel.fluid.secret import STORE_SUFFIX
from kubectl_fluidmodel.inventory import mount_target, runtimes, staging_status
from kubectl_fluidmodel.inventory.cache import Cache
from kubectl_fluidmodel.model.sizing import quota_for
from kubectl_fluidmodel.model.source import parse_source
from kubectl_fluidmodel.objects.access import Object, get_list, get_path
from kubectl_fluidmodel.objects.quantity import bytes_to_quantity
from kubectl_fluidmodel.objectstore.options import StoreOptions
from kubectl_fluidmodel.objectstore.s3_credentials import KEY_NAME_PAIRS
from kubectl_fluidmodel.output.shell import Command, Operand, Word, chain, command, operands


def plugin_command(about: Object | Cache, *words: Word, flags: Sequence[Word] = ()) -> Command:
    """A command of this plugin in the namespace of an object or cache."""
    return fix_commands.kubectl_command(about, "fluidmodel", *words, flags=flags)


def pin_graphs(cached: Cache, *graphs: str, flags: Sequence[str] = ()) -> Command:
    """Pin graphs of the cache's namespace to it."""
    arguments = operands([cached.name, *graphs])
    return plugin_command(cached, "pin", *arguments, flags=flags)


def cache_command(
    cached: Cache,
    name: str = "",
    *,
    source: str = "",
    endpoint: str = "",
    region: str = "",
    namespace: str = "",
    flags: Sequence[str] = (),
    in_place: bool = False,
) -> Command:
    """The `cache` command for a cache's source; arguments replace the cache's own values.

    It reuses a Secret of the user's. A Secret of ours is deleted with the cache and created again
    from the environment, as is that of a cache in another `namespace`. With `in_place` the cache
    is kept, and so are its Secret and its number of workers; otherwise the command names the
    number if it is not one.
    """
    mount = get_path(cached.dataset, "spec", "mounts", 0, default={})
    options = mount_target.effective_options(cached, mount)
    words: list[Word] = ["kubectl", "fluidmodel", "cache"]
    words += [Operand(source)] if source else _source_words(cached)
    words += ["--name", name or cached.name]
    words += [] if source else _unmeasured_flags(cached, flags)
    words += [] if source or in_place else _glob_flags(cached)
    endpoint = endpoint or mount_target.endpoint_url(options)
    region = region or mount_target.region_of(options)
    secret = _mount_secret(cached, mount)
    is_ours = names.has_own_spec(cached.dataset or {})
    elsewhere = namespace not in ("", cached.namespace)  # where its Secret is not
    if elsewhere or (is_ours and secret == cached.name + STORE_SUFFIX and not in_place):
        secret = ""
    words += StoreOptions(endpoint, region, secret).flags
    workers = runtimes.wanted_replicas(cached.runtime) or 1
    if workers > 1 and not in_place and "--replicas" not in flags:
        words += ["--replicas", str(workers)]
    if fuse.uses_jnr_fuse(cached.runtime) and not in_place and _NO_HIGH_CONCURRENCY not in flags:
        words.append("--high-concurrency")
    return command(*words, *flags, "-n", namespace or cached.namespace)


_NO_HIGH_CONCURRENCY = "--no-high-concurrency"


def load_command(cached: Cache) -> Command:
    """Load the missing files of a cache and verify it; a cache made by hand is adopted."""
    if names.has_own_spec(cached.dataset or {}):
        return cache_command(cached, in_place=True)
    return plugin_command(cached, "cache", Operand(cached.name), flags=("--adopt", "--load"))


def preheat_command(cached: Cache) -> Command:
    """Read a cache on each node that has not read it through its present FUSE client."""
    return cache_command(cached, flags=("--preheat", "on", "--image", "IMAGE"), in_place=True)


def _source_words(cached: Cache) -> list[Word]:
    """SOURCE, and `--to` for a staged model of the Hub."""
    layout = staging_status.staging_layout(cached)
    if layout is not None:
        return [Operand(f"{layout.repo}@{layout.commit}"), "--to", layout.destination.uri]
    return [Operand(_mounted_source(cached) or "SOURCE")]


def _glob_flags(cached: Cache) -> list[str]:
    """The globs with which a model of the Hub was staged; a cache that exists keeps them."""
    if staging_status.staging_layout(cached) is None:
        return []
    include, exclude = staging_status.staged_globs(cached.dataset or {})
    pairs = [("--include", glob) for glob in include] + [("--exclude", glob) for glob in exclude]
    return [word for pair in pairs for word in pair]


def _mounted_source(cached: Cache) -> str:
    """What a cache mounts, as a SOURCE where SOURCE has a form for it."""
    recorded = names.source_uri(cached.dataset or {})
    if names.has_own_spec(cached.dataset or {}) and recorded and not recorded.startswith("hf://"):
        return recorded
    point = str(get_path(cached.dataset, "spec", "mounts", 0, "mountPoint", default=""))
    scheme, separator, rest = point.partition("://")
    return f"{mount_target.SAME_SCHEME.get(scheme, scheme)}{separator}{rest}"


def can_be_made_by_cache(cached: Cache) -> bool:
    """Whether `cache` makes such caches: of one source, and of a kind that it knows."""
    if len(get_list(cached.dataset, "spec", "mounts")) != 1:
        return False
    try:
        parse_source(_mounted_source(cached))
    except UsageError:
        return False
    return True


_UNMEASURED_SCHEMES = ("hdfs", "local", "nfs", "pvc")
"""Sources that `cache` cannot list from where it runs."""


def _unmeasured_flags(cached: Cache, flags: Sequence[str]) -> list[Word]:
    """Return the flags for a source that `cache` cannot list: a quota, and a directory's node.

    Both are the cache's own where it has them.
    """
    scheme = _mounted_source(cached).partition("://")[0]
    added: list[Word] = []
    if scheme in _UNMEASURED_SCHEMES and "--quota" not in flags:
        quota = next((tier.quota for tier in runtimes.storage_tiers(cached.runtime)), None)
        size = fluid_status.parse_dataset(cached.dataset).total
        required = quota or (quota_for(size) if size else None)
        added += ["--quota", bytes_to_quantity(required) if required else "SIZE"]
    if scheme == "local" and "--node" not in flags:
        hosts = bound_hostnames(cached.dataset or {}) or ["NODE"]
        added += [word for host in hosts for word in ("--node", host)]
    return added


def _mount_secret(cached: Cache, mount: Object) -> str:
    """The Secret that has both keys of a mount, under names that `cache` knows."""
    refs = list(mount_target.secret_key_refs(cached, mount))
    secrets, keys = {ref.secret for ref in refs}, {ref.key for ref in refs}
    has_known_keys = any(keys == set(pair) for pair in KEY_NAME_PAIRS)
    return next(iter(secrets)) if len(secrets) == 1 and has_known_keys else ""


def recreate_cache(cached: Cache, name: str = "", **changes: Any) -> Command:
    """Remove a cache and create it again; `changes` are arguments of `cache_command`."""
    return chain(*_removal_commands(cached), cache_command(cached, name, **changes))


def remove_cache(cached: Cache) -> Command:
    """Remove a cache."""
    return chain(*_removal_commands(cached))


def _removal_commands(cached: Cache) -> Iterator[Command]:
    if names.is_managed(cached.dataset or {}):
        yield plugin_command(cached, "uncache", Operand(cached.name))
        return
    for obj in (cached.dataset, *cached.runtimes):
        if obj is not None:
            yield fix_commands.delete_objects(obj)


def rebuild_cache(cached: Cache, *flags: str) -> Command:
    """Rebuild a cache with other flags: `cache` alone if it is ours."""
    if names.has_own_spec(cached.dataset or {}):
        return cache_command(cached, flags=flags, in_place=True)
    return recreate_cache(cached, flags=flags)


def alternative_name(cached: Cache) -> str:
    """Another name for the cache, legal if its own is."""
    return f"{cached.name[: names.MAX_NAME_LENGTH - 2].rstrip('-')}-2"
