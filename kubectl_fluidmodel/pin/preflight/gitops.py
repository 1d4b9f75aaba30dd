"""Detects tools that manage an object and would revert a change."""

from __future__ import annotations

from collections.abc import Iterator

from kubectl_fluidmodel.dynamo.gitops import detect_gitops_tool
from kubectl_fluidmodel.dynamo.resources import PINS_ANNOTATION
from kubectl_fluidmodel.objects.access import annotations_of
from kubectl_fluidmodel.output import shell
from kubectl_fluidmodel.pin.preflight.context import NOTE, WARN, PreflightContext, PreflightFinding

_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


def check_gitops(context: PreflightContext) -> Iterator[PreflightFinding]:
    """Warn if the pin also has to be made in git; what was pinned by hand is there already."""
    if not context.changed_names and PINS_ANNOTATION not in annotations_of(context.before):
        return
    tool = detect_gitops_tool(context.before)
    name = context.graph.reference
    cache = shell.operands([context.request.cache])
    replaced = ["--replace", context.request.replaces] if context.request.replaces else []
    command = shell.command("kubectl", "fluidmodel", "pin", *cache, "-f", "FILE", *replaced)
    if tool:
        yield PreflightFinding(
            WARN,
            f"{tool} manages {name} and will revert this",
            "the patch for git follows",
            f"{command}, and commit the result",
        )
    elif _LAST_APPLIED in annotations_of(context.before):
        yield PreflightFinding(
            NOTE,
            f"{name} was created with kubectl apply, and applying its file again reverts this",
            "",
            f"{command} > FILE.new",
        )
