"""Area 5 on Snapshots: one row for each thing that a store may say."""

from __future__ import annotations

import copy
import shlex
from typing import Any

import pytest

from kubectl_fluidmodel.doctor.check import Severity
from kubectl_fluidmodel.doctor.mount_probe import runner
from kubectl_fluidmodel.doctor.mount_results import _STATE_RANK
from kubectl_fluidmodel.doctor.support_bundle import redact_snapshot
from kubectl_fluidmodel.fluid import names
from kubectl_fluidmodel.inventory.cache import build_caches
from kubectl_fluidmodel.inventory.mount_target import MountTarget, mount_targets
from kubectl_fluidmodel.kube.client import Client
from kubectl_fluidmodel.kube.config import ConfigFlags
from kubectl_fluidmodel.model.issue import (
    CONFIG,
    CONTENT,
    DAMAGED,
    LINKS,
    SHARDS,
    WARNING,
    WEIGHTS,
    ModelIssue,
)
from kubectl_fluidmodel.model.junk import JunkFiles
from kubectl_fluidmodel.objects import kinds
from kubectl_fluidmodel.objectstore import error_codes
from kubectl_fluidmodel.snapshot.probe_result import (
    CONNECT_TIMEOUT_CODE,
    MISSING_SESSION_TOKEN,
    ProbeOrigin,
    ProbeResult,
    ProbeState,
)
from kubectl_fluidmodel.snapshot.snapshot import Snapshot
from tests.doctor import builders as b
from tests.doctor.applying import apply_fix
from tests.doctor.fluid import NAME, NS
from tests.doctor.stores import MOUNT, ok_result, set_store_listing, set_store_result


def codes(snapshot: Snapshot) -> list[str]:
    return b.found_codes(snapshot, "5")


def skipped(snapshot: Snapshot, code: str) -> str:
    (outcome,) = b.run_checks(snapshot, code).results
    return outcome.skip_reason


def phase(snapshot: Snapshot, value: str) -> None:
    b.get_object(snapshot, names.DATASETS, NAME)["status"]["phase"] = value


