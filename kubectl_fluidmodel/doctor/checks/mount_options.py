"""2xx: the options of a Dataset, and its credentials from Secrets."""

from __future__ import annotations

import re
from collections.abc import Iterator

from kubectl_fluidmodel.doctor import fix_commands, mount_fix, observations
from kubectl_fluidmodel.doctor.check import (
    CheckContext,
    CheckSkippedError,
    Evidence,
    Finding,
    Fix,
    Severity,
    object_reference,
    register_check,
)
from kubectl_fluidmodel.doctor.consequences import NO_MASTER, NOT_COMPLETE, NOT_CREATED
from kubectl_fluidmodel.doctor.observations import cache_reference
from kubectl_fluidmodel.dynamo.json_patch import escape_key
from kubectl_fluidmodel.fluid import mount, names, secret
from kubectl_fluidmodel.fluid.secret import encrypt_options
from kubectl_fluidmodel.inventory.cache import Cache
from kubectl_fluidmodel.objects import kinds
from kubectl_fluidmodel.objects.access import Object, get_list, get_map, get_path
from kubectl_fluidmodel.output.shell import chain
from kubectl_fluidmodel.records import dataclass
from kubectl_fluidmodel.snapshot.secret_names import is_secret_name

_SHELL_CHARACTERS = re.compile(r"""[\s;&|<>$`()"'\\]""")


@dataclass(frozen=True)
class PlainOption:
    """An option in plain text, and where it is set."""

    location: str
    name: str
    value: str


def plain_options(cache: Cache) -> Iterator[PlainOption]:
    """Every option of a Dataset that is written in plain text."""
    groups = {"spec.sharedOptions": get_path(cache.dataset, "spec", "sharedOptions")}
    for number, entry in enumerate(get_list(cache.dataset, "spec", "mounts")):
        groups[f"spec.mounts[{number}].options"] = entry.get("options")
    for path, options in groups.items():
        if isinstance(options, dict):
            for name, value in options.items():
                yield PlainOption(path, str(name), str(value or ""))


@register_check("FM211", "no credentials are written in plain text", severity=Severity.WARNING)
def keys_are_not_in_plain_text(context: CheckContext) -> Iterator[Finding]:
    """Credentials are written in plain text.

    Everyone who may read the Dataset, Fluid's ConfigMaps or its Helm release can read the values in
    `options`. `encryptOptions` refer to a key of a Secret instead.
    """
    cache = context.cache
    key_options = [
        option
        for option in plain_options(cache)
        if option.value and is_secret_name(option.name, variable=True)
    ]
    if key_options:
        key_names = ", ".join(dict.fromkeys(option.name for option in key_options))
        yield Finding(
            cache_reference(cache),
            f"{key_names} can be read by everyone who may read the Dataset",
            tuple(
                Evidence(cache_reference(cache), option.location, f"has {option.name}")
                for option in key_options
            ),
            mount_fix.mount_fix(context),
        )
    properties = get_path(cache.runtime, "spec", "properties")
    key_properties = [
        str(name)
        for name, value in (properties.items() if isinstance(properties, dict) else ())
        if value and is_secret_name(str(name), variable=True)
    ]
    if key_properties and cache.runtime is not None:
        yield Finding(
            object_reference(cache.runtime),
            f"{', '.join(key_properties)} can be read by everyone who may read the runtime",
            tuple(
                Evidence(object_reference(cache.runtime), "spec.properties", f"has {name}")
                for name in key_properties
            ),
            Fix("move them into encryptOptions of the Dataset", "advice"),
        )


