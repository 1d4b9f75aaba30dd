"""What adoption writes: labels and annotations, by server-side apply, and nothing else. Pure."""

from __future__ import annotations

from kubectl_fluidmodel.cache.adoption.hand_made import HandMadeCache
from kubectl_fluidmodel.cache.desired import source_annotations
from kubectl_fluidmodel.fluid import names
from kubectl_fluidmodel.model.files import FileListing
from kubectl_fluidmodel.objects.access import Object, metadata_of, name_of, namespace_of


def adoption_objects(cache: HandMadeCache, listing: FileListing | None) -> list[Object]:
    """The objects to apply, each with its metadata alone.

    Args:
        cache: What is adopted.
        listing: The files of the source; None where it cannot be listed.
    """
    labels = {**names.managed_labels(cache.name), names.ADOPTED_LABEL: "true"}
    found = [_metadata_only(obj, labels=labels) for obj in cache.objects]
    found[-1]["metadata"]["annotations"] = source_annotations(cache.source.uri, "", listing)
    return found


def release_object(obj: Object) -> Object:
    """An object to apply that takes back all that this plugin wrote into an adopted one.

    Server-side apply removes the fields that a manager had and no longer names.
    """
    return _metadata_only(obj)


def _metadata_only(obj: Object, **metadata: dict[str, str]) -> Object:
    """An object without a spec.

    With the UID, an apply fails where the object was deleted meanwhile, and creates none.
    """
    identity = {"name": name_of(obj), "namespace": namespace_of(obj)}
    uid = metadata_of(obj).get("uid")
    if uid:
        identity["uid"] = str(uid)
    return {
        "apiVersion": obj["apiVersion"],
        "kind": obj["kind"],
        "metadata": {**identity, **metadata},
    }
