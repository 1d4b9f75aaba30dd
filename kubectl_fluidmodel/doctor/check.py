"""What a check is, what it finds, and the registry of all checks. Pure.

A check evaluates one CheckContext (the cluster, or one cache) and reads nothing itself. Its code is
stable: it names a section of docs/reference/checks.md, and an annotation silences it by its code.
The first digit is the area. The code of a removed check is not reused.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import field
from enum import Enum
from typing import Any, TypeVar

from kubectl_fluidmodel.errors import FluidModelError
from kubectl_fluidmodel.fluid import names
from kubectl_fluidmodel.inventory.cache import Cache
from kubectl_fluidmodel.objects.access import (
    Object,
    full_name,
    get_map,
    metadata_of,
    name_of,
    namespace_of,
)
from kubectl_fluidmodel.objects.kinds import NODES, Kind
from kubectl_fluidmodel.objects.time import parse_time
from kubectl_fluidmodel.records import dataclass
from kubectl_fluidmodel.snapshot.snapshot import LogKey, ReadFailure, Snapshot

Value = TypeVar("Value")

AREAS: dict[str, str] = {
    "1": "Cluster and Fluid",
    "2": "Dataset and names",
    "3": "Runtime pods",
    "4": "Claim, CSI and FUSE",
    "5": "Store and credentials",
    "6": "Staging and load",
    "7": "Graphs and placement",
    "8": "Capacity and speed",
}
"""First digit of a code to the area's title, in the order of the report."""


class Severity(Enum):
    """An ERROR makes `doctor` exit with 1, a WARNING does not."""

    ERROR = "error"
    WARNING = "warning"


class Scope(Enum):
    """What one run of a check evaluates."""

    CLUSTER = "cluster"
    CACHE = "cache"


class CheckSkippedError(Exception):
    """Raised by a check that cannot tell, with the reason: it is shown as skipped.

    `read_failed` says that this is because something could not be read.
    """

    def __init__(self, reason: str, *, read_failed: bool = False) -> None:
        super().__init__(reason)
        self.read_failed = read_failed


def read_failure_reason(missing: ReadFailure) -> str:
    """Why a check is skipped for which something could not be read."""
    scope = f" in namespace {missing.namespace}" if missing.namespace else ""
    if missing.forbidden:
        return f"no permission to list {missing.resource}{scope}"
    return str(missing)


@dataclass(frozen=True)
class Evidence:
    """Where a finding was seen: the object, the location in it, and the text there."""

    object: str
    """`pod default/demo-master-0`, as `object_reference` writes it."""
    location: str
    """A field (`status.phase`), `event FailedScheduling` or `log of alluxio-master`."""
    text: str


@dataclass(frozen=True)
class Fix:
    """What fixes a finding: a command to paste, YAML to add, or advice."""

    text: str
    how: str = "command"
    """`command`, `yaml` or `advice`."""
    where: str = ""
    """The object and field that the YAML belongs to."""


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong."""

    about: str
    """The object, as `object_reference` writes it."""
    cause: str
    """One sentence: what is wrong and why."""
    evidence: tuple[Evidence, ...] = ()
    fix: Fix | None = None
    severity: Severity | None = None
    """Where it differs from the check's."""
    other_cache: tuple[str, str] | None = None
    """(namespace, name) of another cache whose findings may be the cause of this one."""


@dataclass(frozen=True)
class RequiredKind:
    """A part of a kind's objects that a check needs: by default those in Fluid's namespace."""

    kind: Kind
    namespace: str = names.SYSTEM_NAMESPACE


CACHE_NODES = RequiredKind(NODES, "")
"""The nodes of the cache. `inspect` reads no others."""


@dataclass(frozen=True)
class CheckContext:
    """What a check evaluates."""

    snapshot: Snapshot
    caches: tuple[Cache, ...]
    """All caches of the snapshot: one cache may block another."""
    subject: Cache | None = None
    """The cache that a check of Scope.CACHE evaluates; None for a check of the cluster."""
    memo: dict[str, Any] = field(default_factory=dict)
    """Values of `cached`; shared by all contexts of a run."""

    @property
    def cache(self) -> Cache:
        """The cache that a check of Scope.CACHE evaluates."""
        if self.subject is None:
            raise LookupError("a check of the cluster asked for a cache")
        return self.subject

    def cached(self, key: str, build: Callable[[], Value]) -> Value:
        """What `build` returns; it is called once per run.

        For an index over all pods, nodes or caches: a check runs for every cache, and must not
        go through all of them each time.
        """
        if key not in self.memo:
            self.memo[key] = build()
        value: Value = self.memo[key]
        return value

    def container_log(
        self, pod: Mapping[str, Any], container: str, *, previous: bool = False
    ) -> str:
        """The last lines of a container of a pod that is not well, redacted; "" if not read.

        `previous` is the container that ran before it was started again.
        """
        return self.snapshot.logs.get(container_log_key(pod, container, previous=previous), "")

    def age(self, obj: Mapping[str, Any]) -> float:
        """Seconds from an object's creation to the snapshot; 0.0 if it does not say."""
        created = parse_time(metadata_of(obj).get("creationTimestamp"))
        return max(0.0, self.snapshot.taken_at - created) if created else 0.0


