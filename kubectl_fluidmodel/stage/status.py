"""What a bucket holds of a plan already. It reads, and writes nothing."""

from __future__ import annotations

from dataclasses import dataclass

from kubectl_fluidmodel.model.plan import Plan, PlanFile
from kubectl_fluidmodel.objectstore.layout import Destination, Place
from kubectl_fluidmodel.objectstore.s3 import Store
from kubectl_fluidmodel.stage.bucket import Bucket, Gone, Hidden
from kubectl_fluidmodel.stage.staged_files import Ledger

_PATIENCE = 15.0
"""Seconds to try to reach the store."""


@dataclass(frozen=True)
class Standing:
    """How far a plan is staged; bytes are of files at the Hub."""

    bucket: bool
    """Whether the bucket is there."""
    files: int = 0
    bytes: int = 0
    """Whole files whose recorded hash is the plan's."""
    begun: int = 0
    """Bytes of unfinished uploads that another run goes on from."""
    left: int = 0
    """Bytes to be read from the Hub."""
    manifest: bool = False
    """Whether a manifest says that all of it is there."""


def survey(store: Store, plan: Plan, to: Destination) -> Standing:
    """Look at everything that a run would look at.

    Raises:
        FluidModelError: the store refuses to be looked at.
        Unreachable: it does not answer.
    """
    bucket = Bucket(store, to.bucket, patience=_PATIENCE)
    if not bucket.exists():
        return Standing(False, left=plan.bytes)
    ledger = Ledger(bucket, Place(to, plan.repo, plan.commit))
    ledger.look()
    there = [file for file in plan.files if ledger.holds(file)]
    held = sum(file.size for file in there)
    begun = sum(_begun(ledger, file) for file in set(plan.files) - set(there))
    return Standing(
        True, len(there), held, begun, plan.bytes - held - begun, manifest=ledger.sealed(plan)
    )


def _begun(ledger: Ledger, file: PlanFile) -> int:
    """Bytes of a file that an earlier run stored, hashed and noted down."""
    left = ledger.left_of(file)
    if left is None or not left.done or not left.fits(file):
        return 0
    try:
        held = ledger.bucket.parts(ledger.place.key(file.path), left.upload_id)
    except (Gone, Hidden):
        return 0
    return min(file.size, left.done * left.part_size) if left.trusts(held) else 0
