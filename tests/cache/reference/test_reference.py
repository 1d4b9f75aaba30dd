"""`cache dataset://NAMESPACE/NAME`: the flags, and what is checked before the first write."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest

from kubectl_fluidmodel.cache.options import CacheFlags, StagingFlags
from kubectl_fluidmodel.cache.reference import source_verification, workflow
from kubectl_fluidmodel.cache.reference.command import summary_document, summary_text
from kubectl_fluidmodel.cache.reference.options import (
    ReferenceOptions,
    is_reference,
    parse_reference_options,
)
from kubectl_fluidmodel.cache.verification import Verification
from kubectl_fluidmodel.errors import FluidModelError, UsageError
from kubectl_fluidmodel.fluid import alluxio_cli, installation, names
from kubectl_fluidmodel.fluid.dataset import build_reference
from kubectl_fluidmodel.fluid.reference import THIN_CONTROLLER
from kubectl_fluidmodel.hub.options import HubOptions
from kubectl_fluidmodel.kube.exec import ExecResult
from kubectl_fluidmodel.objects import kinds
from kubectl_fluidmodel.objects.access import Object
from kubectl_fluidmodel.objectstore.options import StoreOptions
from tests.cache.objects import Objects, objects

__all__ = ["objects"]

OPTIONS = ReferenceOptions(("models", "llama"), "llama")


def parse(
    source: str,
    flags: CacheFlags = CacheFlags(),  # noqa: B008 - frozen
    store: StoreOptions = StoreOptions(),  # noqa: B008 - frozen
) -> ReferenceOptions:
    others = (store, StagingFlags(), HubOptions())
    return parse_reference_options(source, flags, others, (True, 60.0))


def test_the_source_and_the_name() -> None:
    assert is_reference("dataset://models/llama")
    assert not is_reference("s3://models/llama")
    assert parse("dataset://models/llama") == ReferenceOptions(
        ("models", "llama"), "llama", True, 60.0
    )
    assert parse("dataset://models/llama/", CacheFlags(name="mine")).name == "mine"


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("dataset://models", "format is dataset://NAMESPACE/NAME"),
        ("dataset://", "format is dataset://NAMESPACE/NAME"),
        ("dataset:///llama", "format is dataset://NAMESPACE/NAME"),
        ("dataset://models/Bad_Name", "format is dataset://NAMESPACE/NAME"),
        ("dataset://models/llama/sub", "a reference shows the whole cache"),
    ],
)
def test_other_forms_are_refused(source: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(source)
    assert message in caught.value.reason


VALUES: dict[str, Any] = {
    "replicas": 2,
    "medium": "SSD",
    "path": "/x",
    "quota": "1Gi",
    "runtime": "x",
    "load": False,
    "nodes": ("n",),
    "node_selector": "a=b",
    "gcs_secret": "s",
    "verify": "read",
    "preheat": True,
    "high_concurrency": True,
}


@pytest.mark.parametrize("field", [flag.name for flag in fields(CacheFlags) if flag.name != "name"])
def test_flags_of_caches_with_workers_are_refused(field: str) -> None:
    if field not in VALUES:
        pytest.fail(f"say whether a reference takes {field}")
    with pytest.raises(UsageError, match="its source has them"):
        parse("dataset://models/llama", CacheFlags(**{field: VALUES[field]}))


def test_flags_of_the_store_are_refused() -> None:
    with pytest.raises(UsageError, match="--s3-secret with dataset://models/llama"):
        parse("dataset://models/llama", store=StoreOptions(s3_secret="keys"))


# -- what is checked -----------------------------------------------------------------------------


def source(**changes: Any) -> Object:
    status = {
        "phase": "Bound",
        "ufsTotal": "10.00GiB",
        "cacheStates": {"cached": "10.00GiB"},
    }
    return {
        "kind": "Dataset",
        "metadata": {"name": "llama", "namespace": "models", "uid": "u-1"},
        "spec": {"mounts": [{"mountPoint": "s3://bucket/llama"}]},
        "status": {**status, **changes},
    }


def serve(objects: Objects, served_dataset: Object | None = None) -> None:
    """A cluster with Fluid, and a cache in another namespace."""
    versions = [{"groupVersion": "data.fluid.io/v1alpha1", "version": "v1alpha1"}]
    objects.served["/apis"] = {
        "kind": "APIGroupList",
        "groups": [{"name": "data.fluid.io", "versions": versions}],
    }
    objects.served["/apis/data.fluid.io"] = {
        "kind": "APIGroup", "name": "data.fluid.io", "versions": versions,
    }  # fmt: skip
    objects.add(kinds.NAMESPACES, {"metadata": {"name": "default"}})
    objects.add(names.DATASETS, served_dataset or source())


def refused(objects: Objects, options: ReferenceOptions = OPTIONS) -> FluidModelError:
    with pytest.raises(FluidModelError) as caught:
        workflow.plan_reference(objects.client, options)
    return caught.value


def test_a_bound_cache_of_another_namespace_can_be_referred_to(objects: Objects) -> None:
    serve(objects)
    planned = workflow.plan_reference(objects.client, OPTIONS)
    assert planned.dataset == build_reference("llama", planned.namespace, ("models", "llama"))
    assert planned.source_label == "fluid.io/s-models-llama"


def test_a_missing_source_is_named(objects: Objects) -> None:
    serve(objects)
    error = refused(objects, ReferenceOptions(("models", "nope"), "nope"))
    assert error.message == "dataset://models/nope does not exist"


def test_an_unbound_source_is_refused(objects: Objects) -> None:
    serve(objects, source(phase="NotBound"))
    error = refused(objects)
    assert error.message == "dataset://models/llama is NotBound"
    assert "doctor llama -n models" in str(error.hint)


def test_a_reference_to_a_reference_is_refused_with_its_source(objects: Objects) -> None:
    serve(objects, {**build_reference("llama", "models", ("far", "away")), "status": {}})
    assert "cache dataset://far/away" in str(refused(objects).hint)


def test_a_cache_of_the_same_namespace_needs_none(objects: Objects) -> None:
    serve(objects)
    namespace = objects.client.namespace
    error = refused(objects, ReferenceOptions((namespace, "llama"), "other"))
    assert "without a reference" in error.reason


def test_a_missing_right_in_the_other_namespace_is_named(objects: Objects) -> None:
    serve(objects)
    objects.denied.add(("get", "datasets"))
    assert "get datasets.data.fluid.io in namespace models" in str(refused(objects))


def test_a_name_that_is_taken_is_refused(objects: Objects) -> None:
    serve(objects)
    namespace = objects.client.namespace
    other = {
        "metadata": {"name": "llama", "namespace": namespace},
        "spec": {"mounts": [{"mountPoint": "s3://x/y"}]},
    }
    objects.add(names.DATASETS, other)
    error = refused(objects)
    assert error.message == f"the name llama is taken in namespace {namespace}"
    assert "s3://x/y" in error.reason and "--name llama-2" in str(error.hint)


def test_the_same_reference_again_is_no_obstacle(objects: Objects) -> None:
    serve(objects)
    namespace = objects.client.namespace
    objects.add(names.DATASETS, build_reference("llama", namespace, ("models", "llama")))
    workflow.plan_reference(objects.client, OPTIONS)


def test_a_runtime_of_the_sources_name_would_lose_its_config_map(objects: Objects) -> None:
    serve(objects)
    namespace = objects.client.namespace
    objects.add(names.ALLUXIO_RUNTIMES, {"metadata": {"name": "llama", "namespace": namespace}})
    error = refused(objects, ReferenceOptions(("models", "llama"), "mine"))
    assert "has an AlluxioRuntime llama of its own" in error.message


def deployment(name: str) -> Object:
    return {"metadata": {"name": name, "namespace": names.SYSTEM_NAMESPACE}}


def test_fluid_without_the_controller_of_references_is_refused(objects: Objects) -> None:
    serve(objects)
    objects.add(kinds.DEPLOYMENTS, deployment(installation.DATASET_CONTROLLER))
    assert "without its ThinRuntime controller" in refused(objects).message
    objects.add(kinds.DEPLOYMENTS, deployment(THIN_CONTROLLER))
    workflow.plan_reference(objects.client, OPTIONS)


def planned() -> workflow.Reference:
    dataset = build_reference("llama", "team-a", ("models", "llama"))
    return workflow.Reference("team-a", OPTIONS, dataset, source())


def bind(objects: Objects) -> None:
    """Fluid has bound the reference."""
    dataset = {
        **build_reference("llama", "team-a", ("models", "llama")),
        "status": {"phase": "Bound"},
    }
    objects.add(names.DATASETS, dataset)
    claim = {"metadata": {"name": "llama", "namespace": "team-a"}, "status": {"phase": "Bound"}}
    objects.add(kinds.PVCS, claim)


def verify(objects: Objects) -> tuple[Verification, list[str]]:
    notes: list[str] = []
    return workflow.wait_and_verify(objects.client, planned(), 0.0, notes.append), notes


@pytest.mark.parametrize(("cached", "complete"), [("10.00GiB", True), ("4.00GiB", False)])
def test_without_exec_it_is_as_complete_as_the_totals_of_its_source(
    objects: Objects, cached: str, complete: bool
) -> None:
    serve(objects, source(cacheStates={"cached": cached}))
    bind(objects)
    objects.denied.add(("create", "pods"))
    if complete:
        verification, [note] = verify(objects)
        assert verification.complete and verification.files is None
        assert note.startswith("note: compared by Fluid's rounded totals only: missing permission")
        return
    with pytest.raises(FluidModelError, match="its source models/llama is incomplete"):
        verify(objects)


LISTING = """\
-rw-r--r--  a a  {size} PERSISTED 01-01-2026 00:00:00:000 {cached}% /w.safetensors
-rw-r--r--  a a  26 PERSISTED 01-01-2026 00:00:00:000 100% /config.json
"""
CAPACITY = """\
Worker Name   Last Heartbeat   Storage     MEM
node-1        0                capacity    24.00GB
                               used        10.00GB (41%)
