"""Terminal pictures from real runs: `make pictures` writes docs/pictures/*.svg.

    python -m docs.tools.pictures [--cluster NAME] [PICTURE …]

Brings up a control plane of its own (tests/cluster), unless one is named, and runs the plugin there
on a terminal. A verb's pictures are entries of PICTURES; they run in order, each on what those
before it have left.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from docs.tools.terminal import picture, run
from kubectl_fluidmodel.fluid.secret import STORE_SUFFIX
from tests.cluster.bucket import Bucket
from tests.cluster.cluster import Cluster
from tests.cluster.operator import Operator
from tests.cluster.pinning import component, graph

TARGET = Path(__file__).parents[1] / "pictures"
MODEL = "org/tiny-llama"


@dataclass(frozen=True)
class Picture:
    """One file: what is typed, and what then stands on the terminal."""

    name: str
    commands: tuple[str, ...]
    until: str = ""
    """Taken when this (a pattern) is on the screen, while the last command runs."""
    before: Callable[[Cluster], None] | None = None
    """What is done to the cluster first."""
    code: int = 0
    """The exit code of the last command."""


def lose_the_key(cluster: Cluster) -> None:
    """Another key in the cache's Secret, and a master that has started with it."""
    name = f"llama{STORE_SUFFIX}"
    wrong = json.dumps({"stringData": {"AWS_SECRET_ACCESS_KEY": "mistyped"}})
    cluster.kubectl("patch", "secret", name, "--type=merge", "-p", wrong)
    cluster.kubectl("delete", "pod", "llama-master-0")
    ready = ("wait", "pod/llama-master-0", "--for=condition=Ready", "--timeout=5s")
    deadline = time.monotonic() + 120
    while cluster.kubectl(*ready, check=False).returncode:
        if time.monotonic() > deadline:
            raise TimeoutError("the master did not start again")
        time.sleep(1)


PICTURES = (
    Picture(
        "cache-at-work",
        (f"kubectl fluidmodel cache s3://models/{MODEL} --name llama",),
        until=r"[3-7]\d%\), .*left",
    ),
    Picture("cache", (f"kubectl fluidmodel cache s3://models/{MODEL} --name llama",)),
    Picture("pin", ("kubectl fluidmodel pin llama chat --wait",)),
    Picture("inspect", ("kubectl fluidmodel inspect", "kubectl fluidmodel inspect -o tree")),
    Picture("inspect-one", ("kubectl fluidmodel inspect llama",)),
    Picture("doctor", ("kubectl fluidmodel doctor llama -o short",), before=lose_the_key, code=1),
)


def prepare(cluster: Cluster) -> None:
    """A model in a bucket, and a graph that serves it."""
    bucket = Bucket(cluster.s3, "models")
    bucket.put_model(MODEL, shards=8, shard_size=8 << 20)
    cluster.alluxio("default", "llama").set_knobs(load_bytes_per_second=8_000_000)
    cluster.install_dynamo("current")
    cluster.api.apply(
        graph("default", "chat", component("decode"), component("web", "frontend", gpus=0))
    )


def take(cluster: Cluster, wanted: list[str]) -> None:
    plugin = Path(sys.executable).parent
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("AWS_", "HF_"))}
    env = {
        **kept,
        **cluster.s3.env(),
        "KUBECONFIG": str(cluster.kubeconfig),
        "PATH": os.pathsep.join([str(plugin), str(cluster.bin), os.environ["PATH"]]),
    }
    for each in PICTURES:
        shown = []
        if each.before is not None:
            each.before(cluster)
        for command in each.commands:
            last = command == each.commands[-1]
            until, code = (each.until, each.code) if last else ("", 0)
            told = run(shlex.split(command), env, until, code=code)
            shown.append(f"\x1b[1m$ {command}\x1b[0m\n{told}")
        if not wanted or each.name in wanted:
            picture("\n\n".join(shown), "kubectl fluidmodel", TARGET / f"{each.name}.svg")
            print(f"wrote docs/pictures/{each.name}.svg", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--cluster", default="", help="a running one, which stays up")
    parser.add_argument("pictures", nargs="*", choices=[[], *(each.name for each in PICTURES)])
    asked = parser.parse_args()
    cluster = Cluster(asked.cluster or "pictures")
    if not asked.cluster:
        cluster.up(dynamo="current")
    try:
        prepare(cluster)
        with Operator(cluster.api):
            take(cluster, asked.pictures)
    finally:
        if not asked.cluster:
            cluster.down()
    return 0


if __name__ == "__main__":
    sys.exit(main())