@pytest.mark.parametrize(
    ("state", "changes", "code"),
    [
        (ProbeState.BAD_KEY, {"message": "ends in a newline"}, "FM503"),
        (ProbeState.SERVICE, {"message": "there is no Service minio"}, "FM510"),
        (ProbeState.REFUSED, {"message": "minio:9000 refuses the connection"}, "FM511"),
        (ProbeState.TLS, {"message": error_codes.PORT_USES_PLAIN_HTTP}, "FM512"),
        (ProbeState.NOT_S3, {"message": "it responds with text/html"}, "FM513"),
        (ProbeState.UNKNOWN_KEY, {"code": "InvalidAccessKeyId"}, "FM520"),
        (ProbeState.WRONG_SECRET, {"code": "SignatureDoesNotMatch"}, "FM521"),
        (ProbeState.EXPIRED, {"code": "ExpiredToken"}, "FM522"),
        (ProbeState.EXPIRED, {"message": MISSING_SESSION_TOKEN}, "FM522"),
        (ProbeState.DENIED, {"action": "ListBucket", "code": "AccessDenied"}, "FM523"),
        (ProbeState.DENIED, {"action": "GetObject", "code": "AccessDenied"}, "FM524"),
        (ProbeState.DENIED, {"action": "GET", "code": "403"}, "FM527"),
        (ProbeState.REGION, {"region": "eu-west-1"}, "FM525"),
        (ProbeState.NO_BUCKET, {"buckets": ("hf-model",)}, "FM526"),
        (ProbeState.ERROR, {"code": "SlowDown"}, "FM528"),
        (ProbeState.CLAIM, {"mount": "pvc://weights", "code": "Pending"}, "FM529"),
        (ProbeState.EMPTY, {"nearest": ("s3://hf-models/Demo",)}, "FM530"),
        (ProbeState.EMPTY, {}, "FM531"),
    ],
)
def test_probe_state_is_reported_by_its_check(
    state: str, changes: dict[str, Any], code: str
) -> None:
    snapshot = b.healthy_snapshot()
    set_store_result(snapshot, state, **changes)
    findings = b.findings_of(snapshot, code)
    assert codes(snapshot) == [code]
    assert findings and findings[0].evidence and findings[0].cause
    assert f"{NS}" in findings[0].about
    # What lies behind that word was not seen, and nobody says that it is well.
    assert skipped(snapshot, "FM533")


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        (
            {
                "remarks": (
                    ModelIssue(SHARDS, "a.safetensors is missing", True, ("a.safetensors",)),
                )
            },
            "FM532",
        ),
        ({"models": ()}, "FM533"),
        ({"remarks": (ModelIssue(CONFIG, "config.json is empty", True),)}, "FM533"),
        ({"remarks": (ModelIssue(WEIGHTS, "no weights", True),)}, "FM534"),
        ({"remarks": (ModelIssue(DAMAGED, "a.safetensors is damaged", True),)}, "FM538"),
        ({"remarks": (ModelIssue(CONTENT, "a.safetensors is an HTML page", True),)}, "FM538"),
        (
            {
                "remarks": (
                    ModelIssue(LINKS, "without its symbolic links", True, hub_model="org/m@abc"),
                )
            },
            "FM539",
        ),
        ({"remarks": (ModelIssue(WARNING, "no generation_config.json"),)}, "FM541"),
        ({"rubbish": (JunkFiles("Git's own", 3, 1 << 30, ".git/x", (".git/",)),)}, "FM542"),
        ({"files": 37}, "FM536"),
        ({"bytes": 1}, "FM536"),
        ({"newest": (("config.json", "2026-09-21T13:00:00Z"),)}, "FM537"),
    ],
)
def test_content_fault_is_found(changes: dict[str, Any], code: str) -> None:
    snapshot = b.healthy_snapshot()
    set_store_listing(snapshot, **changes)
    assert codes(snapshot) == [code]
    assert b.findings_of(snapshot, code)[0].evidence


def test_content_checks_are_skipped_if_files_could_not_be_read() -> None:
    snapshot = b.healthy_snapshot()
    set_store_listing(snapshot, unread="3 of 40 relevant files were checked (AccessDenied)")
    assert codes(snapshot) == []
    for code in ("FM532", "FM534", "FM538"):
        assert "AccessDenied" in skipped(snapshot, code)


def test_fix_removes_only_unrelated_files() -> None:
    snapshot = b.healthy_snapshot()
    places = (".cache/", "sub/.cache/", "it's.part")
    set_store_listing(
        snapshot, rubbish=(JunkFiles("the Hub client's own", 3, 1 << 30, places[0], places),)
    )
    fix = b.findings_of(snapshot, "FM542")[0].fix
    assert fix
    commands = [shlex.split(line) for line in fix.text.split(" && ")]
    assert [arguments[3] for arguments in commands] == [f"{MOUNT}/{place}" for place in places]
    assert ["--recursive" in arguments for arguments in commands] == [True, True, False]
    assert all(arguments[-2:] == ["--endpoint-url", "http://minio:9000"] for arguments in commands)


def test_fix_for_a_hub_cache_without_links_stages_from_the_hub() -> None:
    snapshot = b.healthy_snapshot()
    set_store_listing(
        snapshot,
        remarks=(ModelIssue(LINKS, "without its symbolic links", True, hub_model="org/m@abc"),),
    )
    fix = b.findings_of(snapshot, "FM539")[0].fix
    assert fix and "kubectl fluidmodel cache org/m@abc --name demo" in fix.text
    assert "--to s3://hf-models" in fix.text and fix.text.startswith("kubectl fluidmodel uncache")


