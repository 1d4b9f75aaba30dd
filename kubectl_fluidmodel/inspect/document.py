"""Inspections as the documents of `-o json` and `-o yaml`: stable, see docs/output.md. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kubectl_fluidmodel.inspect.details import Inspection
from kubectl_fluidmodel.inventory.nodes import NodeCache
from kubectl_fluidmodel.inventory.readers import ReaderRow
from kubectl_fluidmodel.snapshot.snapshot import Missing, Snapshot

API_VERSION = "fluidmodel.io/v1"
Document = dict[str, Any]


def listed(caches: Sequence[Inspection], snapshot: Snapshot) -> Document:
    """Many caches."""
    return {
        "apiVersion": API_VERSION,
        "kind": "InspectionList",
        "namespace": snapshot.namespace,
        "items": [_body(one) for one in caches],
        "missing": [_missing(each) for each in snapshot.missing],
    }


def single(one: Inspection, snapshot: Snapshot) -> Document:
    """One cache, with what could not be read."""
    return {
        "apiVersion": API_VERSION,
        "kind": "Inspection",
        **_body(one),
        "missing": [_missing(each) for each in snapshot.missing],
    }


def _missing(each: Missing) -> Document:
    return {
        "resource": each.resource,
        "namespace": each.namespace or None,
        "why": each.why,
        "forbidden": each.forbidden,
    }


def _body(one: Inspection) -> Document:
    amount = one.amount
    return {
        "metadata": {"name": one.name, "namespace": one.namespace},
        "source": {
            "uri": one.uri or None,
            "commit": one.commit or None,
            "mounts": [{"mountPoint": point, "path": path} for point, path in one.mounts],
            "hub": _hub(one),
        },
        "staging": _staging(one),
        "phase": one.phase,
        "ours": one.ours,
        "ageSeconds": None if one.age is None else int(one.age),
        "message": one.message or None,
        "conditions": [vars(each) for each in one.conditions],
        "size": {
            "bytes": amount.total,
            "exact": amount.exact,
            "countedBytes": amount.counted,
            "counting": amount.calculating,
            "files": amount.files,
        },
        "cached": {
            "bytes": amount.cached,
            "percent": amount.percent,
            "copies": amount.copies,
            "whole": amount.whole,
            "capacityBytes": amount.capacity,
        },
        "runtime": _runtime(one),
        "dataLoads": [
            {
                "name": load.name,
                "phase": load.phase,
                "message": load.message or None,
                "duration": load.duration or None,
                "paths": list(load.paths),
            }
            for load in one.loads
        ],
        "persistentVolumeClaim": None if one.claim is None else (one.claim or "Absent"),
        "nodeLabel": one.label or None,
        "nodes": None if one.nodes is None else [_node(node) for node in one.nodes],
        "files": None
        if one.files is None
        else [
            {"path": file.path, "bytes": file.bytes, "cachedPercent": file.percent}
            for file in one.files
        ],
        "readers": None if one.readers is None else [_reader(row) for row in one.readers],
        "graphs": list(one.graphs),
        "placement": {
            "verdict": one.verdict.code,
            "text": one.verdict.text,
            "startup": one.verdict.startup or None,
            "better": one.verdict.better or None,
            "command": one.verdict.command or None,
        },
        "warnings": None
        if one.warnings is None
        else [
            {
                "code": each.code,
                "severity": each.severity,
                "title": each.title,
                "about": each.about,
                "cause": each.cause,
                "fix": each.fix or None,
            }
            for each in one.warnings
        ],
    }


def _hub(one: Inspection) -> Document | None:
    if one.hub is None:
        return None
    newest = one.hub.commit or None
    return {
        "commit": newest,
        "current": None if newest is None else newest == one.commit,
        "why": one.hub.why or None,
    }


def _staging(one: Inspection) -> Document | None:
    staged = one.staging
    if staged is None:
        return None
    return {
        "to": staged.to or None,
        "manifest": staged.manifest or None,
        "verified": staged.verified,
        "stagedAt": staged.staged_at or None,
        "why": staged.why or None,
        "files": staged.files,
        "bytes": staged.bytes,
        "job": {"name": staged.job, "state": staged.job_state} if staged.job else None,
    }


def _runtime(one: Inspection) -> Document | None:
    if not one.runtime:
        return None
    return {
        "type": one.runtime,
        "kinds": list(one.runtime_kinds),
        "replicas": one.replicas,
        "tiers": [
            {"medium": tier.medium or None, "path": tier.path or None, "quotaBytes": tier.quota}
            for tier in one.tiers
        ],
        "parts": [
            {
                "name": part.name,
                "ready": part.ready,
                "desired": part.desired,
                "phase": part.phase or None,
                "object": part.object or None,
            }
            for part in one.parts
        ],
        "hitRatio": {
            "total": one.hit or None,
            "local": one.hit_local or None,
            "remote": one.hit_remote or None,
        },
        "remark": one.remark or None,
    }


def _node(node: NodeCache) -> Document:
    return {
        "name": node.name,
        "pod": node.pod or None,
        "ready": node.ready,
        "usedBytes": node.used,
        "capacityBytes": node.capacity,
        "medium": node.medium or None,
        "path": node.path or None,
        "whole": node.whole,
        "readers": node.readers,
        "trouble": node.trouble or None,
    }


def _reader(row: ReaderRow) -> Document:
    return {
        "pod": row.pod,
        "graph": row.graph or None,
        "component": row.component or None,
        "node": row.node or None,
        "state": row.state,
        "local": row.local,
        "gpus": row.gpus,
        "mounts": [{"container": name, "path": path} for name, path in row.mounts],
        "trouble": row.trouble or None,
    }
