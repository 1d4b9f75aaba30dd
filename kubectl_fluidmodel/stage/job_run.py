"""Run the staging Job and follow it: one progress over all shards, read from the pods' logs.

The pods log one JSON object per line. Whoever follows reads the ends of the logs about once a
second, so it does not matter when it began to, or whether it was here before: detach and attach
again as you like.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from kubectl_fluidmodel.errors import FluidModelError, TimedOut, Unreachable
from kubectl_fluidmodel.fluid import names, pod_problems
from kubectl_fluidmodel.kube.client import Client
from kubectl_fluidmodel.kube.errors import Conflict, KubeError
from kubectl_fluidmodel.kube.watch import Feed
from kubectl_fluidmodel.objects import kinds
from kubectl_fluidmodel.objects.access import (
    Object,
    annotations_of,
    at,
    dicts,
    labels_of,
    name_of,
    namespace_of,
)
from kubectl_fluidmodel.objects.deletion import is_terminating
from kubectl_fluidmodel.objects.plugin_pod import no_image
from kubectl_fluidmodel.stage.events import Note, from_document
from kubectl_fluidmodel.stage.job import CONTAINER, INDEX, selector, work_of
from kubectl_fluidmodel.stage.progress import Board, View

_TICK = 1.0
"""Seconds between looks at the logs."""
_TAIL = 40
"""Lines of a log's end that are read each time."""
_GONE = 60.0
"""Seconds to wait for an old Job to go before a new one is made."""
_LEAVE = 20.0
"""Seconds that the pods of a replaced Job may take to go, twice what they are given to end."""
_STUCK = 180.0
"""Seconds without a pod that runs, and with one that cannot start, before waiting is pointless."""
_CANNOT_START = {
    "ErrImagePull",
    "ImagePullBackOff",
    "InvalidImageName",
    "CreateContainerConfigError",
    "CreateContainerError",
}
"""Reasons of waiting containers that time alone does not mend."""
_NO_PACKAGE = ("No module named", "executable file not found", "no such file or directory")
"""Words of an image that is not ours."""
_SETTLE = 10.0
"""Seconds that a Job which is at its end may take to say so of its pods."""


def ensure(client: Client, job: Object) -> str:
    """Have the Job run in the cluster; returns `started`, in place of which, or `found running`.

    Call it where there is no valid manifest. A Job of the same name that is over, well or not,
    is made anew: it goes on from what the store holds. One that is at the same commit of the same
    source and has other settings makes way: it would do the same work a second time, or never
    start. No other Job is touched, whatever its name.

    Raises:
        FluidModelError: the API server refuses it.
    """
    name, namespace = name_of(job), namespace_of(job)
    replaced = [
        _make_way(client, other)
        for other in at_work(client, labels_of(job).get(names.MODEL_LABEL, ""), namespace)
        if name_of(other) != name and work_of(other) == work_of(job)
    ]
    standing = client.find(kinds.JOBS, name, namespace)
    if standing is not None and not (_over(standing) or is_terminating(standing)):
        return "found running"
    if standing is not None:
        remove(client, name, namespace)
    client.apply(kinds.JOBS, job)
    return f"started in place of {', '.join(replaced)}" if replaced else "started"


def at_work(client: Client, cache: str, namespace: str) -> list[Object]:
    """The staging Jobs of a cache that are not over, of whatever source and commit."""
    found = client.list_all(kinds.JOBS, namespace, labels=selector(cache))
    return [each for each in found if not (_over(each) or is_terminating(each))]


def _make_way(client: Client, job: Object) -> str:
    """Delete a Job, and give its pods the time to put down what they have; its name."""
    name, namespace = name_of(job), namespace_of(job)
    remove(client, name, namespace)
    deadline = time.monotonic() + _LEAVE
    while client.list_all(kinds.PODS, namespace, labels=f"job-name={name}", metadata_only=True):
        if time.monotonic() > deadline:  # its node may be gone
            break
        time.sleep(0.2)
    return name


