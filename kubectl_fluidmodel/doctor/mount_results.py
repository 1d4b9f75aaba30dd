"""What checks of area 5 have in common: a cache's answers, and the commands that mend. Pure.

A store refuses for one reason at a time. What stands behind that reason was not seen, so a check
of it is skipped and says which word stood in the way; none of them passes unseen.
"""

from __future__ import annotations

from dataclasses import dataclass

from kubectl_fluidmodel.doctor import consequences, fix_commands
from kubectl_fluidmodel.doctor.check import (
    CheckContext,
    CheckSkippedError,
    Evidence,
    Fix,
    object_reference,
)
from kubectl_fluidmodel.doctor.mount_probe.target import (
    ACCESS_KEY_OPTIONS,
    SECRET_KEY_OPTIONS,
    SESSION_TOKEN_OPTIONS,
    secret_key_refs,
)
from kubectl_fluidmodel.fluid import names, status
from kubectl_fluidmodel.fluid.mount import ROOT_OPTION
from kubectl_fluidmodel.inventory.cache import Cache
from kubectl_fluidmodel.objects.access import annotations_of, get_list, get_path
from kubectl_fluidmodel.output.shell import Operand, command
from kubectl_fluidmodel.snapshot.probe_result import ProbeOrigin, ProbeResult, ProbeState

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
"""In this order a store comes to its word: a later state shows that earlier ones do not hold."""
STORE_UNREADABLE = ("FM208", "FM216", "FM311", "FM323", *consequences.NO_MASTER)
"""What a store that the master cannot list leads to."""
FILES_UNREADABLE = ("FM216", *consequences.NOT_LOADED)
"""What files that can be listed and not read lead to."""
_STATE_RANK = {each: rank for rank, group in enumerate(_STATE_ORDER) for each in group}


@dataclass(frozen=True)
class MountResult:
    """One answer, and which of the Dataset's mounts it is about."""

    result: ProbeResult
    index: int

    @property
    def field_path(self) -> str:
        return f"spec.mounts[{self.index}]"


def mount_results(context: CheckContext) -> list[MountResult]:
    """The answers for a cache's mounts.

    Raises:
        CheckSkippedError: there is nothing to try, or the store was not asked.
    """
    cache = context.cache
    if cache.dataset is None or not get_list(cache.dataset, "spec", "mounts"):
        raise CheckSkippedError("there is no Dataset with a mount")
    snapshot = context.snapshot
    results = snapshot.probe_results.get((cache.namespace, cache.name))
    if not results:
        failure = snapshot.unreadable_probes.get((cache.namespace, cache.name))
        raise CheckSkippedError(failure or "the store was not asked")
    return [MountResult(each, index) for index, each in enumerate(results)]


def results_in_state(context: CheckContext, *states: ProbeState) -> list[MountResult]:
    """The answers in one of the states.

    Raises:
        CheckSkippedError: none is, and of at least one mount it cannot be known.
    """
    rank = _STATE_RANK[states[0]]
    every = mount_results(context)
    found = [each for each in every if each.result.state in states]
    if not found:
        for each in every:
            unseen = (
                each.result.state == ProbeState.SKIPPED or _STATE_RANK[each.result.state] < rank
            )
            if unseen:
                raise CheckSkippedError(_hidden_reason(each.result))
    return found


def listed_results(context: CheckContext) -> list[MountResult]:
    """The answers of mounts that were listed and read.

    Raises:
        CheckSkippedError: none was.
    """
    return results_in_state(context, ProbeState.OK)


def _hidden_reason(result: ProbeResult) -> str:
    if result.state == ProbeState.SKIPPED:
        return result.message
    return f"the store did not let us see: {result.code or result.message or result.state}"


def is_mounted(context: CheckContext) -> bool:
    """Whether the cluster itself got at the store: Fluid binds a Dataset once it is mounted."""
    return status.parse_dataset(context.cache.dataset).is_bound


def is_certain(context: CheckContext, result: ProbeResult) -> bool:
    """Whether what an attempt could not reach is out of the cluster's reach, too.

    A laptop does not see everything that a cluster sees; what was tried from a pod, or is not
    mounted in the cluster either, counts.
    """
    return result.origin == ProbeOrigin.POD or not is_mounted(context)


