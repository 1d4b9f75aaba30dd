"""Errors of the API server, as exceptions with our messages and exit codes."""

from __future__ import annotations

import json
import re
from typing import Any

from kubectl_fluidmodel.errors import FluidModelError, UnreachableError


class KubeError(FluidModelError):
    """The API server responded with a failure Status."""

    def __init__(
        self, message: str, reason: str = "", hint: str = "", *, status: int, api_reason: str = ""
    ):
        super().__init__(message, reason, hint)
        self.status = status
        self.api_reason = api_reason


class NotFoundError(KubeError):
    """404: the object or its kind does not exist."""


class ForbiddenError(KubeError):
    """403: RBAC or an admission plugin forbids it."""


class ConflictError(KubeError):
    """409: another manager owns the field, or changed the object first."""


class InvalidError(KubeError):
    """400 or 422: the schema or an admission plugin rejects the object."""


class GoneError(KubeError):
    """410: the resourceVersion is too old; list again."""


class WebhookUnavailableError(KubeError):
    """500: an admission webhook with failurePolicy Fail does not respond."""


class ClusterUnreachableError(UnreachableError):
    """The API server does not respond, or no kubeconfig is usable."""


class UnauthorizedError(ClusterUnreachableError):
    """401: the API server rejects the credentials."""


def kubeconfig_error(reason: str) -> ClusterUnreachableError:
    """The error for a kubeconfig that cannot be used, whatever its files."""
    return ClusterUnreachableError("cannot use the kubeconfig", reason, "kubectl config view")


_BY_STATUS: dict[int, type[KubeError]] = {
    400: InvalidError,
    403: ForbiddenError,
    404: NotFoundError,
    409: ConflictError,
    410: GoneError,
    422: InvalidError,
}


def error_from_response(status: int, body: bytes, action: str) -> FluidModelError:
    """The error for an HTTP response of 400 or more.

    Args:
        status: The HTTP status.
        body: A metav1.Status from the API server, or the text of a proxy or an aggregated API.
        action: What failed, as `cannot get pods`.
    """
    try:
        document: Any = json.loads(body)
    except ValueError:
        document = None
    if isinstance(document, dict) and document.get("kind") == "Status":
        message = str(document.get("message") or document.get("reason") or "")
        reason = str(document.get("reason") or "")
    else:
        message = body.decode("utf-8", "replace").strip()[:300]
        reason = ""
    if status == 401:
        return UnauthorizedError(
            action, "the API server rejects these credentials", "kubectl auth whoami"
        )
    webhook = re.search(r'failed calling webhook "([^"]+)"', message)
    if webhook:
        return WebhookUnavailableError(
            action,
            f"the admission webhook {webhook[1]} does not respond, and its failurePolicy is Fail",
            "kubectl get validatingwebhookconfigurations,mutatingwebhookconfigurations",
            status=status,
            api_reason=reason,
        )
    kind = _BY_STATUS.get(status, KubeError)
    return kind(action, message or f"HTTP {status}", status=status, api_reason=reason)
