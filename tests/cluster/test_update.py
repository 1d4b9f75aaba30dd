"""`update` from end to end, with two commits of a model: real API server, Fluid and S3."""

from __future__ import annotations

import json
import shlex
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests import weights
from tests.cluster.cluster import Cluster
from tests.cluster.fixtures import Result
from tests.cluster.image import STAGE
from tests.cluster.objects import FLUID, until
from tests.cluster.operator import Operator
from tests.cluster.pinning import component, graph, pods, running
from tests.cluster.plugin import Plugin, error_line
from tests.cluster.test_cache_rbac import bind
from tests.hub import FakeHub, Repo

pytestmark = pytest.mark.cluster

MODEL = "acme/tiny"
SHARED = {"model-00001-of-00002.safetensors": weights.random_safetensors(2 << 20)}


def files() -> dict[str, bytes]:
    """A commit: one shard is the same in each."""
    changed = {"model-00002-of-00002.safetensors": weights.random_safetensors(1 << 20)}
    return {**SHARED, **changed, "config.json": b"{}"}


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    with FakeHub(Repo(MODEL, files())) as running:
        yield running


@pytest.fixture(scope="module")
def operator(cluster: Cluster) -> Iterator[Operator]:
    with Operator(cluster.api) as found:
        yield found


class Model:
    """A model that is cached as `tiny`, and a newer commit of it on the Hub."""

    def __init__(
        self, cluster: Cluster, plugin: Plugin, hub: FakeHub, to: str, *flags: str
    ) -> None:
        self.cluster, self.plugin, self.hub = cluster, plugin, hub
        self.namespace = plugin.namespace
        self.at = ("--endpoint-hub", hub.endpoint, "--stage-on", "client")
        self.old = hub.repos[MODEL].head
        plugin("cache", MODEL, "--to", to, *self.at, *flags, timeout=400).ok()
        self.new = hub.repos[MODEL].commit(files())
        self.name = f"tiny-{self.new[:7]}"

    def update(self, *arguments: str, name: str = "tiny", **settings: Any) -> Result:
        settings.setdefault("timeout", 500)
        return self.plugin("update", name, *self.at, *arguments, **settings)

    def caches(self) -> dict[str, str]:
        """The Datasets that exist, with their commits."""
        found = self.cluster.api.list(FLUID, "Dataset", self.namespace)
        return {
            each["metadata"]["name"]: each["metadata"]["annotations"]["fluidmodel.io/commit"]
            for each in found
            if not each["metadata"].get("deletionTimestamp")
        }

    def secrets(self) -> set[str]:
        found = self.cluster.api.list("v1", "Secret", self.namespace)
        return {each["metadata"]["name"] for each in found}

    def graph(self, name: str = "chat", cache: str = "tiny", **options: Any) -> None:
        """A graph with a frontend and a worker, pinned to a cache."""
        metadata = options.pop("metadata", {})
        made = graph(
            self.namespace,
            name,
            component("Front", "frontend", gpus=0),
            component("Work", gpus=0, **options),
            **metadata,
        )
        self.cluster.api.create(made)
        self.plugin("pin", cache, name, "--wait", "--timeout", "120s", timeout=150).ok()

    def claims(self, name: str = "chat") -> set[str]:
        """The claims that the graph's pods mount."""
        return {
            volume["persistentVolumeClaim"]["claimName"]
            for pod in pods(self.cluster, self.namespace, name)
            for volume in pod["spec"].get("volumes") or []
            if "persistentVolumeClaim" in volume
        }


@pytest.fixture
def model(cluster: Cluster, plugin: Plugin, hub: FakeHub, bucket: Any, operator: Operator) -> Model:
    return Model(cluster, plugin, hub, bucket.uri("models"))


def step_states(result: Result) -> dict[str, str]:
    return {each["name"]: each["state"] for each in json.loads(result.out)["steps"]}