def certain_results(context: CheckContext, found: list[MountResult]) -> list[MountResult]:
    """Those that are certain.

    Raises:
        CheckSkippedError: there are some, and none is.
    """
    sure = [each for each in found if is_certain(context, each.result)]
    if found and not sure:
        given = found[0].result
        raise CheckSkippedError(
            f"from here {given.message or given.state}, while the cache is Bound: --probe"
        )
    return sure


# -- words -----------------------------------------------------------------------------------


def dataset_reference(context: CheckContext) -> str:
    return object_reference(context.cache.dataset or {})


def result_evidence(context: CheckContext, mount: MountResult) -> tuple[Evidence, ...]:
    """The mount, and the store's very words."""
    result = mount.result
    reply = ": ".join(part for part in (result.code, result.message) if part) or result.state
    action = f" to {result.action}" if result.action else ""
    where = result.endpoint or result.mount.partition("/")[0] + "//"
    origin = "" if result.origin == ProbeOrigin.CLIENT else f" by {result.origin}"
    return (
        Evidence(
            dataset_reference(context),
            f"{mount.field_path}.mountPoint",
            _mount_point(context, mount),
        ),
        Evidence(f"store {where}", f"answer{action}{origin}", reply),
    )


def _mount_point(context: CheckContext, mount: MountResult) -> str:
    """The mount point as it stands in the Dataset; the store's answer may be of an earlier one."""
    return str(
        get_path(
            context.cache.dataset, "spec", "mounts", mount.index, "mountPoint", default="not set"
        )
    )


def secret_keys_fix(context: CheckContext, result: ProbeResult) -> Fix:
    """Put a Secret's keys into it, from the shell's environment: no value is on the screen.

    All that the mounts take from it, so that a temporary key comes with its token.
    """
    namespace, wanted = (
        context.cache.namespace,
        {*ACCESS_KEY_OPTIONS, *SECRET_KEY_OPTIONS, *SESSION_TOKEN_OPTIONS},
    )
    exists = result.state != ProbeState.NO_SECRET
    keys = [
        ref.key
        for mount in get_list(context.cache.dataset, "spec", "mounts")
        for ref in secret_key_refs(context.cache, mount)
        if ref.secret == result.secret_name and ref.option.removeprefix(ROOT_OPTION) in wanted
    ]
    if keys:
        return Fix(fix_commands.set_secret_keys(namespace, result.secret_name, keys, exists=exists))
    # A file, such as a service account's.
    return Fix(
        fix_commands.set_secret_file(
            namespace, result.secret_name, result.secret_key, exists=exists
        )
    )


def recreate_fix(context: CheckContext, **changes: str) -> Fix | None:
    """Make the cache anew, with another source, endpoint or region; None where it is not ours.

    Fluid takes a mount's options over into the runtime once, so they cannot be changed in place.
    """
    cache = context.cache
    if cache.dataset is None or not names.is_managed(cache.dataset):
        return None
    return Fix(fix_commands.recreate_cache(cache, **changes))


def recreate_from_hub_fix(context: CheckContext, model: str, flags: tuple[str, ...]) -> Fix | None:
    """Make the cache anew of a model of the Hub; None where it is not ours."""
    cache = context.cache
    if cache.dataset is None or not names.is_managed(cache.dataset):
        return None
    return Fix(fix_commands.recreate_cache(cache, source=model, flags=flags))


def hub_origin(cache: Cache) -> tuple[str, str]:
    """The Hub's model and the commit that a cache was staged from; empty texts if it was not."""
    if cache.dataset is None:
        return "", ""
    notes = annotations_of(cache.dataset)
    source = str(notes.get(names.SOURCE_ANNOTATION, ""))
    if not source.startswith("hf://"):
        return "", ""
    repo = source.removeprefix("hf://").partition("@")[0]
    return repo, str(notes.get(names.COMMIT_ANNOTATION, ""))


def restage_fix(context: CheckContext, result: ProbeResult) -> Fix | None:
    """Stage the commit again, None where the model was not staged by this plugin."""
    repo, commit = hub_origin(context.cache)
    tail = f"/{repo}/{commit}"
    if not repo or not commit or not result.mount.rstrip("/").endswith(tail):
        return None
    to = result.mount.rstrip("/").removesuffix(tail)
    named = ("stage", Operand(f"{repo}@{commit}"), "--to", to)
    endpoint = ("--endpoint", result.endpoint) if result.endpoint else ()
    return Fix(command("kubectl", "fluidmodel", *named, *endpoint))