def remove(client: Client, name: str, namespace: str) -> None:
    """Delete a Job with its pods, and wait until it is gone.

    Somebody else may make it anew meanwhile: that one is left alone.

    Raises:
        TimedOut: it does not go.
    """
    standing = client.find(kinds.JOBS, name, namespace)
    if standing is None:
        return
    uid = names.uid_of(standing)
    try:
        client.delete(kinds.JOBS, name, namespace, uid=uid)
    except Conflict:
        return
    deadline = time.monotonic() + _GONE
    while (standing := client.find(kinds.JOBS, name, namespace)) and names.uid_of(standing) == uid:
        if time.monotonic() > deadline:
            raise TimedOut(
                f"Job {name} does not go away", "", f"kubectl delete job {name} -n {namespace}"
            )
        time.sleep(0.2)


def follow(
    client: Client,
    job: Object,
    show: Callable[[View], None],
    *,
    deadline: float,
    say: Callable[[str], None] = lambda _: None,
) -> Board:
    """Follow a Job to its end; `show` gets what `ui.live` draws, at least every second.

    `deadline` is a time.monotonic(). `say` gets lines that are worth keeping.

    Raises:
        FluidModelError: it failed; with the pod's own error where it told one.
        TimedOut: it goes on, but nobody waits for it any longer.
    """
    with _Follower(client, job, show, say) as follower:
        return follower.run(deadline)


@dataclass
class _Log:
    """What is known of one pod's log."""

    seen: set[str] = field(default_factory=set)
    last: list[str] = field(default_factory=list)
    error: FluidModelError | None = None
    complete: bool = False


