"""Fluid's installation: its components, their names in fluid-system, and their versions. Pure."""

from __future__ import annotations

import re

from kubectl_fluidmodel.fluid import names
from kubectl_fluidmodel.objects.access import Object, get_list
from kubectl_fluidmodel.objects.kinds import Kind
from kubectl_fluidmodel.output.shell import Command, Operand, chain, command, pipe

MIN_VERSION = (1, 0, 0)
"""The first version in which encryptOptions of a root mount work, because the mount is in a
ConfigMap (Fluid 1.0)."""

_CHART_ARGUMENTS = ("fluid", "fluid/fluid", "-n", names.SYSTEM_NAMESPACE)
_CHART_REPOSITORY = "https://fluid-cloudnative.github.io/charts"
INSTALL_COMMAND = chain(
    command("helm", "repo", "add", "fluid", _CHART_REPOSITORY),
    command("helm", "install", *_CHART_ARGUMENTS, "--create-namespace"),
)
UPGRADE_COMMAND = command("helm", "upgrade", *_CHART_ARGUMENTS)
"""Upgrade to the newest version with the chart's own values."""
APPLY_CRDS_COMMAND = pipe(
    command("helm", "show", "crds", "fluid/fluid"),
    command("kubectl", "apply", "--server-side", "-f", "-"),
)
"""Update the CRDs, which `helm upgrade` never does."""

DATASET_CONTROLLER = "dataset-controller"
WEBHOOK_SERVER = "fluid-webhook"
NODE_PLUGIN = "csi-nodeplugin-fluid"
"""Names of Deployments, and of the CSI plugin's DaemonSet, in Fluid's chart."""
NODE_PLUGIN_CONTAINER = "plugins"
"""The plugin's container in that DaemonSet; the other container registers the driver."""


def controller_name(runtime: Kind) -> str:
    """Return the Deployment that serves a kind of runtime: `alluxioruntime-controller`."""
    return f"{runtime.name.lower()}-controller"


def parse_image_version(workload: Object) -> tuple[int, ...] | None:
    """Parse Fluid's version from the tag of its image: `…:v1.0.8-abc` is (1, 0, 8).

    If several containers have such a tag, the last one counts: the CSI plugin has a third-party
    sidecar first.
    """
    version = None
    for container in get_list(workload, "spec", "template", "spec", "containers"):
        image = str(container.get("image", "")).partition("@")[0]
        match = re.search(r":v?(\d+)\.(\d+)\.(\d+)[^:/]*$", image)
        version = tuple(int(part) for part in match.groups()) if match else version
    return version


def format_version(version: tuple[int, ...]) -> str:
    return ".".join(str(part) for part in version)


def upgrade_command(*flags: str) -> Command:
    """Change values of Fluid's release and keep the others."""
    return command("helm", "upgrade", *_CHART_ARGUMENTS, "--reuse-values", *flags)


def scale_up_command(deployment: str) -> Command:
    arguments = ("scale", "deployment", Operand(deployment), "-n", names.SYSTEM_NAMESPACE)
    return command("kubectl", *arguments, "--replicas=1")


def restart_command(deployment: str) -> Command:
    arguments = ("deployment", deployment, "-n", names.SYSTEM_NAMESPACE)
    return command("kubectl", "rollout", "restart", *arguments)
