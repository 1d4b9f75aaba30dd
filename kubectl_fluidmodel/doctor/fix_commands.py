"""Commands that mend a cache, with the user's own names in them. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from kubectl_fluidmodel.fluid import names
from kubectl_fluidmodel.fluid.secret import SUFFIX
from kubectl_fluidmodel.inventory import runtimes, staging_status
from kubectl_fluidmodel.inventory.cache import Cached
from kubectl_fluidmodel.objects.access import Object, at, dicts, name_of, namespace_of
from kubectl_fluidmodel.objectstore.s3 import KEY_NAMES
from kubectl_fluidmodel.output.shell import (
    Command,
    Operand,
    Variable,
    Word,
    chain,
    command,
    operands,
    pipe,
)

_S3 = "alluxio.underfs.s3."


def kind_of(obj: Mapping[str, Any]) -> str:
    """As kubectl takes a kind on its command line: `alluxioruntime`."""
    return str(obj.get("kind", "")).lower()


def kubectl(about: Object | Cached, *words: Word, flags: Sequence[Word] = ()) -> Command:
    """A kubectl command in the namespace of an object or cache; `flags` come after that."""
    namespace = about.namespace if isinstance(about, Cached) else namespace_of(about)
    return command("kubectl", *words, *(["-n", namespace] if namespace else []), *flags)


def fluidmodel(about: Object | Cached, *words: Word, flags: Sequence[Word] = ()) -> Command:
    """A command of this plugin in the namespace of an object or cache."""
    return kubectl(about, "fluidmodel", *words, flags=flags)


def patch(obj: Object, change: Any, *, how: str = "merge") -> Command:
    """`kubectl patch` of an object: `merge` takes a mapping, `json` a list of operations."""
    words = ("patch", Operand(kind_of(obj)), Operand(name_of(obj)))
    return kubectl(obj, *words, flags=("--type", how, "-p", json.dumps(change)))


def patch_part(obj: Object, part: Any, key: str, value: Any) -> Command | None:
    """Set a key of a mapping that is somewhere in an object; None where it is not in it."""
    path = _pointer(obj, part, "")
    if path is None:
        return None
    escaped = key.replace("~", "~0").replace("/", "~1")
    return patch(obj, [{"op": "add", "path": f"{path}/{escaped}", "value": value}], how="json")


def _pointer(value: Any, part: Any, path: str) -> str | None:
    """The JSON pointer (RFC 6901) of the very part of a value."""
    if value is part:
        return path
    inner: Iterable[tuple[Any, Any]] = ()
    if isinstance(value, Mapping):
        inner = ((str(k).replace("~", "~0").replace("/", "~1"), v) for k, v in value.items())
    elif isinstance(value, list):
        inner = enumerate(value)
    found = (_pointer(each, part, f"{path}/{step}") for step, each in inner)
    return next((each for each in found if each is not None), None)


def change_runtime(runtime: Object, change: Object) -> Command:
    """Change a runtime's spec, and have Fluid build the cache by it: it reads most of it once."""
    return chain(patch(runtime, {"spec": change}), again(runtime))


def delete(*objects: Object) -> Command:
    """Delete objects, one after the other."""
    return chain(*(kubectl(o, "delete", Operand(kind_of(o)), Operand(name_of(o))) for o in objects))


def delete_pods(about: Object | Cached, pods: Iterable[str], *flags: str) -> Command:
    """Delete pods of a namespace by name."""
    return kubectl(about, "delete", "pod", *operands(pods), flags=flags)


def apply(document: Object) -> Command:
    """Make an object, or what its fields say of it; JSON is YAML on one line."""
    shown = command("printf", "%s", json.dumps(document))
    return pipe(shown, command("kubectl", "apply", "-f", "-"))


def uncordon(nodes: Iterable[str]) -> Command:
    return command("kubectl", "uncordon", *operands(nodes))


def label_nodes(nodes: Iterable[str], labels: Iterable[str]) -> Command:
    """Put labels (`key=value`) on nodes."""
    return command("kubectl", "label", "node", *operands([*nodes, *labels]))


def secret(namespace: str, name: str, keys: Iterable[str], *, there: bool) -> Command:
    """Put keys into a Secret that is `there`, or make it.

    The values come from the environment and are never on the screen. Other keys of a Secret stay,
    as with `kubectl apply` they would not.
    """
    values = [
        (f"--from-literal={key}=", Variable(variable_for(key)))
        for key in dict.fromkeys(key or "KEY" for key in keys)
    ]
    return _secret(namespace, name, values, there=there)


def file_secret(namespace: str, name: str, file: str, *, there: bool) -> Command:
    """As `secret`, of one file of this directory."""
    return _secret(namespace, name, [f"--from-file={file}"], there=there)


def _secret(namespace: str, name: str, values: Sequence[Word], *, there: bool) -> Command:
    where = (Operand(name), "-n", namespace)
    make = ("kubectl", "create", "secret", "generic", *where, *values)
    if not there:
        return command(*make)
    merge = ("kubectl", "patch", "secret", *where, "--type", "merge", "--patch-file", "/dev/stdin")
    return pipe(command(*make, "--dry-run=client", "-o", "json"), command(*merge))


def pin(cached: Cached, *graphs: str, flags: Sequence[str] = ()) -> Command:
    """Bind graphs of the cache's namespace to it."""
    named = operands([cached.name, *graphs])
    return fluidmodel(cached, "pin", *named, flags=flags)