class _Follower:
    def __init__(
        self,
        client: Client,
        job: Object,
        show: Callable[[View], None],
        say: Callable[[str], None],
    ) -> None:
        self.client, self.show, self.say = client, show, say
        self.name, self.namespace = name_of(job), namespace_of(job)
        notes = annotations_of(job)
        self.board = Board(
            int(notes.get("fluidmodel.io/bytes") or 0),
            int(notes.get("fluidmodel.io/files") or 0),
            int(at(job, "spec", "completions", default=1)),
        )
        self._since = time.time() - 2
        self._logs: dict[str, _Log] = {}
        self._said: set[str] = set()
        self._looked = 0.0
        self._seen = False
        self._over_at = 0.0
        self._log_trouble = ""
        self._stuck_since = 0.0
        self.feed = Feed(client)
        self.feed.follow(kinds.JOBS, self.namespace, fields=f"metadata.name={self.name}")
        self.feed.follow(kinds.PODS, self.namespace, labels=f"job-name={self.name}")
        self.feed.follow(kinds.EVENTS, self.namespace, fields="type=Warning")

    def __enter__(self) -> _Follower:
        return self

    def __exit__(self, *_: object) -> None:
        self.feed.close()

    def run(self, deadline: float) -> Board:
        while True:
            job = self.feed.one(kinds.JOBS, self.name)
            self._seen = self._seen or job is not None
            if time.monotonic() - self._looked >= _TICK or (job and _over(job)):
                self._look()
            self.show(self._view())
            if job is not None and _is(job, "Complete") and self._settled():
                return self.board
            if job is not None and _is(job, "Failed") and self._settled():
                raise self._failure(job)
            if job is None and self._seen:
                raise FluidModelError(
                    f"the staging Job {self.name} was deleted",
                    "somebody or its time to live removed it",
                    "the same command again, which goes on from what the store holds",
                )
            self._check_start(job)
            if kinds.JOBS in self.feed.denied:
                raise FluidModelError(f"cannot watch Job {self.name}", self.feed.denied[kinds.JOBS])
            left = deadline - time.monotonic()
            if left <= 0:
                raise self._too_late()
            self.feed.next(min(_TICK, left))

    # -- looking -----------------------------------------------------------------------------

    def _look(self) -> None:
        """Read the ends of the logs that may have something new."""
        self._looked = time.monotonic()
        for pod in sorted(self.feed.all(kinds.PODS), key=_made_at):
            phase = at(pod, "status", "phase")
            log = self._logs.setdefault(name_of(pod), _Log())
            if log.complete or phase not in ("Running", "Succeeded", "Failed"):
                continue
            try:
                text = self.client.log(self.namespace, name_of(pod), CONTAINER, tail=_TAIL)
            except (KubeError, Unreachable) as err:
                self._log_trouble = err.why or err.what
                continue
            self._log_trouble = ""
            self._take(pod, log, text)
            log.complete = phase in ("Succeeded", "Failed")

    def _take(self, pod: Object, log: _Log, text: str) -> None:
        shard = _shard(pod)
        for line in text.splitlines():
            document = _document(line)
            if document is None:
                log.last = [*log.last, line][-5:]
                continue
            if document.get("event") == "Error":
                log.error = _error(document)
                continue
            event = from_document(document)
            if event is None or line in log.seen:
                continue
            log.seen.add(line)
            self.board.take(event, shard)
            if isinstance(event, Note) and event.text not in self._said:
                self._said.add(event.text)
                of = f"shard {shard}: " if self.board.count > 1 else ""
                self.say(f"{of}{event.text}")
        log.seen &= set(text.splitlines())  # what scrolled out of the tail does not come again

    def _view(self) -> View:
        outside = [self.feed.trouble] if self.feed.trouble else []
        if self._log_trouble:
            outside.append(f"the logs cannot be read: {self._log_trouble}")
        pods = self.feed.all(kinds.PODS)
        job = self.feed.one(kinds.JOBS, self.name)
        if at(job, "spec", "suspend"):
            outside.append(f"Job {self.name} is suspended: its pods are made when it is resumed")
        for pod in pods:
            if at(pod, "status", "phase") == "Pending":
                outside += pod_problems.pod(pod)
        outside += pod_problems.warnings(self.feed.all(kinds.EVENTS), self.name, self._since)
        for log in self._logs.values():
            if log.error is not None:
                outside.append(f"a pod failed and is made anew: {log.error}")
        self.board.outside = tuple(dict.fromkeys(outside))
        phases = [str(at(pod, "status", "phase", default="")) for pod in pods]
        self.board.waits_for = "its pods start" if phases else f"Job {self.name} makes its pods"
        return self.board.view()

    def _settled(self) -> bool:
        """Whether every pod's log was read to its end; not waited for beyond a moment."""
        self._over_at = self._over_at or time.monotonic()
        unread = [
            pod
            for pod in self.feed.all(kinds.PODS)
            if not self._logs.get(name_of(pod), _Log()).complete
        ]
        read = self.feed.knows(kinds.PODS) and not unread
        return read or time.monotonic() - self._over_at > _SETTLE

    def _check_start(self, job: Object | None) -> None:
        """Raises: FluidModelError: no pod runs, and one cannot start, for longer than passes."""
        pods = self.feed.all(kinds.PODS)
        stuck = "" if any(_begun(pod) for pod in pods) else _cannot_start(pods, self.board.outside)
        if not stuck or job is None or at(job, "spec", "suspend"):
            self._stuck_since = 0.0
            return
        self._stuck_since = self._stuck_since or time.monotonic()
        if time.monotonic() - self._stuck_since < _STUCK:
            return
        image = at(job, "spec", "template", "spec", "containers", 0, "image", default="")
        of_image = "mage" in stuck
        raise FluidModelError(
            f"the staging Job {self.name} cannot start",
            stuck,
            f"--image with an image that nodes can pull ({image} is none), or --image-pull-secret"
            if of_image
            else f"kubectl describe pods -n {self.namespace} -l job-name={self.name}",
        )

    # -- ends --------------------------------------------------------------------------------

    def _failure(self, job: Object) -> FluidModelError:
        if _reason(job, "Failed") == "DeadlineExceeded":
            hours = int(at(job, "spec", "activeDeadlineSeconds", default=0)) / 3600
            return FluidModelError(
                f"the staging Job {self.name} was ended",
                f"it was not done after {hours:.1f} h, the most that it may take",
                "the same command again, which goes on from what the store holds",
            )
        for log in self._logs.values():
            if log.error is not None:
                return log.error
        words = [line for log in self._logs.values() for line in log.last]
        words = words or [text for pod in self.feed.all(kinds.PODS) for text in _ended_with(pod)]
        if words:
            why = " ".join(words[-1].split())[:300]
            if any(mark in why for mark in _NO_PACKAGE):
                return FluidModelError(
                    f"the image of the staging Job {self.name} does not have this plugin",
                    why,
                    no_image().try_,
                )
        else:
            told = next(iter(self.board.outside), "")
            why = told or _condition(job, "Failed")
        return FluidModelError(
            f"the staging Job {self.name} failed",
            why,
            f"kubectl logs -n {self.namespace} -l job-name={self.name}",
        )

    def _too_late(self) -> TimedOut:
        view = self.board.view()
        why = f"still at it: {view.steps[0].detail or view.steps[0].state}"
        if view.problems:
            why += f"; {view.problems[0]}"
        return TimedOut(
            f"Job {self.name} has not staged the model in time",
            why,
            "the same command again, which goes on following it",
        )


