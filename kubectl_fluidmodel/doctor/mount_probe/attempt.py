"""One question, tried in the way that its scheme needs, within a time."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace

from kubectl_fluidmodel.doctor.mount_probe import http, result
from kubectl_fluidmodel.doctor.mount_probe.result import Answer
from kubectl_fluidmodel.doctor.mount_probe.s3 import Trial
from kubectl_fluidmodel.doctor.mount_probe.target import KeyRef, Question
from kubectl_fluidmodel.objectstore import error_codes
from kubectl_fluidmodel.objectstore.s3 import Credentials

SECONDS = 10.0
EMPTY_KEY = "is empty"
NO_TOKEN = (
    f"it is a temporary key ({error_codes.TEMPORARY}…) and its session token is missing; Alluxio "
    "could not send one"
)
_GRACE = 4.0
"""Beyond the time an attempt gives itself: for the request that is under way."""


def attempt(
    question: Question,
    credentials: Credentials | None,
    *,
    origin: str = result.HERE,
    reach_url: str = "",
    seconds: float = SECONDS,
) -> Answer:
    """Try it; an attempt that is not over in time is a TIMEOUT, and is left behind."""

    def work() -> Answer:
        if question.scheme in ("http", "https"):
            return http.attempt(question, origin)
        trial = Trial(question, credentials, origin=origin, reach_url=reach_url, seconds=seconds)
        return trial.run()

    late = Answer(
        question.mount,
        result.TIMEOUT,
        question.endpoint,
        origin,
        message=f"it took more than {seconds:.0f} s",
        seconds=seconds,
    )
    return bounded(work, late, seconds + _GRACE)


def bounded(work: Callable[[], Answer], late: Answer, seconds: float) -> Answer:
    """What the work gives, or `late` where it is not over in time.

    The thread is a daemon: a resolver that hangs must not keep the process from ending.
    """
    results: list[Answer] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            results.append(work())
        except BaseException as err:  # noqa: BLE001 - carried over to the caller
            errors.append(err)

    thread = threading.Thread(target=run, name="store", daemon=True)
    thread.start()
    thread.join(seconds)
    if errors:
        raise errors[0]
    return results[0] if results else late


def usable(question: Question, access: str, hidden: str, origin: str) -> Answer | None:
    """What is wrong with the values of the keys themselves, None if nothing is."""
    for ref, value in ((question.access, access), (question.hidden, hidden)):
        wrong = EMPTY_KEY if not value.strip() else ""
        if value and value != value.strip():
            wrong = "begins or ends with white space, such as a newline"
        if wrong and ref is not None:
            return flawed(question, ref, wrong, origin)
    if error_codes.lacks_token(access, ""):
        given = flawed(question, question.access or KeyRef("", ""), NO_TOKEN, origin)
        return replace(given, state=result.EXPIRED)
    return None


def flawed(question: Question, ref: KeyRef, wrong: str, origin: str) -> Answer:
    return Answer(
        question.mount,
        result.BAD_KEY,
        question.endpoint,
        origin,
        message=wrong,
        holder=ref.secret,
        entry=ref.key,
    )
