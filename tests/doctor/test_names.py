"""Area 2xx as tables: a healthy cache with one thing changed, and the codes that follow."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from kubectl_fluidmodel.doctor.check import Severity
from kubectl_fluidmodel.fluid import names
from kubectl_fluidmodel.fluid.mount import ROOT_OPTION
from kubectl_fluidmodel.objects import kinds
from kubectl_fluidmodel.objects.access import Object
from kubectl_fluidmodel.snapshot.snapshot import Snapshot
from tests.doctor import builders as b
from tests.doctor import fluid, pods
from tests.doctor.applying import apply_fix
from tests.doctor.fault_cases import Fault
from tests.doctor.fluid import NAME, NS

THIN = next(kind for kind in names.RUNTIME_KINDS if kind.name == "ThinRuntime")


def dataset(snapshot: Snapshot) -> Object:
    return b.get_object(snapshot, names.DATASETS, NAME)


def mount(**fields: Any) -> Fault:
    """Change the one mount of the Dataset; None takes a field away."""

    def change(snapshot: Snapshot) -> None:
        mount_entry = dataset(snapshot)["spec"]["mounts"][0]
        mount_entry.update(fields)
        for key in [key for key, value in fields.items() if value is None]:
            del mount_entry[key]

    return change


def options(**named_options: str) -> Fault:
    def change(snapshot: Snapshot) -> None:
        named = {key.replace("__", "."): value for key, value in named_options.items()}
        dataset(snapshot)["spec"]["mounts"][0]["options"].update(named)

    return change


def renamed(name: str) -> Fault:
    """The cache under another name, as far as this area looks."""

    def change(snapshot: Snapshot) -> None:
        for kind in (names.DATASETS, names.ALLUXIO_RUNTIMES):
            obj = b.get_object(snapshot, kind, NAME)
            obj["metadata"]["name"] = name

    return change


def not_bound(text: str, renewed: str = fluid.RECENT) -> Fault:
    def change(snapshot: Snapshot) -> None:
        condition = {
            "type": "NotReady",
            "status": "True",
            "reason": "DatasetFailedToSetup",
            "message": text,
            "lastUpdateTime": renewed,
        }
        dataset(snapshot)["status"] = {"phase": "NotBound", "conditions": [condition]}

    return change


def new(snapshot: Snapshot) -> None:
    dataset(snapshot)["status"] = {}


def drop(kind: kinds.Kind, name: str = NAME) -> Fault:
    return lambda snapshot: b.remove_object(snapshot, kind, name)


def second_runtime(snapshot: Snapshot) -> None:
    kind = next(kind for kind in names.RUNTIME_KINDS if kind.name == "JuiceFSRuntime")
    b.add_objects(snapshot, kind, {**fluid.runtime(), "kind": kind.name})


def second_cache(snapshot: Snapshot) -> None:
    b.add_objects(snapshot, names.DATASETS, fluid.dataset("other"))
    b.add_objects(snapshot, names.ALLUXIO_RUNTIMES, fluid.runtime("other"))
    b.add_objects(snapshot, kinds.SECRETS, fluid.secret("other"))


def exclusive(snapshot: Snapshot) -> None:
    del dataset(snapshot)["spec"]["placement"]


def leaving(snapshot: Snapshot) -> None:
    dataset(snapshot)["metadata"]["deletionTimestamp"] = fluid.CREATED


def foreign(snapshot: Snapshot) -> None:
    workload = b.get_object(snapshot, kinds.STATEFUL_SETS, f"{NAME}-master")
    workload["metadata"]["labels"] = {"app": "other"}


def secret_of(name: str) -> Fault:
    def change(snapshot: Snapshot) -> None:
        for option in dataset(snapshot)["spec"]["mounts"][0]["encryptOptions"]:
            option["valueFrom"]["secretKeyRef"]["name"] = name
        secret = copy.deepcopy(b.get_object(snapshot, kinds.SECRETS, f"{NAME}-store"))
        secret["metadata"]["name"] = name
        b.add_objects(snapshot, kinds.SECRETS, secret)

    return change


def plain_names(snapshot: Snapshot) -> None:
    for option in dataset(snapshot)["spec"]["mounts"][0]["encryptOptions"]:
        option["name"] = option["name"].removeprefix(ROOT_OPTION)


def empty_key(snapshot: Snapshot) -> None:
    b.get_object(snapshot, kinds.SECRETS, f"{NAME}-store")["data"]["AWS_SECRET_ACCESS_KEY"] = ""


def all_of(*changes: Fault) -> Fault:
    def change(snapshot: Snapshot) -> None:
        for fault in changes:
            fault(snapshot)

    return change


MEMORY = (
    "the memory tierdStore's size {{4294967296 0} {<nil>}  BinarySI} is greater than worker "
    "limits memory 1Gi"
)


@pytest.mark.parametrize(
    ("change", "codes"),
    [
        (renamed("qwen2.5-7b"), ["FM201"]),
        (renamed("7b"), ["FM201"]),
        (renamed("m" * 45), []),
        (renamed("m" * 46), ["FM202"]),
        (new, ["FM203"]),
        (drop(names.ALLUXIO_RUNTIMES), ["FM204"]),
        (drop(names.DATASETS), ["FM205"]),
        (second_runtime, ["FM206"]),
        (not_bound('StatefulSet.apps "demo-worker" not found'), ["FM208"]),
        (not_bound("whatever Fluid says"), ["FM208"]),
        (not_bound("whatever it said an hour ago", "2026-09-21T13:00:00Z"), ["FM221"]),
        (not_bound(MEMORY), ["FM221"]),
        (all_of(not_bound(MEMORY), drop(kinds.STATEFUL_SETS, "demo-master")), ["FM208"]),
        (exclusive, []),
        (all_of(exclusive, second_cache), ["FM209"]),
        (mount(path=None), ["FM210", "FM213"]),
        (mount(path="/demo"), ["FM210", "FM213"]),
        (options(aws__secretKey="planted"), ["FM211"]),
        (options(aws__secretKey=""), []),
        (drop(kinds.SECRETS, "demo-store"), ["FM212"]),
        (empty_key, ["FM212"]),
        (plain_names, ["FM213"]),
        (all_of(plain_names, mount(path="/demo")), ["FM210"]),
        (all_of(plain_names, options(aws__secretKey="x")), ["FM211", "FM213", "FM214"]),
        (options(alluxio__user="a b"), ["FM215"]),
        (mount(mountPoint="s3://hf-models/a$b"), ["FM215"]),
        (leaving, ["FM217"]),
        (mount(mountPoint="hf://org/demo"), ["FM218"]),
        (mount(mountPoint="https://huggingface.co/org/demo"), ["FM218"]),
        (mount(mountPoint="https://files.example/demo/"), []),
        (mount(mountPoint="nfs://server/demo"), ["FM218"]),
        (foreign, ["FM219"]),
        (secret_of("demo.store"), ["FM220"]),
        (secret_of("m" * 43), ["FM220"]),
        (secret_of("m" * 42), []),
    ],
)
def test_dataset_or_name_fault_is_found(change: Fault, codes: list[str]) -> None:
    snapshot = b.healthy_snapshot()
    change(snapshot)
    assert b.found_codes(snapshot, "2xx") == codes


def neighbour(**change: Any) -> Fault:
    """Another cache, without the part that is None, or with a field changed."""

    def put(snapshot: Snapshot) -> None:
        name, namespace = change.get("name", "other"), change.get("namespace", NS)
        other, runtime = fluid.dataset(name, namespace), fluid.runtime(name, namespace)
        other["spec"]["mounts"][0].update(change.get("mount", {}))
        other["metadata"] |= change.get("meta", {})
        runtime |= {key: change[key] for key in ("kind",) if key in change}
        runtime["spec"]["replicas"] = change.get("replicas", 1)
        kind = THIN if "kind" in change else names.ALLUXIO_RUNTIMES
        if change.get("dataset", True):
            b.add_objects(snapshot, names.DATASETS, other)
        if change.get("runtime", True):
            b.add_objects(snapshot, kind, runtime)

    return put


@pytest.mark.parametrize(
    "change",
    [
        {"dataset": None},
        {"runtime": None},
        {"runtime": None, "mount": {"mountPoint": f"dataset://{NS}/demo"}},
        {"mount": {"mountPoint": f"dataset://{NS}/demo"}},
        {"name": "qwen2.5-7b"},
        {"name": "m" * 46},
        {"namespace": "far"},
        {"meta": {"deletionTimestamp": fluid.CREATED}},
        {"kind": "ThinRuntime"},
        {"replicas": 0},
    ],
)
def test_cache_without_workers_does_not_count_for_placement(change: dict[str, Any]) -> None:
    """An orphan, a reference, what Fluid refuses, or one of another namespace repels nobody."""
    snapshot = b.healthy_snapshot()
    all_of(exclusive, neighbour(**change))(snapshot)
    assert b.found_codes(snapshot, "FM209") == []


def test_cache_with_workers_counts_for_placement() -> None:
    snapshot = b.healthy_snapshot()
    all_of(exclusive, neighbour())(snapshot)
    [finding] = b.findings_of(snapshot, "FM209")
    assert "there is one other" in finding.cause


@pytest.mark.parametrize("change", [drop(names.ALLUXIO_RUNTIMES), new])
def test_exclusive_cache_without_workers_is_healthy(change: Fault) -> None:
    snapshot = b.healthy_snapshot()
    all_of(exclusive, neighbour(), change)(snapshot)
    about = [finding.about for finding in b.findings_of(snapshot, "FM209")]
    expected = [] if not snapshot.of_kind(names.ALLUXIO_RUNTIMES)[1:] else [f"dataset {NS}/demo"]
    assert about == expected


def fix(snapshot: Snapshot, code: str) -> str:
    [finding] = b.findings_of(snapshot, code)
    assert finding.fix is not None
    return finding.fix.text


def test_unpaired_runtime_with_a_similar_name_is_suggested() -> None:
    snapshot = b.healthy_snapshot()
    b.get_object(snapshot, names.ALLUXIO_RUNTIMES, NAME)["metadata"]["name"] = "demo-cache"
    assert b.found_codes(snapshot, "2xx") == ["FM204", "FM205"]
    for code in ("FM204", "FM205"):
        assert '{"metadata": {"name": "demo", ' in fix(snapshot, code)
    assert "FM205" not in b.root_codes(snapshot, "2xx"), "the two are one fault"


def test_two_naming_faults_give_two_findings() -> None:
    """A runtime that is not what the Dataset lacks is a failure of its own."""
    snapshot = b.healthy_snapshot()
    b.get_object(snapshot, names.ALLUXIO_RUNTIMES, NAME)["metadata"] |= {
        "name": "demo-cache",
        "namespace": "far",
    }
    assert b.root_codes(snapshot, "2xx") == ["FM204", "FM205"]


def test_unreadable_runtime_is_not_called_missing() -> None:
    snapshot = b.healthy_snapshot()
    b.forbid_listing(snapshot, names.ALLUXIO_RUNTIMES)
    assert b.found_codes(snapshot, "FM204") == []
    assert b.skip_reasons(snapshot, "FM204")[0].startswith("no permission to list alluxioruntimes")


def test_reference_dataset_needs_no_runtime() -> None:
    snapshot = b.healthy_snapshot()
    mount(mountPoint="dataset://models/other")(snapshot)
    b.remove_object(snapshot, names.ALLUXIO_RUNTIMES, NAME)
    assert b.found_codes(snapshot, "FM204") == []


def test_the_daemon_set_that_fluid_copies_for_a_reference_is_its_own() -> None:
    """It has no label of Fluid's charts, but the reference as its owner."""
    snapshot = b.healthy_snapshot()
    mount(mountPoint="dataset://models/other")(snapshot)
    dataset = b.get_object(snapshot, names.DATASETS, NAME)
    fuse = b.get_object(snapshot, kinds.DAEMON_SETS, f"{NAME}-fuse")
    fuse["metadata"]["labels"] = {"fluid.io/dataset-id": f"{NS}-{NAME}"}
    assert b.found_codes(snapshot, "FM219") == ["FM219"]
    fuse["metadata"]["ownerReferences"] = [{"kind": "Dataset", "uid": dataset["metadata"]["uid"]}]
    assert b.found_codes(snapshot, "FM219") == []


