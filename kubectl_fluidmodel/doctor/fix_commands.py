"""kubectl commands that fix objects, with the user's own names in them. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from kubectl_fluidmodel.dynamo.json_patch import escape_key
from kubectl_fluidmodel.fluid import status as fluid_status
from kubectl_fluidmodel.inventory.cache import Cache
from kubectl_fluidmodel.objects.access import Object, get_path, name_of, namespace_of
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


def kubectl_kind(obj: Mapping[str, Any]) -> str:
    """A kind as kubectl accepts it: `alluxioruntime`."""
    return str(obj.get("kind", "")).lower()


def kubectl_command(about: Object | Cache, *words: Word, flags: Sequence[Word] = ()) -> Command:
    """A kubectl command in the namespace of an object or cache; `flags` come last."""
    namespace = about.namespace if isinstance(about, Cache) else namespace_of(about)
    return command("kubectl", *words, *(["-n", namespace] if namespace else []), *flags)


def object_operands(obj: Object) -> tuple[Operand, Operand]:
    """The kind and the name of an object, as kubectl takes them."""
    return Operand(kubectl_kind(obj)), Operand(name_of(obj))


def patch_object(obj: Object, change: Any, *, how: str = "merge") -> Command:
    """`kubectl patch` of an object: `merge` takes a mapping, `json` a list of operations."""
    flags = ("--type", how, "-p", json.dumps(change))
    return kubectl_command(obj, "patch", *object_operands(obj), flags=flags)


def patch_nested(obj: Object, part: Any, key: str, value: Any) -> Command | None:
    """Set a key of a mapping inside an object; None if the object does not contain it."""
    path = _json_pointer(obj, part, "")
    if path is None:
        return None
    return patch_object(
        obj, [{"op": "add", "path": f"{path}/{escape_key(key)}", "value": value}], how="json"
    )


def _json_pointer(value: Any, part: Any, path: str) -> str | None:
    """The JSON pointer (RFC 6901) of a part of a value, found by identity."""
    if value is part:
        return path
    inner: Iterable[tuple[Any, Any]] = ()
    if isinstance(value, Mapping):
        inner = ((str(k).replace("~", "~0").replace("/", "~1"), v) for k, v in value.items())
    elif isinstance(value, list):
        inner = enumerate(value)
    pointers = (_json_pointer(child, part, f"{path}/{step}") for step, child in inner)
    return next((pointer for pointer in pointers if pointer is not None), None)


def patch_and_recreate_runtime(cached: Cache, change: Object) -> Command:
    """Change a runtime's spec and recreate it: Fluid reads most of the spec only once."""
    return chain(patch_object(cached.runtime or {}, {"spec": change}), recreate_runtime(cached))


def delete_objects(*objects: Object, flags: Sequence[Word] = ()) -> Command:
    """Delete objects, one after another."""
    return chain(
        *(kubectl_command(obj, "delete", *object_operands(obj), flags=flags) for obj in objects)
    )


def delete_load(load: Object) -> Command:
    """Delete a DataLoad, if it is still there.

    Kubernetes removes one after its time to live, and at any moment one whose Dataset, its owner,
    is in another namespace.
    """
    return delete_objects(load, flags=("--ignore-not-found",))


def delete_pods(about: Object | Cache, pods: Iterable[str], *flags: str) -> Command:
    """Delete pods of a namespace by name."""
    return kubectl_command(about, "delete", "pod", *operands(pods), flags=flags)


def apply_manifest(manifest: Object) -> Command:
    """Create or update an object; JSON is YAML on one line."""
    show = command("printf", "%s", json.dumps(manifest))
    return pipe(show, command("kubectl", "apply", "-f", "-"))


def uncordon_nodes(nodes: Iterable[str]) -> Command:
    return command("kubectl", "uncordon", *operands(nodes))


def label_nodes(nodes: Iterable[str], labels: Iterable[str]) -> Command:
    """Put labels (`key=value`) on nodes."""
    return command("kubectl", "label", "node", *operands([*nodes, *labels]))


def set_secret_keys(namespace: str, name: str, keys: Iterable[str], *, exists: bool) -> Command:
    """Set keys of a Secret that `exists`, or create it.

    The values come from the environment and are never shown. Other keys of the Secret are kept,
    which `kubectl apply` would not do.
    """
    values = [
        (f"--from-literal={key}=", EnvVariable(env_var_for_key(key)))
        for key in dict.fromkeys(key or "KEY" for key in keys)
    ]
    return _set_secret(namespace, name, values, exists=exists)


def set_secret_file(namespace: str, name: str, file: str, *, exists: bool) -> Command:
    """As `set_secret_keys`, from a file in the working directory."""
    return _set_secret(namespace, name, [f"--from-file={file}"], exists=exists)


def _set_secret(namespace: str, name: str, values: Sequence[Word], *, exists: bool) -> Command:
    target = (Operand(name), "-n", namespace)
    create = ("kubectl", "create", "secret", "generic", *target, *values)
    if not exists:
        return command(*create)
    merge = ("kubectl", "patch", "secret", *target, "--type", "merge", "--patch-file", "/dev/stdin")
    return pipe(command(*create, "--dry-run=client", "-o", "json"), command(*merge))


def env_var_for_key(key: str) -> str:
    """The environment variable that usually holds the value of a Secret's key."""
    text = key.lower()
    if "token" in text:
        return "AWS_SESSION_TOKEN"
    return "AWS_SECRET_ACCESS_KEY" if "secret" in text else "AWS_ACCESS_KEY_ID"


_RESET_METADATA = {
    "uid": None,
    "resourceVersion": None,
    "creationTimestamp": None,
    "generation": None,
}
"""A merge patch that removes what the API server set in an object's metadata."""


def _copy_object(obj: Object, name: str) -> Command:
    """Copy an object of the cluster to another name."""
    change = {"metadata": {"name": name, **_RESET_METADATA}, "status": None}
    local = ("--local", "-f", "-", "--type", "merge", "-p", json.dumps(change), "-o", "json")
    patch, create = command("kubectl", "patch", *local), command("kubectl", "create", "-f", "-")
    return pipe(_print_as_json(obj), patch, create)


def _print_as_json(obj: Object) -> Command:
    return kubectl_command(obj, "get", *object_operands(obj), flags=("-o", "json"))


def rename_runtime(runtime: Object, name: str) -> Command:
    """Copy a runtime to another name, and remove the old one."""
    return chain(_copy_object(runtime, name), delete_objects(runtime))


def recreate_runtime(cached: Cache) -> Command:
    """Recreate a cache's runtime as it is, with everything that Fluid creates for it.

    What was loaded goes with the workers, so it is loaded again: Fluid starts a load once the
    Dataset is Bound.
    """
    runtimes_of_cache = [cached.runtime] if cached.runtime is not None else []
    return chain(*(_recreate_object(obj) for obj in [*runtimes_of_cache, *_started_loads(cached)]))


def _started_loads(cached: Cache) -> list[Object]:
    """The loads that would not run again by themselves."""
    return [
        load
        for load in cached.loads
        if fluid_status.parse_dataload(load).phase not in ("", "Pending")
        and get_path(load, "spec", "policy") != "Cron"
    ]


def _recreate_object(obj: Object) -> Command:
    return pipe(_print_as_json(obj), command("kubectl", "replace", "--force", "-f", "-"))


def copy_secret(namespace: str, old: str, new: str) -> Command:
    """Copy a Secret to another name."""
    return _copy_object({"kind": "Secret", "metadata": {"name": old, "namespace": namespace}}, new)