@pytest.mark.parametrize(
    ("state", "changes", "code"),
    [
        (ProbeState.NO_SECRET, {}, "FM501"),
        (ProbeState.NO_KEY, {"secret_keys": ("accesskey",)}, "FM502"),
        (ProbeState.BAD_KEY, {"message": "is empty"}, "FM503"),
    ],
)
def test_secret_fault_is_reported_once(state: str, changes: dict[str, Any], code: str) -> None:
    snapshot = b.healthy_snapshot()
    set_store_result(snapshot, state, **changes)
    assert skipped(snapshot, code) == "FM212 reports it"
    b.forbid_listing(snapshot, kinds.SECRETS)
    assert codes(snapshot) == [code]


def test_model_in_a_similar_prefix_is_suggested() -> None:
    snapshot = b.healthy_snapshot()
    set_store_listing(snapshot, nearest=("s3://hf-models/org/demo",), models=(), weights=0)
    diagnosis = b.run_checks(snapshot, "5")
    assert [root.check.code for root in diagnosis.roots] == ["FM530"]
    fix = diagnosis.roots[0].finding.fix
    assert fix and "cache s3://hf-models/org/demo --name demo" in fix.text


@pytest.mark.parametrize(
    ("state", "changes", "code"),
    [
        (ProbeState.TLS, {"message": error_codes.PORT_USES_PLAIN_HTTP}, "FM512"),
        (ProbeState.REGION, {"region": "eu-west-1"}, "FM525"),
        (ProbeState.NO_BUCKET, {"buckets": ("hf-model",)}, "FM526"),
        (ProbeState.EMPTY, {"nearest": ("s3://hf-models/Demo",)}, "FM530"),
    ],
)
def test_fix_for_a_cache_made_by_hand_patches_its_mount(
    state: ProbeState, changes: dict[str, Any], code: str
) -> None:
    snapshot = b.healthy_snapshot()
    metadata = b.get_object(snapshot, names.DATASETS, NAME)["metadata"]
    metadata["labels"].pop("app.kubernetes.io/managed-by")
    before = copy.deepcopy(mount(snapshot))
    set_store_result(snapshot, state, **changes)
    fix = b.findings_of(snapshot, code)[0].fix
    assert fix is not None and fix.how == "command"
    apply_fix(snapshot, str(fix.text))
    assert mount(snapshot) != before
    assert f"kubectl get alluxioruntime {NAME} -n {NS} -o json" in str(fix.text)


@pytest.mark.parametrize(
    ("endpoint", "code"), [("http://minio:9000", "FM506"), ("minio.example.com", "FM507")]
)
def test_endpoint_fix_for_a_cache_made_by_hand_works(endpoint: str, code: str) -> None:
    snapshot = b.healthy_snapshot()
    metadata = b.get_object(snapshot, names.DATASETS, NAME)["metadata"]
    metadata["labels"].pop("app.kubernetes.io/managed-by")
    mount(snapshot)["options"] = {"alluxio.underfs.s3.endpoint": endpoint}
    fix = b.findings_of(snapshot, code)[0].fix
    assert fix is not None and fix.how == "command"
    apply_fix(snapshot, str(fix.text))
    assert b.findings_of(snapshot, code) == []


def test_store_unreachable_from_here_is_skipped_while_the_cache_is_bound() -> None:
    for state in (ProbeState.DNS, ProbeState.TIMEOUT):
        snapshot = b.healthy_snapshot()
        set_store_result(snapshot, state, origin=ProbeOrigin.CLIENT, message="no answer")
        assert codes(snapshot) == []
        assert "--probe" in skipped(snapshot, "FM510" if state == ProbeState.DNS else "FM511")
        phase(snapshot, "NotBound")
        assert codes(snapshot) == ["FM510" if state == ProbeState.DNS else "FM511"]
        phase(snapshot, "Bound")
        set_store_result(snapshot, state, origin=ProbeOrigin.POD, message="no answer")
        assert codes(snapshot) == ["FM510" if state == ProbeState.DNS else "FM511"]