def test_readers_that_mount_the_directory_need_no_root_mount() -> None:
    snapshot = b.healthy_snapshot()
    mount(path="/demo")(snapshot)
    for pod in snapshot.of_kind(kinds.PODS):
        for container in pod["spec"].get("containers", []):
            for volume_mount in container.get("volumeMounts", []):
                volume_mount["subPath"] = "demo"
    assert b.found_codes(snapshot, "FM210") == []


def test_deletion_names_the_pods_that_block_it() -> None:
    snapshot = b.healthy_snapshot()
    leaving(snapshot)
    assert fix(snapshot, "FM217") == f"kubectl delete pod chat-decode-0 -n {NS}"


def test_option_values_are_never_shown() -> None:
    snapshot = b.healthy_snapshot()
    options(aws__secretKey="planted secret$", fs__s3__token="planted;too")(snapshot)
    findings = str([b.findings_of(snapshot, code) for code in ("FM211", "FM214", "FM215")])
    assert "aws.secretKey" in findings and "planted" not in findings


@pytest.mark.parametrize("name", ["qwen2.5-7b", "7b", "Demo"])
def test_suggested_name_is_legal(name: str) -> None:
    snapshot = b.healthy_snapshot()
    renamed(name)(snapshot)
    command = fix(snapshot, "FM201")
    new_name = command.partition("--name ")[2].split()[0]
    assert names.is_valid_name(new_name)


