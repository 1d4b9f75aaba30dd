"""What checks of area 5 have in common: a cache's answers, and the commands that mend. Pure.

A store refuses for one reason at a time. What stands behind that reason was not seen, so a check
of it is skipped and says which word stood in the way; none of them passes unseen.
"""

from __future__ import annotations

from dataclasses import dataclass

from kubectl_fluidmodel.doctor import consequences, fix_commands
from kubectl_fluidmodel.doctor.check import Case, Evidence, Fix, Skip, reference
from kubectl_fluidmodel.doctor.mount_probe import result
from kubectl_fluidmodel.doctor.mount_probe.result import Answer
from kubectl_fluidmodel.doctor.mount_probe.target import ACCESS, HIDDEN, TOKEN, encrypted
from kubectl_fluidmodel.errors import FluidModelError
from kubectl_fluidmodel.fluid import names, status
from kubectl_fluidmodel.fluid.mount import ROOT_OPTION
from kubectl_fluidmodel.inventory.cache import Cached
from kubectl_fluidmodel.objects.access import annotations_of, at, dicts
from kubectl_fluidmodel.output.shell import Operand, command

_ORDER = (
    (result.CLAIM,),
    (result.NO_SECRET,),
    (result.NO_KEY,),
    (result.BAD_KEY,),
    (result.DNS, result.SERVICE),
    (result.REFUSED, result.TIMEOUT),
    (result.TLS,),
    (result.FOREIGN,),
    (result.SKEW,),
    (result.UNKNOWN_KEY,),
    (result.EXPIRED,),
    (result.WRONG_SECRET,),
    (result.REGION,),
    (result.NO_BUCKET,),
    (result.DENIED,),
    (result.ERROR,),
    (result.EMPTY,),
    (result.OK,),
)
"""In this order a store comes to its word: a later state shows that earlier ones do not hold."""
CUT_OFF = ("FM208", "FM216", "FM311", "FM323", *consequences.NO_MASTER)
"""What a store that the master cannot list leads to."""
UNREAD = ("FM216", *consequences.NOT_LOADED)
"""What files that can be listed and not read lead to."""
_RANK = {each: rank for rank, group in enumerate(_ORDER) for each in group}


@dataclass(frozen=True)
class Tried:
    """One answer, and which of the Dataset's mounts it is about."""

    answer: Answer
    index: int

    @property
    def place(self) -> str:
        return f"spec.mounts[{self.index}]"


def tried(case: Case) -> list[Tried]:
    """The answers for a cache's mounts.

    Raises:
        Skip: there is nothing to try, or the store was not asked.
    """
    cache = case.own
    if cache.dataset is None or not dicts(cache.dataset, "spec", "mounts"):
        raise Skip("there is no Dataset with a mount")
    try:
        found = result.read(case.snapshot, cache.namespace, cache.name)
    except FluidModelError as err:
        raise Skip(f"{err.what}: {err.why}") from err
    if found is None or not found.answers:
        raise Skip("the store was not asked")
    return [Tried(each, index) for index, each in enumerate(found.answers)]


def met(case: Case, *states: str) -> list[Tried]:
    """The answers in one of the states.

    Raises:
        Skip: none is, and of at least one mount it cannot be known.
    """
    rank = _RANK[states[0]]
    every = tried(case)
    found = [each for each in every if each.answer.state in states]
    if not found:
        for each in every:
            unseen = each.answer.state == result.SKIPPED or _RANK[each.answer.state] < rank
            if unseen:
                raise Skip(_hidden(each.answer))
    return found


def contents(case: Case) -> list[Tried]:
    """The answers of mounts that were listed and read.

    Raises:
        Skip: none was.
    """
    return met(case, result.OK)


def _hidden(given: Answer) -> str:
    if given.state == result.SKIPPED:
        return given.message
    return f"the store did not let us see: {given.code or given.message or given.state}"


def working(case: Case) -> bool:
    """Whether the cluster itself got at the store: Fluid binds a Dataset once it is mounted."""
    return status.dataset(case.own.dataset).bound


