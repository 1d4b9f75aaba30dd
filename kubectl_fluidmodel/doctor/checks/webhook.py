"""1xx: Fluid's admission webhook, without whose server pods are rejected."""

from __future__ import annotations

from collections.abc import Iterator

from kubectl_fluidmodel.doctor import fix_commands, observations
from kubectl_fluidmodel.doctor.check import (
    CheckContext,
    Evidence,
    Finding,
    Fix,
    RequiredKind,
    Scope,
    object_reference,
    register_check,
)
from kubectl_fluidmodel.fluid import installation, names
from kubectl_fluidmodel.objects import kinds
from kubectl_fluidmodel.objects.access import Object, get_list, get_map, get_path

SYSTEM = names.SYSTEM_NAMESPACE
_EMPTY_CA_BUNDLES = ("", "Cg==")
"""What the chart writes before the server has stored its certificate."""


def _blocking_webhooks(context: CheckContext) -> Iterator[tuple[Object, list[Object]]]:
    """Fluid's webhook configurations with their webhooks whose failurePolicy is Fail."""
    for configuration in context.snapshot.of_kind(kinds.WEBHOOKS):
        webhooks = [
            webhook
            for webhook in get_list(configuration, "webhooks")
            if get_path(webhook, "clientConfig", "service", "namespace") == SYSTEM
            and str(webhook.get("name", "")).endswith(".fluid.io")
            and webhook.get("failurePolicy", "Fail") == "Fail"
        ]
        if webhooks:
            yield configuration, webhooks


def _webhook_evidence(configuration: Object, webhooks: list[Object]) -> tuple[Evidence, ...]:
    return tuple(
        Evidence(
            object_reference(configuration),
            f"webhook {webhook.get('name')}",
            "failurePolicy Fail, for pods with "
            + ", ".join(
                f"{key}={value}"
                for key, value in get_map(webhook, "objectSelector", "matchLabels").items()
            ),
        )
        for webhook in webhooks
    )


@register_check(
    "FM110",
    "Fluid's admission webhook has a server",
    scope=Scope.CLUSTER,
    needs=(kinds.WEBHOOKS, RequiredKind(kinds.DEPLOYMENTS)),
    explains=("FM440",),
)
def webhook_has_server(context: CheckContext) -> Iterator[Finding]:
    """Fluid's admission webhook is configured, but no server answers it.

    The API server admits pods with one of Fluid's injection labels only after the webhook has seen
    them. While its server is down, it rejects every such pod.
    """
    server = context.snapshot.get(kinds.DEPLOYMENTS, installation.WEBHOOK_SERVER, SYSTEM)
    for configuration, webhooks in _blocking_webhooks(context):
        evidence = _webhook_evidence(configuration, webhooks)
        if server is None:
            yield Finding(
                object_reference(configuration),
                "the webhook is configured but has no server: pods with Fluid's "
                "injection labels are rejected",
                (
                    *evidence,
                    Evidence(f"deployment {SYSTEM}/{installation.WEBHOOK_SERVER}", "", "gone"),
                ),
                Fix(fix_commands.delete_objects(configuration)),
            )
        elif not get_path(server, "status", "availableReplicas", default=0):
            scaled = get_path(server, "spec", "replicas", default=1) == 0
            yield Finding(
                object_reference(server),
                f"the webhook's server {'is scaled to 0' if scaled else 'has no ready pod'}: pods "
                "with Fluid's injection labels are rejected",
                (observations.field_evidence(server, "status", "availableReplicas"), *evidence),
                Fix(installation.scale_up_command(installation.WEBHOOK_SERVER))
                if scaled
                else observations.fluid_advice(
                    "describe", "pods", "-l", f"control-plane={installation.WEBHOOK_SERVER}"
                ),
            )


@register_check(
    "FM111", "the webhook's certificate is trusted", scope=Scope.CLUSTER, needs=(kinds.WEBHOOKS,)
)
def webhook_certificate_is_trusted(context: CheckContext) -> Iterator[Finding]:
    """The API server does not trust the certificate of Fluid's webhook.

    The webhook server creates its certificate at startup and writes the CA into the webhook
    configuration. While that field is empty (after `kubectl apply` or a GitOps sync of the chart),
    the API server rejects the pods.
    """
    for configuration, webhooks in _blocking_webhooks(context):
        blind = [
            webhook
            for webhook in webhooks
            if str(get_path(webhook, "clientConfig", "caBundle", default="")) in _EMPTY_CA_BUNDLES
        ]
        if blind:
            yield Finding(
                object_reference(configuration),
                "the webhook's configuration has no CA, so the API server does not trust its "
                "server and rejects pods with Fluid's injection labels",
                _webhook_evidence(configuration, blind),
                Fix(installation.restart_command(installation.WEBHOOK_SERVER)),
            )
