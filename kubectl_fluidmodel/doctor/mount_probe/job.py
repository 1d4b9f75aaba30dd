"""Trying a mount from inside the cluster: a short-lived Job, and what its pod runs.

A Job and not a bare pod, so that the cluster ends and removes it even if nobody is left to. The
keys reach the pod as the cache's own pods get them, by reference to the Secret.
"""

from __future__ import annotations

import hashlib
import os
import sys
import time

from kubectl_fluidmodel.doctor.mount_probe import result
from kubectl_fluidmodel.doctor.mount_probe.result import Answer
from kubectl_fluidmodel.doctor.mount_probe.target import KeyRef, Question, load
from kubectl_fluidmodel.errors import FluidModelError
from kubectl_fluidmodel.fluid import names
from kubectl_fluidmodel.kube.client import Client
from kubectl_fluidmodel.kube.errors import Forbidden
from kubectl_fluidmodel.objects import plugin_pod as pods
from kubectl_fluidmodel.objects.access import Object, at, dicts, name_of
from kubectl_fluidmodel.objects.kinds import JOBS, PODS
from kubectl_fluidmodel.objects.plugin_pod import IMAGE_VARIABLE, SecretKey
from kubectl_fluidmodel.objectstore.s3 import ACCESS_KEY, SECRET_KEY, Credentials

PATIENCE = 120.0
"""Seconds for the image, the package and the attempt together."""
CONTAINER = "probe"
PROBE_LABEL = "fluidmodel.io/probe"
"""On the pod of `doctor --probe`: what it is."""
_QUESTION = "FLUIDMODEL_QUESTION"
_MARK = "answer: "
_PAUSE = 0.3


def build(question: Question, name: str, image: str) -> Object:
    """The Job that tries a mount of the cache `name`, and removes itself."""
    mark = hashlib.sha256(f"{question.text()}{time.time_ns()}".encode()).hexdigest()[:8]
    labels = {**names.our_labels(name), PROBE_LABEL: "true"}
    env = [{"name": _QUESTION, "value": question.text()}]
    for variable, ref in ((ACCESS_KEY, question.access), (SECRET_KEY, question.hidden)):
        if ref is not None:
            env.append(SecretKey(ref.secret, ref.key).variable(variable))
    container = pods.container(
        CONTAINER, image, "kubectl_fluidmodel.doctor.mount_probe.job", env=env
    )
    container["resources"] = {
        "requests": {"cpu": "100m", "memory": "128Mi", "ephemeral-storage": "256Mi"},
        "limits": {"memory": "512Mi", "ephemeral-storage": "1Gi"},
    }
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": f"{name[:40]}-probe-{mark}",
            "namespace": question.namespace,
            "labels": labels,
        },
        "spec": {
            "backoffLimit": 0,
            "activeDeadlineSeconds": int(PATIENCE),
            "ttlSecondsAfterFinished": 60,
            "template": {"metadata": {"labels": labels}, "spec": pods.pod(container)},
        },
    }


def run(client: Client, question: Question, name: str, image: str, patience: float) -> Answer:
    """Make the Job, wait for its pod's answer, and take the Job away."""
    if not image:
        return _skipped(question, f"the probe needs an image: set {IMAGE_VARIABLE} (docs/stage.md)")
    made = build(question, name, image)
    try:
        client.create(JOBS, made)
    except FluidModelError as err:
        why = "no permission to create jobs" if isinstance(err, Forbidden) else err.why or err.what
        return _skipped(question, why)
    try:
        return _follow(client, question, name_of(made), time.monotonic() + patience)
    except FluidModelError as err:
        return _skipped(question, f"the probe failed: {err.why or err.what}")
    finally:
        client.delete(JOBS, name_of(made), question.namespace)


def _follow(client: Client, question: Question, name: str, deadline: float) -> Answer:
    seen = "no pod was made"
    while time.monotonic() < deadline:
        for pod in client.list_all(PODS, question.namespace, labels=f"job-name={name}"):
            phase = at(pod, "status", "phase", default="Pending")
            if phase in ("Succeeded", "Failed"):
                return _of_log(client, question, pod)
            blocked, seen = trouble(pod, question)
            if blocked is not None:
                return blocked
        time.sleep(_PAUSE)
    return _skipped(question, f"the probe's pod did not finish: {seen}")


def trouble(pod: Object, question: Question) -> tuple[Answer | None, str]:
    """What a pod that has not started says of the Secret, and in any case what it waits for."""
    for status in dicts(pod, "status", "containerStatuses"):
        reason = str(at(status, "state", "waiting", "reason", default=""))
        message = str(at(status, "state", "waiting", "message", default=""))
        if reason == "CreateContainerConfigError":
            lacks_key = "couldn't find key" in message
            words = message.replace('"', " ").split()
            named = [each for each in (question.access, question.hidden) if each]
            held = [each for each in named if (each.key if lacks_key else each.secret) in words]
            ref = (held or named or [KeyRef("", "")])[0]
            state = result.NO_KEY if lacks_key else result.NO_SECRET
            if lacks_key or "not found" in message:
                return _said(question, state, message, ref), message
        if reason in ("ErrImagePull", "ImagePullBackOff", "InvalidImageName"):
            return _skipped(question, f"the probe's image: {message or reason}"), message
        if reason:
            return None, f"{reason} {message}".strip()
    for condition in dicts(pod, "status", "conditions"):
        if condition.get("type") == "PodScheduled" and condition.get("status") == "False":
            return None, str(condition.get("message") or condition.get("reason"))
    return None, "it runs"


def _of_log(client: Client, question: Question, pod: Object) -> Answer:
    text = client.log(question.namespace, name_of(pod), CONTAINER, tail=50)
    for line in text.splitlines():
        if line.startswith(_MARK):
            return result.load(line.removeprefix(_MARK))
    last = next((line for line in reversed(text.splitlines()) if line.strip()), "its log is empty")
    return _skipped(question, f"the probe said nothing: {last[:200]}")


def _skipped(question: Question, why: str) -> Answer:
    return Answer(question.mount, result.SKIPPED, question.endpoint, result.POD, message=why)


def _said(question: Question, state: str, message: str, ref: KeyRef) -> Answer:
    return Answer(
        question.mount,
        state,
        question.endpoint,
        result.POD,
        message=message,
        holder=ref.secret,
        entry=ref.key,
    )


def main() -> int:
    """In the pod: read the question and the keys from the environment, print the answer."""
    from kubectl_fluidmodel.doctor.mount_probe.attempt import attempt, usable

    question = load(os.environ[_QUESTION])
    keys = None
    if question.access and question.hidden:
        values = {SECRET_KEY: os.environ[SECRET_KEY], ACCESS_KEY: os.environ[ACCESS_KEY]}
        bad = usable(question, values[ACCESS_KEY], values[SECRET_KEY], result.POD)
        if bad is not None:
            return _print(bad)
        keys = Credentials(values[ACCESS_KEY], values[SECRET_KEY])
    return _print(attempt(question, keys, origin=result.POD))


def _print(found: Answer) -> int:
    sys.stdout.write(f"{_MARK}{result.one(found)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
