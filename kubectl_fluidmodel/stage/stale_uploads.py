"""Leftover uploads: those that a record of ours names, and no others."""

from __future__ import annotations

from dataclasses import dataclass

from kubectl_fluidmodel.errors import FluidModelError
from kubectl_fluidmodel.objectstore.layout import STATE, Destination, Place
from kubectl_fluidmodel.objectstore.s3 import Store
from kubectl_fluidmodel.stage import checkpoint
from kubectl_fluidmodel.stage.bucket import Bucket, Gone, Hidden


@dataclass(frozen=True)
class Leftover:
    """One unfinished upload of ours."""

    commit: str
    path: str
    bytes: int
    """What its parts take in the store."""
    age: float
    """Seconds since it last went on."""
    aborted: bool


def abort_stale(
    store: Store, to: Destination, repo: str, older: float, *, dry_run: bool = False
) -> list[Leftover]:
    """Abort the uploads of a model, of any commit, that have not gone on for `older` seconds.

    An upload is ours if a record beside the model names it; parts are only ever uploaded after
    the record was written. Whoever is at one writes its record again and again, however slowly
    its parts go; so one whose record is younger than that is alive, whatever `older` is. Ages
    are those of the store's clock.

    Raises:
        FluidModelError: the uploads may not be seen or not be aborted.
    """
    older = max(older, checkpoint.ALIVE)
    bucket = Bucket(store, to.bucket, patience=15.0)
    prefix = f"{Place(to, repo, '').model}/{STATE}/"
    found = []
    for key, age in _ages(bucket, prefix):
        commit, _, rest = key[len(prefix) :].partition("/")
        if not rest.startswith("uploads/"):
            continue
        left = checkpoint.load(bucket.read(key) or b"")
        if left is None:
            continue
        place = Place(to, repo, commit)
        try:
            held = bucket.parts(place.key(left.path), left.upload_id)
        except (Gone, Hidden):
            held = {}
        # Looked at once more: meanwhile somebody may have gone on with it.
        doomed = age >= older and all(now >= older for _, now in _ages(bucket, key))
        if doomed and not dry_run:
            if not bucket.abort(place.key(left.path), left.upload_id):
                raise FluidModelError(
                    f"cannot abort the upload of {left.path}",
                    "the credentials may not do that",
                    f"give them s3:AbortMultipartUpload on {to.uri}",
                )
            bucket.delete(key)
        size = sum(part.size for part in held.values())
        found.append(Leftover(commit, left.path, size, age, doomed))
    return found


def _ages(bucket: Bucket, prefix: str) -> list[tuple[str, float]]:
    try:
        return sorted(bucket.ages(prefix))
    except Hidden as err:
        raise FluidModelError(
            f"cannot look for leftover uploads in s3://{bucket.name}/{prefix}",
            str(err),
            f"give the credentials s3:ListBucket on {bucket.name}",
        ) from err
