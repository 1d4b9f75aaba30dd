"""What `cache` says at its end, in words and as a document. Pure."""

from __future__ import annotations

from typing import Any

from kubectl_fluidmodel.cache.options import Request
from kubectl_fluidmodel.cache.workflow import Outcome
from kubectl_fluidmodel.output.serialize import API_VERSION
from kubectl_fluidmodel.output.text import plural, size

_MEDIA = {"MEM": "memory", "SSD": "SSD", "HDD": "disk"}


def text(request: Request, namespace: str, outcome: Outcome) -> str:
    """Two lines: what is there now, and what to run next."""
    medium = _MEDIA.get(outcome.design.medium.type, outcome.design.medium.type)
    where = f"in {medium}"
    if outcome.design.choice:
        where = f"on {', '.join(outcome.design.choice.names)}, {where}"
    flag = f" -n {namespace}" if namespace != "default" else ""
    proof = outcome.proof
    if proof is not None:
        proven = (
            f"{plural(proof.files, 'file')}, {size(proof.bytes)}, every byte proven"
            if proof.files is not None
            else f"{size(proof.bytes)}, complete by Fluid's totals"
        )
        head = f"{request.name} is cached: {proven}, {where}"
    elif request.load:
        head = f"{request.name} is being built {where}; the same command again follows it"
    else:
        head = f"{request.name} is ready and empty {where}; reads fill it, or run without --no-load"
    return f"{head}\nnext: kubectl fluidmodel pin {request.name} GRAPH{flag}\n"


def document(request: Request, namespace: str, outcome: Outcome) -> dict[str, Any]:
    """The document of `-o json|yaml`; `docs/output.md` describes it."""
    design, listing, proof = outcome.design, outcome.measured.listing, outcome.proof
    found: dict[str, Any] = {
        "apiVersion": API_VERSION,
        "kind": "Cache",
        "metadata": {"name": request.name, "namespace": namespace},
        "source": request.known_as,
        "commit": request.commit or None,
        "bytes": listing.bytes if listing else None,
        "files": len(listing.files) if listing else None,
        "nodes": list(design.choice.names) if design.choice else [],
        "replicas": design.replicas,
        "medium": design.medium.type,
        "path": design.medium.path,
        "quotaBytes": design.quota,
        "persistentVolumeClaim": request.name,
        "proof": None,
    }
    if proof is not None:
        found["proof"] = {
            "complete": proof.complete,
            "by": "file" if proof.files is not None else "total",
            "bytes": proof.bytes,
            "cachedBytes": proof.cached,
            "files": proof.files,
        }
    return found