"""


@pytest.mark.parametrize(
    ("cached", "files", "reason"),
    [
        (100, 2, ""),
        (99, 2, "w.safetensors: 99% cached"),
        (100, 3, "its master lists 2 files, and its Dataset records 3"),
    ],
)
def test_each_file_of_the_masters_list_has_to_be_cached(
    objects: Objects, monkeypatch: pytest.MonkeyPatch, cached: int, files: int, reason: str
) -> None:
    """Fluid's totals are rounded: 99% of one file can look complete."""
    dataset = source()
    dataset["metadata"]["annotations"] = {
        "fluidmodel.io/files": str(files),
        "fluidmodel.io/bytes": str(10 << 30),
    }
    serve(objects, dataset)
    bind(objects)

    def run(_: Any, namespace: str, pod: str, _container: str, command: list[str], **__: Any):
        assert (namespace, pod) == ("models", "llama-master-0")
        is_list = command == alluxio_cli.LIST_COMMAND
        text = LISTING.format(size=10 << 30, cached=cached) if is_list else CAPACITY
        return ExecResult(0, text, "")

    monkeypatch.setattr(source_verification, "exec_command", run)
    if reason:
        with pytest.raises(FluidModelError) as caught:
            verify(objects)
        assert caught.value.reason == reason
        return
    verification, notes = verify(objects)
    assert (verification.complete, verification.files, notes) == (True, 2, [])


