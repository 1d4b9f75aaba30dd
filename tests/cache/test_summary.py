"""The summary that `cache` prints at its end."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import pytest

from kubectl_fluidmodel.cache.preheating import PreheatedNode, Preheating
from kubectl_fluidmodel.cache.read_verification import ReadVerification
from kubectl_fluidmodel.cache.source_info import SourceInfo
from kubectl_fluidmodel.cache.summary import summary_document, summary_text
from kubectl_fluidmodel.cache.verification import Verification
from kubectl_fluidmodel.cache.workflow import CacheResult
from kubectl_fluidmodel.fluid.mount import MountCredentials
from tests.cache.samples import MODEL, as_existing, plan
from tests.cache.test_options import make_options

GIB = 1 << 30
BY_FILE = Verification(True, 2, 20 * GIB, 20 * GIB)
BY_TOTAL = Verification(True, None, 20 * GIB, 20 * GIB)


def make_result(
    verification: Verification | None,
    *,
    load: bool = True,
    namespace: str = "default",
    flags: dict[str, Any] | None = None,
    **more: Any,
) -> CacheResult:
    options = make_options("s3://models/llama", load=load)
    source = SourceInfo(MountCredentials(), MODEL, None)
    return CacheResult(namespace, options, source, plan(flags, **more), verification)


@dataclass(frozen=True)
class Summary:
    """A result of `cache`, and how its first line begins."""

    name: str
    result: CacheResult
    head: str


SUMMARIES = [
    Summary(
        "verified by file",
        make_result(BY_FILE),
        "llama is cached: 2 files, 20.0 GiB, every byte proven, on gpu-1, in memory",
    ),
    Summary(
        "verified by total",
        make_result(BY_TOTAL, nodes=None),
        "llama is cached: 20.0 GiB, complete by Fluid's totals, in SSD",
    ),
    Summary(
        "not waited for",
        make_result(None),
        "llama is being built on gpu-1, in memory; run the same command again",
    ),
    Summary(
        "not loaded",
        make_result(None, load=False),
        "llama is ready and empty on gpu-1, in memory; it fills",
    ),
]


@pytest.mark.parametrize("row", SUMMARIES, ids=lambda row: row.name)
def test_the_summary_has_the_state_and_the_next_command(row: Summary) -> None:
    first, second, rest = summary_text(row.result).split("\n")
    assert first.startswith(row.head)
    assert second == "next: kubectl fluidmodel pin llama GRAPH"
    assert rest == ""


def test_the_next_command_names_the_namespace() -> None:
    text = summary_text(make_result(BY_FILE, namespace="team"))
    assert text.endswith("pin llama GRAPH -n team\n")


def test_the_document() -> None:
    document = summary_document(make_result(BY_FILE, namespace="ns"))
    assert document == {
        "apiVersion": "fluidmodel.io/v1",
        "kind": "Cache",
        "metadata": {"name": "llama", "namespace": "ns"},
        "source": "s3://models/llama",
        "commit": None,
        "bytes": MODEL.bytes,
        "files": 2,
        "nodes": ["gpu-1"],
        "replicas": 1,
        "medium": "MEM",
        "path": "/dev/shm",
        "quotaBytes": make_result(None).desired.quota,
        "persistentVolumeClaim": "llama",
        "proof": {
            "complete": True,
            "by": "file",
            "bytes": 20 * GIB,
            "cachedBytes": 20 * GIB,
            "files": 2,
            "read": None,
        },
        "preheated": [],
    }
    assert summary_document(make_result(None))["proof"] is None


def test_a_read_cache_reports_the_node_and_the_bytes_hashed() -> None:
    nodes = (
        PreheatedNode("gpu-1", 20 * GIB, 10.04, resident_bytes=19 * GIB),
        PreheatedNode("gpu-2", 20 * GIB, 9.0, True),
    )
    verification = ReadVerification(("gpu-1",), files=2, bytes=20 * GIB, hashed=1)
    result = replace(make_result(BY_FILE), reading=Preheating(nodes, verification))
    document = summary_document(result)
    assert document["proof"]["read"] == {
        "nodes": ["gpu-1"],
        "bytes": 20 * GIB,
        "files": 2,
        "hashedFiles": 1,
    }
    assert document["preheated"] == [
        {
            "node": "gpu-1",
            "bytes": 20 * GIB,
            "seconds": 10.0,
            "before": False,
            "residentBytes": 19 * GIB,
        },
        {"node": "gpu-2", "bytes": 20 * GIB, "seconds": 9.0, "before": True, "residentBytes": None},
    ]
    head = summary_text(result).splitlines()[0]
    assert head.endswith("in memory; preheated on gpu-1, gpu-2")
    verified = replace(result, options=replace(result.options, verify_by_reading=True))
    head = summary_text(verified).splitlines()[0]
    assert head.endswith("in memory; read through the claim on gpu-1")


def test_the_replicas_of_an_existing_cache() -> None:
    """A second run without --replicas keeps those that stand, and says so."""
    first = plan({"replicas": 2})
    again = make_result(BY_FILE, existing=as_existing(first))
    assert summary_document(again)["replicas"] == 2