@register_check(
    "FM212", "the Secrets that the Dataset refers to exist", explains=("FM310", "FM311", *NO_MASTER)
)
def referenced_secrets_exist(context: CheckContext) -> Iterator[Finding]:
    """A Secret that the Dataset refers to, or a key in it, does not exist.

    The Secret of an `encryptOption` must be in the Dataset's namespace and contain the key.
    Otherwise the master's pod waits for its volume, or its script does not find the file. `doctor`
    looks only at the names of the keys.
    """
    cache = context.cache
    referenced: dict[str, list[str]] = {}
    for option in encrypt_options(cache.dataset):
        ref = get_path(option, "valueFrom", "secretKeyRef", default={})
        if isinstance(ref, dict) and ref.get("name"):
            referenced.setdefault(str(ref["name"]), []).append(str(ref.get("key") or ""))
    if not referenced:
        return
    if not context.snapshot.was_read(kinds.SECRETS, cache.namespace):
        raise CheckSkippedError(f"no permission to get secrets in namespace {cache.namespace}")
    for name, keys in referenced.items():
        secret = context.snapshot.get(kinds.SECRETS, name, cache.namespace)
        secret_location = f"secret {cache.namespace}/{name}"
        if secret is None:
            yield Finding(
                secret_location,
                f"Secret {name}, which the Dataset names, does not exist",
                (Evidence(cache_reference(cache), "encryptOptions", f"secretKeyRef {name}"),),
                Fix(fix_commands.set_secret_keys(cache.namespace, name, keys, exists=False)),
            )
            continue
        data = get_map(secret, "data")
        for key in dict.fromkeys(keys):
            if key and not data.get(key):
                problem = "is empty" if key in data else "does not exist"
                present = ", ".join(sorted(data)) or "none"
                yield Finding(
                    secret_location,
                    f"key {key} of Secret {name}, which the Dataset names, {problem}",
                    (
                        Evidence(
                            cache_reference(cache), "encryptOptions", f"secretKeyRef {name}, {key}"
                        ),
                        Evidence(secret_location, "data", present),
                    ),
                    Fix(fix_commands.set_secret_keys(cache.namespace, name, [key], exists=True)),
                )
            elif not key:
                yield Finding(
                    cache_reference(cache),
                    f"an encryptOption names Secret {name}, and no key in it",
                    (
                        Evidence(
                            cache_reference(cache), "encryptOptions", f"secretKeyRef {name}, no key"
                        ),
                    ),
                    Fix(
                        f"set secretKeyRef.key to a key of Secret {name} "
                        f"({', '.join(sorted(data)) or 'it has none'})",
                        "advice",
                    ),
                )


@register_check(
    "FM213",
    "the credentials reach the workers",
    explains=("FM208", "FM313", "FM610", *NOT_COMPLETE),
)
def keys_reach_workers(context: CheckContext) -> Iterator[Finding]:
    """Only the master gets the credentials, the workers do not.

    For the `encryptOptions` of a root mount, Fluid writes a property whose value is the path of a
    file that only the master has. The workers use that path as the key, and every read fails with
    InvalidAccessKeyId although the load reports Complete. Below
    `alluxio.master.mount.table.root.option.` Alluxio passes the credentials on to the workers
    (docs/why-these-settings.md). For a mount that is not the root, the opposite holds: options
    below that prefix belong to no mount and are ignored.
    """
    cache = context.cache
    if cache.runtime is not None and not names.is_alluxio_runtime(cache.runtime):
        return
    mounts = get_list(cache.dataset, "spec", "mounts")
    root = mount.root_mount(mounts) is not None
    groups: list[tuple[tuple[str | int, ...], list[Object]]] = [
        (("spec", "mounts", number, "encryptOptions"), get_list(entry, "encryptOptions"))
        for number, entry in enumerate(mounts)
    ]
    shared = ("spec", "sharedEncryptOptions")
    groups.append((shared, get_list(cache.dataset, *shared)))
    wrong = [
        (
            observations.field_evidence(cache.dataset or {}, *path, index, "name"),
            str(option.get("name")),
        )
        for path, options in groups
        for index, option in enumerate(options)
        if mount.credential_option(str(option.get("name", "")), root=root) != option.get("name", "")
    ]
    if not wrong:
        return
    reported = ", ".join(dict.fromkeys(name for _, name in wrong))
    yield Finding(
        cache_reference(cache),
        f"{reported} reach only the master: the workers of a root mount use a file's path as the "
        "key"
        if root
        else f"{reported} are ignored: they are options of a root mount, and this Dataset has none",
        tuple(evidence for evidence, _ in wrong),
        mount_fix.mount_fix(context),
    )


