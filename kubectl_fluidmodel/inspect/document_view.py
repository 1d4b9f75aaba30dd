"""Formats inspections as the documents of `-o json` and `-o yaml`; see docs/output.md. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kubectl_fluidmodel.cache.cost_estimate import estimate_document
from kubectl_fluidmodel.inspect.details import CacheDetails
from kubectl_fluidmodel.inspect.doctor_warnings import describe_with_warnings
from kubectl_fluidmodel.inspect.view import Rendering, ViewContext
from kubectl_fluidmodel.inventory.nodes import NodeCache
from kubectl_fluidmodel.inventory.page_cache import PageCache
from kubectl_fluidmodel.inventory.read_rates import ReadRates
from kubectl_fluidmodel.inventory.readers import ReaderStatus
from kubectl_fluidmodel.output.serialize import API_VERSION, to_json, to_yaml
from kubectl_fluidmodel.snapshot.snapshot import ReadFailure, Snapshot

Document = dict[str, Any]


def render(context: ViewContext) -> Rendering:
    """The caches as JSON or YAML."""
    form = to_json if context.options.output == "json" else to_yaml
    return Rendering(form(document(context)))


def document(context: ViewContext) -> Document:
    """The document of the cache that was named, or of all."""
    caches = describe_with_warnings(context)
    if context.options.name:
        return detail_document(caches[0], context.snapshot, context.options.price_per_gib)
    return list_document(caches, context.snapshot)


def list_document(caches: Sequence[CacheDetails], snapshot: Snapshot) -> Document:
    """Return the document of several caches."""
    return {
        "apiVersion": API_VERSION,
        "kind": "InspectionList",
        "namespace": snapshot.namespace,
        "items": [_cache_document(cache) for cache in caches],
        "missing": [_missing_document(failure) for failure in snapshot.read_failures],
    }


def detail_document(
    details: CacheDetails, snapshot: Snapshot, price_per_gib: float | None = None
) -> Document:
    """Return the document of one cache, with what could not be read."""
    return {
        "apiVersion": API_VERSION,
        "kind": "Inspection",
        **_cache_document(details, price_per_gib),
        "missing": [_missing_document(failure) for failure in snapshot.read_failures],
    }


def _missing_document(failure: ReadFailure) -> Document:
    return {
        "resource": failure.resource,
        "namespace": failure.namespace or None,
        "why": failure.reason,
        "forbidden": failure.forbidden,
    }


def _cache_document(details: CacheDetails, price_per_gib: float | None = None) -> Document:
    usage = details.usage
    return {
        "metadata": {"name": details.name, "namespace": details.namespace},
        "source": {
            "uri": details.uri or None,
            "commit": details.commit or None,
            "mounts": [{"mountPoint": point, "path": path} for point, path in details.mounts],
            "hub": _hub_document(details),
            "replaces": details.replaces or None,
            "replacedBy": details.replaced_by or None,
        },
        "staging": _staging_document(details),
        "phase": details.phase,
        "ours": details.is_managed,
        "adopted": details.is_adopted,
        "ageSeconds": None if details.age is None else int(details.age),
        "message": details.message or None,
        "conditions": [condition._asdict() for condition in details.conditions],
        "size": {
            "bytes": usage.source_bytes,
            "exact": usage.is_exact,
            "countedBytes": usage.fluid_bytes,
            "counting": usage.is_calculating,
            "files": usage.files,
        },
        "cached": {
            "bytes": usage.cached_bytes,
            "percent": usage.percent,
            "copies": usage.copies,
            "whole": usage.is_complete,
            "capacityBytes": usage.capacity_bytes,
        },
        "runtime": _runtime_document(details),
        "dataLoads": [
            {
                "name": load.name,
                "phase": load.phase,
                "message": load.message or None,
                "duration": load.duration or None,
                "paths": list(load.paths),
            }
            for load in details.loads
        ],
        "persistentVolumeClaim": None if details.claim is None else (details.claim or "Absent"),
        "nodeLabel": details.node_label or None,
        "nodes": None
        if details.nodes is None
        else [_node_document(node) for node in details.nodes],
        "files": None
        if details.files is None
        else [
            {"path": file.path, "bytes": file.bytes, "cachedPercent": file.percent}
            for file in details.files
        ],
        "readers": None
        if details.readers is None
        else [_reader_document(reader) for reader in details.readers],
        "graphs": list(details.graphs),
        "placement": {
            "verdict": details.startup.code,
            "text": details.startup.text,
            "startup": details.startup.duration or None,
            "better": details.startup.improvement or None,
            "command": details.startup.command or None,
        },
        "measured": _measured_document(details.read_rates),
        "estimate": details.estimate and estimate_document(details.estimate, price_per_gib),
        "warnings": None
        if details.warnings is None
        else [
            {
                "code": warning.code,
                "severity": warning.severity,
                "title": warning.title,
                "about": warning.about,
                "cause": warning.cause,
                "fix": warning.fix or None,
            }
            for warning in details.warnings
        ],
    }


def _hub_document(details: CacheDetails) -> Document | None:
    if details.hub is None:
        return None
    newest = details.hub.commit or None
    return {
        "commit": newest,
        "current": None if newest is None else newest == details.commit,
        "why": details.hub.reason or None,
    }


def _staging_document(details: CacheDetails) -> Document | None:
    staged = details.staging
    if staged is None:
        return None
    return {
        "to": staged.to or None,
        "manifest": staged.manifest or None,
        "verified": staged.verified,
        "stagedAt": staged.staged_at or None,
        "why": staged.reason or None,
        "files": staged.files,
        "bytes": staged.bytes,
        "job": {"name": staged.job, "state": staged.job_state} if staged.job else None,
    }


def _runtime_document(details: CacheDetails) -> Document | None:
    if not details.runtime:
        return None
    return {
        "type": details.runtime,
        "kinds": list(details.runtime_kinds),
        "replicas": details.replicas,
        "highConcurrency": details.high_concurrency,
        "tiers": [
            {"medium": tier.medium or None, "path": tier.path or None, "quotaBytes": tier.quota}
            for tier in details.tiers
        ],
        "parts": [
            {
                "name": part.name,
                "ready": part.ready,
                "desired": part.desired,
                "phase": part.phase or None,
                "object": part.object or None,
            }
            for part in details.components
        ],
        "hitRatio": {
            "total": details.hit_ratio or None,
            "local": details.local_hit_ratio or None,
            "remote": details.remote_hit_ratio or None,
        },
        "remark": details.runtime_note or None,
    }


def _node_document(node: NodeCache) -> Document:
    return {
        "name": node.name,
        "pod": node.pod or None,
        "ready": node.ready,
        "usedBytes": node.used_bytes,
        "capacityBytes": node.capacity_bytes,
        "medium": node.medium or None,
        "path": node.path or None,
        "whole": node.is_complete,
        "readers": node.readers,
        "trouble": node.problem or None,
        "pageCache": _page_cache_document(node.page_cache),
    }


def _page_cache_document(measured: PageCache | None) -> Document | None:
    if measured is None:
        return None
    return {
        "bytes": measured.resident_bytes,
        "ofBytes": measured.total_bytes,
        "at": measured.measured_at or None,
        "by": measured.measured_by,
        "lost": measured.is_lost,
    }


def _reader_document(reader: ReaderStatus) -> Document:
    return {
        "pod": reader.pod,
        "graph": reader.graph or None,
        "component": reader.component or None,
        "node": reader.node or None,
        "state": reader.state,
        "local": reader.is_local,
        "gpus": reader.gpus,
        "mounts": [{"container": name, "path": path} for name, path in reader.mounts],
        "trouble": reader.problem or None,
    }


def _measured_document(rates: ReadRates | None) -> Document | None:
    """What `bench` measured, in bytes per second."""
    if rates is None:
        return None
    return {
        "at": rates.measured_at,
        "node": rates.node,
        "memoryMap": rates.mapped,
        "parallel": {str(threads): rate for threads, rate in rates.parallel.items()},
        "pageCache": rates.page_cache,
        "store": rates.store,
        "otherNode": rates.off_node,
    }