def test_a_graph_moves_to_the_newest_commit_and_back(model: Model) -> None:
    model.graph()
    plan = model.update("--dry-run").ok()
    assert "2.0 MiB copied from other commits within the bucket" in plan.out
    assert "chat moves from tiny: 1 worker to restart" in plan.out
    assert model.caches() == {"tiny": model.old}, "a dry run writes nothing"
    document = json.loads(model.update("--dry-run=server", "-o", "json").ok().out)
    assert (document["metadata"]["name"], document["commit"]) == (model.name, model.new)
    assert model.caches() == {"tiny": model.old}

    sent = model.hub.body_bytes
    done = model.update().ok()
    assert model.hub.body_bytes - sent < 2 << 20, "the shared shard is copied within the bucket"
    assert model.caches() == {model.name: model.new}
    assert model.claims() == {model.name}
    assert f"{model.name} serves commit {model.new[:12]}, 1 graph moved, tiny removed" in done.out
    assert model.secrets() == {f"{model.name}-store"}
    dataset = model.cluster.api.get(FLUID, "Dataset", model.name, model.namespace)
    assert dataset["metadata"]["annotations"]["fluidmodel.io/replaces"] == "tiny"

    again = model.update().ok()
    assert "is at commit" in again.out and "nothing to update" in again.out
    back = model.update(name=f"tiny@{model.old}").ok()
    first = f"tiny-{model.old[:7]}"
    assert model.caches() == {first: model.old} and model.claims() == {first}
    assert "1 graph moved" in back.out


def test_each_step_can_be_the_last_and_the_next_run_goes_on(model: Model) -> None:
    model.graph()
    assert set(step_states(model.update("--dry-run", "-o", "json").ok()).values()) == {"to do"}

    model.update("--to-step", "stage").ok()
    assert model.caches() == {"tiny": model.old}
    states = step_states(model.update("--dry-run", "-o", "json").ok())
    assert states == {"stage": "done", "cache": "to do", "pin": "to do", "retire": "to do"}

    built = model.update("--to-step", "cache").ok()
    assert "every byte proven" in built.err
    assert model.caches() == {"tiny": model.old, model.name: model.new}
    assert model.claims() == {"tiny"}
    states = step_states(model.update("--dry-run", "-o", "json").ok())
    assert states == {"stage": "done", "cache": "done", "pin": "to do", "retire": "to do"}

    moved = model.update("--to-step", "pin").ok()
    assert "moving chat from tiny" in moved.err and model.claims() == {model.name}
    assert model.caches() == {"tiny": model.old, model.name: model.new}

    returned = model.update(name=f"tiny@{model.old[:12]}").ok()
    assert model.caches() == {"tiny": model.old} and model.claims() == {"tiny"}
    assert f"{model.name} removed" in returned.out
    assert model.secrets() == {"tiny-store"}

    model.update(name="tiny").ok()
    assert model.caches() == {model.name: model.new} and model.claims() == {model.name}


@pytest.mark.parametrize(
    "line",
    ["staging to", "load: ", "moving chat", "deleted", "secret/tiny-store deleted"],
)
def test_an_interruption_anywhere_leaves_a_cache_and_the_same_command_goes_on(
    model: Model, line: str
) -> None:
    model.graph()
    if line == "staging to":
        model.hub.total.rate = 0.4e6
    process = model.plugin.popen("update", "tiny", *model.at)
    assert process.stderr is not None
    seen = ""
    for text in process.stderr:
        seen += text
        if line in text:
            process.send_signal(signal.SIGINT)
            break
    seen += process.stderr.read()
    code = process.wait(60)
    model.hub.total.rate = 0
    assert code == 130, seen
    assert "Traceback" not in seen and "the same command" in seen
    assert model.caches(), "one of them is always there"
    model.update().ok()
    assert model.caches() == {model.name: model.new}
    assert model.claims() == {model.name}
    assert model.secrets() == {f"{model.name}-store"}, "nothing is left to prune"


