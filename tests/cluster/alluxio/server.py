"""Answers `alluxio fsadmin report …` over loopback TCP, for all Datasets of a cluster.

Fluid's controllers run that command all the time, in every master. A Python that is started for it
takes most of what a control plane with a few caches uses of the machine; this one is started once.
The client is the first lines of the script `alluxio` (`exec_bridge.py`).

Request: two lines, NAMESPACE/NAME of the Dataset and the command line; the client then reads.
Response: a line with the exit code, then what the command prints. Commands that ask a store, or
that end when their container ends, run as programs of their own.
"""

from __future__ import annotations

import socketserver
import sys
from pathlib import Path

from . import admin
from .state import Failure, State


def respond(root: Path, dataset: str, line: str) -> str:
    """The response to a request."""
    namespace, _, name = dataset.partition("/")
    try:
        return f"0\n{admin.answer(State(root, namespace, name), line.split())}\n"
    except Failure as failure:
        return f"{failure.code}\n{failure.message}\n" if failure.message else f"{failure.code}\n"


class Handler(socketserver.StreamRequestHandler):
    """One command."""

    def handle(self) -> None:
        dataset, line = (self.rfile.readline().decode().rstrip("\n") for _ in range(2))
        self.wfile.write(respond(Path(sys.argv[1]), dataset, line).encode())


class Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 64


def main(port: int) -> None:
    with Server(("127.0.0.1", port), Handler) as server:
        server.serve_forever()


if __name__ == "__main__":
    main(int(sys.argv[2]))
