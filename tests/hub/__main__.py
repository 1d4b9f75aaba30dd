"""`python -m tests.hub DIR …`: serve directories as model repositories, until it is ended.

Prints one JSON line with the endpoint. Each DIR is served as `org/model` by its last two parts.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import threading
from pathlib import Path

from tests.hub.faults import TokenBucket
from tests.hub.repo import Repo
from tests.hub.server import LOOPBACK, FakeHub


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.hub")
    parser.add_argument("folders", nargs="+", type=Path, metavar="DIR")
    parser.add_argument("--address", default=LOOPBACK, help="to listen at (default: %(default)s)")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--connection-rate", type=float, default=0, help="MB/s per connection")
    parser.add_argument("--total-rate", type=float, default=0, help="MB/s in all")
    parser.add_argument("--latency", type=float, default=0, help="seconds before each answer")
    args = parser.parse_args()
    hub = FakeHub(*(_repo(folder.resolve()) for folder in args.folders))
    hub.connection_rate = args.connection_rate * 1e6
    hub.total = TokenBucket(args.total_rate * 1e6)
    hub.latency = args.latency
    hub.start(args.port, args.address)
    print(json.dumps({"endpoint": hub.endpoint}), flush=True)
    stop = threading.Event()
    for signal_number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signal_number, lambda *_: stop.set())
    stop.wait()
    print(json.dumps({"body_bytes": hub.body_bytes, "requests": len(hub.requests)}), flush=True)
    hub.stop()
    return 0


def _repo(folder: Path) -> Repo:
    files = {
        str(path.relative_to(folder)): path for path in sorted(folder.rglob("*")) if path.is_file()
    }
    return Repo("/".join(folder.parts[-2:]), files)  # type: ignore[arg-type]


if __name__ == "__main__":
    sys.exit(main())
