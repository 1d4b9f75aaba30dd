"""What the checks of area 5 share: probe results of a cache's mounts, and fixes. Pure.

A store reports one error at a time. Checks of what that error hides are skipped with that reason,
so that none of them passes without having seen anything.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from kubectl_fluidmodel.doctor import cache_commands, consequences, fix_commands
from kubectl_fluidmodel.doctor.check import (
    CheckContext,
    CheckSkippedError,
    Evidence,
    Fix,
    object_reference,
)
from kubectl_fluidmodel.dynamo.json_patch import escape_key
from kubectl_fluidmodel.fluid import names, status
from kubectl_fluidmodel.fluid.mount import ROOT_OPTION
from kubectl_fluidmodel.inventory.cache import Cache
from kubectl_fluidmodel.inventory.mount_target import (
    ACCESS_KEY_OPTIONS,
    SECRET_KEY_OPTIONS,
    SESSION_TOKEN_OPTIONS,
    secret_key_refs,
)
from kubectl_fluidmodel.objects.access import Object, annotations_of, get_list, get_path
from kubectl_fluidmodel.output.shell import Command, Operand, chain, command
from kubectl_fluidmodel.records import dataclass
from kubectl_fluidmodel.snapshot.probe_result import (
    MountContents,
    ProbeOrigin,
    ProbeResult,
    ProbeState,
)

_STATE_ORDER = (
    (ProbeState.CLAIM,),
    (ProbeState.NO_SECRET,),
    (ProbeState.NO_KEY,),
    (ProbeState.BAD_KEY,),
    (ProbeState.DNS, ProbeState.SERVICE),
    (ProbeState.REFUSED, ProbeState.TIMEOUT),
    (ProbeState.TLS,),
    (ProbeState.NOT_S3,),
    (ProbeState.SKEW,),
    (ProbeState.UNKNOWN_KEY,),
    (ProbeState.EXPIRED,),
    (ProbeState.WRONG_SECRET,),
    (ProbeState.REGION,),
    (ProbeState.NO_BUCKET,),
    (ProbeState.DENIED,),
    (ProbeState.ERROR,),
    (ProbeState.EMPTY,),
    (ProbeState.OK,),
)
"""States in order of failure; reaching one rules out those before it."""
STORE_UNREADABLE = ("FM208", "FM216", "FM311", "FM323", *consequences.NO_MASTER)
"""Consequences of a store that the master cannot list."""
FILES_UNREADABLE = ("FM216", *consequences.NOT_LOADED)
"""Consequences of files that can be listed but not read."""
_STATE_RANK = {state: rank for rank, group in enumerate(_STATE_ORDER) for state in group}


@dataclass(frozen=True)
class MountResult:
    """A probe result, and the index of the Dataset's mount that it is about."""

    result: ProbeResult
    index: int

    @property
    def field_path(self) -> str:
        return f"spec.mounts[{self.index}]"


def mount_results(context: CheckContext) -> list[MountResult]:
    """The probe results of a cache's mounts.

    Raises:
        CheckSkippedError: there is no mount, or the store was not probed.
    """
    cache = context.cache
    if cache.dataset is None or not get_list(cache.dataset, "spec", "mounts"):
        raise CheckSkippedError("there is no Dataset with a mount")
    snapshot = context.snapshot
    results = snapshot.probe_results.get((cache.namespace, cache.name))
    if not results:
        failure = snapshot.unreadable_probes.get((cache.namespace, cache.name))
        raise CheckSkippedError(failure or "the store was not probed")
    return [MountResult(result, index) for index, result in enumerate(results)]


def results_in_state(context: CheckContext, *states: ProbeState) -> list[MountResult]:
    """The probe results in one of the given states.

    Raises:
        CheckSkippedError: there are none, and for at least one mount this is unknown.
    """
    rank = _STATE_RANK[states[0]]
    results = mount_results(context)
    matching = [result for result in results if result.result.state in states]
    if not matching:
        for result in results:
            unseen = (
                result.result.state == ProbeState.SKIPPED or _STATE_RANK[result.result.state] < rank
            )
            if unseen:
                raise CheckSkippedError(_hidden_reason(result.result))
    return matching


def listed_results(context: CheckContext) -> list[MountResult]:
    """The probe results of mounts that were listed and read.

    Raises:
        CheckSkippedError: there are none.
    """
    return results_in_state(context, ProbeState.OK)


def _hidden_reason(result: ProbeResult) -> str:
    if result.state == ProbeState.SKIPPED:
        return result.message
    return f"an earlier store error hides this: {result.code or result.message or result.state}"


def is_mounted(context: CheckContext) -> bool:
    """Whether the cluster has mounted the store: Fluid binds a Dataset once it has."""
    return status.parse_dataset(context.cache.dataset).is_bound


def is_certain(context: CheckContext, result: ProbeResult) -> bool:
    """Whether a store that a probe could not reach is unreachable for the cluster, too.

    Not every store is reachable from the user's machine. A failure counts if the probe ran in a
    pod, or if the cluster has not mounted the store either.
    """
    return result.origin == ProbeOrigin.POD or not is_mounted(context)


def certain_results(context: CheckContext, results: list[MountResult]) -> list[MountResult]:
    """Those of the results that are certain.

    Raises:
        CheckSkippedError: there are results, but none is certain.
    """
    certain = [result for result in results if is_certain(context, result.result)]
    if results and not certain:
        first = results[0].result
        raise CheckSkippedError(
            f"from here {first.message or first.state}, while the cache is Bound: --probe"
        )
    return certain


def dataset_reference(context: CheckContext) -> str:
    return object_reference(context.cache.dataset or {})


