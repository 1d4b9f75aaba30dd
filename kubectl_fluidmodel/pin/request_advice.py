"""Advice on a DynamoGraphDeploymentRequest, which is not pinned itself. Pure."""

from __future__ import annotations

from kubectl_fluidmodel.dynamo.deployment_request import (
    request_conflicts,
    request_mount_path,
    request_patch,
)
from kubectl_fluidmodel.objects.access import Object
from kubectl_fluidmodel.pin.pin_request import DEFAULT_MOUNT_PATH, PinRequest


def request_advice(obj: Object, request: PinRequest) -> tuple[Object, list[str]]:
    """Return the patch that makes a request's graph read the cache.

    Without `--mount-path`, the request keeps its own.

    Returns:
        The patch, and what in the request contradicts it, one sentence each.
    """
    path = request.mount_path or request_mount_path(obj) or DEFAULT_MOUNT_PATH
    return (
        request_patch(obj, request.cache, path, request.subpath),
        request_conflicts(obj, request.cache, path, request.subpath),
    )
