"""What adoption writes: labels and annotations, by server-side apply, and nothing else. Pure."""

from __future__ import annotations

from kubectl_fluidmodel.cache.adoption.hand_made import HandMadeCache
from kubectl_fluidmodel.cache.desired import source_annotations
from kubectl_fluidmodel.fluid import names
from kubectl_fluidmodel.model.files import FileListing
from kubectl_fluidmodel.objects.access import Object, metadata_of, name_of, namespace_of


def adoption_objects(cache: HandMadeCache, listing: FileListing | None) -> list[Object]:
    """Return the objects to apply, each with its metadata only.

    Args:
        cache: The cache to adopt.
        listing: The files of the source; None if it cannot be listed.
    """
    labels = {**names.managed_labels(cache.name), names.ADOPTED_LABEL: "true"}
    objects = [_metadata_only(obj, labels=labels) for obj in cache.objects]
    objects[-1]["metadata"]["annotations"] = source_annotations(cache.source.uri, "", listing)
    return objects


def release_object(obj: Object) -> Object:
    """Return an object whose apply removes everything that this plugin wrote to an adopted one.

    Server-side apply removes fields that a manager owned and no longer sets.
    """
    return _metadata_only(obj)


def _metadata_only(obj: Object, **metadata: dict[str, str]) -> Object:
    """Return an object without a spec.

    With the UID, an apply fails if the object was deleted in the meantime, and does not create one.
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
