"""Every number of a view against the objects it comes from: odd units, gaps, and honest doubt."""

from __future__ import annotations

from typing import Any

import pytest

from kubectl_fluidmodel.fluid import names
from kubectl_fluidmodel.inspect.details import (
    CacheDetails,
    HubStatus,
    LiveDetails,
    describe_caches,
)
from kubectl_fluidmodel.inspect.details_page import DetailsPage
from kubectl_fluidmodel.inspect.details_view import _source_section
from kubectl_fluidmodel.inventory import master_report
from kubectl_fluidmodel.inventory.usage import CacheUsage
from kubectl_fluidmodel.objects.access import Object
from kubectl_fluidmodel.snapshot.snapshot import ReadFailure
from tests.inventory import samples
from tests.update import samples as update_samples

GIB = 1 << 30


def describe(*objects: Object, **parts: Any) -> CacheDetails:
    """The first inspection of a snapshot with these objects."""
    return describe_caches(samples.snapshot(*objects, **parts))[0]


class TestAmounts:
    @pytest.mark.parametrize(
        ("total", "cached", "bytes_", "held", "percent", "whole"),
        [
            ("10.00GiB", "10.00GiB", 10 * GIB, 10 * GIB, 100.0, True),
            ("10.00GiB", "9.99GiB", 10 * GIB, round(9.99 * GIB), 100.0, True),  # two roundings
            ("10.00GiB", "9.97GiB", 10 * GIB, round(9.97 * GIB), 99.6, False),
            ("10.00GiB", "0.00B", 10 * GIB, 0, 0.0, False),
            ("10.00GiB", "10.40GiB", 10 * GIB, round(10.4 * GIB), 104.0, True),
            ("[Calculating]", "3.00GiB", None, 3 * GIB, None, None),
            ("", "3.00GiB", None, 3 * GIB, None, None),
            (None, "3.00GiB", None, 3 * GIB, None, None),
            ("10.00GiB", None, 10 * GIB, None, None, None),
            ("10.00GiB", "N/A", 10 * GIB, None, None, None),
            ("10.00GiB", "-1", 10 * GIB, None, None, None),
            ("1.50TB", "512.00B", 1649267441664, 512, 0.0, False),
            ("2048", "2KiB", 2048, 2048, 100.0, True),
            ("300Gi", "300G", 300 * GIB, 300 * GIB, 100.0, True),
            ("0.00B", "0.00B", 0, 0, 100.0, True),
        ],
    )
    def test_of_what_fluid_writes(
        self,
        total: str | None,
        cached: str | None,
        bytes_: int | None,
        held: int | None,
        percent: float | None,
        whole: bool | None,
    ) -> None:
        usage = describe(*samples.cache(total=total, cached=cached)).usage
        assert (usage.source_bytes, usage.cached_bytes) == (bytes_, held)
        assert (usage.percent, usage.is_complete) == (percent, whole)
        assert usage.is_calculating is (total == "[Calculating]")

    def test_what_was_measured_at_the_source_is_exact(self) -> None:
        notes = {names.BYTES_ANNOTATION: str(10 * GIB - 7), names.FILES_ANNOTATION: "12"}
        usage = describe(*samples.cache(annotations=notes)).usage
        assert (usage.source_bytes, usage.is_exact, usage.files) == (10 * GIB - 7, True, 12)
        assert usage.is_complete and not usage.source_changed

    def test_one_percent_less_is_never_rounded_up(self) -> None:
        notes = {names.BYTES_ANNOTATION: str(10 * GIB)}
        usage = describe(*samples.cache(cached="9.98GiB", annotations=notes)).usage
        assert (usage.percent, usage.is_complete) == (99.8, False)
        close = describe(*samples.cache(total="1000.00GiB", cached="999.97GiB")).usage
        assert (close.percent, close.is_complete) == (99.9, False)

    def test_a_source_that_grew_since(self) -> None:
        notes = {names.BYTES_ANNOTATION: str(8 * GIB)}
        assert describe(*samples.cache(annotations=notes)).usage.source_changed

    def test_files_other_than_the_models_are_no_change(self) -> None:
        notes = {
            names.BYTES_ANNOTATION: str(8 * GIB),
            names.EXCLUDED_BYTES_ANNOTATION: str(2 * GIB),
        }
        usage = describe(*samples.cache(annotations=notes, cached="8.00GiB")).usage
        assert (usage.source_changed, usage.is_complete, usage.percent) == (False, True, 100.0)

    def test_rubbish_that_is_not_cached_lacks_nothing(self) -> None:
        line = "{} PERSISTED 01-01-2026 00:00:00:000 {}% /{}"
        lines = [line.format(100, 100, "w.safetensors"), line.format(50, 0, ".cache/x.incomplete")]
        snapshot = samples.snapshot()
        snapshot.command_outputs[
            master_report.command_key("ns", "demo", master_report.LIST_COMMAND)
        ] = " " + "\n ".join(lines)
        listed = master_report.listed_files(snapshot, "ns", "demo")
        assert listed is not None and [file.path for file in listed] == ["w.safetensors"]
        assert master_report.refine_usage(CacheUsage(source_bytes=100), listed).is_complete

    def test_copies_count(self) -> None:
        half = describe(*samples.cache(nodes=["a", "b"], cached="10.00GiB")).usage
        assert (half.copies, half.percent, half.is_complete) == (2, 50.0, False)
        both = describe(*samples.cache(nodes=["a", "b"], cached="20.00GiB")).usage
        assert (both.percent, both.is_complete) == (100.0, True)

    def test_more_copies_than_workers_are_not_expected(self) -> None:
        details = describe(samples.dataset(), samples.runtime(replicas=1, copies=5))
        assert details.usage.copies == 1

    @pytest.mark.parametrize("junk", ["1e9", "-5", "", "٣", "9" * 30, "1.5"])
    def test_annotations_that_are_no_count(self, junk: str) -> None:
        usage = describe(*samples.cache(annotations={names.BYTES_ANNOTATION: junk})).usage
        assert (usage.source_bytes, usage.is_exact) == (10 * GIB, False)