def test_a_master_that_does_not_answer_leaves_the_totals(
    objects: Objects, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve(objects)
    bind(objects)
    failed = ExecResult(255, "", "")
    monkeypatch.setattr(source_verification, "exec_command", lambda *_, **__: failed)
    verification, [note] = verify(objects)
    assert verification.complete and verification.files is None
    assert "failed in pod llama-master-0" in note


def test_one_that_is_not_bound_in_time_is_a_timeout(objects: Objects) -> None:
    serve(objects)
    with pytest.raises(FluidModelError, match="its Dataset is Absent"):
        verify(objects)


def test_the_result_lists_what_was_read() -> None:
    done = planned()
    object.__setattr__(done, "verification", Verification(True, None, 10 << 30, 10 << 30))
    assert summary_text(done) == (
        "llama refers to models/llama: 10.0 GiB, complete by Fluid's totals\n"
        "next: kubectl fluidmodel pin llama GRAPH -n team-a\n"
    )
    by_file = planned()
    object.__setattr__(by_file, "verification", Verification(True, 2, 10 << 30, 10 << 30))
    assert summary_text(by_file).splitlines()[0] == (
        "llama refers to models/llama: 2 files, 10.0 GiB, all cached by the list of its master"
    )
    document = summary_document(done)
    assert document["nodeLabel"] == "fluid.io/s-models-llama"
    assert document["proof"]["by"] == "total"
    assert "run the same command again" in summary_text(planned())
