"""What `cache` says at its end, in words and as a document. Pure."""

from __future__ import annotations

from typing import Any

from kubectl_fluidmodel.cache.options import CacheOptions
from kubectl_fluidmodel.cache.workflow import CacheResult
from kubectl_fluidmodel.output.serialize import API_VERSION
from kubectl_fluidmodel.output.text import format_bytes, pluralize

_MEDIA = {"MEM": "memory", "SSD": "SSD", "HDD": "disk"}


def summary_text(options: CacheOptions, namespace: str, result: CacheResult) -> str:
    """Two lines: what is there now, and what to run next."""
    medium = _MEDIA.get(result.desired.medium.type, result.desired.medium.type)
    where = f"in {medium}"
    if result.desired.placement:
        where = f"on {', '.join(result.desired.placement.names)}, {where}"
    flag = f" -n {namespace}" if namespace != "default" else ""
    verification = result.verification
    if verification is not None:
        amount = (
            f"{pluralize(verification.files, 'file')}, {format_bytes(verification.bytes)}, every "
            "byte proven"
            if verification.files is not None
            else f"{format_bytes(verification.bytes)}, complete by Fluid's totals"
        )
        head = f"{options.name} is cached: {amount}, {where}"
    elif options.load:
        head = f"{options.name} is being built {where}; the same command again follows it"
    else:
        head = f"{options.name} is ready and empty {where}; reads fill it, or run without --no-load"
    return f"{head}\nnext: kubectl fluidmodel pin {options.name} GRAPH{flag}\n"


def summary_document(options: CacheOptions, namespace: str, result: CacheResult) -> dict[str, Any]:
    """The document of `-o json|yaml`; `docs/output.md` describes it."""
    design, listing, proof = result.desired, result.source.listing, result.verification
    found: dict[str, Any] = {
        "apiVersion": API_VERSION,
        "kind": "Cache",
        "metadata": {"name": options.name, "namespace": namespace},
        "source": options.recorded_uri,
        "commit": options.commit or None,
        "bytes": listing.bytes if listing else None,
        "files": len(listing.files) if listing else None,
        "nodes": list(design.placement.names) if design.placement else [],
        "replicas": design.replicas,
        "medium": design.medium.type,
        "path": design.medium.path,
        "quotaBytes": design.quota,
        "persistentVolumeClaim": options.name,
        "proof": None,
    }
    if proof is not None:
        found["proof"] = {
            "complete": proof.complete,
            "by": "file" if proof.files is not None else "total",
            "bytes": proof.bytes,
            "cachedBytes": proof.cached_bytes,
            "files": proof.files,
        }
    return found