CheckFunction = Callable[[CheckContext], Iterable[Finding]]


@dataclass(frozen=True)
class Check:
    """One check of `doctor`."""

    code: str
    """`FM201`."""
    title: str
    """What holds if the check passes: "the Dataset's name is legal"."""
    run: CheckFunction
    scope: Scope = Scope.CACHE
    severity: Severity = Severity.ERROR
    needs: tuple[Kind | RequiredKind, ...] = ()
    """Kinds that it cannot evaluate without; where RBAC hides one, it is skipped and says so.

    A Kind is looked for in the cache's namespace (of a check of the cluster: in all that was
    asked for), a RequiredKind in its own.
    """
    explains: tuple[str, ...] = ()
    """Codes whose findings are consequences of this check's; never its own code.

    For the same cache, or for one whose finding names this cache as its `other_cache`.
    """
    fallback: bool = False
    """Whether its findings count only if no failure of another check explains them."""
    doc: str = ""
    """Its section of docs/reference/checks.md, as Markdown."""

    @property
    def area(self) -> str:
        return AREAS[self.code[2]]


@dataclass
class Registry:
    """All checks, by code."""

    checks: dict[str, Check] = field(default_factory=dict)

    def register(self, check: Check) -> Check:
        if check.code in self.checks or check.code[2:3] not in AREAS:
            raise ValueError(f"{check.code} is already used, or in no area")
        self.checks[check.code] = check
        return check

    def in_code_order(self) -> list[Check]:
        return [self.checks[code] for code in sorted(self.checks)]


REGISTRY = Registry()


def register_check(
    code: str,
    title: str,
    *,
    scope: Scope = Scope.CACHE,
    severity: Severity = Severity.ERROR,
    needs: tuple[Kind | RequiredKind, ...] = (),
    explains: tuple[str, ...] = (),
    fallback: bool = False,
) -> Callable[[CheckFunction], CheckFunction]:
    """Register a check function; its docstring is the section of docs/reference/checks.md."""

    def register(function: CheckFunction) -> CheckFunction:
        doc = inspect.cleandoc(function.__doc__ or "")
        REGISTRY.register(
            Check(code, title, function, scope, severity, needs, explains, fallback, doc)
        )
        return function

    return register


def object_reference(obj: Mapping[str, Any]) -> str:
    """An object as findings name it: `pod default/demo-master-0`, `node gpu-0`."""
    return f"{str(obj.get('kind', 'object')).lower()} {full_name(obj)}"


def container_log_key(pod: Mapping[str, Any], container: str, *, previous: bool = False) -> LogKey:
    """Where a Snapshot keeps a container's log; `previous` is that before its last restart."""
    return LogKey(namespace_of(pod), name_of(pod), container, previous)


def involved_object(event: Object) -> Object:
    """The object that an event is about, with only its kind, namespace and name."""
    involved = get_map(event, "involvedObject")
    return {**involved, "metadata": involved}


def event_evidence(event: Object) -> Evidence:
    """An event as evidence: `event FailedScheduling` of the object that it is about."""
    text = " ".join(str(event.get("message") or "").split())
    return Evidence(object_reference(involved_object(event)), f"event {event.get('reason')}", text)


def select_checks(only: Iterable[str], skip: Iterable[str]) -> list[Check]:
    """The checks of `--only` less those of `--skip`: codes (`FM201`) or areas (`2`, `2xx`).

    Raises:
        FluidModelError: a word is neither.
    """
    selected = [_code_matcher(word) for word in only]
    unwanted = [_code_matcher(word) for word in skip]
    return [
        check
        for check in REGISTRY.in_code_order()
        if (not selected or any(match(check.code) for match in selected))
        and not any(match(check.code) for match in unwanted)
    ]


def _code_matcher(word: str) -> Callable[[str], bool]:
    text = word.upper().removeprefix("FM")
    if f"FM{text}" in REGISTRY.checks:
        return lambda code: code == f"FM{text}"
    area = text.removesuffix("XX").removesuffix("00")
    if area in AREAS:
        return lambda code: code[2] == area
    raise FluidModelError(
        f"'{word}' is not a check", "use a code or an area", "--only FM201 or --only 2xx"
    )