def test_waiting_workers_are_found_once() -> None:
    """FM302 is the failure; the warning would only repeat it."""
    snapshot = b.healthy_snapshot()
    exclusive(snapshot)
    second_cache(snapshot)
    waiting = pods.worker_pod(name="other")
    b.make_unschedulable(
        waiting, "0/3 nodes are available: 3 node(s) didn't match pod anti-affinity rules"
    )
    b.add_objects(snapshot, kinds.PODS, waiting)
    assert b.found_codes(snapshot, "FM209", "FM302") == ["FM302"]


# -- mounts: one rule of Fluid's, three checks ------------------------------------------------


def by_hand(**fields: object) -> Snapshot:
    """A Dataset that somebody wrote without the plugin, with mounts instead of its own."""
    snapshot = b.healthy_snapshot()
    for kind in (names.DATASETS, names.ALLUXIO_RUNTIMES):
        b.get_object(snapshot, kind, NAME)["metadata"].pop("labels")
    dataset(snapshot)["metadata"].pop("annotations")
    mount_entry = dataset(snapshot)["spec"]["mounts"][0]
    mount_entry.update(fields)
    for key in [key for key, value in mount_entry.items() if value is None]:
        del mount_entry[key]
    return snapshot


def mount_codes(snapshot: Snapshot) -> list[str]:
    return b.found_codes(snapshot, "FM210", "FM211", "FM213", "FM214")


