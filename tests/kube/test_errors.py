"""Refusals in our words, with our exit codes."""

from __future__ import annotations

import json

import pytest

from kubectl_fluidmodel.errors import FluidModelError
from kubectl_fluidmodel.kube.errors import (
    ConflictError,
    ForbiddenError,
    GoneError,
    InvalidError,
    KubeError,
    NotFoundError,
    UnauthorizedError,
    error_from_response,
)


def status(message: str, reason: str = "") -> bytes:
    return json.dumps({"kind": "Status", "message": message, "reason": reason}).encode()


@pytest.mark.parametrize(
    ("code", "kind", "exit_code"),
    [
        (400, InvalidError, 1),
        (401, UnauthorizedError, 3),
        (403, ForbiddenError, 1),
        (404, NotFoundError, 1),
        (409, ConflictError, 1),
        (410, GoneError, 1),
        (422, InvalidError, 1),
        (418, KubeError, 1),
        (500, KubeError, 1),
    ],
)
def test_a_status_has_its_error(code: int, kind: type[FluidModelError], exit_code: int) -> None:
    error = error_from_response(code, status("words of the server", "Reason"), "cannot do it")
    assert type(error) is kind
    assert error.exit_code == exit_code
    assert error.message == "cannot do it"
    if isinstance(error, KubeError):
        assert (error.status, error.api_reason, error.reason) == (
            code,
            "Reason",
            "words of the server",
        )


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"Forbidden by the proxy\n", "Forbidden by the proxy"),
        (b"", "HTTP 403"),
        (b"\xff\xfe", "\ufffd\ufffd"),
        (b'{"error": "rbac: access denied"}', '{"error": "rbac: access denied"}'),
        (b'"just text"', '"just text"'),
        (b"[1, 2]", "[1, 2]"),
        (b"x" * 9999, "x" * 300),
        (status("", "Forbidden"), "Forbidden"),
    ],
)
def test_bodies_that_are_no_status(body: bytes, why: str) -> None:
    error = error_from_response(403, body, "cannot do it")
    assert isinstance(error, ForbiddenError)
    assert error.reason == why


@pytest.mark.parametrize(
    "message",
    [
        'Internal error occurred: failed calling webhook "validate.fluid.io": failed to call '
        'webhook: Post "https://fluid.svc:443/x": no endpoints available for service "fluid"',
        'Internal error occurred: failed calling webhook "validate.fluid.io": context deadline '
        "exceeded",
    ],
)
def test_a_webhook_that_is_down(message: str) -> None:
    error = error_from_response(500, status(message, "InternalError"), "cannot apply Dataset demo")
    assert "the admission webhook validate.fluid.io does not respond" in error.reason
    assert "webhookconfigurations" in error.hint


def test_a_webhooks_refusal_is_quoted() -> None:
    message = 'admission webhook "policy.example" denied the request: no models on Fridays'
    error = error_from_response(403, status(message, "Forbidden"), "cannot apply Dataset demo")
    assert error.reason == message
