"""How a hand-made cache differs from one of `cache`, and the consequences. Pure.

The reasons are those of docs/why-these-settings.md, which refers to the source files of Fluid and
Alluxio.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from kubectl_fluidmodel.cache.adoption import dataset_rules, runtime_rules
from kubectl_fluidmodel.cache.adoption.comparison import Comparison, Difference
from kubectl_fluidmodel.cache.adoption.hand_made import HandMadeCache
from kubectl_fluidmodel.cache.desired import DesiredCache


def find_differences(
    cache: HandMadeCache, desired: DesiredCache, model_bytes: int | None
) -> list[Difference]:
    """Compare a hand-made cache with what `cache` would create for the same source.

    Returns:
        The differences that have a consequence, then the others.
    """
    compared = Comparison(cache, desired, model_bytes)
    differences = [difference for rule in _RULES for difference in rule(compared)]
    return sorted(differences, key=lambda difference: not difference.consequence)


_RULES: tuple[Callable[[Comparison], Iterator[Difference]], ...] = (
    dataset_rules.keys,
    dataset_rules.key_names,
    runtime_rules.quota,
    runtime_rules.copies,
    dataset_rules.nodes,
    dataset_rules.node_sharing,
    dataset_rules.directory,
    runtime_rules.memory,
    runtime_rules.fuse,
    dataset_rules.access_modes,
    dataset_rules.store_options,
    runtime_rules.tier,
    runtime_rules.properties,
    runtime_rules.other_fields,
    dataset_rules.load,
)