PLAIN = {"aws.accessKeyId": "planted-1", "aws.secretKey": "planted-2", "alluxio.x": "1"}


def test_mount_without_path_and_name_is_the_root() -> None:
    snapshot = by_hand(path=None, name=None, encryptOptions=None, options=PLAIN)
    assert mount_codes(snapshot) == ["FM211"]
    assert "root.option.aws.secretKey" in fix(snapshot, "FM211")


def test_plain_key_options_of_a_root_mount_are_found() -> None:
    snapshot = by_hand(path=None, name=None)
    plain_names(snapshot)
    assert mount_codes(snapshot) == ["FM213"]
    [finding] = b.findings_of(snapshot, "FM213")
    assert finding.evidence[0].location == "spec.mounts.0.encryptOptions.0.name"
    assert finding.evidence[0].text == "aws.accessKeyId"


def test_load_without_keys_for_the_workers_is_a_consequence() -> None:
    snapshot = by_hand(path=None, name=None)
    plain_names(snapshot)
    states = b.get_object(snapshot, names.DATASETS, "demo")["status"]["cacheStates"]
    states.update(cached="0.00B", cachedPercentage="0.0%")
    assert "FM605" in b.found_codes(snapshot)
    assert b.root_codes(snapshot, "2", "6") == ["FM213"]