@register_check("FM214", "no option is given twice", severity=Severity.WARNING)
def options_are_given_once(context: CheckContext) -> Iterator[Finding]:
    """An option is set both in `options` and in `encryptOptions`.

    Fluid uses the value from the Secret; older versions reject the mount. The plain value is
    readable and has no effect.
    """
    cache = context.cache
    for number, entry in enumerate(get_list(cache.dataset, "spec", "mounts")):
        options = entry.get("options")
        hidden = {str(option.get("name", "")) for option in get_list(entry, "encryptOptions")}
        repeated = sorted(hidden & set(options)) if isinstance(options, dict) else []
        if repeated and cache.dataset is not None:
            removals = [
                {"op": "remove", "path": f"/spec/mounts/{number}/options/{escape_key(name)}"}
                for name in repeated
            ]
            yield Finding(
                cache_reference(cache),
                f"{', '.join(repeated)} are set both in options and in encryptOptions",
                (Evidence(cache_reference(cache), f"spec.mounts[{number}]", ", ".join(repeated)),),
                Fix(fix_commands.patch_object(cache.dataset, removals, how="json")),
            )


@register_check("FM215", "the options are safe in Fluid's shell script", explains=("FM208",))
def options_are_shell_safe(context: CheckContext) -> Iterator[Finding]:
    """An option contains whitespace or shell metacharacters.

    Fluid writes mount points and options into a shell script without quoting them, so such a value
    breaks the mount.
    """
    cache = context.cache
    unsafe = [option for option in plain_options(cache) if _SHELL_CHARACTERS.search(option.value)]
    evidence = [
        Evidence(
            cache_reference(cache),
            option.location,
            option.name if is_secret_name(option.name) else _quote_option(option),
        )
        for option in unsafe
    ]
    reported = [option.name for option in unsafe]
    for number, entry in enumerate(get_list(cache.dataset, "spec", "mounts")):
        point = str(entry.get("mountPoint", ""))
        if _SHELL_CHARACTERS.search(point):
            evidence.append(
                Evidence(cache_reference(cache), f"spec.mounts[{number}].mountPoint", point)
            )
            reported.append("mountPoint")
    if evidence:
        yield Finding(
            cache_reference(cache),
            f"{', '.join(dict.fromkeys(reported))} contains whitespace or shell metacharacters, "
            "and Fluid passes it to a shell unquoted",
            tuple(evidence),
            Fix("write it without whitespace and without ; & | < > $ ` ( ) \" ' \\", "advice"),
        )


@register_check("FM220", "the Secrets' names can be used as volume names", explains=NOT_CREATED)
def secret_names_are_mountable(context: CheckContext) -> Iterator[Finding]:
    """The name of a Secret cannot be used in a volume name.

    Fluid mounts each Secret of an `encryptOption` into the master's pod, as volume
    `alluxio-mount-secret-<secret>`. Volume names have at most 63 characters and contain no dots.
    With any other Secret name the master's pod cannot be created.
    """
    cache = context.cache
    if cache.runtime is not None and not names.is_alluxio_runtime(cache.runtime):
        return
    used: dict[str, list[str]] = {}
    for number, entry in enumerate(get_list(cache.dataset, "spec", "mounts")):
        for index, option in enumerate(get_list(entry, "encryptOptions")):
            name = str(get_path(option, "valueFrom", "secretKeyRef", "name", default=""))
            if name and not secret.is_mountable_name(name):
                path = f"/spec/mounts/{number}/encryptOptions/{index}"
                used.setdefault(name, []).append(f"{path}/valueFrom/secretKeyRef/name")
    for name, paths in used.items():
        new = secret.to_mountable_name(name)
        operations = [{"op": "replace", "path": path, "value": new} for path in paths]
        if cache.dataset is None:
            continue
        yield Finding(
            f"secret {cache.namespace}/{name}",
            f"Fluid would name a volume {secret.VOLUME_PREFIX}{name}, which is not allowed: "
            + ("it contains a dot" if "." in name else "it is longer than 63 characters"),
            tuple(Evidence(cache_reference(cache), path, name) for path in paths),
            Fix(
                chain(
                    fix_commands.copy_secret(cache.namespace, name, new),
                    fix_commands.patch_object(cache.dataset, operations, how="json"),
                )
            ),
        )


def _quote_option(option: PlainOption) -> str:
    return f"{option.name}: {option.value!r}"
