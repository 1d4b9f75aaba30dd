"""What the agent tells the API server about a pod: container states, conditions, events."""

from __future__ import annotations

import contextlib
import copy
import hashlib
import time
from typing import Any

from ..api import Api, ApiError, Object
from .container import Container, now


class StatusWriter:
    """The status of one pod, written when it has changed."""

    def __init__(self, api: Api, pod: Object) -> None:
        self.api, self.pod = api, pod
        self.containers = {each["name"]: self._fresh(each) for each in pod["spec"]["containers"]}
        self.inits = {
            each["name"]: self._fresh(each) for each in pod["spec"].get("initContainers") or []
        }
        self.phase = "Pending"
        self.start = now()
        self._written: Object = {}
        self._events: dict[tuple[str, str], tuple[str, int]] = {}
        self._ip = self._address()

    @staticmethod
    def _fresh(container: Object) -> Object:
        return {
            "name": container["name"],
            "image": container.get("image", ""),
            "imageID": "",
            "ready": False,
            "started": False,
            "restartCount": 0,
            "state": {"waiting": {"reason": "PodInitializing"}},
        }

    def _address(self) -> str:
        """An address of the pod's own: its node's is loopback, which Endpoints refuse."""
        digest = hashlib.sha256(self.pod["metadata"]["uid"].encode()).digest()
        return f"10.201.{digest[0]}.{digest[1] or 1}"

    # -- containers ----------------------------------------------------------------------------

    def waiting(self, reason: str) -> None:
        for each in self.containers.values():
            each["state"] = {"waiting": {"reason": reason}}
        self.publish()

    def container_waiting(self, name: str, reason: str, message: str, init: bool = False) -> None:
        each = (self.inits if init else self.containers)[name]
        each["state"] = {"waiting": {"reason": reason, "message": message}}
        self.publish()

    def container_running(self, name: str, started: Container | None, init: bool = False) -> None:
        each = (self.inits if init else self.containers)[name]
        begun = started.started_at if started else now()
        each["state"] = {"running": {"startedAt": begun}}
        each["ready"] = each["started"] = not init
        if not init:
            self.phase = "Running"
            self.event("Normal", "Started", f"Started container {name}")
        if init:
            self.publish()

    def not_started(self, name: str) -> None:
        self.containers[name].update(ready=False, started=False)

    def started(self, name: str) -> None:
        self.containers[name].update(ready=True, started=True)

    def container_ended(
        self, name: str, ended: Container | None, code: int, init: bool = False
    ) -> None:
        each = (self.inits if init else self.containers)[name]
        reason = "Completed" if code == 0 else "Error"
        if ended and ended.out_of_memory:
            reason = "OOMKilled"
        each["state"] = {
            "terminated": {
                "exitCode": code,
                "reason": reason,
                "startedAt": ended.started_at if ended else now(),
                "finishedAt": (ended.finished_at if ended else "") or now(),
            }
        }
        each["started"] = False
        each["ready"] = init and code == 0

    def back_off(self, name: str) -> None:
        each = self.containers[name]
        each["lastState"] = each["state"]
        message = (
            f"back-off restarting failed container {name} in pod "
            f"{self.pod['metadata']['name']}_{self.pod['metadata']['namespace']}"
        )
        each["state"] = {"waiting": {"reason": "CrashLoopBackOff", "message": message}}
        self.event("Warning", "BackOff", "B" + message[1:])

    def restarted(self, name: str) -> None:
        self.containers[name]["restartCount"] += 1

    def all_succeeded(self) -> bool:
        return all(
            each["state"].get("terminated", {}).get("exitCode") == 0
            for each in self.containers.values()
        )

    def finish(self, phase: str) -> None:
        self.phase = phase
        self.publish()

    # -- the API server ------------------------------------------------------------------------

    def publish(self) -> None:
        ready = all(each["ready"] for each in self.containers.values()) and self.phase == "Running"
        done = all("terminated" in each["state"] for each in self.inits.values())
        because = "" if ready else "ContainersNotReady"
        if self.phase in ("Succeeded", "Failed"):
            because = "PodCompleted" if self.phase == "Succeeded" else "PodFailed"
        status: Object = {
            "phase": self.phase,
            "startTime": self.start,
            "hostIP": "127.0.0.1",
            "hostIPs": [{"ip": "127.0.0.1"}],
            "podIP": self._ip,
            "podIPs": [{"ip": self._ip}],
            "containerStatuses": list(self.containers.values()),
            "initContainerStatuses": list(self.inits.values()),
        }
        if status == self._written:
            return
        conditions = {
            "PodReadyToStartContainers": True,
            "Initialized": done,
            "Ready": ready,
            "ContainersReady": ready,
            "PodScheduled": True,
        }
        # Conditions that others own, such as the Job controller's disruption targets, stay.
        known: list[Object] = (self.pod.get("status") or {}).get("conditions") or []
        kept = [each for each in known if each["type"] not in conditions]
        old = {each["type"]: each for each in known}
        body: Object = {**copy.deepcopy(status), "conditions": kept}
        for kind, value in conditions.items():
            text = "True" if value else "False"
            same = old.get(kind, {}).get("status") == text
            entry = {
                "type": kind,
                "status": text,
                "lastTransitionTime": old[kind].get("lastTransitionTime") if same else now(),
            }
            if not value and because:
                entry["reason"] = because
            body["conditions"].append(entry)
        meta = self.pod["metadata"]
        try:
            self.api.patch(
                "v1",
                "Pod",
                meta["name"],
                {"metadata": {"uid": meta["uid"]}, "status": body},
                meta["namespace"],
                "status",
            )
        except ApiError as error:
            if error.status not in (404, 409, 422):
                return  # the API server is away: the next publish brings it
        except OSError:
            return
        self._written = copy.deepcopy(status)

    def event(self, kind: str, reason: str, message: str) -> None:
        """An event about the pod; the same one again only counts up."""
        meta = self.pod["metadata"]
        key = (reason, message)
        stamp = now()
        with contextlib.suppress(ApiError, OSError):
            if key in self._events:
                name, count = self._events[key]
                self._events[key] = (name, count + 1)
                self.api.patch(
                    "v1",
                    "Event",
                    name,
                    {"count": count + 1, "lastTimestamp": stamp},
                    meta["namespace"],
                )
                return
            name = f"{meta['name']}.{time.time_ns():x}"
            self._events[key] = (name, 1)
            event: dict[str, Any] = {
                "apiVersion": "v1",
                "kind": "Event",
                "type": kind,
                "reason": reason,
                "message": message,
                "count": 1,
                "firstTimestamp": stamp,
                "lastTimestamp": stamp,
                "metadata": {"name": name, "namespace": meta["namespace"]},
                "source": {"component": "kubelet", "host": self.pod["spec"].get("nodeName", "")},
                "reportingComponent": "kubelet",
                "involvedObject": {
                    "apiVersion": "v1",
                    "kind": "Pod",
                    "name": meta["name"],
                    "namespace": meta["namespace"],
                    "uid": meta["uid"],
                },
            }
            self.api.create(event)
