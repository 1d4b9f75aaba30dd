"""Trying each cache's mount against its store for real. Reads only; a probe makes a Job on request.

What came of it goes into `Snapshot.texts`, see `doctor/answer.py`.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from urllib.parse import urlsplit

from kubectl_fluidmodel.doctor.mount_probe import endpoint, result
from kubectl_fluidmodel.doctor.mount_probe import job as probes
from kubectl_fluidmodel.doctor.mount_probe.attempt import attempt, flawed, usable
from kubectl_fluidmodel.doctor.mount_probe.result import Answer, Answers
from kubectl_fluidmodel.doctor.mount_probe.target import KeyRef, Question, questions
from kubectl_fluidmodel.errors import FluidModelError
from kubectl_fluidmodel.inventory.cache import Cached
from kubectl_fluidmodel.kube import port_forward
from kubectl_fluidmodel.kube.client import Client
from kubectl_fluidmodel.kube.errors import Forbidden, NotFound
from kubectl_fluidmodel.objects.access import at
from kubectl_fluidmodel.objects.kinds import PVCS, SECRETS
from kubectl_fluidmodel.objects.plugin_pod import image as image_of
from kubectl_fluidmodel.objectstore.s3 import Credentials
from kubectl_fluidmodel.snapshot.snapshot import Snapshot

PATIENCE = 10.0
"""Seconds that one store may take, from here."""
_AT_ONCE = 8


def ask(
    client: Client,
    caches: Sequence[Cached],
    snapshot: Snapshot,
    *,
    probe: bool = False,
    image: str | None = None,
    patience: float = PATIENCE,
) -> None:
    """Try the mounts of all caches side by side, each distinct one once.

    With `probe` they are tried from a short-lived Job in the cache's namespace, with the Secret
    as the cache has it, and `image` as `cache --image` takes it, else that of FLUIDMODEL_IMAGE.
    Nothing is raised for a store or a permission that fails: that is what the answers are for.
    """
    of = image_of(image) if probe else ""
    asked = {(cache.namespace, cache.name): questions(cache) for cache in caches}
    named = {question: key[1] for key, each in asked.items() for question in each}

    def one(question: Question) -> Answer:
        if probe and _by_probe(question):
            return probes.run(client, question, named[question], of, probes.PATIENCE)
        try:
            return _try(client, question, patience)
        except FluidModelError as err:
            return _skipped(question, err.why or err.what)

    told = _each(list(named), one)
    for (namespace, name), each in asked.items():
        found = Answers(tuple(told[question] for question in each))
        result.put(snapshot, namespace, name, found)


def _each(asked: Sequence[Question], one: Callable[[Question], Answer]) -> dict[Question, Answer]:
    """Ask them side by side; an endpoint that does not answer is tried once for all its mounts."""
    first = {_door(question): question for question in reversed(asked)}
    told: dict[Question, Answer] = {}
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        told.update(zip(first.values(), pool.map(one, first.values()), strict=True))
        rest = []
        for question in asked:
            given = told[first[_door(question)]]
            if question in told:
                continue
            if given.of_endpoint and not question.skip:
                told[question] = replace(given, mount=question.mount)
            else:
                rest.append(question)
        told.update(zip(rest, pool.map(one, rest), strict=True))
    return told


def _door(question: Question) -> tuple[str, ...] | Question:
    """What is reached by the same name; a Service's is that of the namespace."""
    return (question.namespace, question.endpoint) if question.endpoint else question


def _by_probe(question: Question) -> bool:
    """Whether a probe can try it: keys in plain text would end up in the Job, too."""
    return (
        not question.skip
        and question.scheme in ("s3", "gs", "http", "https")
        and question.plain is None
        and question.account is None
    )


def _skipped(question: Question, why: str) -> Answer:
    return Answer(question.mount, result.SKIPPED, question.endpoint, message=why)


def _try(client: Client, question: Question, patience: float) -> Answer:
    if question.skip:
        return _skipped(question, question.skip)
    if question.scheme == "pvc":
        return _claim(client, question)
    if question.scheme in ("http", "https"):
        return attempt(question, None, seconds=patience)
    if question.account is not None:
        return _account(client, question, question.account)
    credentials = _credentials(client, question)
    if isinstance(credentials, Answer):
        return credentials
    if credentials is None and not question.endpoint:
        return _skipped(question, "the Dataset names no keys, so the pods use their node's role")
    return _reach(client, question, credentials, patience)


