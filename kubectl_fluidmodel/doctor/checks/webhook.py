"""1xx: Fluid's admission webhook: what refuses pods when nobody answers for it."""

from __future__ import annotations

from collections.abc import Iterator

from kubectl_fluidmodel.doctor import fix_commands, observations
from kubectl_fluidmodel.doctor.check import (
    Case,
    Evidence,
    Finding,
    Fix,
    Need,
    Scope,
    check,
    reference,
)
from kubectl_fluidmodel.fluid import installation, names
from kubectl_fluidmodel.objects import kinds
from kubectl_fluidmodel.objects.access import Object, at, dicts, mapping

SYSTEM = names.SYSTEM_NAMESPACE
_EMPTY = ("", "Cg==")
"""What the chart writes before the server has put its certificate there."""


def _insisting(case: Case) -> Iterator[tuple[Object, list[Object]]]:
    """Fluid's webhook configurations with those of their webhooks that refuse when in doubt."""
    for configuration in case.snapshot.all(kinds.WEBHOOKS):
        webhooks = [
            each
            for each in dicts(configuration, "webhooks")
            if at(each, "clientConfig", "service", "namespace") == SYSTEM
            and str(each.get("name", "")).endswith(".fluid.io")
            and each.get("failurePolicy", "Fail") == "Fail"
        ]
        if webhooks:
            yield configuration, webhooks


def _seen(configuration: Object, webhooks: list[Object]) -> tuple[Evidence, ...]:
    return tuple(
        Evidence(
            reference(configuration),
            f"webhook {each.get('name')}",
            "failurePolicy Fail, for pods with "
            + ", ".join(
                f"{key}={value}"
                for key, value in mapping(each, "objectSelector", "matchLabels").items()
            ),
        )
        for each in webhooks
    )


@check(
    "FM110",
    "Fluid's admission webhook has a server",
    scope=Scope.CLUSTER,
    needs=(kinds.WEBHOOKS, Need(kinds.DEPLOYMENTS)),
    explains=("FM440",),
)
def webhook_served(case: Case) -> Iterator[Finding]:
    """Pods with one of Fluid's injection labels are only admitted after the webhook has seen
    them. While its server is down, each of them is refused.
    """
    server = case.snapshot.find(kinds.DEPLOYMENTS, installation.WEBHOOK_SERVER, SYSTEM)
    for configuration, webhooks in _insisting(case):
        seen = _seen(configuration, webhooks)
        if server is None:
            yield Finding(
                reference(configuration),
                "the webhook's configuration is there, its server is not: pods with Fluid's "
                "injection labels are refused",
                (*seen, Evidence(f"deployment {SYSTEM}/{installation.WEBHOOK_SERVER}", "", "gone")),
                Fix(fix_commands.delete(configuration)),
            )
        elif not at(server, "status", "availableReplicas", default=0):
            scaled = at(server, "spec", "replicas", default=1) == 0
            yield Finding(
                reference(server),
                f"the webhook's server {'is scaled to 0' if scaled else 'has no ready pod'}: pods "
                "with Fluid's injection labels are refused",
                (observations.field(server, "status", "availableReplicas"), *seen),
                Fix(installation.scale_up(installation.WEBHOOK_SERVER))
                if scaled
                else observations.look_at_fluid(
                    "describe", "pods", "-l", f"control-plane={installation.WEBHOOK_SERVER}"
                ),
            )


@check(
    "FM111", "the webhook's certificate is trusted", scope=Scope.CLUSTER, needs=(kinds.WEBHOOKS,)
)
def webhook_trusted(case: Case) -> Iterator[Finding]:
    """The server makes its certificate when it starts and writes the CA into the configuration.
    While that is empty - after `kubectl apply` or a GitOps sync of the chart - the API server
    trusts nobody, and refuses the pods.
    """
    for configuration, webhooks in _insisting(case):
        blind = [
            each
            for each in webhooks
            if str(at(each, "clientConfig", "caBundle", default="")) in _EMPTY
        ]
        if blind:
            yield Finding(
                reference(configuration),
                "the webhook's configuration has no CA, so the API server does not trust its "
                "server and refuses pods with Fluid's injection labels",
                _seen(configuration, blind),
                Fix(installation.restart(installation.WEBHOOK_SERVER)),
            )
