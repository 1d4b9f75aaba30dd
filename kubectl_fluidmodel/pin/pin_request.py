"""What to pin, and how: the request of `pin` for one graph."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field

from kubectl_fluidmodel.dynamo.pin_annotation import ComponentPins, Pin
from kubectl_fluidmodel.records import dataclass

DEFAULT_MOUNT_PATH = "/model"


@dataclass(frozen=True)
class PinRequest:
    """What to pin, and how."""

    cache: str
    """Name of the Dataset, which is also its claim's."""
    label: str
    """Key of the label that cache nodes carry."""
    preferred: bool = False
    mount_path: str | None = None
    """None keeps the path of an earlier pin, else uses `DEFAULT_MOUNT_PATH`."""
    subpath: str = ""
    """Directory of the model in the claim."""
    use_model_path: bool = False
    recreate: bool = False
    probe_budget: bool = False
    """Whether to give workers enough startup time to load `model_bytes`."""
    adopt: bool = False
    """Whether to record a pin made by hand, and change nothing else."""
    components: tuple[str, ...] = ()
    equal_labels: tuple[str, ...] = ()
    """Other labels of the same nodes."""
    dead_labels: tuple[str, ...] = ()
    """Labels that look like the cache's but that no node has."""
    model_bytes: int = 0
    """Size of the model; 0 if unknown."""
    loader: str = ""
    """One of `loader_names.CHOICES`; empty keeps the loader of an earlier pin."""
    node_gpus: int = 0
    """GPUs of the cache's largest node; 0 if unknown."""
    limits_reads: bool = True
    """Whether 32 or more parallel reads may hang the cache's FUSE client."""
    has_page_cache: bool = True
    """Whether the kernel keeps what was read through that client."""
    best_reads: int = 0
    """Reads at once that `bench` measured to be the best on a node; see `NodeReads.best`."""
    replaces: str = ""
    """The cache whose pin is moved to this one; empty for a new pin (`pin/replacement.py`)."""
    replaced_pins: Mapping[str, Pin] = field(default_factory=dict)
    """The pins to that cache, by component."""

    def earlier_pin(self, component: str, pins: ComponentPins) -> Pin | None:
        """The pin whose options a component keeps: to this cache, else to the replaced one."""
        return pins.pins.get(self.cache) or self.replaced_pins.get(component)