def test_local_clock_skew_is_a_warning_while_the_cache_is_bound() -> None:
    snapshot = b.healthy_snapshot()
    set_store_result(
        snapshot,
        ProbeState.SKEW,
        origin=ProbeOrigin.CLIENT,
        clock_skew=7200.0,
        code="RequestTimeTooSkewed",
    )
    (root,) = b.run_checks(snapshot, "5").roots
    assert (root.check.code, root.severity) == ("FM514", Severity.WARNING)
    phase(snapshot, "NotBound")
    (root,) = b.run_checks(snapshot, "5").roots
    assert root.severity is Severity.ERROR
    assert "7200 s apart" in root.finding.cause


def test_small_clock_skew_is_reported() -> None:
    snapshot = b.healthy_snapshot()
    snapshot.probe_results[(NS, NAME)] = (ok_result(clock_skew=-400.0),)
    assert codes(snapshot) == ["FM514"]


def test_store_checks_are_skipped_without_a_probe() -> None:
    snapshot = b.healthy_snapshot()
    snapshot.probe_results.clear()
    assert skipped(snapshot, "FM521") == "the store was not probed"
    set_store_result(
        snapshot, ProbeState.SKIPPED, message="no permission to read Secret demo-store"
    )
    assert skipped(snapshot, "FM521") == "no permission to read Secret demo-store"
    assert codes(snapshot) == []


def test_missing_files_are_not_reported_for_an_incomplete_listing() -> None:
    snapshot = b.healthy_snapshot()
    set_store_listing(snapshot, complete=False, models=(), files=20_000)
    assert "too many to list" in skipped(snapshot, "FM533")


def test_redaction_keeps_the_names_of_the_secret_and_its_keys() -> None:
    result = ok_result(
        state=ProbeState.WRONG_SECRET,
        code="SignatureDoesNotMatch",
        secret_keys=("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"),
    )
    snapshot = b.healthy_snapshot()
    snapshot.probe_results[(NS, NAME)] = (result,)
    assert redact_snapshot(snapshot).probe_results == snapshot.probe_results


def test_redaction_hides_a_key_that_a_store_repeats() -> None:
    snapshot = b.healthy_snapshot()
    planted = "planted1Secret2Key3"
    message = f"denied for aws.secretKey={planted}"
    snapshot.probe_results[(NS, NAME)] = (ok_result(message=message),)
    ((redacted,),) = redact_snapshot(snapshot).probe_results.values()
    assert redacted.message == "denied for aws.secretKey=REDACTED"


@pytest.mark.parametrize(
    ("state", "changes"),
    [
        (ProbeState.UNKNOWN_KEY, {}),
        (ProbeState.WRONG_SECRET, {}),
        (ProbeState.REGION, {"region": "eu"}),
    ],
)
def test_fixes_survive_redaction(state: str, changes: dict[str, Any]) -> None:
    snapshot = b.healthy_snapshot()
    set_store_result(snapshot, state, secret_name="minio-keys", **changes)
    for option in b.get_object(snapshot, names.DATASETS, NAME)["spec"]["mounts"][0][
        "encryptOptions"
    ]:
        option["valueFrom"]["secretKeyRef"]["name"] = "minio-keys"
    (root,) = b.run_checks(snapshot, "5").roots
    assert root.finding.fix and "REDACTED" not in root.finding.fix.text
    assert "minio-keys" in root.finding.fix.text


# -- questions -------------------------------------------------------------------------------


def question(snapshot: Snapshot) -> Any:
    (cache,) = build_caches(snapshot)
    (target,) = mount_targets(cache)
    return target


def mount(snapshot: Snapshot) -> dict[str, Any]:
    mount_entry: dict[str, Any] = b.get_object(snapshot, names.DATASETS, NAME)["spec"]["mounts"][0]
    return mount_entry


