"""Comparing the cache with the source, from what Alluxio 2.9 and Fluid print."""

from __future__ import annotations

from typing import Any

import pytest

from kubectl_fluidmodel.cache.verification import (
    exclude_lost_workers,
    lost_workers,
    verify_by_file,
    verify_by_total,
)
from kubectl_fluidmodel.fluid.alluxio_cli import AlluxioFile, AlluxioWorker
from kubectl_fluidmodel.fluid.status import DatasetStatus, parse_dataset
from kubectl_fluidmodel.model.files import FileListing, SourceFile

GIB = 1 << 30

MODEL = FileListing((SourceFile("config.json", 826), SourceFile("dir/w.safetensors", 10 * GIB)))
WHOLE = [AlluxioFile("config.json", 826, 100), AlluxioFile("dir/w.safetensors", 10 * GIB, 100)]


class TestByFile:
    def test_complete(self) -> None:
        verification = verify_by_file(MODEL, WHOLE, [], 1)
        assert verification.complete
        assert (verification.files, verification.bytes, verification.cached_bytes) == (
            2,
            10 * GIB + 826,
            10 * GIB + 826,
        )
        assert verification.missing == ()

    @pytest.mark.parametrize(
        ("cached", "missing"),
        [
            ([WHOLE[0]], "dir/w.safetensors: not in the cache's file system"),
            (
                [WHOLE[0], AlluxioFile("dir/w.safetensors", 10 * GIB, 57)],
                "dir/w.safetensors: 57% cached",
            ),
            (
                [WHOLE[0], AlluxioFile("dir/w.safetensors", 5, 100)],
                f"dir/w.safetensors: 5 bytes in the cache, {10 * GIB} in the source",
            ),
        ],
    )
    def test_each_way_to_be_incomplete(self, cached: list[AlluxioFile], missing: str) -> None:
        verification = verify_by_file(MODEL, cached, [], 1)
        assert not verification.complete
        assert verification.missing == (missing,)

    def test_files_beyond_the_source_do_no_harm(self) -> None:
        assert verify_by_file(MODEL, [*WHOLE, AlluxioFile("new.txt", 5, 0)], [], 1).complete

    def test_an_empty_file_has_nothing_to_cache(self) -> None:
        assert verify_by_file(FileListing((SourceFile("e", 0), SourceFile("f", 1))), [AlluxioFile("e", 0, 0), AlluxioFile("f", 1, 100)], [], 1).complete  # noqa: E501  # fmt: skip

    def test_without_a_listing_every_file_that_alluxio_sees_counts(self) -> None:
        assert verify_by_file(None, WHOLE, [], 1).complete
        verification = verify_by_file(None, [WHOLE[0], AlluxioFile("w", 9, 99)], [], 1)
        assert verification.missing == ("w: 99% cached",)

    @pytest.mark.parametrize("listing", [None, FileListing(())])
    def test_nothing_at_all_proves_nothing(self, listing: FileListing | None) -> None:
        verification = verify_by_file(listing, [], [], 1)
        assert not verification.complete
        assert "no file at all" in verification.reason

    def test_every_worker_caches_the_complete_model(self) -> None:
        slack = GIB // 100
        held = ("a", 10 * GIB, slack)
        assert verify_by_file(MODEL, WHOLE, [held, ("b", 10 * GIB, slack)], 2).complete
        assert verify_by_file(
            MODEL, WHOLE, [held, ("b", 10 * GIB + 826 - slack, slack)], 2
        ).complete
        verification = verify_by_file(MODEL, WHOLE, [held, ("b", 5 * GIB, slack)], 2)
        assert not verification.complete
        assert verification.missing == (f"worker b holds {5 * GIB} of {10 * GIB + 826} bytes",)

    def test_every_worker_reports(self) -> None:
        verification = verify_by_file(MODEL, WHOLE, [("a", 10 * GIB + 826, 0)], 2)
        assert verification.missing == ("1 of 2 workers are reporting",)


