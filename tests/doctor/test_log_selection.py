"""Which logs are read of a cache that seems to be well."""

from __future__ import annotations

from kubectl_fluidmodel.doctor.collect.logs import select_logs
from kubectl_fluidmodel.fluid import names
from kubectl_fluidmodel.inventory.cache import build_caches
from kubectl_fluidmodel.objects.access import name_of
from kubectl_fluidmodel.snapshot.snapshot import Snapshot
from tests.doctor import builders as b


def selected(snapshot: Snapshot) -> set[tuple[str, str]]:
    """(pod, container) of each log."""
    requests = select_logs(build_caches(snapshot), snapshot)
    return {(name_of(request.pod), request.container) for request in requests}


def test_nothing_is_read_of_a_complete_cache() -> None:
    assert selected(b.healthy_snapshot()) == set()


def test_all_containers_of_master_and_worker_are_read_of_an_incomplete_one() -> None:
    """A kubelet lists containers by name: the first one of a worker is the job worker."""
    snapshot = b.healthy_snapshot()
    states = b.get_object(snapshot, names.DATASETS, "demo")["status"]["cacheStates"]
    states.update(cached="50.00GiB", cachedPercentage="50.0%")
    assert selected(snapshot) == {
        ("demo-master-0", "alluxio-master"),
        ("demo-master-0", "alluxio-job-master"),
        ("demo-worker-0", "alluxio-worker"),
        ("demo-worker-0", "alluxio-job-worker"),
    }
