"""What is shown of the page cache of a cache's nodes, and when it is lost."""

from __future__ import annotations

from kubectl_fluidmodel.fluid.names import PREHEATED_ANNOTATION, READ_RATES_ANNOTATION
from kubectl_fluidmodel.inventory.cache import build_caches
from kubectl_fluidmodel.inventory.page_cache import BENCH, PREHEATING, PageCache, page_caches
from kubectl_fluidmodel.inventory.preheat_record import PreheatRecord, format_records
from kubectl_fluidmodel.inventory.read_rates import ReadRates
from kubectl_fluidmodel.objects.access import Object
from kubectl_fluidmodel.snapshot.snapshot import ReadFailure
from tests.inventory import samples

GIB = 1 << 30
AT, LATER = "2026-11-29T08:00:00Z", "2026-11-29T09:00:00Z"


def fuse_pod(restarts: int = 0, started: str = AT) -> Object:
    running = {"running": {"startedAt": started}}
    statuses = [{"name": "alluxio-fuse", "restartCount": restarts, "state": running}]
    labels = {"release": "demo", "role": "alluxio-fuse"}
    status = {"containerStatuses": statuses}
    return samples.pod("demo-fuse-x", node="gpu-0", labels=labels, status=status, uid="u")


def measured(
    *pods: Object, record: PreheatRecord | None = None, rates: ReadRates | None = None
) -> PageCache | None:
    """What is known of gpu-0."""
    annotations = {}
    if record:
        annotations[PREHEATED_ANNOTATION] = format_records({"gpu-0": record})
    if rates:
        annotations[READ_RATES_ANNOTATION] = rates.to_annotation()
    snapshot = samples.snapshot(*samples.cache(annotations=annotations), *pods)
    (cache,) = build_caches(snapshot)
    return page_caches(snapshot, cache).get("gpu-0")


def preheated(pod: Object, resident: int | None = 9 * GIB) -> PreheatRecord:
    client = f"{pod['metadata']['uid']}/0"
    return PreheatRecord("abc", client, 10 * GIB, 5.0, resident, AT)


def benched(at: str) -> ReadRates:
    return ReadRates(at, "gpu-0", resident_bytes=0, total_bytes=8 * GIB)


def test_nothing_is_known_of_a_node_that_was_never_measured() -> None:
    assert measured(fuse_pod()) is None


def test_preheating_holds_until_the_fuse_client_is_another_one() -> None:
    pod = fuse_pod()
    page_cache = measured(pod, record=preheated(pod))
    assert page_cache is not None and page_cache.percent == 90 and not page_cache.is_lost
    assert (page_cache.measured_by, page_cache.measured_at) == (PREHEATING, AT)
    for others in ([fuse_pod(restarts=1)], []):
        later = measured(*others, record=preheated(pod))
        assert later is not None and later.is_lost


def test_an_earlier_version_recorded_no_pages() -> None:
    pod = fuse_pod()
    page_cache = measured(pod, record=preheated(pod, resident=None))
    assert page_cache is not None and page_cache.percent is None and not page_cache.is_lost


def test_the_latest_measurement_counts() -> None:
    pod = fuse_pod()
    page_cache = measured(pod, record=preheated(pod), rates=benched(LATER))
    assert page_cache is not None and (page_cache.measured_by, page_cache.percent) == (BENCH, 0)
    page_cache = measured(pod, record=preheated(pod), rates=benched("2026-11-29T07:00:00Z"))
    assert page_cache is not None and page_cache.measured_by == PREHEATING


def test_a_measurement_of_bench_is_lost_with_its_fuse_client() -> None:
    page_cache = measured(fuse_pod(started=AT), rates=benched(LATER))
    assert page_cache is not None and not page_cache.is_lost
    page_cache = measured(fuse_pod(restarts=1, started=LATER), rates=benched(AT))
    assert page_cache is not None and page_cache.is_lost


def test_nothing_is_called_lost_where_pods_cannot_be_read() -> None:
    record = preheated(fuse_pod())
    annotations = {PREHEATED_ANNOTATION: format_records({"gpu-0": record})}
    hidden = [ReadFailure("pods", "", "forbidden", True)]
    snapshot = samples.snapshot(*samples.cache(annotations=annotations), read_failures=hidden)
    snapshot.objects.pop("pods", None)
    (cache,) = build_caches(snapshot)
    assert not page_caches(snapshot, cache)["gpu-0"].is_lost


def test_a_client_without_page_cache_has_none_whatever_was_measured_before() -> None:
    record = preheated(fuse_pod())
    annotations = {PREHEATED_ANNOTATION: format_records({"gpu-0": record})}
    objects = samples.high_concurrency([*samples.cache(annotations=annotations), fuse_pod()])
    snapshot = samples.snapshot(*objects)
    (cache,) = build_caches(snapshot)
    assert page_caches(snapshot, cache) == {}
