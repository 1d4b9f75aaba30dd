"""The Roles of docs/rbac.md are what the code asks for, verb by verb.

`tests/cluster` runs the commands with these Roles.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import pytest
import yaml

from kubectl_fluidmodel.cache import preflight, removal
from kubectl_fluidmodel.cache.adoption import workflow as adoption
from kubectl_fluidmodel.cache.adoption.options import AdoptOptions
from kubectl_fluidmodel.cache.reference import workflow as reference
from kubectl_fluidmodel.cache.reference.options import ReferenceOptions
from kubectl_fluidmodel.fluid import names
from kubectl_fluidmodel.kube.job_run import job_permissions
from kubectl_fluidmodel.kube.permissions import Permission
from kubectl_fluidmodel.objects import kinds
from kubectl_fluidmodel.snapshot.queries import (
    DOCTOR_QUERIES,
    INSPECT_QUERIES,
    PRUNE_QUERIES,
    ListQuery,
    ListScope,
)
from tests.cache.test_options import make_options

PAGE = Path(__file__).parents[1] / "docs" / "rbac.md"
NAMESPACE = "models"
Grant = tuple[str, str, str]
"""A verb, a resource (`pods/exec`, `datasets.data.fluid.io`), and a namespace; empty for all."""


def granted(*blocks: str) -> set[Grant]:
    """What the blocks `role=NAME` of the page grant."""
    found = set()
    for block in blocks:
        text = re.search(rf"```yaml role={block}\n(.*?)```", PAGE.read_text(), re.DOTALL)
        assert text, block
        for role in yaml.safe_load_all(text[1]):
            for rule in role["rules"]:
                (group,) = rule["apiGroups"]
                for resource in rule["resources"]:
                    full = f"{resource}.{group}" if group else resource
                    found |= {
                        (verb, full, role["metadata"].get("namespace", ""))
                        for verb in rule["verbs"]
                    }
    return found


def wanted(permissions: Iterable[Permission]) -> set[Grant]:
    return {(each.verb, each.resource, each.namespace or "") for each in permissions}


def listed(queries: Iterable[ListQuery], *verbs: str) -> set[Grant]:
    """The permissions of list requests, where the command is for one namespace."""
    spaces = {
        ListScope.NAMESPACE: NAMESPACE,
        ListScope.FLUID_NAMESPACE: names.SYSTEM_NAMESPACE,
        ListScope.CLUSTER: "",
        ListScope.NAMESPACE_OBJECT: "",
    }
    return {(verb, each.kind.resource, spaces[each.scope]) for each in queries for verb in verbs}


def test_cache() -> None:
    required = preflight.required_permissions(make_options(), NAMESPACE)
    assert granted("cache") == wanted(required)
    assert wanted(preflight.optional_permissions(NAMESPACE)) <= granted("cache-better")
    assert granted("cache-hub") == wanted(preflight.staging_job_permissions(NAMESPACE))


def test_adopt() -> None:
    options = AdoptOptions(name="m")
    required = adoption.required_permissions(options, NAMESPACE, write=True)
    assert granted("cache-adopt") == wanted(required)
    dry = wanted(adoption.required_permissions(options, NAMESPACE, write=False))
    assert {verb for verb, _, _ in dry} == {"get", "list", "watch"}


def test_reference() -> None:
    options = ReferenceOptions(("theirs", "m"), "m")
    required = wanted(reference.required_permissions(options, NAMESPACE))
    assert granted("cache-reference") == {each for each in required if each[2] == NAMESPACE}
    theirs = {
        (verb, resource, NAMESPACE) for verb, resource, where in required if where == "theirs"
    }
    assert granted("cache-reference-source") == theirs


def test_uncache() -> None:
    objects = [
        {"kind": kind.name, "metadata": {"name": "m"}}
        for kind in removal.OWNED_KINDS
        if kind.namespaced
    ]
    required = wanted(removal.required_permissions(objects, NAMESPACE))
    found_by = {("list", kinds.JOBS.resource, NAMESPACE), ("list", "pods", NAMESPACE)}
    assert granted("uncache") == required | found_by


def test_bench() -> None:
    saves = {("patch", names.DATASETS.resource, NAMESPACE)}
    assert granted("bench") == wanted(job_permissions(NAMESPACE)) | saves


def test_inspect() -> None:
    lists = listed(INSPECT_QUERIES, "list", "watch")
    roles = granted("inspect", "inspect-better")
    assert {each for each in roles if each[0] in ("list", "watch")} == lists
    assert {each for each in lists if each[2]} == granted("inspect")


def test_doctor() -> None:
    lists = listed(DOCTOR_QUERIES, "list")
    occupants = {("list", "pods", "")}
    roles = granted("doctor", "doctor-better")
    assert {each for each in roles if each[0] == "list"} == lists | occupants
    assert {each for each in lists if each[2] == NAMESPACE} <= granted("doctor")


def test_prune_lists_what_it_may_remove_and_what_uses_it() -> None:
    lists = {each for each in granted("prune") if each[0] == "list"}
    owned = (*removal.RECREATED_KINDS, kinds.JOBS, kinds.SECRETS, kinds.PVCS)
    assert lists == listed(PRUNE_QUERIES, "list") | {
        ("list", kind.resource, NAMESPACE) for kind in owned
    }
    for kind in owned:
        for verb in ("get", "delete"):
            assert (verb, kind.resource, NAMESPACE) in granted("prune")


@pytest.mark.parametrize("block", ["cache", "inspect", "doctor", "prune", "pin", "uncache"])
def test_no_role_grants_everything(block: str) -> None:
    assert not [each for each in granted(block) if "*" in "".join(each)]