def _over(job: Object) -> bool:
    return _is(job, "Complete") or _is(job, "Failed")


def _is(job: Object, condition: str) -> bool:
    return any(
        each.get("type") == condition and each.get("status") == "True"
        for each in at(job, "status", "conditions", default=[])
    )


def _condition(job: Object, kind: str) -> str:
    for each in at(job, "status", "conditions", default=[]):
        if each.get("type") == kind:
            return str(each.get("message") or each.get("reason") or "")
    return ""


def _reason(job: Object, kind: str) -> str:
    for each in at(job, "status", "conditions", default=[]):
        if each.get("type") == kind and each.get("status") == "True":
            return str(each.get("reason") or "")
    return ""


def _begun(pod: Object) -> bool:
    return at(pod, "status", "phase") in ("Running", "Succeeded", "Failed")


def _cannot_start(pods: list[Object], outside: tuple[str, ...]) -> str:
    """What keeps pods from starting, where time alone does not mend it; empty where it may."""
    if not pods:
        return next((text for text in outside if "FailedCreate" in text), "")
    for pod in pods:
        for status in dicts(pod, "status", "containerStatuses"):
            if at(status, "state", "waiting", "reason") in _CANNOT_START:
                return next(iter(pod_problems.pod(pod)), "")
    return ""


def _ended_with(pod: Object) -> list[str]:
    """What a container that ended without a word in its log was ended by."""
    found = []
    for status in dicts(pod, "status", "containerStatuses"):
        ended = at(status, "state", "terminated", default={})
        if ended.get("exitCode") and (ended.get("message") or ended.get("reason")):
            found.append(str(ended.get("message") or ended.get("reason")))
    return found


def _shard(pod: Object) -> int:
    text = annotations_of(pod).get(INDEX, "0")
    return int(text) if text.isdigit() else 0


def _made_at(pod: Object) -> str:
    return str(at(pod, "metadata", "creationTimestamp", default=""))


def _document(line: str) -> dict[str, Any] | None:
    if not line.startswith("{"):
        return None
    try:
        found = json.loads(line)
    except ValueError:
        return None
    return found if isinstance(found, dict) and "event" in found else None


def _error(document: dict[str, Any]) -> FluidModelError:
    what, why = str(document.get("what", "")), str(document.get("why", ""))
    try_ = str(document.get("try", ""))
    if document.get("exitCode") == Unreachable.exit_code:
        return Unreachable(what, why, try_)
    return FluidModelError(what, why, try_)
