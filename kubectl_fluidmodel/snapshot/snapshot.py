"""What was read of a cluster at one time, and what could not be read, and why.

A Snapshot holds plain objects and answers look-ups; it has no opinion. Every view and check works
on one, so they can be tested from a file and run offline on a support bundle.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import field
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from kubectl_fluidmodel.objects.access import (
    Object,
    get_path,
    metadata_of,
    name_of,
    namespace_of,
)
from kubectl_fluidmodel.objects.kinds import Kind
from kubectl_fluidmodel.output.units import summarize
from kubectl_fluidmodel.records import dataclass

if TYPE_CHECKING:
    from kubectl_fluidmodel.snapshot.probe_result import ProbeResult


class LogKey(NamedTuple):
    """A container's log."""

    namespace: str
    pod: str
    container: str
    previous: bool = False
    """Whether it is the log of the container before the last restart."""


class CommandKey(NamedTuple):
    """A command that ran in a cache's master."""

    namespace: str
    cache: str
    command: str
    """Its words, joined by spaces."""


@dataclass(frozen=True)
class ReadFailure:
    """A read that did not succeed."""

    resource: str
    """As RBAC names it: `nodes`, `datasets.data.fluid.io`."""
    namespace: str
    """Empty for cluster-wide."""
    reason: str
    forbidden: bool
    """Whether RBAC is the reason, not a failing API server."""

    def __str__(self) -> str:
        scope = f" in namespace {self.namespace}" if self.namespace else ""
        return f"{self.resource}{scope}: {self.reason}"


_MAX_NAMED = 4
"""Resources that the line about missing permissions names, at most."""


def summarize_failures(failures: Iterable[ReadFailure]) -> list[str]:
    """Summarize failures: one line for all missing permissions, one for each other failure."""
    listed = list(failures)
    lines = [str(failure) for failure in listed if not failure.forbidden]
    forbidden = [failure.resource.partition(".")[0] for failure in listed if failure.forbidden]
    plurals = list(dict.fromkeys(forbidden))
    if plurals:
        # One more name is as short as the note about it.
        limit = _MAX_NAMED + (len(plurals) == _MAX_NAMED + 1)
        lines.insert(0, f"no permission to list {summarize(plurals, limit)} (docs/rbac.md)")
    return lines


@dataclass
class Snapshot:
    """Objects by resource (`pods`, `datasets.data.fluid.io`), and what could not be read."""

    namespace: str | None
    """The requested namespace; None for all."""
    taken_at: float
    """Unix time in seconds."""
    server_version: str = ""
    """The API server's version, `v1.36.3`."""
    objects: dict[str, list[Object]] = field(default_factory=dict)
    read_failures: list[ReadFailure] = field(default_factory=list)
    versions: dict[str, str] = field(default_factory=dict)
    """Resource to the version in which it was read; other resources are not served."""
    selectors: dict[str, str] = field(default_factory=dict)
    """Resource to the label selector of its request, if it had one."""
    complete_kinds: list[str] = field(default_factory=list)
    """Resources of which all objects were kept, not only those of caches."""
    absent_objects: list[str] = field(default_factory=list)
    """Objects that were read by name and do not exist: `datasets.data.fluid.io/ns/name`."""
    logs: dict[LogKey, str] = field(default_factory=dict)
    """Containers' logs, redacted."""
    command_outputs: dict[CommandKey, str] = field(default_factory=dict)
    """Output of commands in the masters of caches."""
    probe_results: dict[tuple[str, str], tuple[ProbeResult, ...]] = field(default_factory=dict)
    """(namespace, name) of a cache to the results of probing its mounts, in the Dataset's order."""
    unreadable_probes: dict[tuple[str, str], str] = field(default_factory=dict)
    """(namespace, name) of caches whose results in a bundle cannot be read, with the reason."""
    pods_on_nodes: list[Object] | None = None
    """Pods on nodes, of all namespaces, reduced to what the scheduler counts.

    None if they were not needed, because no pod is pending, or could not be read.
    """

    # -- look-ups ----------------------------------------------------------------------------

    def of_kind(self, kind: Kind) -> list[Object]:
        """The kept objects of a kind; empty if there are none or the kind was not read."""
        return self.objects.get(kind.resource, [])

    def get(self, kind: Kind, name: str, namespace: str = "") -> Object | None:
        """An object by name; None if it is not in the snapshot."""
        return self._by_name.get((kind.resource, namespace if kind.namespaced else "", name))

    def is_served(self, kind: Kind) -> bool:
        """Whether the API server serves the kind."""
        return kind.resource in self.versions

    def was_read(self, kind: Kind, namespace: str = "") -> bool:
        """Whether an object of the kind that is not in the snapshot does not exist.

        False if reading failed or was restricted by a label selector.
        """
        read = kind.resource in self.objects and kind.resource not in self.selectors
        return read and self.read_failure(kind, namespace) is None

    def is_absent(self, kind: Kind, name: str, namespace: str = "") -> bool:
        """Whether an object certainly does not exist."""
        scope = namespace if kind.namespaced else ""
        if self.get(kind, name, scope) is not None:
            return False
        everywhere = self.namespace in (None, namespace) or not kind.namespaced
        listed = everywhere and kind.resource in self.complete_kinds and self.was_read(kind, scope)
        return listed or f"{kind.resource}/{scope}/{name}" in self.absent_objects

    def read_failure(self, kind: Kind, namespace: str = "") -> ReadFailure | None:
        """Why a kind (in a namespace, if one is given) was not read; None if it was."""
        for failure in self.read_failures:
            if failure.resource != kind.resource:
                continue
            if not namespace or not failure.namespace or failure.namespace == namespace:
                return failure
        return None

    def events_about(self, obj: Mapping[str, Any]) -> list[Object]:
        """Return the events of one object, oldest first as the server lists them."""
        key = (str(obj.get("kind", "")), namespace_of(obj), name_of(obj))
        return [event for event in self._events_by_object.get(key, []) if _is_about(event, obj)]

    def events_by_name(self, kind: str, namespace: str, name: str) -> list[Object]:
        """Like `events_about`, for an object that may not exist."""
        return self._events_by_object.get((kind, namespace, name), [])

    @cached_property
    def _by_name(self) -> dict[tuple[str, str, str], Object]:
        return {
            (resource, namespace_of(obj), name_of(obj)): obj
            for resource, objects in self.objects.items()
            for obj in objects
        }

    @cached_property
    def _events_by_object(self) -> dict[tuple[str, str, str], list[Object]]:
        events_by_object: dict[tuple[str, str, str], list[Object]] = {}
        for event in self.objects.get("events", []):
            key = (
                str(get_path(event, "involvedObject", "kind", default="")),
                str(get_path(event, "involvedObject", "namespace") or namespace_of(event)),
                str(get_path(event, "involvedObject", "name", default="")),
            )
            events_by_object.setdefault(key, []).append(event)
        return events_by_object

    def add(self, kind: Kind, objects: Iterable[Object]) -> None:
        """Add objects that were read after the lists; the kind then counts as read."""
        self.versions.setdefault(kind.resource, kind.version)
        self.objects.setdefault(kind.resource, []).extend(objects)
        for index in ("_by_name", "_events_by_object"):
            self.__dict__.pop(index, None)


def _is_about(event: Object, obj: Mapping[str, Any]) -> bool:
    """Whether an event is about this object, not about an earlier one of the same name."""
    event_uid, uid = get_path(event, "involvedObject", "uid"), metadata_of(obj).get("uid")
    return not event_uid or not uid or event_uid == uid
