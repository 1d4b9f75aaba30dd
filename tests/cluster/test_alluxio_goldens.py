"""The simulated Alluxio answers as the real one does: form, stream, order and exit code."""

from __future__ import annotations

import time

import pytest

from tests.cluster.alluxio import goldens
from tests.cluster.alluxio.goldens import GOLDENS, Golden
from tests.cluster.bucket import Bucket
from tests.cluster.cluster import Cluster
from tests.cluster.plugin import Plugin

#: kwok's exec has 1 for every exit code that is not 0, so the pod's shell tells it.
TELL = 'alluxio "$@"; echo "exit code $?"'


def compare(cluster: Cluster, namespace: str, cache: str) -> dict[str, list[str]]:
    """Ask a cache's master everything; what differs from the goldens, by their names."""
    found = {}
    for golden in GOLDENS:
        ends = time.monotonic() + golden.seconds
        while (said := _ask(cluster, namespace, cache, golden)) and time.monotonic() < ends:
            time.sleep(1)
        found[golden.name] = said
    return {name: said for name, said in found.items() if said}


def _ask(cluster: Cluster, namespace: str, cache: str, golden: Golden) -> list[str]:
    """How a master's answer to a golden's command differs from it."""
    asked = cluster.kubectl(
        *("exec", "-n", namespace, f"{cache}-master-0", "-c", "alluxio-master", "--"),
        *("sh", "-c", TELL, "sh", *goldens.words(golden, cluster.s3.endpoint)),
    )
    out, _, code = asked.stdout.rpartition("exit code ")
    said = goldens.differences(golden, out, int(code))
    return said + ([f"on stderr: {asked.stderr}"] if asked.stderr else [])


@pytest.mark.cluster
def test_the_simulated_alluxio_answers_as_the_real_one(
    cluster: Cluster, namespace: str, bucket: Bucket, plugin: Plugin
) -> None:
    bucket.put_model("demo")
    plugin("cache", bucket.uri("demo"), "--name", "demo").ok()
    assert compare(cluster, namespace, "demo") == {}


@pytest.mark.parametrize(
    ("out", "code", "expected"),
    [
        ("one 7\nrow /a\nrow /b\nend\n", 3, []),
        ("one   7\nrow /a\nend  \n", 3, []),
        ("one 7\nrow /a\nend\n", 0, ["exit code 0 instead of 3"]),
        ("one 7\nend\n", 3, ["'end' instead of 'row <file> …'"]),
        ("one x\nrow /a\nend\n", 3, ["'one x' instead of 'one <int>'"]),
        ("one 7\nrow /a\n", 3, ["'nothing more' instead of 'end'"]),
        ("one 7\nrow /a\nend\nend\n", 3, ["'end' is too much"]),
        ("", 3, ["'nothing more' instead of 'one <int>'"]),
    ],
)
def test_a_difference_is_named(out: str, code: int, expected: list[str]) -> None:
    golden = Golden("an example", "fs example", "one <int>\nrow <file> …\nend\n", 3)
    assert goldens.differences(golden, out, code) == expected
