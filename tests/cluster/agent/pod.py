"""The life of one pod that runs for real: volumes, init containers, containers, probes, the end."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import threading
import time
import traceback
from pathlib import Path
from typing import Any

from .. import sandbox
from ..api import Api, ApiError, Object
from ..process import read_json
from .container import Container, Log
from .environment import NotConfigured, command, image, quantity, resolve
from .probe import StartupProbe
from .status import StatusWriter
from .volumes import NotMountable, Volumes

#: How the agent behaves; ``agent.json`` in the state directory overrides it.
SETTINGS: dict[str, Any] = {
    "probe_scale": 0.05,  # of a startup probe's delays: 20 s become 1 s
    "restart_backoff": 1.0,  # seconds before the first restart, doubled up to ten
    "tick": 0.1,
    "wake": True,  # touch Fluid's objects instead of waiting for its 20 s (wake.py)
}


class Ended(Exception):
    """The pod is being deleted: whatever was going on stops here."""


class PodRunner(threading.Thread):
    """Runs one pod until it ends or is deleted."""

    def __init__(self, api: Api, state: Path, pod: Object, base_env: dict[str, str]) -> None:
        meta = pod["metadata"]
        super().__init__(name=f"{meta['namespace']}/{meta['name']}", daemon=True)
        self.api, self.state, self.pod = api, state, pod
        self.directory = state / "pods" / meta["uid"]
        self.status = StatusWriter(api, pod)
        self.settings = {**SETTINGS, **(read_json(state / "agent.json") or {})}
        self.base_env = base_env
        self.deleted = threading.Event()
        self.gone = threading.Event()
        self.running: dict[str, Container] = {}
        self.logs: dict[str, Log] = {}
        self.enters: dict[str, Path] = {}
        self.envs: dict[str, dict[str, str]] = {}
        self.places: dict[str, Path] = {}

    # -- what the agent calls -----------------------------------------------------------------

    def update(self, pod: Object) -> None:
        self.pod = self.status.pod = pod
        if pod["metadata"].get("deletionTimestamp"):
            self.deleted.set()

    def vanished(self) -> None:
        """The object is gone (forced deletion): nothing is left to report to."""
        self.gone.set()
        self.deleted.set()

    # -- the thread ----------------------------------------------------------------------------

    def run(self) -> None:
        try:
            self._live()
        except Ended:
            pass
        except Exception:
            traceback.print_exc()
        finally:
            self._end()

    def _live(self) -> None:
        spec = self.pod["spec"]
        self._set_up_volumes()
        self._publish_doors()
        for container in spec.get("initContainers") or []:
            if not self._run_init(container):
                return
        for container in spec["containers"]:
            self._start(container)
        self._watch_over()

    def _set_up_volumes(self) -> None:
        volumes = Volumes(self.api, self.state, self.pod, self.directory / "volumes")
        self.status.waiting("ContainerCreating")
        while True:
            try:
                self.places = volumes.lay_out()
                self.volumes = volumes
                return
            except NotMountable as error:
                self.status.event("Warning", "FailedMount", str(error))
            except ApiError as error:
                self.status.event("Warning", "FailedMount", f"failed to sync: {error.message}")
            self._pause(1.0)

    def _publish_doors(self) -> None:
        """Tell kwok where this pod's logs are and how to enter its containers."""
        meta, spec = self.pod["metadata"], self.pod["spec"]
        logs, execs = [], []
        for container in (spec.get("initContainers") or []) + spec["containers"]:
            name = container["name"]
            self.logs[name] = Log(self.directory / f"{name}.log")
            link = self.state / "logindex" / meta["namespace"] / meta["name"] / name
            link.parent.mkdir(parents=True, exist_ok=True)
            link.unlink(missing_ok=True)
            link.with_name(f"{name}.ended").unlink(missing_ok=True)
            link.symlink_to(self.logs[name].path)
            logs.append(
                {
                    "containers": [name],
                    "logsFile": str(self.logs[name].path),
                    "previousLogsFile": str(self.logs[name].path.with_suffix(".previous.log")),
                    "follow": True,
                }
            )
            self.enters[name] = sandbox.build(
                self.directory / "roots" / name, self._mounts(container)
            )
            own = {"FLUIDMODEL_SANDBOX": str(self.enters[name]), **self._dataset_env()}
            execs.append(
                {
                    "containers": [name],
                    "local": {
                        "envs": [{"name": key, "value": value} for key, value in own.items()]
                    },
                }
            )
        owner = {"apiVersion": "v1", "kind": "Pod", "name": meta["name"], "uid": meta["uid"]}
        for kind, section, value in (("Logs", "logs", logs), ("Exec", "execs", execs)):
            self.api.apply(
                {
                    "apiVersion": "kwok.x-k8s.io/v1alpha1",
                    "kind": kind,
                    "metadata": {
                        "name": meta["name"],
                        "namespace": meta["namespace"],
                        "ownerReferences": [owner],
                    },
                    "spec": {section: value},
                },
                manager="agent",
            )

    def _mounts(self, container: Object) -> dict[str, Path]:
        mounts: dict[str, Path] = {"/etc/hosts": self.state / "hosts"}
        if "alluxio" in container.get("image", ""):
            conf = self.directory / "conf"
            conf.mkdir(parents=True, exist_ok=True)
            mounts["/opt/alluxio/conf"] = conf
            mounts["/entrypoint.sh"] = self.state / "podbin" / "entrypoint.sh"
        for mount in container.get("volumeMounts") or []:
            source = self.places[mount["name"]]
            below = mount.get("subPath")
            if below:
                source = source / below
                if not source.exists():
                    source.mkdir(parents=True)
            mounts[mount["mountPath"]] = source
        return mounts

    def _dataset_env(self) -> dict[str, str]:
        labels = self.pod["metadata"].get("labels") or {}
        env = {"FLUIDMODEL_STATE": str(self.state)}
        if labels.get("role") == "alluxio-master":
            env["FLUIDMODEL_DATASET"] = f"{self.pod['metadata']['namespace']}/{labels['release']}"
            real = {
                mount["mountPath"]: str(self.places[mount["name"]])
                for container in self.pod["spec"]["containers"][:1]
                for mount in container.get("volumeMounts") or []
                if mount["mountPath"].startswith("/underFSStorage")
            }
            env["FLUIDMODEL_MOUNTS"] = json.dumps(real) if real else ""
        return env

    def _environment(self, container: Object) -> tuple[dict[str, str], dict[str, str]]:
        """The container's own variables, and the whole environment it runs with."""
        own = resolve(self.api, self.pod, container)
        facts = image(self.state, container.get("image", ""))
        base = self.base_env
        path = ":".join([str(self.state / "podbin"), *facts["path"], base.get("PATH", "")])
        whole = {
            "PATH": path,
            "HOME": "/root",
            "LANG": "C.UTF-8",
            "HOSTNAME": self.pod["metadata"]["name"],
            "KUBERNETES_SERVICE_HOST": "127.0.0.1",
            "KUBERNETES_SERVICE_PORT": base["KUBERNETES_SERVICE_PORT"],
            "FLUIDMODEL_WORKDIR": container.get("workingDir") or "/",
            **facts["env"],
            **self._dataset_env(),
            **own,
        }
        return own, whole

    def _spawn(self, container: Object) -> Container | None:
        """Start a container's process; None when its image has nothing that could run here."""
        own, whole = self._environment(container)
        argv = command(self.state, container, own)
        self.envs[container["name"]] = whole
        if not argv:
            return None
        limit = ((container.get("resources") or {}).get("limits") or {}).get("memory")
        return Container(
            [str(self.enters[container["name"]]), *argv],
            whole,
            self.logs[container["name"]],
            quantity(limit),
        )

    def _try_spawn(self, container: Object, init: bool = False) -> Container | None:
        """Like ``_spawn``, waiting as a kubelet does while the configuration is not there."""
        while True:
            try:
                started = self._spawn(container)
            except NotConfigured as error:
                self.status.event("Warning", "Failed", f"Error: {error}")
                self.status.container_waiting(
                    container["name"], "CreateContainerConfigError", str(error), init
                )
                self._pause(1.0)
                continue
            self.status.container_running(container["name"], started, init)
            return started

    def _run_init(self, container: Object) -> bool:
        always = self.pod["spec"].get("restartPolicy", "Always") != "Never"
        backoff = float(self.settings["restart_backoff"])
        while True:
            started = self._try_spawn(container, init=True)
            while started and started.exit_code() is None:
                self._pause(self.settings["tick"], started)
            code = (started.exit_code() or 0) if started else 0
            self.status.container_ended(container["name"], started, code, init=True)
            if code == 0 or not always:
                self._log_ended(container["name"])
            if code == 0:
                return True
            if not always:
                self.status.finish("Failed")
                return False
            self._pause(backoff)
            backoff = min(backoff * 2, 10)

    def _start(self, container: Object) -> None:
        started = self._try_spawn(container)
        name = container["name"]
        if started is None:
            self.status.container_ended(name, None, 0)
            return
        self.running[name] = started
        if container.get("startupProbe", {}).get("exec"):
            self.status.not_started(name)

    def _watch_over(self) -> None:
        policy = self.pod["spec"].get("restartPolicy", "Always")
        probes = {
            each["name"]: StartupProbe(each, self.settings["probe_scale"])
            for each in self.pod["spec"]["containers"]
            if each.get("startupProbe", {}).get("exec")
        }
        restart_at: dict[str, float] = {}
        backoff: dict[str, float] = {}
        refreshed = time.monotonic()
        self.status.publish()
        while True:
            for container in self.pod["spec"]["containers"]:
                name = container["name"]
                if name in restart_at:
                    if time.monotonic() >= restart_at[name]:
                        del restart_at[name]
                        self.volumes.refresh()
                        self.logs[name].rotate()
                        self.status.restarted(name)
                        self._start(container)
                        if name in probes:
                            probes[name].reset()
                    continue
                current = self.running.get(name)
                if current is None:
                    continue
                code = current.exit_code()
                if code is None:
                    if name in probes:
                        self._probe(name, current, probes[name])
                    continue
                del self.running[name]
                self.status.container_ended(name, current, code)
                if policy == "Always" or (policy == "OnFailure" and code != 0):
                    wait = backoff.get(name, float(self.settings["restart_backoff"]))
                    backoff[name] = min(wait * 2, 10)
                    restart_at[name] = time.monotonic() + wait
                    self.status.back_off(name)
                else:
                    self._log_ended(name)
            if not self.running and not restart_at:
                self.status.finish("Succeeded" if self.status.all_succeeded() else "Failed")
                return
            if time.monotonic() - refreshed > 5:
                refreshed = time.monotonic()
                with contextlib.suppress(NotMountable, ApiError):
                    self.volumes.refresh()
            self.status.publish()
            self._pause(self.settings["tick"])

    def _probe(self, name: str, current: Container, probe: StartupProbe) -> None:
        result = probe.step(self.enters[name], self.envs[name], self.logs[name])
        if result == "passed":
            self.status.started(name)
        elif result in ("failed", "exhausted") and current.exit_code() is None:
            said = probe.said[-800:]
            self.status.event("Warning", "Unhealthy", f"Startup probe failed: {said}")
        if result == "exhausted":
            self.status.event(
                "Normal", "Killing", f"Container {name} failed startup probe, will be restarted"
            )
            current.stop(1.0)

    def _log_ended(self, name: str) -> None:
        """Nothing will be written to this log any more: who follows it may stop."""
        meta = self.pod["metadata"]
        folder = self.state / "logindex" / meta["namespace"] / meta["name"]
        if folder.is_dir():
            (folder / f"{name}.ended").touch()

    def _pause(self, seconds: float, current: Container | None = None) -> None:
        if self.deleted.wait(float(seconds)):
            if current:
                current.stop(1.0)
            raise Ended

    def _end(self) -> None:
        """Wait for the pod to be deleted, end what still runs, and let the object go."""
        while not self.deleted.wait(3600):
            pass
        grace = self.pod["metadata"].get("deletionGracePeriodSeconds")
        grace = min(10.0, 10.0 if grace is None else float(grace))
        for name, current in self.running.items():
            current.stop(0 if self.gone.is_set() else grace)
            code = current.exit_code()
            self.status.container_ended(name, current, 137 if code is None else code)
            self._log_ended(name)
        if not self.gone.is_set():
            with contextlib.suppress(ApiError):
                if self.pod["status"].get("phase") not in ("Succeeded", "Failed"):
                    self.status.finish("Succeeded" if self.status.all_succeeded() else "Failed")
            with contextlib.suppress(ApiError):
                meta = self.pod["metadata"]
                self.api.request(
                    "DELETE",
                    f"/api/v1/namespaces/{meta['namespace']}/pods/{meta['name']}",
                    {
                        "apiVersion": "v1",
                        "kind": "DeleteOptions",
                        "gracePeriodSeconds": 0,
                        "preconditions": {"uid": meta["uid"]},
                    },
                )
        if not os.environ.get("FLUIDMODEL_KEEP_PODS"):
            shutil.rmtree(self.directory / "volumes", ignore_errors=True)
            shutil.rmtree(self.directory / "roots", ignore_errors=True)
