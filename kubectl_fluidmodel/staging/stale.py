"""Leftover uploads: those that a record of ours names, and no others."""

from __future__ import annotations

from dataclasses import dataclass

from kubectl_fluidmodel.model.store import Store
from kubectl_fluidmodel.staging import record
from kubectl_fluidmodel.staging.bucket import Bucket, Gone
from kubectl_fluidmodel.staging.place import STATE, Destination, Place


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
    the record was written. Ages are those of the store's clock.
    """
    bucket = Bucket(store, to.bucket, patience=15.0)
    prefix = f"{Place(to, repo, '').model}/{STATE}/"
    found = []
    for key, age in sorted(bucket.ages(prefix)):
        commit, _, rest = key[len(prefix) :].partition("/")
        if not rest.startswith("uploads/"):
            continue
        left = record.load(bucket.read(key) or b"")
        if left is None:
            continue
        place = Place(to, repo, commit)
        try:
            held = bucket.parts(place.key(left.path), left.upload_id)
        except Gone:
            held = {}
        doomed = age >= older
        if doomed and not dry_run:
            bucket.abort(place.key(left.path), left.upload_id)
            bucket.delete(key)
        size = sum(part.size for part in held.values())
        found.append(Leftover(commit, left.path, size, age, doomed))
    return found