def test_a_job_stages_the_files_that_were_chosen_at_first(
    cluster: Cluster, plugin: Plugin, hub: FakeHub, bucket: Any, operator: Operator
) -> None:
    """`update` with its defaults: a Job in the cluster; stdout is one document."""
    cluster.image(STAGE, path=[str(Path(sys.executable).parent)])
    hub.repos[MODEL].commit({**files(), "notes/a b.txt": b"no model"})
    model = Model(cluster, plugin, hub, bucket.uri("models"), "--exclude", "notes/*")
    model.at = ("--endpoint-hub", hub.endpoint, "--image", STAGE)
    newest = hub.repos[MODEL].commit({**files(), "notes/c.txt": b"no model either"})
    name = f"tiny-{newest[:7]}"
    model.graph()
    plan = json.loads(model.update("--dry-run", "-o", "json").ok().out)
    assert plan["staging"]["files"] == 3 and not plan["done"]

    done = model.update("-o", "json").ok()
    document = json.loads(done.out)
    assert (document["kind"], document["commit"]) == ("Update", newest)
    assert document["moved"] == ["chat"] and document["removed"] == ["tiny"]
    assert document["done"] and set(step_states(done).values()) == {"done"}
    assert "files by --exclude 'notes/*'" in done.err
    assert model.caches() == {name: newest} and model.claims() == {name}
    of_staging = {"labelSelector": "fluidmodel.io/stage"}  # Fluid's loads are Jobs, too
    [job] = cluster.api.list("batch/v1", "Job", plugin.namespace, **of_staging)
    assert job["status"]["succeeded"] == 1
    staged = bucket.sizes(f"models/{MODEL}/{newest}/")
    assert not any("notes" in each for each in staged) and len(staged) == 3

    again = model.update("-o", "yaml").ok()
    assert yaml.safe_load(again.out)["done"] is True
    cached = plugin("cache", f"{MODEL}@{newest}", "--name", name, "--to", bucket.uri("models"),
                    *model.at, timeout=200).ok()  # fmt: skip
    assert "already complete" in cached.err and "files by --exclude" in cached.err


@pytest.mark.alone  # other tests' graphs and caches need the node that it taints
def test_a_graph_that_does_not_roll_leaves_the_old_cache_serving(model: Model) -> None:
    model.graph("a")
    model.graph("b")
    model.update("--to-step", "cache").ok()
    nodes = model.cluster.api.get(FLUID, "Dataset", model.name, model.namespace)["spec"]
    host = nodes["nodeAffinity"]["required"]["nodeSelectorTerms"][0]["matchExpressions"][0]
    (node,) = host["values"]
    taint = [{"key": "example.com/broken", "value": "true", "effect": "NoSchedule"}]
    before = model.cluster.api.get("v1", "Node", node)["spec"].get("taints") or []
    model.cluster.api.patch("v1", "Node", node, {"spec": {"taints": [*before, *taint]}})
    try:
        failed = model.update()
    finally:
        model.cluster.api.patch("v1", "Node", node, {"spec": {"taints": before or None}})
    assert failed.code == 1, failed.err
    assert "Traceback" not in failed.err
    assert "to go on: the same command; to go back: kubectl fluidmodel update tiny@" in failed.err
    assert model.caches() == {"tiny": model.old, model.name: model.new}
    assert "tiny" in model.claims("a") | model.claims("b")
    model.update().ok()
    assert model.claims("a") == model.claims("b") == {model.name}


def test_what_git_manages_is_moved_by_its_owner(model: Model) -> None:
    model.graph("chat")
    model.graph("gitops", metadata={"labels": {"argocd.argoproj.io/instance": "x"}})
    stopped = model.update()
    assert stopped.code == 1
    assert f"pin {model.name} -f FILE --replace tiny, and commit it" in error_line(stopped)
    assert "Argo CD manages it" in error_line(stopped)
    assert model.claims("chat") == {model.name} and model.claims("gitops") == {"tiny"}
    assert set(model.caches()) == {"tiny", model.name}
    model.plugin("pin", model.name, "gitops", "--replace", "tiny", "--wait", timeout=150).ok()
    done = model.update().ok()
    assert "tiny removed" in done.out and set(model.caches()) == {model.name}


def test_a_reader_without_a_graph_keeps_the_old_cache(model: Model, cluster: Cluster) -> None:
    from tests.cluster.test_prune import phase, reader

    pod = reader(model.namespace, persistentVolumeClaim={"claimName": "tiny"})
    cluster.api.create(pod)
    until("the reader", lambda: phase(cluster, model.namespace) == "Running")
    plan = model.update("--dry-run").ok()
    assert "pods that belong to no graph here: reader" in plan.out
    kept = model.update()
    assert kept.code == 1 and "tiny is kept: pods read it: reader" in error_line(kept)
    assert set(model.caches()) == {"tiny", model.name}
    cluster.api.delete("v1", "Pod", "reader", model.namespace)
    until("no reader", lambda: cluster.api.find("v1", "Pod", "reader", model.namespace) is None)
    assert "tiny removed" in model.update().ok().out


