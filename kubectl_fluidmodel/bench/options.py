"""The options of `bench`, validated before anything is read."""

from __future__ import annotations

from dataclasses import field

from kubectl_fluidmodel.errors import UsageError
from kubectl_fluidmodel.objects.plugin_pod import PodNetwork
from kubectl_fluidmodel.records import dataclass

GIB = 1024**3
ANY_NODE = "*"
"""No node has this name."""
DEFAULT_SAMPLE = 8 * GIB
MIN_TIMEOUT = 30.0
"""Minimum in seconds: less is not enough to start a FUSE client and read."""


@dataclass(frozen=True)
class BenchOptions:
    """What to measure, where, and in which pod."""

    name: str
    image: str
    network: PodNetwork = field(default_factory=PodNetwork)
    sample_bytes: int = DEFAULT_SAMPLE
    """Bytes that each pod reads through the mount in all cases together; 0 for the whole model in
    each case."""
    node: str = ""
    """The cache's node to measure on; empty for the first complete one."""
    off_node: str = ""
    """A node without the cache to also measure on: its name or ANY_NODE; empty for none."""
    store: bool = True
    """Whether to also read from the store directly."""
    save: bool = True
    """Whether to save the result on the Dataset."""
    timeout: float = 300.0
    """Seconds for each pod, including its start."""
    dry_run: str = "none"
    output: str | None = None
    color: str = "auto"

    def validated(self) -> BenchOptions:
        """Validate the options.

        Raises:
            UsageError: names the invalid flag.
        """
        if self.timeout < MIN_TIMEOUT:
            raise UsageError(
                f"--timeout of {self.timeout:g} s is too short",
                "the pod has to start and read",
                f"--timeout {MIN_TIMEOUT:.0f}s or more",
            )
        if not self.image:
            raise no_image_error()
        return self


def no_image_error() -> UsageError:
    """Return the error for a missing image."""
    from kubectl_fluidmodel.objects.plugin_pod import build_image_hint

    return UsageError(
        "reading a cache needs a pod with an image that contains this plugin",
        "there is no default image",
        build_image_hint(),
    )