def test_mount_target_of_our_cache() -> None:
    target = question(b.healthy_snapshot())
    assert (target.scheme, target.host, target.path) == ("s3", "hf-models", "demo")
    assert (target.endpoint, target.region) == ("http://minio:9000", "us-east-1")
    assert (target.access.secret, target.access.key) == ("demo-store", "AWS_ACCESS_KEY_ID")
    assert target.hidden.key == "AWS_SECRET_ACCESS_KEY"


def test_plaintext_keys_are_used_and_never_shown() -> None:
    snapshot = b.healthy_snapshot()
    options = {"aws.accessKeyId": "planted-access", "aws.secretKey": "planted-hidden"}
    mount(snapshot).update(options=options, encryptOptions=[])
    target = question(snapshot)
    assert target.plain == ("planted-access", "planted-hidden")
    assert "planted" not in repr(target) + target.to_json()
    assert codes(snapshot) == []


@pytest.mark.parametrize(
    ("written", "endpoint"),
    [
        ("minio:9000", "http://minio:9000"),
        ("https://s3.example.com/", "https://s3.example.com"),
        ("", ""),
    ],
)
def test_endpoint_is_normalised(written: str, endpoint: str) -> None:
    snapshot = b.healthy_snapshot()
    mount(snapshot)["options"] = {"alluxio.underfs.s3.endpoint": written}
    assert question(snapshot).endpoint == endpoint


SECURE = "alluxio.underfs.s3.secure.http.enabled"


@pytest.mark.parametrize(
    ("options", "scheme"),
    [
        ({}, "http"),
        ({SECURE: "false"}, "http"),
        ({SECURE: "true"}, "https"),
        ({f"alluxio.master.mount.table.root.option.{SECURE}": "True"}, "https"),
        ({"alluxio.underfs.s3.server.side.encryption.enabled": "true"}, "https"),
    ],
)
def test_endpoint_without_a_scheme_gets_the_scheme_alluxio_uses(
    options: dict[str, str], scheme: str
) -> None:
    snapshot = b.healthy_snapshot()
    mount(snapshot)["options"] = {"alluxio.underfs.s3.endpoint": "minio:9000", **options}
    assert question(snapshot).endpoint == f"{scheme}://minio:9000"
    (finding,) = b.findings_of(snapshot, "FM507")
    assert f"the endpoint minio:9000 has no scheme: Alluxio uses {scheme}" in finding.cause
    assert finding.evidence[0].text == "minio:9000"
    assert finding.fix and f"--endpoint {scheme}://minio:9000" in finding.fix.text


@pytest.mark.parametrize(
    ("endpoint", "right"),
    [
        ("http://minio:9000/hf-models", "http://minio:9000"),
        ("https://hf-models.s3.eu-west-1.amazonaws.com", "https://s3.eu-west-1.amazonaws.com"),
        ("hf-models.s3.amazonaws.com", "http://s3.amazonaws.com"),
        ("http://hf-models.minio.svc:9000", ""),  # a Service that is called like the bucket
        ("http://minio:9000/hf-models-2", ""),
        ("http://minio:9000", ""),
    ],
)
def test_bucket_name_in_the_endpoint_is_found(endpoint: str, right: str) -> None:
    snapshot = b.healthy_snapshot()
    mount(snapshot)["options"] = {"alluxio.underfs.s3.endpoint": endpoint}
    findings = b.findings_of(snapshot, "FM508")
    assert bool(findings) == bool(right)
    if right:
        assert findings[0].fix and f"--endpoint {right} " in findings[0].fix.text


def test_runtime_properties_and_shared_options_count() -> None:
    snapshot = b.healthy_snapshot()
    mount(snapshot)["options"] = {}
    mount(snapshot)["encryptOptions"] = []
    dataset = b.get_object(snapshot, names.DATASETS, NAME)
    ref = {"secretKeyRef": {"name": "shared", "key": "id"}}
    dataset["spec"]["sharedEncryptOptions"] = [{"name": "aws.accessKeyId", "valueFrom": ref}]
    runtime = b.get_object(snapshot, names.ALLUXIO_RUNTIMES, NAME)
    runtime["spec"]["properties"] = {"alluxio.underfs.s3.endpoint": "http://other"}
    target = question(snapshot)
    assert target.endpoint == "http://other"
    assert target.access.secret == "shared"


