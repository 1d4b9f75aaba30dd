"""`uncache`: what it prints, and what a dry run leaves alone."""

from __future__ import annotations

import pytest

from kubectl_fluidmodel.fluid import names
from tests.caching.objects import Objects, objects
from tests.caching.test_removal import build, ours
from tests.cli.program import run

__all__ = ["objects"]


@pytest.fixture
def server(objects: Objects) -> str:
    build(
        objects, (names.DATASETS, ours(names.DATASETS)), (names.DATA_LOADS, ours(names.DATA_LOADS))
    )
    url: str = objects.client.access.server.url
    return url


def test_what_goes_is_listed(server: str, objects: Objects) -> None:
    ended = run("uncache", "demo", "-n", "ns", "--server", server)
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.splitlines() == [
        "dataload.data.fluid.io/demo deleted",
        "dataset.data.fluid.io/demo deleted",
    ]


@pytest.mark.parametrize(
    ("flag", "word"), [("--dry-run", "client"), ("--dry-run=server", "server")]
)
def test_a_dry_run_deletes_nothing(server: str, objects: Objects, flag: str, word: str) -> None:
    ended = run("uncache", "demo", "-n", "ns", "--server", server, flag)
    assert ended.out.splitlines() == [
        f"dataload.data.fluid.io/demo deleted ({word} dry run)",
        f"dataset.data.fluid.io/demo deleted ({word} dry run)",
    ]
    assert not any(asked.method == "DELETE" for asked in objects.asked)


def test_no_wait_says_who_goes_on(server: str) -> None:
    ended = run("uncache", "demo", "-n", "ns", "--server", server, "--no-wait")
    assert (ended.code, ended.err) == (0, "Fluid cleans up in the background\n")
