"""``python -m tests.cluster.agent STATE``: watch pods and Deployments, and act as their node."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path

import urllib3

from ..api import Api, ApiError, Object
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

    def follow(
        self, version: str, kind: str, namespace: str | None, act: Callable[[str, Object], None]
    ) -> None:
        """List and watch for ever; whatever is missed between two watches is made up for."""
        known: dict[str, Object] = {}
        while True:
            try:
                answer = self.api.get(version, kind, None, namespace)
                items = {each["metadata"]["uid"]: each for each in answer["items"]}
                for uid in set(known) - set(items):
                    self._act(act, "DELETED", known.pop(uid))
                for uid, each in items.items():
                    known[uid] = each
                    self._act(act, "MODIFIED", each)
                since = answer["metadata"]["resourceVersion"]
                while since:
                    since = self._watch(version, kind, namespace, since, known, act)
            except (ApiError, OSError, urllib3.exceptions.HTTPError, ValueError):
                time.sleep(0.3)

    def _watch(
        self,
        version: str,
        kind: str,
        namespace: str | None,
        since: str,
        known: dict[str, Object],
        act: Callable[[str, Object], None],
    ) -> str:
        for event in self.api.watch(version, kind, namespace, since):
            what, obj = event["type"], event["object"]
            if what == "ERROR":
                return ""
            since = str(obj["metadata"]["resourceVersion"])
            if what == "BOOKMARK":
                continue
            uid = obj["metadata"]["uid"]
            if what == "DELETED":
                known.pop(uid, None)
            else:
                known[uid] = {"metadata": obj["metadata"], "spec": {}, "status": {}}
            self._act(act, what, obj)
        return since

    @staticmethod
    def _act(act: Callable[[str, Object], None], what: str, obj: Object) -> None:
        try:
            act(what, obj)
        except Exception:
            traceback.print_exc()

    def run(self) -> None:
        watches: list[tuple[str, str, str | None, Callable[[str, Object], None]]] = [
            ("v1", "Pod", None, self.pod),
            ("apps/v1", "Deployment", "fluid-system", self.deployment),
        ]
        if {**SETTINGS, **(read_json(self.state / "agent.json") or {})}["wake"]:
            waker = Waker(self.api)
            watches += [
                ("apps/v1", "StatefulSet", None, waker.child),
                ("batch/v1", "Job", None, waker.child),
                ("data.fluid.io/v1alpha1", "AlluxioRuntime", None, waker.runtime),
            ]
        for watch in watches:
            threading.Thread(target=self.follow, args=watch, daemon=True).start()
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
