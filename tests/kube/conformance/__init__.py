"""Connections as kubectl makes them: both are run, and their requests have to be the same."""

import pytest

pytest.register_assert_rewrite("tests.kube.conformance.comparison")
