"""The real S3 server and the stand-in for the Hub, as the tests of staging have them."""

from __future__ import annotations

from tests.stage.conftest import (
    _isolated,
    _models_are_read_once,
    harness,
    hub,
    proxy,
    s3_server,
)
from tests.stage.test_rights import allowed

__all__ = ["_isolated", "_models_are_read_once", "allowed", "harness", "hub", "proxy", "s3_server"]
