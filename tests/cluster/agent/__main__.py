"""``python -m tests.cluster.agent STATE``: watch pods and Deployments, and act as their node."""

from __future__ import annotations

import os
import signal
import sys
import threading
from pathlib import Path

from ..api import Api, Object
from ..follow import Act, follow
from ..process import Processes, read_json
from ..real import node
from . import workers
from .pod import SETTINGS, PodRunner
from .wake import Waker

#: The Deployments of fluid-system that stand for a process of this machine.
CONTROLLERS = ("dataset-controller", "alluxioruntime-controller")


class Agent:
    """All pods that run for real, and the controllers whose Deployments may be scaled."""

    def __init__(self, state: Path) -> None:
        self.state = state
        self.api = Api(state / "kubeconfigs" / "agent.yaml")
        self.processes = Processes(state)
        self.pods: dict[str, PodRunner] = {}
        port = self.api.server.rpartition(":")[2]
        self.base_env = {
            "PATH": os.environ.get("PATH", os.defpath),
            "KUBERNETES_SERVICE_PORT": port,
        }

    def pod(self, kind: str, pod: Object) -> None:  # noqa: C901 - one case for each kind of pod
        if pod["spec"].get("nodeName") in node.taken(self.state):
            return  # it has a kubelet of its own
        labels = pod["metadata"].get("labels") or {}
        role = labels.get("role", "")
        if role == "alluxio-worker":
            if kind == "DELETED":
                workers.lost(self.state, pod)
            elif pod["spec"].get("nodeName"):
                workers.seen(self.api, self.state, pod)
        owners = pod["metadata"].get("ownerReferences") or []
        if role != "alluxio-master" and not any(each["kind"] == "Job" for each in owners):
            return
        uid = pod["metadata"]["uid"]
        if kind == "DELETED":
            runner = self.pods.pop(uid, None)
            if runner:
                runner.vanished()
            if role == "alluxio-master":
                workers.master_lost(self.state, pod)
            return
        if not pod["spec"].get("nodeName"):
            if pod["metadata"].get("deletionTimestamp"):
                self._release(pod)
            return
        runner = self.pods.get(uid)
        if runner is None:
            runner = self.pods[uid] = PodRunner(self.api, self.state, pod, self.base_env)
            runner.update(pod)
            if (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed"):
                # It ended under an agent before this one: only its deletion is left to do.
                threading.Thread(target=runner._end, daemon=True).start()
            else:
                runner.start()
            return
        runner.update(pod)

    def _release(self, pod: Object) -> None:
        meta = pod["metadata"]
        self.api.delete("v1", "Pod", meta["name"], meta["namespace"], gracePeriodSeconds=0)

    def deployment(self, kind: str, deployment: Object) -> None:
        name = deployment["metadata"]["name"]
        if name not in CONTROLLERS or self.processes.spec(name) is None:
            return
        if (self.state / "procs" / f"{name}.held").exists():
            return  # a test has stopped this process by hand
        wanted = kind != "DELETED" and int(deployment["spec"].get("replicas", 1)) > 0
        runs = self.processes.pid(name) is not None
        if wanted and not runs:
            self.processes.again(name)
        elif runs and not wanted:
            self.processes.stop(name)

    def run(self) -> None:
        watches: list[tuple[str, str, Act, str | None]] = [
            ("v1", "Pod", self.pod, None),
            ("apps/v1", "Deployment", self.deployment, "fluid-system"),
        ]
        if {**SETTINGS, **(read_json(self.state / "agent.json") or {})}["wake"]:
            waker = Waker(self.api)
            watches += [
                ("apps/v1", "StatefulSet", waker.child, None),
                ("batch/v1", "Job", waker.child, None),
                ("data.fluid.io/v1alpha1", "AlluxioRuntime", waker.runtime, None),
            ]
        for watch in watches:
            threading.Thread(target=follow, args=(self.api, *watch), daemon=True).start()
        stop = threading.Event()
        for signum in (signal.SIGTERM, signal.SIGINT):
            signal.signal(signum, lambda *_: stop.set())
        stop.wait()
        for runner in list(self.pods.values()):
            for container in list(runner.running.values()):
                container.signal(signal.SIGKILL)


def main() -> int:
    Agent(Path(sys.argv[1])).run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
