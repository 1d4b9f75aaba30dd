"""What a namespace's ResourceQuotas and LimitRanges allow to be created. Pure.

Rules: plugin/pkg/admission/limitranger/admission.go, pkg/apis/core/v1/defaults.go and
pkg/quota/v1/evaluator/core of Kubernetes 1.36.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import field
from decimal import Decimal

from kubectl_fluidmodel.objects.access import Object, get_list, get_map, get_path, name_of
from kubectl_fluidmodel.objects.resource_requests import (
    ResourceList,
    add_resources,
    format_amount,
    parse_resources,
    requests_of,
)
from kubectl_fluidmodel.records import dataclass

_COMPUTE = ("cpu", "memory")
"""Resources that each container has to specify if a quota counts them."""
_LEGACY_COUNTS = ("persistentvolumeclaims", "secrets", "services", "configmaps")
"""Resources that a quota can count without the prefix `count/`."""


@dataclass(frozen=True)
class Demand:
    """Objects to be created in a namespace."""

    pods: tuple[Object, ...] = ()
    """Pods by name. Pods with an `activeDeadlineSeconds` are Terminating."""
    counts: Mapping[str, int] = field(default_factory=dict)
    """Other objects by plural and group: `jobs.batch`, `secrets`."""
    claims: tuple[int, ...] = ()
    """Bytes that each PersistentVolumeClaim requests; they are counted in addition to `counts`."""


def violations(
    demand: Demand,
    quotas: Sequence[Object],
    limit_ranges: Sequence[Object],
    freed: Demand | None = None,
) -> list[str]:
    """Explain why the API server would reject the objects; empty if it accepts all of them.

    Args:
        demand: The objects.
        quotas: The ResourceQuotas of the namespace.
        limit_ranges: Its LimitRanges.
        freed: Objects that count as used, and are deleted before.

    Returns:
        One sentence per rule, with the name of the ResourceQuota or LimitRange and the numbers.
    """
    pods = [apply_limit_defaults(pod, limit_ranges) for pod in demand.pods]
    messages: list[str] = []
    for limit_range in limit_ranges:
        for pod in pods:
            messages += _limit_range_violations(limit_range, pod)
        for size in demand.claims:
            messages += _claim_violations(limit_range, size)
    freed = freed or Demand()
    freed_pods = [apply_limit_defaults(pod, limit_ranges) for pod in freed.pods]
    for quota in quotas:
        messages += _quota_violations(quota, (demand, pods), (freed, freed_pods))
    return list(dict.fromkeys(messages))


# -- LimitRange ------------------------------------------------------------------------------


def apply_limit_defaults(pod: Object, limit_ranges: Sequence[Object]) -> Object:
    """Return the pod with the requests and limits that the API server sets by default."""
    defaulted = deepcopy(pod)
    for container in _containers(defaulted):
        resources = container.setdefault("resources", {})
        limits = resources.setdefault("limits", {})
        requests = resources.setdefault("requests", {})
        for name, value in limits.items():
            requests.setdefault(name, value)
        for item in _items(limit_ranges, "Container"):
            maximum = get_map(item, "max")
            default = {**maximum, **get_map(item, "default")}
            default_request = {**get_map(item, "min"), **default, **get_map(item, "defaultRequest")}
            for name, value in default.items():
                limits.setdefault(name, value)
            for name, value in default_request.items():
                requests.setdefault(name, value)
    return defaulted


def _items(limit_ranges: Sequence[Object], type_: str) -> Iterator[Object]:
    for limit_range in limit_ranges:
        for item in get_list(limit_range, "spec", "limits"):
            if item.get("type") == type_:
                yield item


def _limit_range_violations(limit_range: Object, pod: Object) -> Iterator[str]:
    name = f"LimitRange {name_of(limit_range)}"
    for container in _containers(pod):
        subject = f"container {container.get('name')} of pod {name_of(pod)}"
        requests = parse_resources(get_path(container, "resources", "requests"))
        limits = parse_resources(get_path(container, "resources", "limits"))
        for resource, request in requests.items():
            if resource in limits and request > limits[resource]:
                yield (
                    f"{name} limits {subject} to {format_amount(resource, limits[resource])} of "
                    f"{resource}, and it requests {format_amount(resource, request)}"
                )
        for item in _items([limit_range], "Container"):
            yield from _item_violations(name, item, subject, requests, limits)
    for item in _items([limit_range], "Pod"):
        requests, limits = (_stated_by_all(pod, part) for part in ("requests", "limits"))
        yield from _item_violations(name, item, f"pod {name_of(pod)}", requests, limits)


def _claim_violations(limit_range: Object, size: int) -> Iterator[str]:
    storage = {"storage": Decimal(size)}
    name = f"LimitRange {name_of(limit_range)}"
    for item in _items([limit_range], "PersistentVolumeClaim"):
        yield from _item_violations(name, item, "the cache's claim", storage, storage)


def _item_violations(
    name: str, item: Object, subject: str, requests: ResourceList, limits: ResourceList
) -> Iterator[str]:
    """Yield where requests or limits are missing, or outside `min` and `max`."""
    for resource, bound in parse_resources(item.get("max")).items():
        if resource not in limits:
            yield f"{name} requires {subject} to set a limit for {resource}"
        value = max(limits.get(resource, Decimal(0)), requests.get(resource, Decimal(0)))
        if value > bound:
            yield (
                f"{name} allows at most {format_amount(resource, bound)} of {resource}, and "
                f"{subject} needs {format_amount(resource, value)}"
            )
    for resource, bound in parse_resources(item.get("min")).items():
        value = requests.get(resource, Decimal(0))
        if value < bound:
            yield (
                f"{name} requires at least {format_amount(resource, bound)} of {resource}, and "
                f"{subject} requests {format_amount(resource, value)}"
            )
    for resource, ratio in parse_resources(item.get("maxLimitRequestRatio")).items():
        limit, request = limits.get(resource), requests.get(resource)
        if not limit or not request or limit / request > ratio:
            yield (
                f"{name} requires the {resource} limit of {subject} to be at most {ratio} times "
                "its request"
            )


# -- ResourceQuota ---------------------------------------------------------------------------


def _quota_violations(
    quota: Object,
    demanded: tuple[Demand, Sequence[Object]],
    freed: tuple[Demand, Sequence[Object]],
) -> Iterator[str]:
    """Compare a quota with what is demanded and freed, each with its defaulted pods."""
    name = f"ResourceQuota {name_of(quota)}"
    hard = parse_resources(get_path(quota, "status", "hard") or get_path(quota, "spec", "hard"))
    used = parse_resources(get_path(quota, "status", "used"))
    scopes = _scopes(quota)
    yield from _unstated(name, hard, _pods_in_scopes(scopes, demanded[1]))
    requested, given_back = (_usage(scopes, *objects) for objects in (demanded, freed))
    for resource, limit in hard.items():
        increase, in_use = requested.get(resource, Decimal(0)), used.get(resource, Decimal(0))
        in_use = max(Decimal(0), in_use - given_back.get(resource, Decimal(0)))
        if increase and in_use + increase > limit:
            kind = resource.removeprefix("requests.").removeprefix("limits.")
            shown = [format_amount(kind, value) for value in (limit, in_use, increase)]
            yield f"{name} allows {shown[0]} of {resource}: {shown[1]} used, {shown[2]} needed"


def _pods_in_scopes(scopes: Sequence[str], pods: Sequence[Object]) -> list[Object]:
    return [pod for pod in pods if all(_in_scope(scope, pod) for scope in scopes)]


def _usage(scopes: Sequence[str], demand: Demand, pods: Sequence[Object]) -> ResourceList:
    """Return what a quota of these scopes counts; one with scopes counts only pods."""
    usage = _pod_usage(_pods_in_scopes(scopes, pods))
    if not scopes:
        add_resources(usage, _object_usage(demand))
    return usage


def _scopes(quota: Object) -> list[str]:
    selected = [
        str(expression.get("scopeName"))
        for expression in get_list(quota, "spec", "scopeSelector", "matchExpressions")
    ]
    listed = get_path(quota, "spec", "scopes", default=[])
    return [*map(str, listed if isinstance(listed, list) else []), *selected]


def _in_scope(scope: str, pod: Object) -> bool:
    """Return whether a quota of this scope counts a pod; an unknown scope counts none."""
    ends = get_path(pod, "spec", "activeDeadlineSeconds") is not None
    stated = any(
        resource in amounts
        for amounts in (requests_of(pod), _stated_by_all(pod, "limits"))
        for resource in _COMPUTE
    )
    return {
        "Terminating": ends,
        "NotTerminating": not ends,
        "BestEffort": not stated,
        "NotBestEffort": stated,
    }.get(scope, False)


def _unstated(name: str, hard: ResourceList, pods: Sequence[Object]) -> Iterator[str]:
    """Yield containers without a resource that a quota counts; each has to specify it."""
    for resource in hard:
        part, _, compute = resource.rpartition(".")
        if compute not in _COMPUTE or part not in ("", "requests", "limits"):
            continue
        for pod in pods:
            missing = [
                str(container.get("name"))
                for container in _containers(pod)
                if compute not in get_map(container, "resources", part or "requests")
            ]
            if missing:
                yield (
                    f"{name} counts {resource}, which containers {', '.join(missing)} of pod "
                    f"{name_of(pod)} do not specify"
                )


def _pod_usage(pods: Sequence[Object]) -> ResourceList:
    usage: ResourceList = {"pods": Decimal(len(pods)), "count/pods": Decimal(len(pods))}
    for pod in pods:
        requests, limits = requests_of(pod), _stated_by_all(pod, "limits")
        add_resources(usage, requests)
        add_resources(usage, {f"requests.{name}": amount for name, amount in requests.items()})
        add_resources(usage, {f"limits.{name}": amount for name, amount in limits.items()})
    return usage


def _object_usage(demand: Demand) -> ResourceList:
    usage = {"requests.storage": Decimal(sum(demand.claims))}
    counts = {**demand.counts, "persistentvolumeclaims": len(demand.claims)}
    for resource, count in counts.items():
        usage[f"count/{resource}"] = Decimal(count)
        if resource in _LEGACY_COUNTS:
            usage[resource] = Decimal(count)
    return usage


def _stated_by_all(pod: Object, part: str) -> ResourceList:
    """Return the sum of the requests or limits that a pod's containers specify."""
    stated = [
        parse_resources(get_path(container, "resources", part)) for container in _containers(pod)
    ]
    return {
        resource: sum((amounts[resource] for amounts in stated), Decimal(0))
        for resource in {name for amounts in stated for name in amounts}
        if all(resource in amounts for amounts in stated)
    }


def _containers(pod: Object) -> list[Object]:
    return [*get_list(pod, "spec", "containers"), *get_list(pod, "spec", "initContainers")]