def result_evidence(context: CheckContext, mount: MountResult) -> tuple[Evidence, ...]:
    """The mount, and the store's own message."""
    result = mount.result
    reply = ": ".join(part for part in (result.code, result.message) if part) or result.state
    action = f" to {result.action}" if result.action else ""
    location = result.endpoint or result.mount.partition("/")[0] + "//"
    origin = "" if result.origin == ProbeOrigin.CLIENT else f" by {result.origin}"
    return (
        Evidence(
            dataset_reference(context),
            f"{mount.field_path}.mountPoint",
            _mount_point(context, mount),
        ),
        Evidence(f"store {location}", f"answer{action}{origin}", reply),
    )


def _mount_point(context: CheckContext, mount: MountResult) -> str:
    """The mount point in the Dataset; the probe may have seen an earlier one."""
    return str(
        get_path(
            context.cache.dataset, "spec", "mounts", mount.index, "mountPoint", default="not set"
        )
    )


def secret_keys_fix(context: CheckContext, result: ProbeResult) -> Fix:
    """Set the keys of a Secret from the shell's environment, so that no value is shown.

    It sets all keys that the mounts use, so that a temporary key comes with its token.
    """
    namespace = context.cache.namespace
    key_options = {*ACCESS_KEY_OPTIONS, *SECRET_KEY_OPTIONS, *SESSION_TOKEN_OPTIONS}
    exists = result.state != ProbeState.NO_SECRET
    keys = [
        ref.key
        for mount in get_list(context.cache.dataset, "spec", "mounts")
        for ref in secret_key_refs(context.cache, mount)
        if ref.secret == result.secret_name and ref.option.removeprefix(ROOT_OPTION) in key_options
    ]
    if keys:
        return Fix(fix_commands.set_secret_keys(namespace, result.secret_name, keys, exists=exists))
    # A file, such as a service account's.
    return Fix(
        fix_commands.set_secret_file(
            namespace, result.secret_name, result.secret_key, exists=exists
        )
    )


def recreate_fix(context: CheckContext, **changes: Any) -> Fix | None:
    """Recreate the cache; None if it is not ours.

    Fluid passes a mount's options to the runtime once, so they cannot be changed in place.

    Args:
        context: Of the check.
        changes: What is to change, as arguments of `cache_command`: another source, endpoint or
            region, or flags.
    """
    if not names.has_own_spec(context.cache.dataset or {}):
        return None
    return Fix(cache_commands.recreate_cache(context.cache, **changes))


def change_mount_fix(
    context: CheckContext,
    index: int,
    options: Mapping[str, str] | None = None,
    *,
    mount_point: str = "",
) -> Fix:
    """Change a mount of a Dataset that somebody else created, and recreate its runtime.

    Fluid passes a mount's options to the runtime once, when it sets that up.
    """
    cache = context.cache
    path = f"/spec/mounts/{index}"
    operations: list[Object] = []
    if mount_point:
        operations.append({"op": "replace", "path": f"{path}/mountPoint", "value": mount_point})
    existing = get_path(cache.dataset, "spec", "mounts", index, "options")
    if options and not isinstance(existing, Mapping):
        operations.append({"op": "add", "path": f"{path}/options", "value": dict(options)})
    elif options:
        operations += [
            {"op": "add", "path": f"{path}/options/{escape_key(name)}", "value": value}
            for name, value in options.items()
        ]
    steps = [fix_commands.patch_object(cache.dataset or {}, operations, how="json")]
    if cache.runtime is not None:
        steps.append(fix_commands.recreate_runtime(cache))
    return Fix(chain(*steps))


def hub_origin(cache: Cache) -> tuple[str, str]:
    """The Hub model and commit that a cache was staged from; ("", "") if it was not."""
    if cache.dataset is None:
        return "", ""
    notes = annotations_of(cache.dataset)
    source = str(notes.get(names.SOURCE_ANNOTATION, ""))
    if not source.startswith("hf://"):
        return "", ""
    repo = source.removeprefix("hf://").partition("@")[0]
    return repo, str(notes.get(names.COMMIT_ANNOTATION, ""))


def restage_fix(context: CheckContext, result: ProbeResult) -> Fix | None:
    """Stage the commit again; None if this plugin did not stage the model."""
    repo, commit = hub_origin(context.cache)
    tail = f"/{repo}/{commit}"
    if not repo or not commit or not result.mount.rstrip("/").endswith(tail):
        return None
    to = result.mount.rstrip("/").removesuffix(tail)
    arguments = ("stage", Operand(f"{repo}@{commit}"), "--to", to)
    endpoint = ("--endpoint", result.endpoint) if result.endpoint else ()
    return Fix(command("kubectl", "fluidmodel", *arguments, *endpoint))


def listed_contents(context: CheckContext) -> Iterator[tuple[MountResult, MountContents]]:
    """The mounts that were listed, with what lies below them."""
    for mount_result in listed_results(context):
        if mount_result.result.contents is not None:
            yield mount_result, mount_result.result.contents


def completely_listed_contents(context: CheckContext) -> list[tuple[MountResult, MountContents]]:
    """The mounts whose files were all listed.

    Raises:
        CheckSkippedError: one was not.
    """
    listed = list(listed_contents(context))
    for _, contents in listed:
        if not contents.complete:
            raise CheckSkippedError(f"there are more than {contents.files} files, too many to list")
    return listed


def cache_again_command(context: CheckContext, mount_result: MountResult) -> Command:
    """The command that continues with the cache once the files are fixed."""
    result = mount_result.result
    return cache_commands.cache_command(
        context.cache, source=result.mount, endpoint=result.endpoint, in_place=True
    )
