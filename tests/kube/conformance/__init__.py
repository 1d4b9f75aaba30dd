"""kubectl is the judge of connections: both are run, and what arrives has to be the same."""

import pytest

pytest.register_assert_rewrite("tests.kube.conformance.judge")
