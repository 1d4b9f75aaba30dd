"""RBAC preflight: asks the API server what the user may do, before anything is done."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

from kubectl_fluidmodel.kube.client import Client
from kubectl_fluidmodel.kube.errors import ForbiddenError
from kubectl_fluidmodel.objects.access import get_path
from kubectl_fluidmodel.objects.kinds import SELF_SUBJECT_ACCESS_REVIEWS, Kind
from kubectl_fluidmodel.output.shell import kubectl
from kubectl_fluidmodel.records import dataclass


@dataclass(frozen=True)
class Permission:
    """One verb on one resource (or subresource), in a namespace or cluster-wide (None)."""

    verb: str
    kind: Kind
    namespace: str | None = None
    subresource: str = ""

    @property
    def resource(self) -> str:
        """The resource as kubectl writes it: `pods/exec`, `datasets.data.fluid.io`."""
        plural = self.kind.plural + (f"/{self.subresource}" if self.subresource else "")
        return f"{plural}.{self.kind.group}" if self.kind.group else plural

    def __str__(self) -> str:
        scope = f"in namespace {self.namespace}" if self.namespace else "cluster-wide"
        return f"{self.verb} {self.resource} {scope}"


def denied(client: Client, permissions: Iterable[Permission]) -> list[Permission]:
    """Return those of the permissions that the API server denies, in the given order."""
    unique = list(dict.fromkeys(permissions))
    if not unique:
        return []
    with ThreadPoolExecutor(max_workers=min(16, len(unique))) as pool:
        allowed = list(pool.map(lambda permission: is_allowed(client, permission), unique))
    return [permission for permission, ok in zip(unique, allowed, strict=True) if not ok]


def is_allowed(client: Client, permission: Permission) -> bool:
    """Return whether the API server grants a permission."""
    attributes: dict[str, str] = {
        "verb": permission.verb,
        "group": permission.kind.group,
        "resource": permission.kind.plural,
    }
    if permission.namespace:
        attributes["namespace"] = permission.namespace
    if permission.subresource:
        attributes["subresource"] = permission.subresource
    review = client.create(
        SELF_SUBJECT_ACCESS_REVIEWS,
        {
            "apiVersion": SELF_SUBJECT_ACCESS_REVIEWS.api_version,
            "kind": SELF_SUBJECT_ACCESS_REVIEWS.name,
            "spec": {"resourceAttributes": attributes},
        },
        action="cannot check your permissions",
    )
    return bool(get_path(review, "status", "allowed", default=False))


def require_permissions(
    client: Client, permissions: Iterable[Permission], *, task: str, docs: str
) -> None:
    """Require permissions; report all that are missing.

    Raises:
        ForbiddenError: with every missing verb, resource and namespace.
    """
    missing = denied(client, permissions)
    if missing:
        listed = "; ".join(str(permission) for permission in missing)
        first = missing[0]
        raise ForbiddenError(
            f"you may not {task}",
            f"missing permission to {listed} ({docs})",
            kubectl("auth", "can-i", first.verb, first.resource, namespace=first.namespace or ""),
            status=403,
            api_reason="Forbidden",
        )