def variable_for(key: str) -> str:
    """The variable of the environment that by custom holds the value for a key of a Secret."""
    text = key.lower()
    if "token" in text:
        return "AWS_SESSION_TOKEN"
    return "AWS_SECRET_ACCESS_KEY" if "secret" in text else "AWS_ACCESS_KEY_ID"


def cache(
    cached: Cached,
    name: str = "",
    *,
    source: str = "",
    endpoint: str = "",
    region: str = "",
    namespace: str = "",
    flags: Sequence[str] = (),
    standing: bool = False,
) -> Command:
    """`cache` of a cache's source in its namespace; what is given is used instead of its own.

    A Secret of the user's own is used again; one of ours goes with the cache and comes with it,
    of the keys of the environment; so does that of a cache for another `namespace`. With
    `standing` the cache stays, and so do its Secret and the number of its workers, which is said
    otherwise where it is not one.
    """
    mounts = dicts(cached.dataset, "spec", "mounts")
    options = at(mounts, 0, "options", default={})
    words: list[Word] = ["kubectl", "fluidmodel", "cache"]
    words += [Operand(source)] if source else _source(cached)
    words += ["--name", name or cached.name]
    endpoint = endpoint or str(options.get(f"{_S3}endpoint") or "")
    region = region or str(
        options.get(f"{_S3}endpoint.region") or options.get(f"{_S3}region") or ""
    )
    secret = _own_secret(mounts)
    ours = cached.dataset is not None and names.is_ours(cached.dataset)
    elsewhere = namespace not in ("", cached.namespace)  # where its Secret is not
    if elsewhere or (ours and secret == cached.name + SUFFIX and not standing):
        secret = ""
    for flag, value in (("--endpoint", endpoint), ("--region", region), ("--s3-secret", secret)):
        words += [flag, value] if value else []
    workers = runtimes.replicas(cached.runtime) or 1
    if workers > 1 and not standing and "--replicas" not in flags:
        words += ["--replicas", str(workers)]
    return command(*words, *flags, "-n", namespace or cached.namespace)


def _source(cached: Cached) -> list[Word]:
    """SOURCE, with `--to` for a model of the Hub that was staged."""
    place = staging_status.place(cached)
    if place is not None:
        return [Operand(f"{place.repo}@{place.commit}"), "--to", place.to.uri]
    point = str(at(cached.dataset, "spec", "mounts", 0, "mountPoint", default=""))
    own = names.source_of(cached.dataset or {})
    ours = cached.dataset is not None and names.is_ours(cached.dataset)
    kept = own if ours and own and not own.startswith("hf://") else point
    return [Operand(kept or "SOURCE")]


def _own_secret(mounts: list[Object]) -> str:
    """The Secret that a mount takes both of its keys from, under names that `cache` knows."""
    refs = [
        at(option, "valueFrom", "secretKeyRef", default={})
        for option in dicts(mounts, 0, "encryptOptions")
    ]
    found = {str(at(ref, "name", default="")) for ref in refs}
    keys = {str(at(ref, "key", default="")) for ref in refs}
    known = any(keys == set(pair) for pair in KEY_NAMES)
    return next(iter(found)) if len(found) == 1 and known else ""


def anew(cached: Cached, name: str = "", **other: Any) -> Command:
    """Remove a cache and make it again; `other` is as `cache` takes it."""
    return chain(*_removals(cached), cache(cached, name, **other))


def removed(cached: Cached) -> Command:
    """Remove a cache."""
    return chain(*_removals(cached))


def _removals(cached: Cached) -> Iterator[Command]:
    if cached.dataset is not None and names.is_ours(cached.dataset):
        yield fluidmodel(cached, "uncache", Operand(cached.name))
        return
    for obj in (cached.dataset, *cached.runtimes):
        if obj is not None:
            yield delete(obj)


_FRESH = {"uid": None, "resourceVersion": None, "creationTimestamp": None, "generation": None}
"""A merge patch that removes what the API server gave an object's metadata."""


def _copied(obj: Object, name: str) -> Command:
    """Make an object of a cluster again under another name; the old one stays."""
    change = {"metadata": {"name": name, **_FRESH}, "status": None}
    named = (Operand(kind_of(obj)), Operand(name_of(obj)))
    get = kubectl(obj, "get", *named, flags=("-o", "json"))
    local = ("--local", "-f", "-", "--type", "merge", "-p", json.dumps(change), "-o", "json")
    return pipe(get, command("kubectl", "patch", *local), command("kubectl", "create", "-f", "-"))


def rename_runtime(runtime: Object, name: str) -> Command:
    """Make a runtime again under another name, and remove the old one."""
    return chain(_copied(runtime, name), delete(runtime))


def again(runtime: Object) -> Command:
    """Remove a runtime, with all that Fluid made for it, and make it again as it is."""
    named = (Operand(kind_of(runtime)), Operand(name_of(runtime)))
    get = kubectl(runtime, "get", *named, flags=("-o", "json"))
    return pipe(get, command("kubectl", "replace", "--force", "-f", "-"))


def copy_secret(namespace: str, old: str, new: str) -> Command:
    """Make a Secret again under another name; the old one stays."""
    return _copied({"kind": "Secret", "metadata": {"name": old, "namespace": namespace}}, new)


def remade(cached: Cached, *flags: str) -> Command:
    """Make a cache as it is, with other flags: `cache` alone where it is ours."""
    if cached.dataset is not None and names.is_ours(cached.dataset):
        return cache(cached, flags=flags, standing=True)
    return anew(cached, flags=flags)


def other_name(cached: Cached) -> str:
    """A name for the cache that is not its own, and legal where that is."""
    return f"{cached.name[: names.MAX_NAME - 2].rstrip('-')}-2"
