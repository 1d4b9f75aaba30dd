"""The frozen plugin that krew has installed: every verb's help, and the whole story for real."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from kubectl_fluidmodel.cli.main import VERBS
from kubectl_fluidmodel.doctor.check import AREAS
from kubectl_fluidmodel.doctor.diagnosis import CHECK_CRASHED
from tests.cluster.bucket import Bucket
from tests.cluster.cluster import Cluster
from tests.cluster.operator import Operator
from tests.cluster.pinning import GRAPHS, component, graph, running
from tests.hub import FakeHub, Repo
from tests.krew.conftest import Installed
from tests.krew.krew import Krew

pytestmark = pytest.mark.krew

MIB = 1 << 20


@pytest.mark.parametrize("verb", VERBS)
def test_the_help_of_every_verb(plugin: Installed, verb: str) -> None:
    shown = plugin(verb, "--help").ok()
    assert shown.err == ""
    assert f"kubectl fluidmodel {verb}" in shown.out
    assert verb in plugin("--help").ok().out


def test_completion_by_kubectl(plugin: Installed, installed: Krew, cluster: Cluster) -> None:
    bridge = installed.programs / "kubectl_complete-fluidmodel"
    bridge.write_text(plugin("completion", "kubectl").ok().out)
    bridge.chmod(0o755)
    plugin.env["FLUIDMODEL_COMPLETION_TIMEOUT"] = "5"
    offered = installed.kubectl("__complete", "fluidmodel", "").stdout
    assert {line.split("\t")[0] for line in offered.splitlines()} >= set(VERBS)
    nodes = plugin("__complete", "cache", "s3://b/m", "--node", "gpu").ok()
    assert "gpu-0\tReady" in nodes.out


def test_the_story(plugin: Installed, cluster: Cluster, namespace: str, bucket: Bucket) -> None:
    """cache, look, pin, look again, unpin, uncache: on the control plane, by the frozen program."""
    sizes = bucket.put_model("org/tiny")
    here = ("-n", namespace)
    made = plugin("cache", bucket.uri("org/tiny"), "--name", "tiny", *here, "-o", "json").ok()
    proof = json.loads(made.out)["proof"]
    assert (proof["complete"], proof["by"]) == (True, "file")
    look(plugin, namespace)

    cluster.api.create(graph(namespace, "chat", component("decode", gpus=1)))
    with Operator(cluster.api):
        running(cluster, namespace, "chat", 1)
        plugin("pin", "tiny", "chat", *here).ok()
        pinned = cluster.api.get(GRAPHS, "DynamoGraphDeployment", "chat", namespace)
        assert "tiny" in json.dumps(pinned["spec"])
        look(plugin, namespace)
        plugin("unpin", "tiny", "chat", *here).ok()
        unpinned = cluster.api.get(GRAPHS, "DynamoGraphDeployment", "chat", namespace)
        assert "tiny" not in json.dumps(unpinned["spec"])
        plugin("uncache", "tiny", "--force", *here).ok()
    assert not cluster.api.list("data.fluid.io/v1alpha1", "Dataset", namespace)
    assert sum(bucket.sizes("org/tiny").values()) == sum(sizes.values())


def look(plugin: Installed, namespace: str) -> None:
    """What the reading verbs say of a cache that is whole."""
    for output in ((), ("-o", "wide"), ("-o", "tree"), ("-o", "json")):
        assert "tiny" in plugin("inspect", "tiny", "-n", namespace, *output).ok().out
    # Exit code 1 is a finding, of a cluster where much is played; it has to be a diagnosis.
    found = plugin("doctor", "tiny", "-n", namespace, "-o", "json")
    assert found.code in (0, 1), found.err
    checks = json.loads(found.out)["checks"]
    assert {each["code"][2] for each in checks} == set(AREAS)
    assert CHECK_CRASHED not in found.out


def test_pin_of_a_file_needs_no_cluster(plugin: Installed, tmp_path: Path) -> None:
    shutil.copy("tests/fixtures/dgd/beta-agg.yaml", tmp_path / "graph.yaml")
    file = str(tmp_path / "graph.yaml")
    done = plugin(
        "pin", "tiny", "-f", file, "-n", "prod", "-o", "yaml", env={"KUBECONFIG": "/nope"}
    )
    assert "tiny" in done.ok().out


def test_stage(plugin: Installed, bucket: Bucket) -> None:
    """The Hub's client and boto3 in the bundle: a model comes into the bucket."""
    files = {"model.safetensors": os.urandom(9 * MIB), "config.json": b"{}"}
    with FakeHub(Repo("acme/model", files)) as hub:
        env = {"HF_ENDPOINT": hub.endpoint}
        plugin("stage", "acme/model", "--to", bucket.uri("staged"), env=env).ok()
    staged = {Path(key).name: size for key, size in bucket.sizes("staged").items()}
    assert staged.items() >= {name: len(content) for name, content in files.items()}.items()


def test_the_sha256_state_can_be_exported(installed: Krew, program: Path) -> None:
    """So that staging goes on within a file: OpenSSL is in the bundle and ctypes reaches it."""
    assert list(program.parent.glob("_internal/libcrypto*"))
    assert list(program.parent.glob("_internal/kubectl_fluidmodel/stage/resumable_sha256.pyc"))
    assert list(program.parent.glob("_internal/python3*/lib-dynload/_ctypes*"))
