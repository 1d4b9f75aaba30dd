"""``python -m tests.cluster up|down|status``."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from typing import Any

from . import binaries
from .cluster import Cluster
from .components import ORDER
from .dynamo.crds import GENERATIONS, NotAtHand
from .fleet import REAL
from .real import machine
from .real import nodes as real_nodes

RECONCILE_SECONDS = 20
"""How often Fluid looks into real caches. Each look starts several JVMs in each master, which take
some seconds of CPU time; Fluid's own default is 90."""


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.cluster", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    up = verbs.add_parser("up", help="build what is missing, start, wait until usable")
    up.add_argument("--nodes", type=int, metavar="N", help="size of the fleet (default: 5)")
    up.add_argument(
        "--crds",
        default="dynamo=current",
        metavar="dynamo=GENERATION",
        help=f"Dynamo's CRDs: {', '.join(GENERATIONS)} or none",
    )
    up.add_argument("--build-only", action="store_true", help="only fill the cache of binaries")
    down = verbs.add_parser("down", help="end what up started, and remove its state")
    run = verbs.add_parser("run", help="up, run a command with FLUIDMODEL_CLUSTER set, down")
    run.add_argument("command", nargs=argparse.REMAINDER, help="after --")
    status = verbs.add_parser("status", help="what runs, where, and how to use it")
    for verb in (up, run):
        verb.add_argument(
            "--real-node",
            action="store_true",
            help=f"with {REAL}, which runs pods in containers (Linux, root)",
        )
        verb.add_argument(
            "--real-nodes",
            type=int,
            metavar="N",
            default=0,
            help=f"with {REAL} and so on, with Alluxio, FUSE and CSI (besides: Maven, a JDK)",
        )
    for verb in (up, down, status, run):
        verb.add_argument("--name", default="default", help="which cluster (default: default)")
    options = parser.parse_args(argv)
    cluster = Cluster(options.name)
    try:
        return act(cluster, options)
    except (machine.MachineLacks, NotAtHand) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


def act(cluster: Cluster, options: argparse.Namespace) -> int:
    """Do what the command line says."""
    if options.verb == "up" and options.build_only:
        build(cluster, options)
        return 0
    if options.verb == "up":
        generation = options.crds.removeprefix("dynamo=")
        started = time.monotonic()
        bring_up(cluster, options, options.nodes, None if generation == "none" else generation)
        print(f"up in {time.monotonic() - started:.1f} s", file=sys.stderr)
        return show(cluster)
    if options.verb == "down":
        cluster.down()
        return 0
    if options.verb == "run":
        return run_with(cluster, options)
    return show(cluster)


def build(cluster: Cluster, options: argparse.Namespace) -> None:
    """Build and fetch what is missing; what this machine cannot have is told before."""
    real, data_plane = options.real_node or options.real_nodes, options.real_nodes > 0
    if real:
        real_nodes.check(cluster.state, data_plane)
    binaries.ensure()
    if real:
        real_nodes.prepare(data_plane)


def bring_up(cluster: Cluster, options: argparse.Namespace, *settings: Any) -> None:
    """The cluster and the real nodes that were asked for."""
    build(cluster, options)
    paced = {"fluid_reconcile": RECONCILE_SECONDS} if options.real_nodes else {}
    cluster.up(*settings, **paced)
    if options.real_nodes:
        cluster.add_real_nodes(options.real_nodes)
    elif options.real_node:
        cluster.add_real_node()


def run_with(cluster: Cluster, options: argparse.Namespace) -> int:
    """The command's exit code; the cluster goes whatever becomes of it."""
    try:
        bring_up(cluster, options)
        words = options.command[1:] if options.command[:1] == ["--"] else options.command
        env = {**os.environ, "FLUIDMODEL_CLUSTER": cluster.name}
        return subprocess.run(words, env=env, check=False).returncode
    finally:
        cluster.down()


def show(cluster: Cluster) -> int:
    if not cluster.state.exists():
        print(f"cluster {cluster.name}: not there")
        return 1
    facts = cluster.facts
    word = "up" if cluster.running() else "not all of it runs"
    print(f"cluster {cluster.name}: {word}, {facts['nodes']} nodes")
    for name in [each for each in ORDER if cluster.processes.spec(each)]:
        pid = cluster.processes.pid(name)
        port = facts["ports"].get(name, "")
        print(
            f"  {name:<26} {'pid ' + str(pid) if pid else 'stopped':<12} "
            f"{'127.0.0.1:' + str(port) if port else ''}"
        )
    for each in cluster.real.taken().values():
        print(f"real node:      {each.name}, {each.address}")
    print(f"state and logs: {cluster.state}")
    print(f"S3 endpoint:    {cluster.s3.endpoint}")
    print(f"to use it:      export KUBECONFIG={cluster.kubeconfig}")
    print(f"with S3 keys:   . {cluster.state / 'env'}")
    return 0 if cluster.running() else 1


if __name__ == "__main__":
    sys.exit(main())
