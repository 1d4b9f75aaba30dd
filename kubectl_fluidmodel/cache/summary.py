"""The result of `cache`, as text and as a document. Pure."""

from __future__ import annotations

from typing import Any

from kubectl_fluidmodel.cache.read_verification import ReadVerification
from kubectl_fluidmodel.cache.verification import Verification
from kubectl_fluidmodel.cache.workflow import CacheResult
from kubectl_fluidmodel.model.sizing import MEDIUM_NAMES
from kubectl_fluidmodel.output.serialize import API_VERSION
from kubectl_fluidmodel.output.shell import Operand, command
from kubectl_fluidmodel.output.units import format_bytes, pluralize


def summary_text(result: CacheResult) -> str:
    """Return two lines: the resulting cache, and the next command."""
    options, desired, verification = result.options, result.desired, result.verification
    place = f"in {MEDIUM_NAMES.get(desired.medium.type, desired.medium.type)}"
    if desired.placement:
        place = f"on {', '.join(desired.placement.names)}, {place}"
    if verification is not None:
        head = f"{options.name} is cached: {proof_text(verification)}, {place}"
        reading = result.reading
        if options.verify_by_reading and reading.verification is not None:
            head += f"; read through the claim on {', '.join(reading.verification.nodes)}"
        elif reading.nodes:
            head += f"; preheated on {', '.join(node.name for node in reading.nodes)}"
    elif options.load:
        head = f"{options.name} is being built {place}; run the same command again to wait for it"
    else:
        head = (
            f"{options.name} is ready and empty {place}; it fills when pods read, or run without "
            "--no-load"
        )
    flag = ("-n", result.namespace) if result.namespace != "default" else ()
    pin = command(*("kubectl", "fluidmodel", "pin", Operand(options.name), "GRAPH"), *flag)
    return f"{head}\nnext: {pin}\n"


def summary_document(result: CacheResult) -> dict[str, Any]:
    """Return the document of `-o json|yaml`; see `docs/output.md`."""
    options, desired, verification = result.options, result.desired, result.verification
    listing = result.source.listing
    return {
        "apiVersion": API_VERSION,
        "kind": "Cache",
        "metadata": {"name": options.name, "namespace": result.namespace},
        "source": options.recorded_uri,
        "commit": options.commit or None,
        "bytes": listing.bytes if listing else None,
        "files": len(listing.files) if listing else None,
        "nodes": list(desired.placement.names) if desired.placement else [],
        "replicas": desired.replicas,
        "medium": desired.medium.type,
        "path": desired.medium.path,
        "quotaBytes": desired.quota,
        "persistentVolumeClaim": options.name,
        "proof": proof_document(verification, result.reading.verification),
        "preheated": [
            {
                "node": node.name,
                "bytes": node.bytes,
                "seconds": round(node.seconds, 1),
                "before": node.before,
                "residentBytes": node.resident_bytes,
            }
            for node in result.reading.nodes
        ],
    }


def proof_text(verification: Verification) -> str:
    """What is cached, and how that was verified."""
    cached = format_bytes(verification.bytes)
    if verification.files is None:
        return f"{cached}, complete by Fluid's totals"
    return f"{pluralize(verification.files, 'file')}, {cached}, every byte proven"


def proof_document(
    verification: Verification | None, reading: ReadVerification | None = None
) -> dict[str, Any] | None:
    """A comparison with the source as documents have it; None if nothing was compared."""
    if verification is None:
        return None
    return {
        "complete": verification.complete,
        "by": "file" if verification.files is not None else "total",
        "bytes": verification.bytes,
        "cachedBytes": verification.cached_bytes,
        "files": verification.files,
        "read": _reading_document(reading) if reading else None,
    }


def _reading_document(reading: ReadVerification) -> dict[str, Any]:
    return {
        "nodes": list(reading.nodes),
        "bytes": reading.bytes,
        "files": reading.files,
        "hashedFiles": reading.hashed,
    }
