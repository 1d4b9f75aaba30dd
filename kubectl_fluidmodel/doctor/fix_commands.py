"""Commands that mend a cache, with the user's own names in them. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from kubectl_fluidmodel.fluid import names
from kubectl_fluidmodel.fluid.secret import STORE_SUFFIX
from kubectl_fluidmodel.inventory import runtimes, staging_status
from kubectl_fluidmodel.inventory.cache import Cache
from kubectl_fluidmodel.objects.access import Object, get_list, get_path, name_of, namespace_of
from kubectl_fluidmodel.objectstore.s3_credentials import KEY_NAME_PAIRS
from kubectl_fluidmodel.output.shell import (
    Command,
    EnvVariable,
    Operand,
    Word,
    chain,
    command,
    operands,
    pipe,
)

_S3_OPTION_PREFIX = "alluxio.underfs.s3."


def kubectl_kind(obj: Mapping[str, Any]) -> str:
    """As kubectl takes a kind on its command line: `alluxioruntime`."""
    return str(obj.get("kind", "")).lower()


def kubectl_command(about: Object | Cache, *words: Word, flags: Sequence[Word] = ()) -> Command:
    """A kubectl command in the namespace of an object or cache; `flags` come after that."""
    namespace = about.namespace if isinstance(about, Cache) else namespace_of(about)
    return command("kubectl", *words, *(["-n", namespace] if namespace else []), *flags)


def plugin_command(about: Object | Cache, *words: Word, flags: Sequence[Word] = ()) -> Command:
    """A command of this plugin in the namespace of an object or cache."""
    return kubectl_command(about, "fluidmodel", *words, flags=flags)


def patch_object(obj: Object, change: Any, *, how: str = "merge") -> Command:
    """`kubectl patch` of an object: `merge` takes a mapping, `json` a list of operations."""
    words = ("patch", Operand(kubectl_kind(obj)), Operand(name_of(obj)))
    return kubectl_command(obj, *words, flags=("--type", how, "-p", json.dumps(change)))


def patch_nested(obj: Object, part: Any, key: str, value: Any) -> Command | None:
    """Set a key of a mapping that is somewhere in an object; None where it is not in it."""
    path = _json_pointer(obj, part, "")
    if path is None:
        return None
    escaped = key.replace("~", "~0").replace("/", "~1")
    return patch_object(
        obj, [{"op": "add", "path": f"{path}/{escaped}", "value": value}], how="json"
    )


def _json_pointer(value: Any, part: Any, path: str) -> str | None:
    """The JSON pointer (RFC 6901) of the very part of a value."""
    if value is part:
        return path
    inner: Iterable[tuple[Any, Any]] = ()
    if isinstance(value, Mapping):
        inner = ((str(k).replace("~", "~0").replace("/", "~1"), v) for k, v in value.items())
    elif isinstance(value, list):
        inner = enumerate(value)
    found = (_json_pointer(each, part, f"{path}/{step}") for step, each in inner)
    return next((each for each in found if each is not None), None)


def patch_and_recreate_runtime(runtime: Object, change: Object) -> Command:
    """Change a runtime's spec, and have Fluid build the cache by it: it reads most of it once."""
    return chain(patch_object(runtime, {"spec": change}), recreate_runtime(runtime))


def delete_objects(*objects: Object) -> Command:
    """Delete objects, one after the other."""
    return chain(
        *(
            kubectl_command(o, "delete", Operand(kubectl_kind(o)), Operand(name_of(o)))
            for o in objects
        )
    )


def delete_pods(about: Object | Cache, pods: Iterable[str], *flags: str) -> Command:
    """Delete pods of a namespace by name."""
    return kubectl_command(about, "delete", "pod", *operands(pods), flags=flags)


def apply_manifest(manifest: Object) -> Command:
    """Make an object, or what its fields say of it; JSON is YAML on one line."""
    shown = command("printf", "%s", json.dumps(manifest))
    return pipe(shown, command("kubectl", "apply", "-f", "-"))


