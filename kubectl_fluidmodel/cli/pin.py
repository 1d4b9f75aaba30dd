"""`kubectl fluidmodel pin NAME GRAPH…`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from kubectl_fluidmodel.cli.flags import timeout_flag
from kubectl_fluidmodel.cli.pin_options import pin_options
from kubectl_fluidmodel.cli.verb_command import VerbCommand, option
from kubectl_fluidmodel.dynamo.loader_names import CHOICES
from kubectl_fluidmodel.kube.config import parse_timeout
from kubectl_fluidmodel.pin.options import PinOptions

if TYPE_CHECKING:
    from kubectl_fluidmodel.kube.client import Client

EXAMPLES = """
# Run the workers of graph chat on the nodes that hold llama, and wait for the roll-out
kubectl fluidmodel pin llama chat --wait

# Also make the engines load the model from the mount; first preview the change
kubectl fluidmodel pin llama chat --use-model-path --dry-run=server

# A large model: use a faster loader, and allow the workers enough time to start
kubectl fluidmodel pin llama chat --loader auto --probe-budget

# Move a graph to another cache, such as one of a newer commit
kubectl fluidmodel pin llama-1a2b3c4 chat --replace llama --wait

# A manifest in git: comments, order and other documents do not change
kubectl fluidmodel pin llama -f graph.yaml -n prod > pinned.yaml

# Only the patch, for kustomize and Helm
kubectl fluidmodel pin llama -f graph.yaml -n prod -o patch
"""


def _seconds(_ctx: click.Context, _param: click.Parameter, value: str) -> float:
    return parse_timeout(value) or 0.0


@click.command("pin", cls=VerbCommand, examples=EXAMPLES)
@option(
    "--mount-path",
    group="Graph",
    metavar="DIR",
    help="Mount path of the model in the containers.  [default: /model]",
)
@option(
    "--use-model-path",
    group="Graph",
    is_flag=True,
    help="Set the engines' --model(-path) to the mount; keeps the served name.",
)
@option(
    "--probe-budget",
    group="Graph",
    is_flag=True,
    help="Raise startup probes that are too short to load the model.",
)
@option(
    "--loader",
    group="Graph",
    type=click.Choice(CHOICES),
    help="How the engines load the weights; auto chooses a loader that is safe on the mount.",
)
@option(
    "--replace",
    "replaces",
    group="Graph",
    metavar="CACHE",
    help="Move the graph's pin from this cache to NAME, with the same options and in one roll-out.",
)
@option(
    "--adopt",
    group="Graph",
    is_flag=True,
    help="Record a pin made by hand so that unpin can remove it; changes no pods.",
)
@option("--force", group="Graph", is_flag=True, help="Patch even if a preflight check fails.")
@option(
    "--preferred",
    group="Placement",
    is_flag=True,
    help="Prefer the cache's nodes instead of requiring them.",
)
@option(
    "--recreate",
    group="Placement",
    is_flag=True,
    help="Delete old workers before starting new ones: for nodes without spare GPUs.",
)
@option(
    "--wait/--no-wait", group="Output", default=False, help="Wait for the roll-out to complete."
)
@timeout_flag("30m", callback=_seconds)
@pin_options
def command(options: PinOptions) -> int:
    """Run a graph's workers on the nodes that hold the model, with the model mounted.

    NAME is the cache. GRAPH is the name of a DynamoGraphDeployment, or dcd/NAME for a
    DynamoComponentDeployment. Workers get the mount and a node affinity, frontends get the mount,
    and planners and EPPs do not change. Nothing else in the graph changes, and `unpin` removes
    exactly what was added.
    """
    from kubectl_fluidmodel.pin.run import run_pin

    run_pin(options, watch_with_doctor)
    return 0


def watch_with_doctor(client: Client, namespace: str, cache: str, graph: str) -> Callable[[], None]:
    """Return a check for `--wait` that raises an error if doctor finds what waiting cannot fix."""
    from kubectl_fluidmodel.doctor.failure_monitor import (
        GRAPH_FAILURES,
        FailureMonitor,
        failure_error,
    )
    from kubectl_fluidmodel.kube.client import Client as KubeClient
    from kubectl_fluidmodel.output import shell

    # A separate client, because doctor's requests do not count as the pin's.
    own_client = KubeClient(client.access)
    monitor = FailureMonitor(own_client, namespace, cache, GRAPH_FAILURES, interval=6.0)
    command = shell.command(
        "kubectl", "fluidmodel", "doctor", *shell.operands([cache]), "-n", namespace
    )

    def raise_if_hopeless() -> None:
        problem = monitor.poll()
        if problem is not None:
            raise failure_error(f"{graph} cannot become ready", problem, command)

    return raise_if_hopeless