def dataset_status(cached: str | None, total: str | None = None) -> DatasetStatus:
    return parse_dataset({"status": {"ufsTotal": total, "cacheStates": {"cached": cached}}})


class TestByTotal:
    @pytest.mark.parametrize(
        ("cached", "replicas", "complete"),
        [
            ("10.00GiB", 1, True),  # 826 bytes less, within its rounding
            ("9.98GiB", 1, False),
            ("20.00GiB", 2, True),
            ("10.00GiB", 2, False),
            ("11.00GiB", 1, True),
            ("0.00B", 1, False),
        ],
    )
    def test_within_the_rounding(self, cached: str, replicas: int, complete: bool) -> None:
        verification = verify_by_total(MODEL, dataset_status(cached), replicas)
        assert verification.complete is complete
        assert verification.files is None
        assert bool(verification.reason) is not complete

    @pytest.mark.parametrize(
        ("listing", "state"),
        [
            (MODEL, dataset_status(None)),
            (None, dataset_status("1.00GiB", "[Calculating]")),
            (None, dataset_status("[Calculating]", "1.00GiB")),
        ],
    )
    def test_missing_totals_verify_nothing(
        self, listing: FileListing | None, state: DatasetStatus
    ) -> None:
        verification = verify_by_total(listing, state, 1)
        assert not verification.complete
        assert verification.reason == "Fluid does not report its totals yet"

    def test_fluids_own_total_where_the_source_was_not_listed(self) -> None:
        assert verify_by_total(None, dataset_status("2.00GiB", "2.00GiB"), 1).complete
        assert not verify_by_total(None, dataset_status("1.50GiB", "2.00GiB"), 1).complete


def worker_pod(name: str, *, ready: bool = True, node: str = "gpu-0") -> dict[str, Any]:
    return {
        "metadata": {"name": name},
        "spec": {"nodeName": node},
        "status": {"conditions": [{"type": "Ready", "status": str(ready)}]},
    }


LIVE, SILENT = AlluxioWorker("10.0.0.1", 5, 0, True), AlluxioWorker("10.0.0.2", 5, 0, False)


class TestLostWorkers:
    """Alluxio lists what a lost worker had as cached for up to five minutes."""

    @pytest.mark.parametrize(
        ("pods", "nodes", "reported", "replicas", "lost"),
        [
            ([worker_pod("w-0")], {"gpu-0"}, [LIVE], 1, []),
            (None, None, [], 1, []),
            (None, None, [LIVE, SILENT], 1, []),
            ([], None, [], 1, ["0 of 1 workers have a pod"]),
            ([worker_pod("w-0", ready=False)], None, [LIVE], 1, ["worker w-0 is not ready"]),
            ([worker_pod("w-0")], {"gpu-1"}, [LIVE], 1, ["worker w-0: node gpu-0 does not exist"]),
            (
                None,
                None,
                [SILENT],
                1,
                ["worker 10.0.0.2 is lost: the master gets no heartbeat from it"],
            ),
            (
                [worker_pod("w-0"), worker_pod("w-1")],
                None,
                [LIVE, SILENT],
                2,
                ["worker 10.0.0.2 is lost: the master gets no heartbeat from it"],
            ),
        ],
    )
    def test_each_way_to_be_lost(
        self,
        pods: list[dict[str, Any]] | None,
        nodes: set[str] | None,
        reported: list[AlluxioWorker],
        replicas: int,
        lost: list[str],
    ) -> None:
        assert lost_workers(pods, nodes, reported, replicas) == lost

    def test_no_verification_remains_valid_without_its_workers(self) -> None:
        whole = verify_by_file(MODEL, WHOLE, [], 1)
        assert exclude_lost_workers(whole, []) is whole
        verification = exclude_lost_workers(whole, ["worker w-0 is not ready"])
        assert not verification.complete and verification.missing == ("worker w-0 is not ready",)
