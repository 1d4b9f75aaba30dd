"""The options of one `bench`, checked before anything is read."""

from __future__ import annotations

from dataclasses import dataclass, field

from kubectl_fluidmodel.errors import UsageError
from kubectl_fluidmodel.objects.plugin_pod import PodNetwork

GIB = 1024**3
ANY_NODE = "*"
"""No node has this name."""
DEFAULT_SAMPLE = 8 * GIB
MIN_TIMEOUT = 30.0
"""Seconds: less does not start a FUSE client and read anything."""


@dataclass(frozen=True)
class BenchOptions:
    """What to measure, where, and in which pod."""

    name: str
    image: str
    network: PodNetwork = field(default_factory=PodNetwork)
    sample_bytes: int = DEFAULT_SAMPLE
    """Bytes that each pod reads through the mount in all cases together; 0 for the whole model
    in each case."""
    node: str = ""
    """The cache's node to measure on; empty for the first that is complete."""
    off_node: str = ""
    """A node without the cache on which to measure, too: its name or ANY_NODE; empty for none."""
    store: bool = True
    """Whether to read from the store directly, too."""
    save: bool = True
    """Whether to keep the result on the Dataset."""
    timeout: float = 300.0
    """Seconds for each pod, its start included."""
    dry_run: str = "none"
    output: str | None = None
    color: str = "auto"

    def validated(self) -> BenchOptions:
        """Check the options.

        Raises:
            UsageError: with the flag at fault.
        """
        if self.timeout < MIN_TIMEOUT:
            raise UsageError(
                f"--timeout of {self.timeout:g} s is too short",
                "the pod has to start and to read",
                f"--timeout {MIN_TIMEOUT:.0f}s or more",
            )
        if not self.image:
            raise no_image_error()
        return self


def no_image_error() -> UsageError:
    """What is said where there is no image to run."""
    from kubectl_fluidmodel.objects.plugin_pod import build_image_hint

    return UsageError(
        "reading a cache needs a pod with an image that has this plugin",
        "there is no default image",
        build_image_hint(),
    )
