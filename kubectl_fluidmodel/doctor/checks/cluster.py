"""1xx: the cluster and Fluid's own installation."""

from __future__ import annotations

from collections.abc import Iterator

from kubectl_fluidmodel.doctor.check import Case, Evidence, Finding, Fix, Scope, check
from kubectl_fluidmodel.fluid import names


@check("FM101", "Fluid's kinds are served", scope=Scope.CLUSTER)
def kinds_served(case: Case) -> Iterator[Finding]:
    """Fluid is a set of custom resources and controllers. Without the kind Dataset no cache can be
    made, and none can be seen.
    """
    if not case.snapshot.served(names.DATASETS):
        yield Finding(
            "cluster",
            "Fluid is not installed: the API server has no kind Dataset",
            (Evidence("apis", names.GROUP, "not served"),),
            Fix(
                "helm repo add fluid https://fluid-cloudnative.github.io/charts && "
                "helm install fluid fluid/fluid -n fluid-system --create-namespace"
            ),
        )
