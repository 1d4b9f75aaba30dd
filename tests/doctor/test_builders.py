"""A healthy cache gives no findings, and none of its checks is skipped."""

from __future__ import annotations

from kubectl_fluidmodel.inventory.cache import build_caches
from tests.doctor import builders as b


def test_healthy_snapshot_has_no_findings() -> None:
    diagnosis = b.run_checks(b.healthy_snapshot())
    assert [problem.finding for problem in diagnosis.roots] == []
    assert not diagnosis.failed
    assert [
        (result.check.code, result.skip_reason)
        for result in diagnosis.results
        if result.skip_reason
    ] == []


def test_healthy_snapshot_has_every_kind_of_object() -> None:
    [cache] = build_caches(b.healthy_snapshot())
    assert cache.dataset and cache.runtime and cache.claim and cache.volume
    assert sorted(cache.workloads) == sorted(cache.pods) == ["fuse", "master", "worker"]
    assert cache.loads and cache.load_pods and cache.graphs
    assert cache.node_names == ["gpu-0"]
    assert [reader.is_local for reader in cache.readers] == [True]
