"""The resources that a pod requests, as the scheduler counts them. Pure.

Rules: PodRequests (k8s.io/component-helpers/resource v0.36).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import ROUND_CEILING, Decimal
from typing import Any

from kubectl_fluidmodel.objects import quantity
from kubectl_fluidmodel.objects.access import Object, get_list, get_path
from kubectl_fluidmodel.output.units import format_bytes

ResourceList = dict[str, Decimal]
"""Amounts by resource name: bytes, cores, devices."""

_POD_LEVEL = ("cpu", "memory")
_POD_LEVEL_PREFIX = "hugepages-"


def requests_of(pod: Mapping[str, Any]) -> ResourceList:
    """Return a pod's requests: `spec.resources` if set, else the sum over its containers.

    Containers and sidecars run at the same time. Other init containers run one after the other,
    each beside the sidecars before it. A pod that is being resized counts with the maximum of its
    current and its requested resources.
    """
    total: ResourceList = {}
    for container in get_list(pod, "spec", "containers"):
        add_resources(total, _container_requests(container, pod, "containerStatuses"))
    sidecars: ResourceList = {}
    starting: ResourceList = {}
    for container in get_list(pod, "spec", "initContainers"):
        if container.get("restartPolicy") == "Always":
            container_requests = _container_requests(container, pod, "initContainerStatuses")
            add_resources(total, container_requests)
            add_resources(sidecars, container_requests)
            running_sidecars = dict(sidecars)
        else:
            running_sidecars = _specified_requests(container)
            add_resources(running_sidecars, sidecars)
        _add_max(starting, running_sidecars)
    _add_max(total, starting)
    level = parse_resources(get_path(pod, "spec", "resources", "requests"))
    for name, amount in level.items():
        if name in _POD_LEVEL or name.startswith(_POD_LEVEL_PREFIX):
            total[name] = amount
    add_resources(total, parse_resources(get_path(pod, "spec", "overhead")))
    return total


def requested_amount(pod: Mapping[str, Any], resource: str) -> int:
    """Return a pod's request for one resource as an integer, rounded up."""
    return int(requests_of(pod).get(resource, Decimal(0)).to_integral_value(ROUND_CEILING))


def allocatable(node: Object) -> ResourceList:
    """Return a node's allocatable resources."""
    return parse_resources(get_path(node, "status", "allocatable"))


def _container_requests(container: Object, pod: Mapping[str, Any], statuses: str) -> ResourceList:
    """Return a container's requests; during a resize, the maximum of both."""
    requests = _specified_requests(container)
    for status in get_list(pod, "status", statuses):
        if status.get("name") != container.get("name") or get_path(status, "resources") is None:
            continue
        if any(
            condition.get("type") == "PodResizePending" and condition.get("reason") == "Infeasible"
            for condition in get_list(pod, "status", "conditions")
        ):
            requests = {}
        _add_max(requests, parse_resources(get_path(status, "resources", "requests")))
        _add_max(requests, parse_resources(status.get("allocatedResources")))
    return requests


def _specified_requests(container: Object) -> ResourceList:
    """Return a container's requests; the API server sets a request that only has a limit."""
    requests = parse_resources(get_path(container, "resources", "requests"))
    return {**parse_resources(get_path(container, "resources", "limits")), **requests}


def parse_resources(listed: Any) -> ResourceList:
    """Parse a resource list; invalid quantities are skipped."""
    amounts: ResourceList = {}
    for name, value in listed.items() if isinstance(listed, Mapping) else ():
        try:
            amounts[str(name)] = quantity.parse_quantity(value)
        except ValueError:
            continue
    return amounts


def add_resources(total: ResourceList, requests: ResourceList) -> None:
    """Add amounts to a total."""
    for name, amount in requests.items():
        total[name] = total.get(name, Decimal(0)) + amount


def _add_max(total: ResourceList, other: ResourceList) -> None:
    for name, amount in other.items():
        total[name] = max(total.get(name, amount), amount)


_BYTES = re.compile(r"memory|ephemeral-storage|storage|hugepages-.*")


def format_amount(resource: str, value: Decimal) -> str:
    """Format an amount of a resource without its name: `256.0 GiB`, `1.5`, `8`."""
    if _BYTES.fullmatch(resource):
        return format_bytes(int(value))
    return f"{value.quantize(Decimal('0.001')).normalize():f}"


def describe_shortage(resource: str, required: Decimal, free: Decimal) -> str:
    """Format a shortage: `300.0 GiB of memory needed, 256.0 GiB free`."""
    of = "of " if _BYTES.fullmatch(resource) else ""
    display_name = "ephemeral storage" if resource == "ephemeral-storage" else resource
    available = format_amount(resource, max(Decimal(0), free))
    return f"{format_amount(resource, required)} {of}{display_name} needed, {available} free"