def test_root_key_options_of_another_mount_are_found() -> None:
    [finding] = b.findings_of(by_hand(path="/elsewhere"), "FM213")
    assert "are ignored" in finding.cause


@pytest.mark.parametrize("fields", [{"path": None}, {"path": "/a"}, {"path": "a"}])
@pytest.mark.parametrize("keys", ["plain", "named", "rooted"])
def test_all_mount_checks_print_the_same_fix(fields: dict[str, object], keys: str) -> None:
    """Whichever is followed, nothing is left, and nothing of it is secret."""
    hidden = {"encryptOptions": None, "options": PLAIN} if keys == "plain" else {}
    snapshot = by_hand(**fields, **hidden)
    if keys == "named":
        plain_names(snapshot)
    codes = mount_codes(snapshot)
    assert "FM210" in codes
    assert len({fix(snapshot, code) for code in codes}) == 1
    assert "planted" not in fix(snapshot, "FM210")
    apply_fix(snapshot, fix(snapshot, "FM210"))
    assert mount_codes(snapshot) == []


def test_fix_keeps_the_directory_that_pods_read() -> None:
    snapshot = by_hand(path="/demo", encryptOptions=None, options=PLAIN)
    for pod in snapshot.of_kind(kinds.PODS):
        for container in pod["spec"].get("containers", []):
            for volume_mount in container.get("volumeMounts", []):
                volume_mount["subPath"] = "demo"
    assert mount_codes(snapshot) == ["FM211"]
    apply_fix(snapshot, fix(snapshot, "FM211"))
    assert mount_codes(snapshot) == []
    assert dataset(snapshot)["spec"]["mounts"][0]["path"] == "/demo"


def test_fix_for_a_missing_runtime_measures_the_source() -> None:
    snapshot = by_hand()
    b.remove_object(snapshot, names.ALLUXIO_RUNTIMES, NAME)
    assert "quota" not in fix(snapshot, "FM204")
    assert " && kubectl fluidmodel cache s3://hf-models/demo --name demo" in fix(snapshot, "FM204")
    mounts = dataset(snapshot)["spec"]["mounts"]
    mounts.append({**mounts[0], "name": "other", "path": "/other"})
    [finding] = b.findings_of(snapshot, "FM204")
    assert finding.fix is not None and finding.fix.how == "advice"


def test_several_mounts_are_directories_of_the_volume() -> None:
    snapshot = by_hand(path=None, name="llama", encryptOptions=None)
    first = dataset(snapshot)["spec"]["mounts"][0]
    dataset(snapshot)["spec"]["mounts"] = [first, {**first, "name": "qwen"}]
    [finding] = b.findings_of(snapshot, "FM210")
    assert "/llama, /qwen" in finding.cause and finding.severity is None
    assert [evidence.text for evidence in finding.evidence] == ["llama", "qwen"]
    dataset(snapshot)["spec"]["mounts"][1]["path"] = "/"
    lost, _ = b.findings_of(snapshot, "FM210")
    assert "not visible" in lost.cause and lost.severity is Severity.ERROR


def test_fix_replaces_an_image_tag_without_a_version() -> None:
    snapshot = b.healthy_snapshot()
    not_bound('could not parse "latest" as version')(snapshot)
    assert "latest is not one" in b.findings_of(snapshot, "FM208")[0].cause
    apply_fix(snapshot, fix(snapshot, "FM208"))
    runtime = b.get_object(snapshot, names.ALLUXIO_RUNTIMES, NAME)
    assert runtime["spec"]["fuse"]["imageTag"] == "2.9.3"
