"""What the API server says when it refuses, in our words and with our exit codes."""

from __future__ import annotations

import json
import re
from typing import Any

from kubectl_fluidmodel.errors import FluidModelError, UnreachableError


class KubeError(FluidModelError):
    """The API server answered with a failure Status."""

    def __init__(
        self, message: str, reason: str = "", hint: str = "", *, status: int, api_reason: str = ""
    ):
        super().__init__(message, reason, hint)
        self.status = status
        self.api_reason = api_reason


class NotFoundError(KubeError):
    """404: the object, or the kind itself, is not there."""


class ForbiddenError(KubeError):
    """403: RBAC, or an admission plugin, says no."""


class ConflictError(KubeError):
    """409: somebody else owns the field, or wrote the object first."""


class InvalidError(KubeError):
    """400 or 422: the object does not fit its schema, or admission refused it."""


class GoneError(KubeError):
    """410: the resourceVersion is too old; list again."""


class WebhookUnavailableError(KubeError):
    """500: an admission webhook that the cluster insists on does not answer."""


class ClusterUnreachableError(UnreachableError):
    """No answer from the API server, or no usable kubeconfig."""


class UnauthorizedError(ClusterUnreachableError):
    """401: the server answers, but not to these credentials."""


_BY_STATUS: dict[int, type[KubeError]] = {
    400: InvalidError,
    403: ForbiddenError,
    404: NotFoundError,
    409: ConflictError,
    410: GoneError,
    422: InvalidError,
}


def error_from_response(status: int, body: bytes, action: str) -> FluidModelError:
    """The error for an HTTP answer of 400 or more; `what` says what we were doing.

    The body is a metav1.Status where the API server wrote it, and plain text where a proxy
    or an aggregated API did.
    """
    parsed: Any = None
    try:
        parsed = json.loads(body)
    except ValueError:
        parsed = None
    if isinstance(parsed, dict) and parsed.get("kind") == "Status":
        message = str(parsed.get("message") or parsed.get("reason") or "")
        reason = str(parsed.get("reason") or "")
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
            f"the admission webhook {webhook[1]} does not answer, and the cluster insists on it",
            "kubectl get validatingwebhookconfigurations,mutatingwebhookconfigurations",
            status=status,
            api_reason=reason,
        )
    kind = _BY_STATUS.get(status, KubeError)
    return kind(action, message or f"HTTP {status}", status=status, api_reason=reason)
