"""TAB against a real API server: names in time, under RBAC, and by kubectl itself."""

from __future__ import annotations

import os
import resource
import secrets
import subprocess
from pathlib import Path

import pytest

from .cluster import Cluster
from .fixtures import Cli
from .pinning import cache, component, graph

pytestmark = pytest.mark.cluster

IN_TIME = 0.3
"""Seconds that TAB may take."""


def lines(cli: Cli, *arguments: str, **settings: object) -> list[str]:
    # Others may keep the machine busy: what is asked is waited for.
    env = {"FLUIDMODEL_COMPLETION_TIMEOUT": "5", **settings}
    ended = cli("__complete", *arguments, env=env).ok()  # type: ignore[arg-type]
    assert ended.err == ""
    *found, directive = ended.out.splitlines()
    assert directive == ":4"
    return found


def test_names_of_what_is_there(cluster: Cluster, cli: Cli, namespace: str) -> None:
    cache(cluster, namespace, "llama", [])
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "minio-keys"}}
    cluster.api.create({**secret, "metadata": {"name": "minio-keys", "namespace": namespace}})
    cluster.api.create(
        graph(namespace, "chat", component("decode"), component("web", "frontend", 0))
    )
    here = ("-n", namespace)
    assert lines(cli, "pin", *here, "") == ["llama\tBound, 100.0%"]
    assert lines(cli, "pin", *here, "llama", "")[0].split("\t")[0] == "chat"
    assert lines(cli, "unpin", *here, "llama", "chat", "--component", "") == [
        "decode\tworker of chat",
        "web\tfrontend of chat",
    ]
    found = lines(cli, "cache", *here, "s3://b/m", "--s3-secret", "")
    assert found == ["minio-keys\tOpaque"]
    assert "gpu-0\tReady" in lines(cli, "cache", "s3://b/m", "--node", "gpu")
    assert lines(cli, "uncache", "-n", namespace[:-1]) == [f"{namespace}\tActive"]


def test_who_may_not_look_sees_nothing(cluster: Cluster, cli: Cli, namespace: str) -> None:
    cache(cluster, namespace, "llama", [])
    who = str(cluster.user_kubeconfig(f"nobody-{secrets.token_hex(3)}", [], namespace))
    for words in (("pin", ""), ("cache", "x", "--node", ""), ("cache", "x", "--s3-secret", "")):
        assert lines(cli, *words, KUBECONFIG=who) == []
    assert lines(cli, "pin", "--as", "somebody", "-n", namespace, "") == []
    assert lines(cli, "pin", "--server", "https://127.0.0.1:9", "") == []


def test_it_is_in_time(cluster: Cluster, cli: Cli, namespace: str) -> None:
    """The processor's time, which the API server's answer adds a few milliseconds to.

    What else runs on the machine makes the clock say anything; it is bounded in tests/cli.
    """
    cache(cluster, namespace, "llama", [])
    for words, wanted in (
        (("__complete", "pin", "--"), "--wait"),
        (("__complete", "pin", "-n", namespace, ""), "llama"),
    ):
        spent = []
        for _ in range(5):
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            ended = cli(*words, env={"FLUIDMODEL_COMPLETION_TIMEOUT": "5"}).ok()
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            assert wanted in ended.out
            spent.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        assert min(spent) < IN_TIME, words


def test_kubectl_completes_the_plugin(
    cluster: Cluster, cli: Cli, namespace: str, tmp_path: Path
) -> None:
    cache(cluster, namespace, "llama", [])
    home = tmp_path / "home"
    (home / "bin").mkdir(parents=True)
    plugin = home / "bin" / "kubectl-fluidmodel"
    plugin.write_text(f'#!/bin/sh\nexec {cli._argv(())[0]} -m kubectl_fluidmodel "$@"\n')
    plugin.chmod(0o755)
    env = {
        **cli.env,
        "HOME": str(home),
        "PATH": os.pathsep.join([str(home / "bin"), str(cluster.bin), "/usr/bin:/bin"]),
        "FLUIDMODEL_COMPLETION_TIMEOUT": "5",
    }

    def kubectl_says(*arguments: str) -> str:
        done = subprocess.run(
            ["kubectl", *arguments], env=env, capture_output=True, text=True, timeout=60, check=True
        )
        return done.stdout

    said = kubectl_says("fluidmodel", "completion", "kubectl", "--install")
    assert said == f"wrote {home / 'bin' / 'kubectl_complete-fluidmodel'}\n"
    assert "uncache\tRemove what" in kubectl_says("__complete", "fluidmodel", "unc")
    assert "--mount-path\t" in kubectl_says("__complete", "fluidmodel", "pin", "--mou")
    found = kubectl_says("__complete", "fluidmodel", "pin", "-n", namespace, "")
    assert found.splitlines() == ["llama\tBound, 100.0%", ":4"]
