"""How the Dataset and the load of a hand-made cache differ from those of `cache`. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator

from kubectl_fluidmodel.cache.adoption.comparison import (
    NOT_SET,
    Comparison,
    Difference,
    shorten_options,
)
from kubectl_fluidmodel.fluid import mount, placement
from kubectl_fluidmodel.fluid.secret import store_secret_name
from kubectl_fluidmodel.inventory.mount_target import plaintext_keys
from kubectl_fluidmodel.objects.access import Object, get_list, get_map, get_path, name_of
from kubectl_fluidmodel.output.units import summarize

_INHERIT_ACL = "alluxio.underfs.s3.inherit.acl"
_PATH_STYLE = "alluxio.underfs.s3.disable.dns.buckets"
_UPLOAD = re.compile(r"upload|\.write|staging")
_TIMEOUT = re.compile(r"timeout")


def keys(compared: Comparison) -> Iterator[Difference]:
    plain = plaintext_keys(compared.options)
    if plain:
        yield Difference(
            "keys",
            "plain text in the Dataset",
            f"Secret {store_secret_name(compared.cache.name)}",
            "Fluid copies options into ConfigMaps and its Helm release",
            f"anyone who can read those can use the bucket ({summarize(plain)})",
        )


def key_names(compared: Comparison) -> Iterator[Difference]:
    mounts = get_list(compared.cache.dataset, "spec", "mounts")
    root = mount.root_mount(mounts) is not None
    for entry in get_list(compared.cache.mount, "encryptOptions"):
        name = str(entry.get("name", ""))
        option = mount.credential_option(name, root=root)
        if name != option:
            yield Difference(
                f"option {name}",
                "as an Alluxio property",
                "as an option of the root mount",
                "only the master's container replaces the file's path by the key",
                "workers sign their reads with the path, and the store rejects them",
            )


def directory(compared: Comparison) -> Iterator[Difference]:
    directory = compared.cache.directory
    if directory:
        yield Difference(
            "files in the claim",
            f"below /{directory}",
            "at the root",
            "without a path, Fluid mounts a source at its name",
            f"an engine's path has to include /{directory}",
        )


def access_modes(compared: Comparison) -> Iterator[Difference]:
    modes = get_path(compared.cache.dataset, "spec", "accessModes", default=[])
    writable = [str(mode) for mode in modes if "Write" in str(mode)]
    if writable and not compared.cache.mount.get("readOnly"):
        yield Difference(
            "accessModes",
            ", ".join(writable),
            "ReadOnlyMany",
            "a model is read-only",
            "pods can write to the source through the cache",
        )


def store_options(compared: Comparison) -> Iterator[Difference]:
    options = compared.options
    generated = get_map(compared.desired.dataset, "spec", "mounts", 0, "options")
    if _INHERIT_ACL in generated and str(options.get(_INHERIT_ACL, "")).lower() != "false":
        yield Difference(
            "s3.inherit.acl",
            str(options.get(_INHERIT_ACL, NOT_SET)),
            "false",
            "by default, Alluxio reads the bucket's ACL to find owners",
            "the mount fails if the keys may not read the ACL",
        )
    if _PATH_STYLE in generated and str(options.get(_PATH_STYLE, "")).lower() != "true":
        yield Difference(
            "s3.disable.dns.buckets",
            str(options.get(_PATH_STYLE, NOT_SET)),
            "true",
            "few stores other than AWS have a host name per bucket",
            "the bucket's host name has to resolve on the cache's nodes",
        )
    secret = set(plaintext_keys(options))
    unexpected = [name for name in options if name not in generated and name not in secret]
    unexpected = [name for name in unexpected if name not in (_INHERIT_ACL, _PATH_STYLE)]
    uploads = [name for name in unexpected if _UPLOAD.search(name)]
    timeouts = [name for name in unexpected if _TIMEOUT.search(name) and name not in uploads]
    remaining = [name for name in unexpected if name not in (*uploads, *timeouts)]
    if uploads:
        reason = f"the source is read-only ({summarize(shorten_options(uploads))})"
        yield Difference("upload options", "set", NOT_SET, reason)
    if timeouts:
        current = ", ".join(str(options[name]) for name in timeouts)
        reason = f"Alluxio has its own timeouts ({summarize(shorten_options(timeouts))})"
        yield Difference("timeouts", current, NOT_SET, reason)
    if remaining:
        reason = f"`cache` does not set {summarize(shorten_options(remaining))}"
        yield Difference("other options", "set", NOT_SET, reason)


def node_sharing(compared: Comparison) -> Iterator[Difference]:
    current = str(get_path(compared.cache.dataset, "spec", "placement", default=""))
    if current != "Shared":
        yield Difference(
            "placement",
            current or f"{NOT_SET}: Exclusive",
            "Shared",
            "several models can share a node",
            "no other exclusive cache starts on its node",
        )


def nodes(compared: Comparison) -> Iterator[Difference]:
    dataset = compared.cache.dataset
    if placement.bound_hostnames(dataset):
        return
    affinity = get_map(dataset, "spec", "nodeAffinity")
    yield Difference(
        "nodes",
        "by a nodeAffinity" if affinity else "any",
        "chosen GPU nodes, by name",
        "the worker should stay where the engine can run",
        "a lost worker is recreated elsewhere, and empty",
    )
    if not affinity and not get_list(dataset, "spec", "tolerations"):
        yield Difference(
            "tolerations",
            "none",
            "for the GPU nodes' taints",
            "GPU nodes often have a taint that reserves them",
            "the worker runs on a node without GPUs, or stays Pending",
        )


def load(compared: Comparison) -> Iterator[Difference]:
    if not compared.cache.loads:
        yield Difference(
            "DataLoad",
            "none",
            compared.cache.name,
            "the model is loaded before an engine reads it",
            "the first reader waits for the store, unless earlier readers have filled the cache",
        )
    for load in compared.cache.loads:
        yield from _load_differences(compared, load)


def _load_differences(compared: Comparison, load: Object) -> Iterator[Difference]:
    setting = f"DataLoad {name_of(load)}"
    if not get_path(load, "spec", "dataset", "namespace"):
        yield Difference(
            setting,
            "without a namespace",
            "with the Dataset's",
            "Fluid looks for the Dataset in an empty namespace",
            "it never starts",
        )
    targets = get_list(load, "spec", "target")
    paths = [str(target.get("path", "/")) for target in targets] or ["/"]
    complete = ("", f"/{compared.cache.directory}".rstrip("/"))
    if not any(path.rstrip("/") in complete for path in paths):
        yield Difference(
            setting,
            summarize(paths),
            "/",
            "an engine reads every file",
            "files outside its paths are read from the store",
        )
    copies = {int(target.get("replicas") or 1) for target in targets} or {1}
    if copies != {compared.cache.replicas}:
        yield Difference(
            setting,
            f"replicas {', '.join(map(str, sorted(copies)))}",
            f"replicas {compared.cache.replicas}",
            "its script requests this many copies of each block from Alluxio",
            "not every node of the cache has a complete copy",
        )
