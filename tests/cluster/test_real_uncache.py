"""`uncache` on a real data plane: nothing of the cache is left, in the cluster or on its nodes."""

from __future__ import annotations

import pytest

from tests.cluster.dataplane import HOLDER, OTHER, Cached, mounts, named

pytestmark = [pytest.mark.real]

#: What `cache`, Fluid and its chart make under the cache's name.
KINDS = (
    ("data.fluid.io/v1alpha1", "Dataset"),
    ("data.fluid.io/v1alpha1", "AlluxioRuntime"),
    ("data.fluid.io/v1alpha1", "DataLoad"),
    ("apps/v1", "StatefulSet"),
    ("apps/v1", "DaemonSet"),
    ("batch/v1", "Job"),
    ("v1", "PersistentVolumeClaim"),
    ("v1", "ConfigMap"),
    ("v1", "Secret"),
    ("v1", "Service"),
    ("v1", "Pod"),
)


def test_uncache_leaves_nothing(cached: Cached) -> None:
    cached.start_reader("last", HOLDER)
    refused = cached.plugin("uncache", "demo")
    assert refused.code == 1 and "last" in refused.err
    assert cached.read("last") == cached.digests()
    cached.end_reader("last")
    cached.plugin("uncache", "demo", timeout=300).ok()
    assert named(cached, *KINDS) == []
    for node in (HOLDER, OTHER):
        assert mounts(cached.plane, node, "alluxio-fuse") == []
        labels = cached.plane.api.get("v1", "Node", node)["metadata"]["labels"]
        assert not [key for key in labels if key.startswith("fluid.io/")]
    assert cached.bucket.sizes("demo/"), "the model stays"
