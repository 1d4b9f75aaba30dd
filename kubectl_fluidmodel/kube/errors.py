"""What the API server says when it refuses, in our words and with our exit codes."""

from __future__ import annotations

import json
import re
from typing import Any

from kubectl_fluidmodel.errors import FluidModelError, Unreachable


class KubeError(FluidModelError):
    """The API server answered with a failure Status."""

    def __init__(self, what: str, why: str = "", try_: str = "", *, status: int, reason: str = ""):
        super().__init__(what, why, try_)
        self.status = status
        self.reason = reason


class NotFound(KubeError):
    """404: the object, or the kind itself, is not there."""


class Forbidden(KubeError):
    """403: RBAC, or an admission plugin, says no."""


class Conflict(KubeError):
    """409: somebody else owns the field, or wrote the object first."""


class Invalid(KubeError):
    """400 or 422: the object does not fit its schema, or admission refused it."""


class Gone(KubeError):
    """410: the resourceVersion is too old; list again."""


class WebhookDown(KubeError):
    """500: an admission webhook that the cluster insists on does not answer."""


class ClusterUnreachable(Unreachable):
    """No answer from the API server, or no usable kubeconfig."""


class Unauthorized(ClusterUnreachable):
    """401: the server answers, but not to these credentials."""


_BY_STATUS: dict[int, type[KubeError]] = {
    400: Invalid,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    410: Gone,
    422: Invalid,
}


def from_response(status: int, body: bytes, what: str) -> FluidModelError:
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
        return Unauthorized(
            what, "the API server does not accept these credentials", "kubectl auth whoami"
        )
    webhook = re.search(r'failed calling webhook "([^"]+)"', message)
    if webhook:
        return WebhookDown(
            what,
            f"the admission webhook {webhook[1]} does not answer, and the cluster insists on it",
            "kubectl get validatingwebhookconfigurations,mutatingwebhookconfigurations",
            status=status,
            reason=reason,
        )
    kind = _BY_STATUS.get(status, KubeError)
    return kind(what, message or f"HTTP {status}", status=status, reason=reason)