def test_without_room_for_two_the_cache_is_updated_in_place(model: Model, cluster: Cluster) -> None:
    model.graph()
    refused = model.update("--node-selector", "no-such=node")
    assert refused.code == 2 and "no node has no-such=node" in error_line(refused)
    cluster.api.create(
        {
            "apiVersion": "v1",
            "kind": "ResourceQuota",
            "metadata": {"name": "full", "namespace": model.namespace},
            "spec": {"hard": {"count/statefulsets.apps": "2"}},
        }
    )

    def counted() -> Any:
        return cluster.api.get("v1", "ResourceQuota", "full", model.namespace)["status"].get("used")

    until("the quota", counted)
    full = model.update()
    line = error_line(full)
    assert full.code == 1 and "there is no room for a second cache beside tiny" in line
    flags = " ".join(model.at)
    assert f"kubectl fluidmodel update tiny --in-place {flags} -n {model.namespace}" in line
    assert "nothing can read the cache for about" in line
    assert model.caches() == {"tiny": model.old}

    plan = model.update("--in-place", "--dry-run").ok()
    assert "tiny is recreated" in plan.out and "have to be stopped first: chat-" in plan.out
    waiting = model.update("--in-place")
    assert waiting.code == 1 and "the new commit is staged, and pods read the old one" in (
        error_line(waiting)
    )
    assert model.caches() == {"tiny": model.old} and model.claims() == {"tiny"}

    stop = pasted(waiting, "note: to stop chat: ")
    start = pasted(waiting, "note: to start it again afterwards: ")
    assert f"try: {stop}, then the same command again" in error_line(waiting)
    cluster.kubectl(*shlex.split(stop)[1:])
    until("no readers", lambda: not pods(cluster, model.namespace, "chat"))
    done = model.update("--in-place").ok()
    assert model.caches() == {"tiny": model.new}
    assert f"tiny serves commit {model.new[:12]}" in done.out
    cluster.kubectl(*shlex.split(start)[1:])
    running(cluster, model.namespace, "chat", 2)
    assert model.claims() == {"tiny"}


def pasted(result: Result, mark: str) -> str:
    """The command of a note."""
    [line] = [line for line in result.err.splitlines() if line.startswith(mark)]
    return line.removeprefix(mark)


def test_rights_are_checked_before_the_first_write(model: Model, cluster: Cluster) -> None:
    model.graph()
    few = {"KUBECONFIG": str(bind(cluster, model.namespace, f"few-{model.namespace}", "inspect"))}
    refused = model.update(env=few)
    line = error_line(refused)
    assert refused.code == 1 and f"you may not update a cache in {model.namespace}" in line
    for missing in (
        "create datasets.data.fluid.io",
        "patch dynamographdeployments.nvidia.com",
        "delete alluxioruntimes.data.fluid.io",
        "create secrets",
    ):
        assert missing in line
    assert model.caches() == {"tiny": model.old} and model.secrets() == {"tiny-store"}
    assert model.hub.repos[MODEL].head == model.new

    user = f"enough-{model.namespace}"
    enough = {"KUBECONFIG": str(bind(cluster, model.namespace, user, "update"))}
    model.update(env=enough).ok()
    assert model.caches() == {model.name: model.new} and model.claims() == {model.name}


def test_a_source_without_commits_is_refused_in_one_line(bucket: Any, plugin: Plugin) -> None:
    bucket.put_model("demo")
    plugin("cache", bucket.uri("demo"), "--no-wait", timeout=120).ok()
    refused = plugin("update", "demo", "--stage-on", "client")
    assert refused.code == 1
    assert "demo has no newer commit to update to: it caches s3://" in error_line(refused)
    missing = plugin("update", "nope")
    assert missing.code == 1 and "has no cache nope" in error_line(missing)
