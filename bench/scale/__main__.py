"""Whether `inspect -A` and `doctor -A` keep up with kubectl: `python -m bench.scale`.

Starts a control plane, fills it, and stops all of it but etcd and the API server, so that only the
readers are at work. Each round runs `kubectl get --raw` for each list that the verb reads, one
after the other and all at once, and then the verb. Prints medians as JSON. The exit code is 1 if a
verb takes more time or memory than its target.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

from bench.scale.fleet import fill
from bench.scale.measurement import TARGETS, measure
from tests.cluster.cluster import Cluster


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m bench.scale", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--nodes", type=int, default=5000)
    parser.add_argument("--pods", type=int, default=20_000)
    parser.add_argument("--datasets", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--verbs", default=",".join(TARGETS), help="default: %(default)s")
    parser.add_argument("--name", default="scale", help="the cluster's name (default: %(default)s)")
    parser.add_argument("--keep", action="store_true", help="keep the cluster for another run")
    options = parser.parse_args(argv)
    cluster = Cluster(options.name)
    try:
        _start(cluster, options)
        results = [measure(cluster, verb, options.rounds) for verb in options.verbs.split(",")]
    finally:
        if not options.keep:
            cluster.down()
    sizes = {key: getattr(options, key) for key in ("nodes", "pods", "datasets", "rounds")}
    load = round(os.getloadavg()[0], 1)
    print(json.dumps({**sizes, "load": load, "results": results}, indent=1))
    return 0 if all(result["met"] for result in results) else 1


def _start(cluster: Cluster, options: argparse.Namespace) -> None:
    """Start the cluster, and fill it unless an earlier run did."""
    filled = Path(cluster.state, "filled")
    cluster.up(nodes=options.nodes)
    if not filled.exists():
        fill(cluster, options.pods, options.datasets)
        filled.touch()


if __name__ == "__main__":
    sys.exit(main())
