"""Images of Fluid's CSI DaemonSet: its plugin with the scripts of its module, and our registrar."""

from __future__ import annotations

import re
from pathlib import Path

from .. import image
from ..api import Api
from ..assets import fluid_dir

NAMESPACE, DAEMONSET = "fluid-system", "csi-nodeplugin-fluid"
#: What the plugin and its scripts run.
PROGRAMS = (
    "bash", "cat", "env", "expr", "grep", "mkdir", "mount", "rm", "sleep", "stat", "umount",
)  # fmt: skip
SCRIPTS = ("entrypoint.sh", "check_mount.sh", "check_bind_mounts.sh")


def archives(api: Api, binaries: dict[str, Path]) -> list[Path]:
    """Archives of the images under the names that the installed DaemonSet asks for."""
    daemonset = api.get("apps/v1", "DaemonSet", DAEMONSET, NAMESPACE)
    containers = daemonset["spec"]["template"]["spec"]["containers"]
    wanted = {each["name"]: qualified(each["image"]) for each in containers}
    plugin = {
        **image.base(),
        **image.programs(PROGRAMS),
        "/bin/bash": Path("/bin/bash").resolve(),
        "/usr/local/bin/fluid-csi": binaries["fluid-csi"],
    }
    for name in SCRIPTS:
        # A module's zip knows no executable files.
        plugin[f"/usr/local/bin/{name}"] = (fluid_dir() / "csi" / "shell" / name).read_bytes()
    registrar = {"/csi-node-driver-registrar": binaries["registrar"]}
    return [
        image.archived(wanted["plugins"], image.with_libraries(plugin), {}),
        image.archived(
            wanted["node-driver-registrar"],
            registrar,
            {"Entrypoint": ["/csi-node-driver-registrar"]},
        ),
    ]


def qualified(name: str) -> str:
    """An image's whole name, as containerd stores it: a short one is Docker Hub's."""
    first = name.partition("/")[0]
    if "/" in name and re.search(r"[.:]|^localhost$", first):
        return name
    return f"docker.io/{name if '/' in name else f'library/{name}'}"