def uncordon_nodes(nodes: Iterable[str]) -> Command:
    return command("kubectl", "uncordon", *operands(nodes))


def label_nodes(nodes: Iterable[str], labels: Iterable[str]) -> Command:
    """Put labels (`key=value`) on nodes."""
    return command("kubectl", "label", "node", *operands([*nodes, *labels]))


def set_secret_keys(namespace: str, name: str, keys: Iterable[str], *, exists: bool) -> Command:
    """Put keys into a Secret that is `there`, or make it.

    The values come from the environment and are never on the screen. Other keys of a Secret stay,
    as with `kubectl apply` they would not.
    """
    values = [
        (f"--from-literal={key}=", EnvVariable(env_var_for_key(key)))
        for key in dict.fromkeys(key or "KEY" for key in keys)
    ]
    return _set_secret(namespace, name, values, exists=exists)


def set_secret_file(namespace: str, name: str, file: str, *, exists: bool) -> Command:
    """As `secret`, of one file of this directory."""
    return _set_secret(namespace, name, [f"--from-file={file}"], exists=exists)


def _set_secret(namespace: str, name: str, values: Sequence[Word], *, exists: bool) -> Command:
    where = (Operand(name), "-n", namespace)
    make = ("kubectl", "create", "secret", "generic", *where, *values)
    if not exists:
        return command(*make)
    merge = ("kubectl", "patch", "secret", *where, "--type", "merge", "--patch-file", "/dev/stdin")
    return pipe(command(*make, "--dry-run=client", "-o", "json"), command(*merge))


def pin_graphs(cached: Cache, *graphs: str, flags: Sequence[str] = ()) -> Command:
    """Bind graphs of the cache's namespace to it."""
    named = operands([cached.name, *graphs])
    return plugin_command(cached, "pin", *named, flags=flags)


def env_var_for_key(key: str) -> str:
    """The variable of the environment that by custom holds the value for a key of a Secret."""
    text = key.lower()
    if "token" in text:
        return "AWS_SESSION_TOKEN"
    return "AWS_SECRET_ACCESS_KEY" if "secret" in text else "AWS_ACCESS_KEY_ID"


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
    """`cache` of a cache's source in its namespace; what is given is used instead of its own.

    A Secret of the user's own is used again; one of ours goes with the cache and comes with it,
    of the keys of the environment; so does that of a cache for another `namespace`. With
    `standing` the cache stays, and so do its Secret and the number of its workers, which is said
    otherwise where it is not one.
    """
    mounts = get_list(cached.dataset, "spec", "mounts")
    options = get_path(mounts, 0, "options", default={})
    words: list[Word] = ["kubectl", "fluidmodel", "cache"]
    words += [Operand(source)] if source else _source_words(cached)
    words += ["--name", name or cached.name]
    endpoint = endpoint or str(options.get(f"{_S3_OPTION_PREFIX}endpoint") or "")
    region = region or str(
        options.get(f"{_S3_OPTION_PREFIX}endpoint.region")
        or options.get(f"{_S3_OPTION_PREFIX}region")
        or ""
    )
    secret = _mount_secret(mounts)
    ours = cached.dataset is not None and names.is_managed(cached.dataset)
    elsewhere = namespace not in ("", cached.namespace)  # where its Secret is not
    if elsewhere or (ours and secret == cached.name + STORE_SUFFIX and not in_place):
        secret = ""
    for flag, value in (("--endpoint", endpoint), ("--region", region), ("--s3-secret", secret)):
        words += [flag, value] if value else []
    workers = runtimes.wanted_replicas(cached.runtime) or 1
    if workers > 1 and not in_place and "--replicas" not in flags:
        words += ["--replicas", str(workers)]
    return command(*words, *flags, "-n", namespace or cached.namespace)