@pytest.mark.parametrize(
    ("point", "why"),
    [
        ("local:///data/model", "only pods on its nodes"),
        ("hdfs://namenode:8020/models", "HDFS"),
        ("oss://bucket/x", "does not probe oss://"),
    ],
)
def test_unsupported_mount_point_is_skipped_with_a_reason(point: str, why: str) -> None:
    snapshot = b.healthy_snapshot()
    mount(snapshot)["mountPoint"] = point
    assert why in question(snapshot).skip


def test_staging_layout_is_recognised() -> None:
    snapshot = b.healthy_snapshot()
    commit = "0" * 40
    mount(snapshot)["mountPoint"] = f"s3://models/pre/org/m/{commit}"
    notes = b.get_object(snapshot, names.DATASETS, NAME)["metadata"]["annotations"]
    notes.update({names.SOURCE_ANNOTATION: "hf://org/m", names.COMMIT_ANNOTATION: commit})
    place = question(snapshot).staging_layout
    assert place.manifest_key == f"pre/org/m/.fluidmodel/{commit}/manifest.json"
    set_store_result(
        snapshot, ProbeState.OK, mount=f"s3://models/pre/org/m/{commit}", manifest="absent"
    )
    assert "FM535" in codes(snapshot)
    assert MOUNT not in b.findings_of(snapshot, "FM535")[0].fix.text  # type: ignore[union-attr]


# -- how often a store is asked ------------------------------------------------------------------


def tries(monkeypatch: pytest.MonkeyPatch, *points: str, state: str, code: str = "") -> list[str]:
    """The mounts that were tried, of a Dataset with these; each gets its own answer."""
    snapshot = b.healthy_snapshot()
    spec = b.get_object(snapshot, names.DATASETS, NAME)["spec"]
    spec["mounts"] = [{"mountPoint": point, "name": point[-1]} for point in points]
    tried: list[str] = []

    def attempt(question: MountTarget, *_: Any, **__: Any) -> ProbeResult:
        tried.append(question.mount)
        return ProbeResult(question.mount, state, question.endpoint, code=code)

    monkeypatch.setattr(runner, "probe_mount", attempt)
    runner.probe_mounts(
        Client.connect(ConfigFlags(server="http://127.0.0.1:1")), build_caches(snapshot), snapshot
    )
    results = snapshot.probe_results[(NS, NAME)]
    assert [result.mount for result in results] == list(points)
    assert {result.state for result in results} == {state}
    return sorted(tried)


def test_unreachable_endpoint_is_probed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    mounts = ("http://a.example/x", "http://a.example/y", "http://b.example/z")
    for state in (ProbeState.DNS, ProbeState.REFUSED, ProbeState.TLS):
        once = tries(monkeypatch, *mounts, state=state)
        assert once == ["http://a.example/x", "http://b.example/z"]
    silent = CONNECT_TIMEOUT_CODE
    assert len(tries(monkeypatch, *mounts, state=ProbeState.TIMEOUT, code=silent)) == 2


def test_denied_mount_does_not_affect_another(monkeypatch: pytest.MonkeyPatch) -> None:
    mounts = ("http://a.example/x", "http://a.example/y")
    for state in (ProbeState.OK, ProbeState.DENIED, ProbeState.EMPTY, ProbeState.TIMEOUT):
        assert tries(monkeypatch, *mounts, state=state) == list(mounts)


def test_every_probe_state_has_a_rank() -> None:
    """Every state that an answer may have is in the order by which checks know what was seen."""
    assert set(_STATE_RANK) == set(ProbeState) - {ProbeState.SKIPPED}
