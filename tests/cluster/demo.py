"""The 30-second demo: a bucket becomes a proven cache, on a control plane of its own.

Every command is printed before it runs, and all of it is real: what stands in for what is listed
in README.md beside this file. `KEEP=1` leaves the control plane up.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

from .bucket import Bucket
from .cluster import Cluster

NAME = "demo"
MODEL = "org/tiny-llama"


def main() -> int:
    cluster = Cluster(NAME)
    print(
        "starting a control plane: etcd, Kubernetes, kwok nodes, Fluid, an S3 server …", flush=True
    )
    cluster.up(dynamo=None)  # it has no graphs
    try:
        return show(cluster)
    finally:
        if os.environ.get("KEEP"):
            print(f"\nstill up: . {cluster.state / 'env'}", flush=True)
        else:
            cluster.down()


def show(cluster: Cluster) -> int:
    Bucket(cluster.s3, "models").put_model(MODEL, shards=4, shard_size=8 << 20)
    cluster.alluxio("default", "demo").set_knobs(load_bytes_per_second=8_000_000)
    plugin = Path(sys.executable).parent
    env = {
        **os.environ,
        **cluster.s3.env(),
        "KUBECONFIG": str(cluster.kubeconfig),
        "PATH": os.pathsep.join([str(plugin), str(cluster.bin), os.environ["PATH"]]),
    }
    commands = [
        "kubectl get nodes -L nvidia.com/gpu.present",
        f"kubectl fluidmodel cache s3://models/{MODEL} --name demo",
        "kubectl get dataset,alluxioruntime,dataload,pvc",
        "kubectl get nodes -l fluid.io/s-default-demo=true",
        f"kubectl fluidmodel cache s3://models/{MODEL} --name demo -o json",
    ]
    for command in commands:
        print(f"\n$ {command}", flush=True)
        done = subprocess.run(shlex.split(command), env=env, text=True, stdout=subprocess.PIPE)
        print(done.stdout, end="", flush=True)
        if done.returncode:
            print(f"demo failed: {command} ended with {done.returncode}", flush=True)
            return 1
    proof = json.loads(done.stdout)["proof"]
    if not proof["complete"] or proof["by"] != "file":
        print("demo failed: the cache is not proven", flush=True)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