def _source_words(cached: Cache) -> list[Word]:
    """SOURCE, with `--to` for a model of the Hub that was staged."""
    place = staging_status.staging_layout(cached)
    if place is not None:
        return [Operand(f"{place.repo}@{place.commit}"), "--to", place.destination.uri]
    point = str(get_path(cached.dataset, "spec", "mounts", 0, "mountPoint", default=""))
    own = names.source_uri(cached.dataset or {})
    ours = cached.dataset is not None and names.is_managed(cached.dataset)
    kept = own if ours and own and not own.startswith("hf://") else point
    return [Operand(kept or "SOURCE")]


def _mount_secret(mounts: list[Object]) -> str:
    """The Secret that a mount takes both of its keys from, under names that `cache` knows."""
    refs = [
        get_path(option, "valueFrom", "secretKeyRef", default={})
        for option in get_list(mounts, 0, "encryptOptions")
    ]
    found = {str(get_path(ref, "name", default="")) for ref in refs}
    keys = {str(get_path(ref, "key", default="")) for ref in refs}
    known = any(keys == set(pair) for pair in KEY_NAME_PAIRS)
    return next(iter(found)) if len(found) == 1 and known else ""


def recreate_cache(cached: Cache, name: str = "", **changes: Any) -> Command:
    """Remove a cache and make it again; `other` is as `cache` takes it."""
    return chain(*_removal_commands(cached), cache_command(cached, name, **changes))


def remove_cache(cached: Cache) -> Command:
    """Remove a cache."""
    return chain(*_removal_commands(cached))


def _removal_commands(cached: Cache) -> Iterator[Command]:
    if cached.dataset is not None and names.is_managed(cached.dataset):
        yield plugin_command(cached, "uncache", Operand(cached.name))
        return
    for obj in (cached.dataset, *cached.runtimes):
        if obj is not None:
            yield delete_objects(obj)


_RESET_METADATA = {
    "uid": None,
    "resourceVersion": None,
    "creationTimestamp": None,
    "generation": None,
}
"""A merge patch that removes what the API server gave an object's metadata."""


def _copy_object(obj: Object, name: str) -> Command:
    """Make an object of a cluster again under another name; the old one stays."""
    change = {"metadata": {"name": name, **_RESET_METADATA}, "status": None}
    named = (Operand(kubectl_kind(obj)), Operand(name_of(obj)))
    get = kubectl_command(obj, "get", *named, flags=("-o", "json"))
    local = ("--local", "-f", "-", "--type", "merge", "-p", json.dumps(change), "-o", "json")
    return pipe(get, command("kubectl", "patch", *local), command("kubectl", "create", "-f", "-"))


def rename_runtime(runtime: Object, name: str) -> Command:
    """Make a runtime again under another name, and remove the old one."""
    return chain(_copy_object(runtime, name), delete_objects(runtime))


def recreate_runtime(runtime: Object) -> Command:
    """Remove a runtime, with all that Fluid made for it, and make it again as it is."""
    named = (Operand(kubectl_kind(runtime)), Operand(name_of(runtime)))
    get = kubectl_command(runtime, "get", *named, flags=("-o", "json"))
    return pipe(get, command("kubectl", "replace", "--force", "-f", "-"))


def copy_secret(namespace: str, old: str, new: str) -> Command:
    """Make a Secret again under another name; the old one stays."""
    return _copy_object({"kind": "Secret", "metadata": {"name": old, "namespace": namespace}}, new)


def rebuild_cache(cached: Cache, *flags: str) -> Command:
    """Make a cache as it is, with other flags: `cache` alone where it is ours."""
    if cached.dataset is not None and names.is_managed(cached.dataset):
        return cache_command(cached, flags=flags, in_place=True)
    return recreate_cache(cached, flags=flags)


def alternative_name(cached: Cache) -> str:
    """A name for the cache that is not its own, and legal where that is."""
    return f"{cached.name[: names.MAX_NAME_LENGTH - 2].rstrip('-')}-2"
