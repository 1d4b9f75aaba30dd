"""1xx: the cluster, as far as Fluid depends on it."""

from __future__ import annotations

import re
from collections.abc import Iterator

from kubectl_fluidmodel.doctor import observations
from kubectl_fluidmodel.doctor.check import (
    CheckContext,
    CheckSkippedError,
    Evidence,
    Finding,
    Fix,
    Scope,
    Severity,
    register_check,
)
from kubectl_fluidmodel.doctor.consequences import NOT_CREATED
from kubectl_fluidmodel.fluid import installation, names
from kubectl_fluidmodel.objects import kinds
from kubectl_fluidmodel.objects.access import get_list
from kubectl_fluidmodel.objects.deletion import describe_deletion, is_terminating
from kubectl_fluidmodel.output.shell import Operand, command

_MIN_KUBERNETES = (1, 22)


@register_check("FM101", "Fluid's kinds are served", scope=Scope.CLUSTER)
def fluid_kinds_are_served(context: CheckContext) -> Iterator[Finding]:
    """Fluid is not installed: the API server does not serve its resource types.

    Fluid consists of custom resources and controllers. Without the kind Dataset no cache can be
    created or found.
    """
    if not context.snapshot.is_served(names.DATASETS):
        yield Finding(
            "cluster",
            "Fluid is not installed: the API server has no kind Dataset",
            (Evidence("apis", names.GROUP, "not served"),),
            Fix(installation.INSTALL_COMMAND, "advice"),
        )


@register_check("FM102", "Fluid's CRDs are complete", scope=Scope.CLUSTER)
def fluid_crds_are_complete(context: CheckContext) -> Iterator[Finding]:
    """Some of Fluid's CRDs are missing.

    A cache needs a Dataset, a runtime and a DataLoad. `helm upgrade` never updates CRDs, so an old
    or partly removed installation can lack some of them.
    """
    observations.require_fluid(context)
    snapshot = context.snapshot
    missing = [kind for kind in (names.DATA_LOADS,) if not snapshot.is_served(kind)]
    if not any(snapshot.is_served(kind) for kind in names.RUNTIME_KINDS):
        missing.append(names.ALLUXIO_RUNTIMES)
    for kind in missing:
        yield Finding(
            f"crd {kind.resource}",
            f"the API server has Datasets but no {kind.name}",
            (Evidence(f"crd {kind.resource}", names.GROUP, "not served"),),
            Fix(installation.APPLY_CRDS_COMMAND, "advice"),
        )


@register_check("FM112", "Kubernetes is new enough", scope=Scope.CLUSTER, severity=Severity.WARNING)
def kubernetes_version_is_supported(context: CheckContext) -> Iterator[Finding]:
    """This Kubernetes version has no stable server-side apply.

    `cache` and `pin` use server-side apply, which is stable since Kubernetes 1.22.
    """
    match = re.match(r"v?(\d+)\.(\d+)", context.snapshot.server_version)
    if match is None:
        raise CheckSkippedError("the API server did not report its version")
    version = (int(match[1]), int(match[2]))
    if version < _MIN_KUBERNETES:
        yield Finding(
            "cluster",
            f"Kubernetes {version[0]}.{version[1]} is older than 1.22, "
            "the first with a stable server-side apply",
            (Evidence("apis", "/version", context.snapshot.server_version),),
            Fix("upgrade Kubernetes to 1.22 or newer", "advice"),
        )


@register_check(
    "FM114",
    "no namespace of a cache is being deleted",
    scope=Scope.CLUSTER,
    needs=(kinds.NAMESPACES,),
    explains=("FM217", "FM203", "FM204", "FM205", "FM212", "FM406", "FM711", *NOT_CREATED),
)
def namespaces_are_not_terminating(context: CheckContext) -> Iterator[Finding]:
    """The namespace of a cache is being deleted.

    Everything in it will be deleted, and nothing new can be created there. A namespace stays until
    the last finalizer in it is gone; its conditions say which objects still have one.
    """
    cache_namespaces = {cache.namespace for cache in context.caches}
    for name in sorted(cache_namespaces | {context.snapshot.namespace or ""}):
        namespace = context.snapshot.get(kinds.NAMESPACES, name)
        if namespace is None or not is_terminating(namespace):
            continue
        remaining = [
            str(condition.get("message"))
            for condition in get_list(namespace, "status", "conditions")
            if condition.get("status") == "True" and "Remain" in str(condition.get("type"))
        ]
        reference = f"namespace {name}"
        yield Finding(
            reference,
            f"it is being deleted, {describe_deletion(namespace)}, with all caches in it",
            (
                observations.field_evidence(namespace, "metadata", "deletionTimestamp"),
                *(Evidence(reference, "status.conditions", text) for text in remaining),
            ),
            Fix(command("kubectl", "get", "namespace", Operand(name), "-o", "yaml"), "advice"),
        )


@register_check(
    "FM113", "the API server answered every read", scope=Scope.CLUSTER, severity=Severity.WARNING
)
def api_server_answered_all_reads(context: CheckContext) -> Iterator[Finding]:
    """Some objects could not be read, for another reason than missing permissions.

    The API server failed or was too slow. `doctor` does not judge what it could not read, so run it
    again. Missing permissions are not reported here: the checks that need them say so, and
    docs/rbac.md has the Role.
    """
    failed = [missing for missing in context.snapshot.read_failures if not missing.forbidden]
    if failed:
        resources = ", ".join(dict.fromkeys(missing.resource for missing in failed))
        yield Finding(
            "cluster",
            f"the API server did not answer for {resources}",
            tuple(Evidence("apis", missing.resource, str(missing)) for missing in failed),
            Fix(command("kubectl", "get", "--raw", "/readyz?verbose"), "advice"),
        )