class TestRuntimes:
    @pytest.mark.parametrize(
        ("kind", "short", "cached"),
        [
            ("AlluxioRuntime", "Alluxio", 10 * GIB),
            ("JuiceFSRuntime", "JuiceFS", 10 * GIB),
            ("JindoRuntime", "Jindo", 10 * GIB),
            ("GooseFSRuntime", "GooseFS", 10 * GIB),
            ("VineyardRuntime", "Vineyard", 10 * GIB),
            ("CacheRuntime", "Cache (curvine)", 10 * GIB),
            ("EFCRuntime", "EFC", None),
            ("ThinRuntime", "Thin", None),
        ],
    )
    def test_each_kind_of_runtime_is_described(
        self, kind: str, short: str, cached: int | None
    ) -> None:
        details = describe(*samples.cache(kind=kind))
        assert (details.runtime, details.usage.cached_bytes) == (short, cached)
        assert details.quota == 20 * GIB
        assert [node.name for node in details.nodes or ()] == ["gpu-0"]
        assert {part.name: (part.ready, part.desired) for part in details.components}["worker"] == (
            1,
            1,
        )
        assert bool(details.runtime_note) is (
            kind not in ("AlluxioRuntime", "GooseFSRuntime", "JindoRuntime")
        )

    def test_the_fuse_state_is_that_of_its_daemon_set(self) -> None:
        objects = [
            samples.dataset(),
            samples.runtime(),
            *samples.workloads(fuse=["gpu-0"], fuse_desired=3),
        ]
        fuse = describe(*objects).components[-1]
        assert (fuse.name, fuse.ready, fuse.desired, fuse.is_healthy) == ("fuse", 1, 3, False)
        assert fuse.phase == "Ready", "which is what Fluid says whatever happens"

    def test_without_the_daemon_set_the_state_is_unknown(self) -> None:
        fuse = describe(samples.dataset(), samples.runtime()).components[-1]
        assert (fuse.name, fuse.ready, fuse.desired, fuse.is_healthy) == ("fuse", None, None, None)

    def test_a_dataset_that_is_not_bound_shows_its_runtime(self) -> None:
        broken = {"type": "NotReady", "status": "True", "message": "no room"}
        objects = [
            samples.dataset(phase="NotBound", cached=None, status={"conditions": [broken]}),
            samples.runtime(),
            *samples.workloads(nodes=[]),
        ]
        details = describe(*objects)
        assert (details.phase, details.message, details.runtime) == (
            "NotBound",
            "no room",
            "Alluxio",
        )
        assert [part.name for part in details.components] == ["master", "worker", "fuse"]

    def test_a_runtime_alone(self) -> None:
        details = describe(samples.runtime())
        assert (details.phase, details.uri, details.usage.source_bytes) == ("No Dataset", "", None)

    def test_several_tiers_and_a_list_of_quotas(self) -> None:
        runtime = samples.runtime()
        runtime["spec"]["tieredstore"]["levels"] = [
            {"mediumtype": "MEM", "path": "/dev/shm", "quota": "1Gi"},
            {"mediumtype": "SSD", "path": "/a,/b", "quotaList": "2Gi,3Gi"},
        ]
        details = describe(samples.dataset(), runtime)
        assert (details.medium, details.quota) == ("MEM+SSD", 6 * GIB)

    def test_ratios(self) -> None:
        states = {"cacheHitRatio": "87.5%", "localHitRatio": "80.0%", "remoteHitRatio": "N/A"}
        details = describe(*samples.cache(states=states))
        assert (details.hit_ratio, details.local_hit_ratio, details.remote_hit_ratio) == (
            "87.5%",
            "80.0%",
            "",
        )


