"""What the API server and a Dataset's options say by themselves, as tables."""

from __future__ import annotations

import re

from kubectl_fluidmodel.fluid import names
from kubectl_fluidmodel.objects import kinds
from kubectl_fluidmodel.snapshot.snapshot import ReadFailure, Snapshot
from tests.doctor import builders as b
from tests.doctor.fluid import NAME, NS

PLANTED = "AKIAPLANTEDSECRET"


def mount(snapshot: Snapshot) -> dict[str, object]:
    mount_entry: dict[str, object] = b.get_object(snapshot, names.DATASETS, NAME)["spec"]["mounts"][
        0
    ]
    return mount_entry


def test_kubernetes_before_1_22_is_a_warning() -> None:
    snapshot = b.healthy_snapshot()
    snapshot.server_version = "v1.21.14-eks-1"
    [finding] = b.findings_of(snapshot, "FM112")
    assert "1.21 is older" in finding.cause
    snapshot.server_version = "v1.22.0"
    assert b.findings_of(snapshot, "FM112") == []
    snapshot.server_version = ""
    assert b.skip_reasons(snapshot, "FM112") == ["the API server did not report its version"]


def test_failed_read_is_found_and_forbidden_read_is_not() -> None:
    snapshot = b.healthy_snapshot()
    snapshot.read_failures.append(
        ReadFailure(kinds.JOBS.resource, NS, "etcdserver: request timed out", False)
    )
    snapshot.read_failures.append(ReadFailure(kinds.NODES.resource, "", "not for you", True))
    [finding] = b.findings_of(snapshot, "FM113")
    assert "jobs.batch" in finding.cause and "nodes" not in finding.cause
    assert "etcdserver" in finding.evidence[0].text


def test_plaintext_key_is_named_without_its_value() -> None:
    snapshot = b.healthy_snapshot()
    options = mount(snapshot)["options"]
    assert isinstance(options, dict)
    options["aws.secretKey"] = PLANTED
    [finding] = b.findings_of(snapshot, "FM211")
    assert finding.about == f"dataset {NS}/{NAME}" and "aws.secretKey" in finding.cause
    assert PLANTED not in repr(finding)


def test_keys_of_a_root_mount_that_reach_only_the_master_are_found() -> None:
    snapshot = b.healthy_snapshot()
    assert mount(snapshot)["path"] == "/"
    for option in mount(snapshot)["encryptOptions"]:  # type: ignore[attr-defined]
        option["name"] = option["name"].removeprefix("alluxio.master.mount.table.root.option.")
    [finding] = b.findings_of(snapshot, "FM213")
    assert "aws.secretKey" in finding.cause and "only the master" in finding.cause


def test_missing_secret_is_found() -> None:
    snapshot = b.healthy_snapshot()
    name = b.get_object(snapshot, kinds.SECRETS, f"{NAME}-store")["metadata"]["name"]
    b.remove_object(snapshot, kinds.SECRETS, name)
    [finding] = b.findings_of(snapshot, "FM212")
    assert finding.about == f"secret {NS}/{name}"
    assert (
        finding.fix is not None
        and f"kubectl create secret generic {name} -n {NS}" in finding.fix.text
    )


def test_volume_of_another_cache_with_the_same_name_is_found() -> None:
    """`a-b/c` and `a/b-c` get the same volume from Fluid."""
    snapshot = b.healthy_snapshot()
    ref = b.get_object(snapshot, kinds.PVS, f"{NS}-{NAME}", "")["spec"]["claimRef"]
    ref["namespace"], ref["name"] = "mod", f"els-{NAME}"
    [finding] = b.findings_of(snapshot, "FM207")
    assert f"belongs to mod/els-{NAME}" in finding.cause
    assert finding.fix is not None and f"--name {NAME}-2" in finding.fix.text


def test_younger_of_two_caches_that_will_have_one_volume_needs_another_name() -> None:
    snapshot = b.healthy_snapshot()
    for namespace, name, created in (("a-b", "c", "10"), ("a", "b-c", "11"), ("a", "d", "12")):
        metadata = {
            "namespace": namespace,
            "name": name,
            "creationTimestamp": f"2026-09-21T{created}:00:00Z",
        }
        dataset = {
            "apiVersion": names.DATASETS.api_version,
            "kind": names.DATASETS.name,
            "metadata": metadata,
            "spec": {"mounts": [{"mountPoint": "s3://bucket/model"}]},
            "status": {"phase": "NotBound"},
        }
        b.add_objects(snapshot, names.DATASETS, dataset)
    [finding] = b.findings_of(snapshot, "FM207")
    assert finding.about == "dataset a/b-c"
    assert finding.cause.endswith("PersistentVolume a-b-c for this cache and for the older a-b/c")
    assert finding.fix is not None and "--name b-c-2 -n a" in finding.fix.text
    roots = {problem.finding.about: problem.check.code for problem in b.run_checks(snapshot).roots}
    assert roots == {
        "dataset a-b/c": "FM204",
        "dataset a/b-c": "FM207",
        "dataset a/d": "FM204",
    }


def test_endless_counting_of_files_is_found() -> None:
    snapshot = b.healthy_snapshot()
    status = b.get_object(snapshot, names.DATASETS, NAME)["status"]
    status["ufsTotal"] = "[Calculating]"
    snapshot.taken_at += 3600
    [finding] = b.findings_of(snapshot, "FM216")
    assert re.search(r"for \d+ minutes", finding.cause)
    assert finding.fix is not None and "autoSync" in finding.fix.text
