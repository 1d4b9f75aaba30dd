"""Hand-made caches, from the files in tests/fixtures/adopt and as a test changes them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from kubectl_fluidmodel.cache.adoption.comparison import Difference
from kubectl_fluidmodel.cache.adoption.differences import find_differences
from kubectl_fluidmodel.cache.adoption.hand_made import HandMadeCache, require_adoptable
from kubectl_fluidmodel.cache.adoption.metadata import adoption_objects
from kubectl_fluidmodel.cache.adoption.source import cache_options
from kubectl_fluidmodel.cache.adoption.workflow import Adoption
from kubectl_fluidmodel.cache.desired import DesiredCache, build_desired
from kubectl_fluidmodel.cache.existing import ExistingObjects
from kubectl_fluidmodel.cache.verification import Verification
from kubectl_fluidmodel.fluid.mount import MountCredentials, SecretKeys
from kubectl_fluidmodel.model.files import FileListing, SourceFile
from kubectl_fluidmodel.objects.access import Object

FIXTURES = Path(__file__).parents[2] / "fixtures" / "adopt"
GIB = 1 << 30
MODEL = FileListing((SourceFile("config.json", 826), SourceFile("w.safetensors", 131 * GIB)))
SECRET = "kept-out-of-sight"


def load_fixture(name: str, **values: str) -> list[Object]:
    """The objects of a file, with its words in capitals filled in."""
    filled = {
        "NAMESPACE": "ns",
        "BUCKET": "models",
        "ENDPOINT": "http://minio:9000",
        "ACCESS_KEY": "minio",
        "SECRET_KEY": SECRET,
        **values,
    }
    text = (FIXTURES / f"{name}.yaml").read_text()
    for word, value in filled.items():
        text = text.replace(word, value)
    return [obj for obj in yaml.safe_load_all(text) if obj]


def hand_made(
    name: str = "full",
    *,
    mount: dict[str, Any] | None = None,
    dataset: dict[str, Any] | None = None,
    runtime: dict[str, Any] | None = None,
    loads: list[Object] | None = None,
) -> HandMadeCache:
    """A cache of a fixture; arguments are merged into its mount and the specs of its objects."""
    dataset_object, runtime_object, *own_loads = load_fixture(name)
    dataset_object["spec"]["mounts"][0].update(mount or {})
    dataset_object["spec"].update(dataset or {})
    runtime_object["spec"].update(runtime or {})
    return require_adoptable(dataset_object, runtime_object, own_loads if loads is None else loads)


def desired(cache: HandMadeCache, listing: FileListing | None = MODEL) -> DesiredCache:
    """What `cache` would make of the same source."""
    keys = SecretKeys("s", "a", "b")
    return build_desired(
        cache_options(cache, listed=listing is not None),
        cache.namespace,
        credentials=MountCredentials("http://minio:9000", "", keys),
        listing=listing,
        candidates=None,
        existing=ExistingObjects(cache.dataset, cache.runtime),
    )


def differences(cache: HandMadeCache, listing: FileListing | None = MODEL) -> dict[str, Difference]:
    """The differences of a cache, by setting."""
    found_differences = find_differences(
        cache, desired(cache, listing), listing.bytes if listing else None
    )
    return {difference.setting: difference for difference in found_differences}


def adoption(
    cache: HandMadeCache | None = None, verification: Verification | None = None
) -> Adoption:
    """The adoption of a cache on node gpu-0."""
    cache = cache or hand_made()
    return Adoption(
        cache=cache,
        listing=MODEL,
        desired=desired(cache),
        differences=tuple(differences(cache).values()),
        objects=tuple(adoption_objects(cache, MODEL)),
        nodes=("gpu-0",),
        verification=verification,
    )