class TestNodes:
    def test_one_node_has_all_that_is_cached(self) -> None:
        (node,) = describe(*samples.cache()).nodes or ()
        assert (node.used_bytes, node.capacity_bytes, node.is_complete, node.problem) == (
            10 * GIB,
            20 * GIB,
            True,
            "",
        )

    def test_one_copy_over_two_nodes_is_a_part_on_each(self) -> None:
        objects = [
            samples.dataset(),
            samples.runtime(replicas=2, copies=1),
            *samples.workloads(nodes=["a", "b"]),
        ]
        nodes = describe(*objects).nodes or ()
        assert [(node.name, node.used_bytes, node.is_complete) for node in nodes] == [
            ("a", None, False),
            ("b", None, False),
        ]

    def test_the_master_reports_each_node(self) -> None:
        objects = samples.cache(nodes=["a", "b"], cached="15.00GiB")
        report = (
            "Worker Name   Last Heartbeat   Storage  MEM\n"
            "a             0                capacity 20.00GB\n"
            "                               used     10.00GB (50%)\n"
            "b             0                capacity 20.00GB\n"
            "                               used     5.00GB (25%)\n"
        )
        texts = {
            master_report.command_key("default", "demo", master_report.CAPACITY_COMMAND): report
        }
        nodes = describe(*objects, command_outputs=texts).nodes or ()
        assert [(node.used_bytes, node.is_complete) for node in nodes] == [
            (10 * GIB, True),
            (5 * GIB, False),
        ]

    def test_what_fluid_wrote_on_the_node_is_its_capacity(self) -> None:
        objects = samples.cache()
        objects[-1]["metadata"]["labels"]["fluid.io/s-h-alluxio-t-default-demo"] = "3GiB"
        (node,) = describe(*objects).nodes or ()
        assert node.capacity_bytes == 3 * GIB

    def test_a_node_that_is_gone(self) -> None:
        objects = [obj for obj in samples.cache() if obj["kind"] != "Node"]
        (node,) = describe(*objects).nodes or ()
        assert node.problem == "the node does not exist"
        (seen,) = describe(*objects, selectors={"nodes": "fluid.io/dataset-num"}).nodes or ()
        assert seen.problem == "it does not have Fluid's label"

    def test_a_label_that_outlived_its_worker(self) -> None:
        objects = [
            *samples.cache(),
            samples.node("old", "fluid.io/s-default-demo"),
        ]
        nodes = {node.name: node for node in describe(*objects).nodes or ()}
        assert nodes["old"].problem == "it has the label, but no worker"

    def test_nodes_that_are_not_well(self) -> None:
        objects = samples.cache(nodes=["a", "b"])
        objects[-1]["status"]["conditions"] = []
        objects[-2]["spec"] = {"unschedulable": True}
        problems = {node.name: node.problem for node in describe(*objects).nodes or ()}
        assert problems == {"a": "the node is cordoned", "b": "the node is not ready"}

    def test_where_neither_pods_nor_nodes_are_seen_nothing_is_claimed(self) -> None:
        hidden = [ReadFailure(kind, "", "no", True) for kind in ("pods", "nodes")]
        details = describe(samples.dataset(), samples.runtime(), read_failures=hidden)
        assert details.nodes is None and details.readers is None
        assert details.startup.code == "unknown"