def certain(case: Case, given: Answer) -> bool:
    """Whether what an attempt could not reach is out of the cluster's reach, too.

    A laptop does not see everything that a cluster sees; what was tried from a pod, or is not
    mounted in the cluster either, counts.
    """
    return given.origin == result.POD or not working(case)


def unless_certain(case: Case, found: list[Tried]) -> list[Tried]:
    """Those that are certain.

    Raises:
        Skip: there are some, and none is.
    """
    sure = [each for each in found if certain(case, each.answer)]
    if found and not sure:
        given = found[0].answer
        raise Skip(f"from here {given.message or given.state}, while the cache is Bound: --probe")
    return sure


# -- words -----------------------------------------------------------------------------------


def dataset_of(case: Case) -> str:
    return reference(case.own.dataset or {})


def evidence(case: Case, one: Tried) -> tuple[Evidence, ...]:
    """The mount, and the store's very words."""
    given = one.answer
    said = ": ".join(part for part in (given.code, given.message) if part) or given.state
    action = f" to {given.action}" if given.action else ""
    where = given.endpoint or given.mount.partition("/")[0] + "//"
    origin = "" if given.origin == result.HERE else f" by {given.origin}"
    return (
        Evidence(dataset_of(case), f"{one.place}.mountPoint", _point(case, one)),
        Evidence(f"store {where}", f"answer{action}{origin}", said),
    )


def _point(case: Case, one: Tried) -> str:
    """The mount point as it stands in the Dataset; the store's answer may be of an earlier one."""
    return str(at(case.own.dataset, "spec", "mounts", one.index, "mountPoint", default="not set"))


def keys_command(case: Case, given: Answer) -> Fix:
    """Put a Secret's keys into it, from the shell's environment: no value is on the screen.

    All that the mounts take from it, so that a temporary key comes with its token.
    """
    namespace, wanted = case.own.namespace, {*ACCESS, *HIDDEN, *TOKEN}
    there = given.state != result.NO_SECRET
    keys = [
        ref.key
        for mount in dicts(case.own.dataset, "spec", "mounts")
        for ref in encrypted(case.own, mount)
        if ref.secret == given.holder and ref.option.removeprefix(ROOT_OPTION) in wanted
    ]
    if keys:
        return Fix(fix_commands.secret(namespace, given.holder, keys, there=there))
    # A file, such as a service account's.
    return Fix(fix_commands.file_secret(namespace, given.holder, given.entry, there=there))


def rebuild(case: Case, **other: str) -> Fix | None:
    """Make the cache anew, with another source, endpoint or region; None where it is not ours.

    Fluid takes a mount's options over into the runtime once, so they cannot be changed in place.
    """
    cache = case.own
    if cache.dataset is None or not names.is_ours(cache.dataset):
        return None
    return Fix(fix_commands.anew(cache, **other))


def rebuild_from(case: Case, model: str, flags: tuple[str, ...]) -> Fix | None:
    """Make the cache anew of a model of the Hub; None where it is not ours."""
    cache = case.own
    if cache.dataset is None or not names.is_ours(cache.dataset):
        return None
    return Fix(fix_commands.anew(cache, source=model, flags=flags))


def origin_of(cache: Cached) -> tuple[str, str]:
    """The Hub's model and the commit that a cache was staged from; empty texts if it was not."""
    if cache.dataset is None:
        return "", ""
    notes = annotations_of(cache.dataset)
    source = str(notes.get(names.SOURCE_ANNOTATION, ""))
    if not source.startswith("hf://"):
        return "", ""
    repo = source.removeprefix("hf://").partition("@")[0]
    return repo, str(notes.get(names.COMMIT_ANNOTATION, ""))


def restage(case: Case, given: Answer) -> Fix | None:
    """Stage the commit again, None where the model was not staged by this plugin."""
    repo, commit = origin_of(case.own)
    tail = f"/{repo}/{commit}"
    if not repo or not commit or not given.mount.rstrip("/").endswith(tail):
        return None
    to = given.mount.rstrip("/").removesuffix(tail)
    named = ("stage", Operand(f"{repo}@{commit}"), "--to", to)
    endpoint = ("--endpoint", given.endpoint) if given.endpoint else ()
    return Fix(command("kubectl", "fluidmodel", *named, *endpoint))
