"""`pin` and `unpin` from the options to the patch, against an API server in memory."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, ClassVar

import pytest

from kubectl_fluidmodel.errors import FluidModelError, UsageError, WaitTimeoutError
from kubectl_fluidmodel.fluid import names
from kubectl_fluidmodel.inventory.read_rates import ReadRates
from kubectl_fluidmodel.kube.config import ConfigFlags
from kubectl_fluidmodel.kube.errors import NotFoundError
from kubectl_fluidmodel.objects.kinds import Kind
from kubectl_fluidmodel.pin import run, wait, workflow
from kubectl_fluidmodel.pin.options import PinOptions
from tests.dynamo.patching import apply_patch
from tests.pin.test_preflight import KEY, graph, node, worker

Object = dict[str, Any]


class Server:
    """The few requests of a pin, answered from dicts."""

    namespace = "ns"

    def __init__(self, obj: Object) -> None:
        self.requests = 0
        self.patches: list[bool] = []
        """Of each patch, whether it was a dry run."""
        self.graph = obj
        self.graph["metadata"] |= {"resourceVersion": "1", "generation": 1}
        status = {
            "phase": "Bound",
            "ufsTotal": "10.00GiB",
            "cacheStates": {"cached": "10.00GiB"},
        }
        dataset = {"metadata": {"name": "llama", "namespace": "ns"}, "status": status}
        claim = {
            "metadata": {"name": "llama", "namespace": "ns", "labels": {KEY: "true"}},
            "status": {"phase": "Bound"},
        }
        self.objects = {"Dataset": dataset, "PersistentVolumeClaim": claim}

    def get(self, kind: Kind, name: str, namespace: str | None = None) -> Object:
        if kind.name == "DynamoGraphDeployment" and name == "chat":
            return copy.deepcopy(self.graph)
        raise NotFoundError("not found", status=404, api_reason="NotFound")

    def get_or_none(self, kind: Kind, name: str, namespace: str | None = None) -> Object | None:
        return copy.deepcopy(self.objects.get(kind.name))

    def list_objects(self, kind: Kind, *_: Any, **__: Any) -> list[Object]:
        return [node()] if kind.name == "Node" else []

    def patch(
        self, kind: Kind, name: str, namespace: str, body: Any, *, media: str, dry_run: bool
    ) -> Object:
        self.patches.append(dry_run)
        changed: Object = apply_patch(self.graph, body)
        if not dry_run:
            self.graph = changed
        return copy.deepcopy(changed)


def options(**changes: Any) -> PinOptions:
    fields: dict[str, Any] = {
        "cache": "llama",
        "graphs": ("chat",),
        "filename": None,
        "components": (),
        "show_diff": False,
        "dry_run": "none",
        "output": None,
        "color": "never",
        "connection": ConfigFlags(),
        **changes,
    }
    return PinOptions(**fields)


def no_watchdog(*_: Any) -> Callable[[], None]:
    return lambda: None


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Server:
    made = Server(graph(worker()))
    monkeypatch.setattr(workflow.CountingClient, "connect", lambda _: made)
    return made


def affinity_of(obj: Object) -> Any:
    return obj["spec"]["components"][0]["podTemplate"]["spec"].get("affinity")


def test_pin_tries_then_patches_and_unpin_restores(
    server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    before = copy.deepcopy(server.graph)
    run.run_pin(options(), no_watchdog)
    captured = capsys.readouterr()
    assert server.patches == [True, False]
    assert KEY in str(affinity_of(server.graph))
    assert "dynamographdeployment.nvidia.com/chat pinned to llama" in captured.out
    assert "to wait for the roll-out: kubectl fluidmodel pin" in captured.err
    run.run_pin(options(), no_watchdog)
    assert server.patches == [True, False]
    assert "unchanged (already pinned to llama)" in capsys.readouterr().out
    run.run_unpin(options())
    assert server.graph == before
    assert "unpinned from llama" in capsys.readouterr().out
    run.run_unpin(options())
    assert "it is not pinned to llama by this plugin" in capsys.readouterr().out


def test_auto_reads_the_rates_that_bench_saved(
    server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    container = server.graph["spec"]["components"][0]["podTemplate"]["spec"]["containers"][0]
    container |= {
        "image": "nvcr.io/nvidia/ai-dynamo/vllm-runtime:1.6.0",
        "command": ["python3", "-m", "dynamo.vllm"],
    }
    rates = ReadRates("2026-11-29T08:00:00Z", "gpu-0", mapped=1e8, parallel={1: 2e8, 4: 9e8})
    server.objects["Dataset"]["metadata"]["annotations"] = {
        names.READ_RATES_ANNOTATION: rates.to_annotation()
    }
    run.run_pin(options(loader="auto"), no_watchdog)
    assert "bench measured 4 as the best for a node" in capsys.readouterr().err
    container = server.graph["spec"]["components"][0]["podTemplate"]["spec"]["containers"][0]
    assert container["command"][-2:] == ["--safetensors-prefetch-num-threads", "4"]


def test_a_reference_is_pinned_by_its_sources_label(
    server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    """The label of its own that its claim has is on no node."""
    server.objects["Dataset"]["spec"] = {"mounts": [{"mountPoint": "dataset://models/llama"}]}
    run.run_pin(options(force=True), no_watchdog)
    assert "fluid.io/s-models-llama" in str(affinity_of(server.graph))
    assert KEY not in str(affinity_of(server.graph))


def test_a_dead_label_of_a_reference_is_replaced(server: Server) -> None:
    server.objects["Dataset"]["spec"] = {"mounts": [{"mountPoint": "dataset://models/llama"}]}
    spec = server.graph["spec"]["components"][0]["podTemplate"]["spec"]
    term = {"matchExpressions": [{"key": KEY, "operator": "In", "values": ["true"]}]}
    required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}
    spec["affinity"] = {"nodeAffinity": required}
    run.run_pin(options(force=True), no_watchdog)
    assert KEY not in str(affinity_of(server.graph))
    assert "fluid.io/s-models-llama" in str(affinity_of(server.graph))


def test_adopt_records_a_pin_made_by_hand_and_nothing_else(
    server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    run.run_pin(options(adopt=True), no_watchdog)
    assert "unchanged (no component is pinned to llama by hand)" in capsys.readouterr().out
    run.run_pin(options(), no_watchdog)
    del server.graph["metadata"]["annotations"]  # as if somebody had written it
    before = copy.deepcopy(server.graph)
    capsys.readouterr()
    run.run_pin(options(adopt=True), no_watchdog)
    captured = capsys.readouterr()
    assert "dynamographdeployment.nvidia.com/chat adopted for llama" in captured.out
    assert "to wait for the roll-out" not in captured.err
    assert server.graph["spec"] == before["spec"]
    run.run_pin(options(adopt=True), no_watchdog)
    assert "unchanged (already pinned to llama)" in capsys.readouterr().out
    run.run_unpin(options())
    assert "llama" not in str(server.graph["spec"])


@pytest.mark.parametrize(("dry_run", "patches"), [("client", []), ("server", [True])])
def test_a_dry_run_writes_nothing(
    server: Server, capsys: pytest.CaptureFixture[str], dry_run: str, patches: list[bool]
) -> None:
    before = copy.deepcopy(server.graph)
    run.run_pin(options(dry_run=dry_run), no_watchdog)
    assert (server.graph, server.patches) == (before, patches)
    assert "claimName: llama" in capsys.readouterr().out


def test_a_refusal_comes_before_any_patch(server: Server) -> None:
    server.objects["Dataset"]["status"]["phase"] = "NotBound"
    with pytest.raises(FluidModelError, match="dgd/chat was not pinned: the cache llama is not"):
        run.run_pin(options(), no_watchdog)
    assert server.patches == []
    run.run_pin(options(force=True), no_watchdog)
    assert server.patches == [True, False]


def test_a_version_that_is_not_served_leads_to_the_next(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    get = server.get

    def old_server(kind: Kind, name: str, namespace: str | None = None) -> Object:
        if kind.version == "v1beta1":
            raise NotFoundError("404 page not found", status=404)
        return get(kind, name, namespace)

    monkeypatch.setattr(server, "get", old_server)
    monkeypatch.setattr(server, "request", lambda *_, **__: b"{}", raising=False)
    run.run_pin(options(), no_watchdog)
    assert server.patches == [True, False]


def test_the_first_failure_is_raised_after_all_graphs(server: Server) -> None:
    with pytest.raises(NotFoundError, match="there is no DynamoGraphDeployment missing"):
        run.run_pin(options(graphs=("missing", "chat")), no_watchdog)
    assert server.patches == [True, False]


def test_a_stored_object_without_the_mount_is_an_error(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    patch = server.patch

    def losing(*arguments: Any, **more: Any) -> Object:
        stored = patch(*arguments, **more)
        main = stored["spec"]["components"][0]["podTemplate"]["spec"]["containers"][0]
        del main["volumeMounts"]
        return stored

    monkeypatch.setattr(server, "patch", losing)
    with pytest.raises(FluidModelError, match="would store it without the mount of component W"):
        run.run_pin(options(), no_watchdog)
    assert server.patches == [True]


class Watches:
    """An Informer whose pods are given."""

    pods: ClassVar[list[Object]] = []

    def __init__(self, server: Server) -> None:
        self.server = server
        self.denied: dict[Kind, str] = {}
        self.last_error = ""

    def start(self, *_: Any, **__: Any) -> None: ...

    def next_event(self, timeout: float) -> None: ...

    def has_synced(self) -> bool:
        return True

    def is_watching(self, kind: Kind) -> bool:
        return True

    def get(self, kind: Kind, name: str) -> Object:
        return self.server.graph

    def list_objects(self, kind: Kind) -> list[Object]:
        return self.pods

    def close(self) -> None: ...


def pod_of(server: Server, ready: bool, where: str = "n0") -> Object:
    spec = server.graph["spec"]["components"][0]["podTemplate"]["spec"]
    labels = {
        "nvidia.com/dynamo-graph-deployment-name": "chat",
        "nvidia.com/dynamo-component": "W",
    }
    return {
        "metadata": {"name": "chat-w-0", "namespace": "ns", "labels": labels},
        "spec": {**copy.deepcopy(spec), "nodeName": where},
        "status": {"conditions": [{"type": "Ready", "status": str(ready)}]},
    }


@pytest.fixture
def watches(monkeypatch: pytest.MonkeyPatch) -> type[Watches]:
    monkeypatch.setattr(wait, "Informer", Watches)
    monkeypatch.setattr(Watches, "pods", [])
    return Watches


def test_wait_ends_when_every_pod_is_ready_on_a_cache_node(
    server: Server, watches: type[Watches], capsys: pytest.CaptureFixture[str]
) -> None:
    run.run_pin(options(), no_watchdog)
    watches.pods = [pod_of(server, ready=True)]
    run.run_pin(options(wait=True, timeout=5.0), no_watchdog)
    assert "dgd/chat: 1 pod ready, 1 on a cache node" in capsys.readouterr().err


def test_wait_fails_for_a_pod_off_the_cache_and_for_the_watchdog_and_times_out(
    server: Server, watches: type[Watches]
) -> None:
    run.run_pin(options(), no_watchdog)
    watches.pods = [pod_of(server, ready=True, where="elsewhere")]
    with pytest.raises(wait.RolloutFailedError, match="does not hold the cache"):
        run.run_pin(options(wait=True, timeout=5.0), no_watchdog)
    watches.pods = [pod_of(server, ready=False)]
    with pytest.raises(WaitTimeoutError, match="did not finish its roll-out in 0s"):
        run.run_pin(options(wait=True, timeout=0.1), no_watchdog)

    def hopeless(*arguments: Any) -> Callable[[], None]:
        assert arguments[1:] == ("ns", "llama", "dgd/chat")

        def raise_it() -> None:
            raise FluidModelError("in vain")

        return raise_it

    with pytest.raises(FluidModelError, match="in vain"):
        run.run_pin(options(wait=True, timeout=5.0), hopeless)


@pytest.mark.parametrize(
    "changes",
    [
        {"mount_path": "model"},
        {"graphs": ()},
        {"filename": "f", "wait": True},
        {"filename": "f", "dry_run": "server"},
        {"filename": "f", "probe_budget": True},
        {"adopt": True, "preferred": True},
    ],
)
def test_options_that_do_not_go_together_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        options(**changes)
