"""Which permissions the steps need: those of a step that does not run are not asked for."""

from __future__ import annotations

from kubectl_fluidmodel.snapshot.snapshot import ReadFailure, Snapshot
from kubectl_fluidmodel.update.permissions import reading_permissions, required_permissions
from kubectl_fluidmodel.update.state import find_state
from kubectl_fluidmodel.update.successor import cache_options
from tests.update.samples import NEW, OLD, cache, chat
from tests.update.test_options import parse


def needed(**flags: object) -> set[str]:
    old = cache("llama", OLD, graphs=(chat(),))
    options = parse("llama", **flags)
    state = find_state([old], "ns", "llama", NEW, in_place=options.in_place)
    new_options = cache_options(options, state, "main")
    owned = [{"kind": "Dataset", "metadata": {"name": "llama"}}, {"kind": "Secret"}]
    required = required_permissions(options.steps, state, new_options, None, owned)
    return {f"{permission.verb} {permission.resource}" for permission in required}


def test_each_step_adds_its_own():
    stage, cached, pinned, whole = (
        needed(to_step=step) for step in ("stage", "cache", "pin", "retire")
    )
    assert stage == {"get secrets", "create secrets", "patch secrets"}
    assert stage < cached < pinned < whole
    assert "create datasets.data.fluid.io" in cached - stage
    assert "patch dynamographdeployments.nvidia.com" in pinned - cached
    assert "patch dynamocomponentdeployments.nvidia.com" not in whole, "there is none"
    assert {"delete datasets.data.fluid.io", "delete secrets"} <= whole - pinned


def test_in_place_the_cache_is_deleted_and_graphs_stay():
    required = needed(in_place=True)
    assert {"delete datasets.data.fluid.io", "delete alluxioruntimes.data.fluid.io"} <= required
    assert not [permission for permission in required if "dynamo" in permission]


def test_what_reads_a_cache_has_to_be_readable():
    denied = ReadFailure("pods", "ns", "forbidden", True)
    unread = Snapshot("ns", 0.0, read_failures=[denied])
    (missing,) = reading_permissions(unread, "ns")
    assert str(missing) == "list pods in namespace ns"
    assert not list(reading_permissions(Snapshot("ns", 0.0), "ns"))