class TestFiles:
    LISTING = (
        "drwxr-xr-x  a  b  0  PERSISTED 03-02-2026 10:00:00:000  DIR /sub\n"
        "-rw-r--r--  a  b  5  PERSISTED 03-02-2026 10:00:00:000  100% /sub/small.json\n"
        "-rw-r--r--  a  b  9  PERSISTED 03-02-2026 10:00:00:000   60% /big name.bin\n"
    )

    def test_largest_first(self) -> None:
        texts = {
            master_report.command_key("default", "demo", master_report.LIST_COMMAND): self.LISTING
        }
        files = describe(*samples.cache(), command_outputs=texts).files or ()
        assert [(file.path, file.bytes, file.percent) for file in files] == [
            ("big name.bin", 9, 60),
            ("sub/small.json", 5, 100),
        ]

    def test_a_file_that_lacks_something_settles_it(self) -> None:
        texts = {
            master_report.command_key("default", "demo", master_report.LIST_COMMAND): self.LISTING
        }
        details = describe(*samples.cache(), command_outputs=texts)
        assert (details.usage.is_complete, details.usage.cached_bytes) == (False, 5 + 9 * 60 // 100)
        assert [node.is_complete for node in details.nodes or ()] == [False]
        assert details.startup.code == "not-whole"

    def test_the_list_is_newer_than_what_fluid_wrote(self) -> None:
        listing = "-rw-r--r--  a  b  5  PERSISTED 03-02-2026 10:00:00:000  100% /all.json\n"
        texts = {master_report.command_key("default", "demo", master_report.LIST_COMMAND): listing}
        behind = samples.cache(cached="0.00B", total="5.00B", annotations={})
        assert describe(*behind).usage.is_complete is False
        details = describe(*behind, command_outputs=texts)
        assert (details.usage.is_complete, details.usage.percent) == (True, 100.0)

    def test_not_asked_is_not_empty(self) -> None:
        details = describe_caches(
            samples.snapshot(*samples.cache()), live=LiveDetails(files_reason="because")
        )[0]
        assert (details.files, details.files_reason) == (None, "because")


class TestStartupEstimate:
    @pytest.mark.parametrize(
        ("objects", "code", "startup"),
        [
            ([*samples.cache(), samples.reader()], "whole-on-node", "~80 s"),
            ([*samples.cache(), samples.reader(node="x")], "off-node", "~18 min"),
            ([*samples.cache(), samples.reader(), samples.reader("b", "x")], "off-node", "~18 min"),
            ([*samples.cache(), samples.reader(node="")], "waiting", "~80 s"),
            (samples.cache(), "unread", ""),
            ([*samples.cache(cached="5.00GiB"), samples.reader()], "not-whole", "up to ~9 min"),
            ([samples.dataset(), samples.runtime(), samples.reader()], "not-whole", "~9 min"),
            (
                [
                    samples.dataset(),
                    samples.runtime(replicas=2, copies=1),
                    *samples.workloads(nodes=["gpu-0", "gpu-1"]),
                    samples.reader(),
                ],
                "spread-on-node",
                "~10 min",
            ),
            ([*samples.cache(nodes=["gpu-0", "b"], cached="20.00GiB"), samples.reader()],
             "whole-on-node", "~80 s"),
        ],
    )  # fmt: skip
    def test_in_the_terms_of_the_write_up(
        self, objects: list[Object], code: str, startup: str
    ) -> None:
        estimate = describe(*objects).startup
        assert (estimate.code, estimate.duration) == (code, startup)

    def test_pin_is_named_for_the_graph_that_is_far(self) -> None:
        far = samples.reader(node="x")
        far["metadata"]["namespace"] = "ml"
        details = describe(*samples.cache(namespace="ml"), far, namespace="ml")
        assert details.startup.command == "kubectl fluidmodel pin demo chat -n ml"

    def test_readers_with_gpus_are_what_counts(self) -> None:
        near, far = samples.reader(), samples.reader("front", "cpu-0")
        near["spec"]["containers"][0]["resources"] = {"limits": {"nvidia.com/gpu": "1"}}
        assert describe(*samples.cache(), near, far).startup.code == "whole-on-node"

    @pytest.mark.parametrize("far", ["Processor", "VllmWorker"])
    def test_without_gpus_the_workers_of_graphs_are_what_counts(self, far: str) -> None:
        """A frontend reads only the tokenizer."""
        mounting = {"pvc": {"name": "demo", "mountPoint": "/model"}}
        spec = {"services": dict.fromkeys(("Processor", "VllmWorker"), mounting)}
        graph = samples.make_object("DynamoGraphDeployment", "chat", spec=spec)
        graph["apiVersion"] = "nvidia.com/v1alpha1"
        pods = []
        for name in spec["services"]:
            pod = samples.reader(name.lower(), "cpu-0" if name == far else "gpu-0")
            pod["metadata"]["labels"] = {"nvidia.com/selector": f"chat-{name.lower()}"}
            pods.append(pod)
        startup = describe(*samples.cache(), graph, *pods).startup
        if far == "Processor":
            assert (startup.code, startup.text) == (
                "whole-on-node", "the whole model on the node of the worker"
            )  # fmt: skip
        else:
            assert startup.text == "1 of 1 worker on other nodes than the cache's (cpu-0)"
            assert startup.command == "kubectl fluidmodel pin demo chat"


def test_the_tables_cells_for_a_hub_model() -> None:
    notes = {names.SOURCE_ANNOTATION: "hf://org/m", names.COMMIT_ANNOTATION: "abcdef0123" * 4}
    assert describe(*samples.cache(annotations=notes)).model == "org/m@abcdef0"


def test_an_age_needs_a_birth() -> None:
    objects = samples.cache()
    assert describe(*objects).age == 300.0
    objects[0]["metadata"]["creationTimestamp"] = None
    assert describe(*objects).age is None


def test_a_dataset_that_is_being_deleted() -> None:
    dataset = samples.dataset(deletionTimestamp=samples.BORN)
    assert describe(dataset).phase == "Terminating"


def test_staging_by_our_annotations_and_its_job() -> None:
    commit = "a" * 40
    notes = {names.SOURCE_ANNOTATION: "hf://org/m", names.COMMIT_ANNOTATION: commit}
    labels = {names.MODEL_LABEL: "demo"}
    over = {"conditions": [{"type": "Complete", "status": "True"}]}
    job = samples.make_object("Job", "demo-stage-1", labels=labels, status=over)
    source = f"s3://b/pre/org/m/{commit}"
    staged = describe(*samples.cache(annotations=notes, source=source), job).staging
    assert staged is not None
    assert (staged.to, staged.job, staged.job_state) == (source, "demo-stage-1", "Complete")
    assert staged.manifest == f"s3://b/pre/org/m/.fluidmodel/{commit}/manifest.json"
    assert staged.verified is None, "nobody looked"
    assert describe(*samples.cache()).staging is None


def test_an_update_that_is_not_finished_shows_in_both_caches() -> None:
    old = update_samples.cache("llama", update_samples.OLD)
    new = update_samples.cache("llama-9f8e7d6", update_samples.NEW, replaces="llama")
    snapshot = samples.snapshot(old.dataset, new.dataset)
    first, second = describe_caches(snapshot)
    assert (first.replaced_by, first.replaces) == ("llama-9f8e7d6", "")
    assert (second.replaced_by, second.replaces) == ("", "llama")
    (alone,) = describe_caches(samples.snapshot(new.dataset))
    assert (alone.replaced_by, alone.replaces) == ("", ""), "the old one is removed"
    key = ("ns", "llama")
    live = LiveDetails(hub={key: HubStatus(update_samples.NEW)})
    view = _source_section(DetailsPage(None, False), describe_caches(snapshot, live=live)[0])
    assert "has moved to 9f8e7d611111\n" in view
    assert "is being replaced by llama-9f8e7d6\n" in view
    view = _source_section(DetailsPage(None, False), second)
    assert "still exists: kubectl fluidmodel update llama-9f8e7d6@9f8e7d611111 -n ns\n" in view
