"""Commands that mend a cache, with the user's own names in them. Pure."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from kubectl_fluidmodel.fluid import names
from kubectl_fluidmodel.fluid.secret import SUFFIX
from kubectl_fluidmodel.kube.kind import Object, at, dicts, name_of, namespace_of
from kubectl_fluidmodel.model.store import KEY_NAMES
from kubectl_fluidmodel.overview import runtimes, staged
from kubectl_fluidmodel.overview.cached import Cached

_S3 = "alluxio.underfs.s3."


def kind_of(obj: Mapping[str, Any]) -> str:
    """As kubectl takes a kind on its command line: `alluxioruntime`."""
    return str(obj.get("kind", "")).lower()


def patch(obj: Object, change: Any, *, how: str = "merge") -> str:
    """`kubectl patch` of an object: `merge` takes a mapping, `json` a list of operations."""
    text = shlex.quote(json.dumps(change))
    namespace = f" -n {namespace_of(obj)}" if namespace_of(obj) else ""
    return f"kubectl patch {kind_of(obj)} {name_of(obj)}{namespace} --type {how} -p {text}"


def delete(obj: Object) -> str:
    namespace = f" -n {namespace_of(obj)}" if namespace_of(obj) else ""
    return f"kubectl delete {kind_of(obj)} {name_of(obj)}{namespace}"


def kubectl(about: Object | Cached, *words: str) -> str:
    """A kubectl command in the namespace of an object or cache."""
    namespace = about.namespace if isinstance(about, Cached) else namespace_of(about)
    return shlex.join(["kubectl", *words, *(["-n", namespace] if namespace else [])])


def cache(
    cached: Cached,
    name: str = "",
    *,
    source: str = "",
    endpoint: str = "",
    region: str = "",
    flags: Sequence[str] = (),
    standing: bool = False,
) -> str:
    """`cache` of a cache's source in its namespace; what is given is used instead of its own.

    A Secret of the user's own is used again; one of ours goes with the cache and comes with it,
    of the keys of the environment. With `standing` the cache stays, and so do its Secret and the
    number of its workers, which is said otherwise where it is not one.
    """
    mounts = dicts(cached.dataset, "spec", "mounts")
    options = at(mounts, 0, "options", default={})
    words = ["kubectl", "fluidmodel", "cache", *([source] if source else _source(cached))]
    words += ["--name", name or cached.name]
    endpoint = endpoint or str(options.get(f"{_S3}endpoint") or "")
    region = region or str(
        options.get(f"{_S3}endpoint.region") or options.get(f"{_S3}region") or ""
    )
    secret = _own_secret(mounts)
    ours = cached.dataset is not None and names.is_ours(cached.dataset)
    if ours and secret == cached.name + SUFFIX and not standing:
        secret = ""
    for flag, value in (("--endpoint", endpoint), ("--region", region), ("--s3-secret", secret)):
        words += [flag, value] if value else []
    workers = runtimes.replicas(cached.runtime) or 1
    if workers > 1 and not standing and "--replicas" not in flags:
        words += ["--replicas", str(workers)]
    return shlex.join([*words, *flags, "-n", cached.namespace])


def _source(cached: Cached) -> list[str]:
    """SOURCE, with `--to` for a model of the Hub that was staged."""
    place = staged.place(cached)
    if place is not None:
        return [f"{place.repo}@{place.commit}", "--to", place.to.uri]
    point = str(at(cached.dataset, "spec", "mounts", 0, "mountPoint", default=""))
    own = names.source_of(cached.dataset or {})
    ours = cached.dataset is not None and names.is_ours(cached.dataset)
    return [own if ours and own and not own.startswith("hf://") else point or "SOURCE"]


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


def anew(cached: Cached, name: str = "", **other: Any) -> str:
    """Remove a cache and make it again; `other` is as `cache` takes it."""
    return " && ".join([*_removals(cached), cache(cached, name, **other)])


def removed(cached: Cached) -> str:
    """Remove a cache."""
    return " && ".join(_removals(cached))


def _removals(cached: Cached) -> Iterator[str]:
    if cached.dataset is not None and names.is_ours(cached.dataset):
        yield f"kubectl fluidmodel uncache {cached.name} -n {cached.namespace}"
        return
    for obj in (cached.dataset, *cached.runtimes):
        if obj is not None:
            yield delete(obj)


_BARE = r"/^  \(uid\|resourceVersion\|creationTimestamp\|generation\):/d"
"""For sed: the fields of an object's metadata that the API server gives."""


def rename_runtime(runtime: Object, name: str) -> str:
    """Make a runtime again under another name, and remove the old one."""
    old = name_of(runtime)
    return (
        kubectl(runtime, "get", kind_of(runtime), old, "-o", "yaml")
        + f" | sed -e '{_BARE}' -e 's/^  name: {old}$/  name: {name}/' -e '/^status:/,$d'"
        + f" | kubectl create -f - && {delete(runtime)}"
    )


def again(runtime: Object) -> str:
    """Remove a runtime, with all that Fluid made for it, and make it again as it is."""
    get = kubectl(runtime, "get", kind_of(runtime), name_of(runtime), "-o", "yaml")
    return (
        f"saved=\"$({get} | sed -e '{_BARE}' -e '/^status:/,$d')\" && {delete(runtime)} && "
        "printf '%s\\n' \"$saved\" | kubectl create -f -"
    )


def copy_secret(namespace: str, old: str, new: str) -> str:
    """Make a Secret again under another name; the old one stays."""
    return (
        f"kubectl get secret {old} -n {namespace} -o yaml | sed -e '{_BARE}'"
        f" -e 's/^  name: {old}$/  name: {new}/' | kubectl create -f -"
    )


def remade(cached: Cached, *flags: str) -> str:
    """Make a cache as it is, with other flags: `cache` alone where it is ours."""
    if cached.dataset is not None and names.is_ours(cached.dataset):
        return cache(cached, flags=flags, standing=True)
    return anew(cached, flags=flags)


def other_name(cached: Cached) -> str:
    """A name for the cache that is not its own, and legal where that is."""
    return f"{cached.name[: names.MAX_NAME - 2].rstrip('-')}-2"