def _reach(
    client: Client, question: Question, credentials: Credentials | None, patience: float
) -> Answer:
    """Straight, or by way of the API server where the endpoint is a Service's name."""
    url = urlsplit(question.endpoint)
    host = url.hostname or ""
    service = port_forward.service_of(host, question.namespace) if question.endpoint else None
    if service is None or endpoint.resolves(host):
        return attempt(question, credentials, seconds=patience)
    namespace, name = service
    if url.scheme != "http":
        why = f"the certificate of Service {namespace}/{name} can only be judged in the cluster"
        return _skipped(question, f"{why}: --probe")
    try:
        with port_forward.forward(client, namespace, name, url.port or 80) as port:
            return attempt(
                question,
                credentials,
                origin=result.FORWARD,
                reach_url=f"http://127.0.0.1:{port}",
                seconds=patience,
            )
    except Forbidden as err:
        what = "forward ports to" if "portforward" in str(err) else "look up"
        return _skipped(question, f"no permission to {what} Service {namespace}/{name}: --probe")
    except NotFound:
        why = f"there is no Service {name} in namespace {namespace}"
        return _unserved(question, why)
    except FluidModelError as err:
        return _unserved(question, ": ".join(part for part in (err.what, err.why) if part))


def _unserved(question: Question, why: str) -> Answer:
    return Answer(question.mount, result.SERVICE, question.endpoint, result.FORWARD, message=why)


# -- keys ------------------------------------------------------------------------------------


def _credentials(client: Client, question: Question) -> Credentials | Answer | None:
    """The keys of a mount; an Answer where they cannot be had, None where it names none."""
    if question.plain is not None:
        return usable(question, *question.plain, result.HERE) or Credentials(*question.plain)
    if question.access is None or question.hidden is None:
        return None
    values = []
    for ref in (question.access, question.hidden):
        value = _value(client, question, ref)
        if isinstance(value, Answer):
            return value
        values.append(value)
    access, hidden = values
    return usable(question, access, hidden, result.HERE) or Credentials(access, hidden)


def _value(client: Client, question: Question, ref: KeyRef) -> str | Answer:
    """One key's value, or what is wrong with it."""
    try:
        data: Mapping[str, str] = (
            client.get(SECRETS, ref.secret, question.namespace).get("data") or {}
        )
    except Forbidden:
        return _skipped(question, f"no permission to read Secret {ref.secret}: --probe")
    except NotFound:
        return _of(question, result.NO_SECRET, ref)
    if ref.key not in data:
        return _of(question, result.NO_KEY, ref, tuple(sorted(data)))
    try:
        return base64.b64decode(data[ref.key]).decode()
    except ValueError:
        return flawed(question, ref, "is not text", result.HERE)


def _of(question: Question, state: str, ref: KeyRef, keys: tuple[str, ...] = ()) -> Answer:
    return Answer(
        question.mount, state, question.endpoint, holder=ref.secret, entry=ref.key, entries=keys
    )


def _account(client: Client, question: Question, ref: KeyRef) -> Answer:
    """A service account's file: it can be read, and only Google's own clients log in with it."""
    value = _value(client, question, ref)
    if isinstance(value, Answer):
        return value
    try:
        at_all = json.loads(value).get("client_email")
    except (ValueError, AttributeError):
        at_all = None
    if not at_all:
        return flawed(question, ref, "is no key file of a service account", result.HERE)
    return _skipped(question, "Google's login by service account is not spoken here")


def _claim(client: Client, question: Question) -> Answer:
    """A claim as a source: whether it is there and Bound."""
    try:
        claim = client.find(PVCS, question.host, question.namespace)
    except Forbidden:
        return _skipped(question, f"no permission to read claim {question.host}")
    phase = str(at(claim, "status", "phase", default="absent")) if claim else "absent"
    if phase != "Bound":
        words = f"claim {question.host} is {phase}"
        return Answer(question.mount, result.CLAIM, code=phase, message=words)
    return _skipped(question, "the files of a claim can be seen by its pods alone")
