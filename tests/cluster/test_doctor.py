"""The verb `doctor` on a live cluster: its formats, waiting, bundles, permissions, bad servers."""

from __future__ import annotations

import base64
import gzip
import json
import secrets
import stat
import tarfile
import threading
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import pytest

from tests.cluster import objects
from tests.cluster.apiproxy import failure, interfering
from tests.cluster.cluster import Cluster
from tests.cluster.doctor_fixture import Doctor, Report
from tests.cluster.fixtures import Cli
from tests.cluster.plugin import error_line
from tests.cluster.s3 import secret
from tests.cluster.test_cache_rbac import bind
from tests.loopback import HttpRequest, HttpResponse, json_response

pytestmark = pytest.mark.cluster

FLUID = objects.FLUID


@pytest.fixture
def cache(cluster: Cluster, namespace: str, bucket: Any) -> str:
    """A cache that is Bound, and not loaded."""
    bucket.put_model("demo")
    objects.s3_model(cluster, namespace, "demo", bucket, "demo")
    objects.bound(cluster, namespace, "demo")
    return "demo"


def bare(document: dict[str, Any]) -> dict[str, Any]:
    """What must be the same live and from a bundle: all but the time it was taken."""
    return {key: value for key, value in document.items() if key != "taken"}


def test_namespace_without_a_cache_is_healthy(cli: Cli, namespace: str) -> None:
    done = cli("doctor", "-n", namespace).ok()
    assert "no cache" in done.out.splitlines()[-1] and done.err == ""


def test_unknown_cache_name_is_an_error(cli: Cli, namespace: str) -> None:
    done = cli("doctor", "nix", "-n", namespace)
    assert done.code == 1 and done.out == ""
    assert error_line(done).startswith(f"error: there is no cache nix in namespace {namespace}")


def test_unreachable_cluster_exits_with_3(cli: Cli) -> None:
    for output in ("json", "junit", "wide"):
        done = cli("doctor", "-s", "https://127.0.0.1:1", "-o", output)
        assert done.code == 3 and done.out == "", output


@pytest.mark.parametrize("output", ["short", "wide", "json", "yaml", "junit"])
def test_every_output_format_has_the_same_exit_code(
    cli: Cli, cluster: Cluster, namespace: str, output: str
) -> None:
    """One failure, and 1 for an exit code, whatever -o says."""
    cluster.api.apply(objects.runtime(namespace, "old"))
    done = cli("doctor", "-n", namespace, "-o", output)
    assert done.code == 1 and done.err == ""
    assert "FM205" in done.out
    if output == "junit":
        [case] = ElementTree.fromstring(done.out).findall(".//testcase[failure]")
        assert case.attrib["name"].startswith("FM205")


def test_annotation_silences_a_check(
    cluster: Cluster, namespace: str, cache: str, doctor: Doctor
) -> None:
    note = {"metadata": {"annotations": {"fluidmodel.io/silence": "FM601"}}}
    report = doctor.until("FM601")
    assert report.code == 1 or report.document["summary"]["warnings"]
    cluster.api.patch(FLUID, "Dataset", "demo", note, namespace)
    report = doctor("--only", "FM601")
    assert report.code == 0 and report.document["problems"][0]["silenced"]
    assert report.document["checks"][0]["state"] == "silenced"


def test_wait_ends_when_the_cache_is_healthy(
    cluster: Cluster, namespace: str, cli: Cli, tmp_path: Path
) -> None:
    cluster.api.apply(objects.runtime(namespace, "old"))
    late = cli("doctor", "-n", namespace, "--only", "2xx", "--wait", "--timeout", "3s")
    assert late.code == 124 and "FM205" in late.out
    assert error_line(late).startswith("error: not healthy after 3s")
    running = cli.popen("doctor", "-n", namespace, "--only", "2xx", "--wait", "--timeout", "60s")
    assert running.stderr is not None
    assert "waiting: FM205" in running.stderr.readline()
    cluster.api.delete(FLUID, "AlluxioRuntime", "old", namespace)
    out, err = running.communicate(timeout=60)
    assert running.returncode == 0, err
    assert out.splitlines()[-1].startswith("✓ healthy")


# -- bundles -------------------------------------------------------------------------------------


def plant(cluster: Cluster, namespace: str) -> dict[str, str]:
    """Secrets in every place where people leave them; returns each with its place."""
    planted = {
        place: f"{place}-{secrets.token_hex(12)}"
        for place in ("secret", "option", "env", "argument", "flag", "applied", "url", "presigned")
    }
    planted["token"] = "hf_" + secrets.token_hex(16)
    api = cluster.api
    api.apply(secret(namespace, "demo-s3", {"planted": planted["secret"]}), manager="planter")
    text = base64.b64encode(planted["secret"].encode()).decode()
    applied = json.dumps({"kind": "Secret", "data": {"x": text}, "stringData": planted["applied"]})
    [mount] = api.get(FLUID, "Dataset", "demo", namespace)["spec"]["mounts"]
    mount["options"]["aws.secretKey"] = planted["option"]
    note = {"kubectl.kubernetes.io/last-applied-configuration": applied}
    body = {"metadata": {"annotations": note}, "spec": {"mounts": [mount]}}
    api.patch(FLUID, "Dataset", "demo", body, namespace)
    url = f"https://user:{planted['url']}@hub.example/x?X-Amz-Signature={planted['presigned']}"
    main = {
        "name": "main",
        "image": "engine",
        "args": ["--hf-token", planted["argument"], f"--api-key={planted['flag']}", url],
        "env": [
            {"name": "HF_TOKEN", "value": planted["token"]},
            {"name": "STORE_KEY", "value": planted["env"]},
        ],
        "volumeMounts": [{"name": "model", "mountPath": "/model"}],
    }
    api.create(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "chat-0", "namespace": namespace},
            "spec": {
                "tolerations": [{"operator": "Exists"}],
                "containers": [main],
                "volumes": [{"name": "model", "persistentVolumeClaim": {"claimName": "demo"}}],
            },
        }
    )
    event = {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": "planted", "namespace": namespace},
        "involvedObject": {"kind": "Dataset", "namespace": namespace, "name": "demo"},
        "type": "Warning",
        "reason": "Planted",
        "message": f"GET {url} failed: Authorization: Bearer {planted['token']}",
    }
    api.create(event)
    return {**planted, "encoded": text}


def test_bundle_gives_the_same_findings_and_contains_no_secret(
    cluster: Cluster, namespace: str, cache: str, cli: Cli, doctor: Doctor, tmp_path: Path
) -> None:
    planted = plant(cluster, namespace)
    # What was planted comes up, and is another thing to see until it has.
    objects.until("rest", lambda: doctor("-n", namespace).codes == doctor("-n", namespace).codes)
    path = tmp_path / "bundle.tar.gz"
    live = cli("doctor", "-n", namespace, "-o", "json", "--bundle", str(path))
    assert live.code in (0, 1), live.err
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert f"wrote {path}" in live.err
    offline = cli("doctor", "-n", namespace, "-o", "json", "--from-bundle", str(path))
    assert (offline.code, bare(json.loads(offline.out))) == (live.code, bare(json.loads(live.out)))
    again = doctor("-n", namespace)
    assert again.codes == {each["code"] for each in json.loads(live.out)["problems"]}
    shown = [
        cli("inspect", "-n", namespace, "-o", "json", *given).ok().out
        for given in ((), ("--from-bundle", str(path)))
    ]
    assert json.loads(shown[1])["kind"] == json.loads(shown[0])["kind"]
    wide = cli("doctor", "-n", namespace, "-o", "wide").out
    with tarfile.open(path) as archive:
        names = archive.getnames()
        assert "fluidmodel-bundle/report.txt" in names and "fluidmodel-bundle/events.txt" in names
    held = gzip.decompress(path.read_bytes()).decode(errors="replace")
    keys = {"access": cluster.s3.access_key, "hidden": cluster.s3.secret_key}
    for place, value in {**planted, **keys}.items():
        for where, text in (("bundle", held), ("json", live.out), ("wide", wide)):
            assert value not in text, f"{place} leaks into {where}"


def test_file_that_is_not_a_bundle_is_an_error(cli: Cli, tmp_path: Path) -> None:
    for name, data in (("empty", b""), ("text", b"hello"), ("gzip", gzip.compress(b"hello"))):
        path = tmp_path / name
        path.write_bytes(data)
        done = cli("doctor", "--from-bundle", str(path))
        assert done.code == 1 and error_line(done).startswith(f"error: cannot read {path}")
    done = cli("doctor", "--from-bundle", str(tmp_path / "none"))
    assert done.code == 1 and "there is no such file" in error_line(done)


# -- what cannot be seen -------------------------------------------------------------------------


def test_documented_role_is_sufficient(
    cluster: Cluster, namespace: str, cache: str, doctor: Doctor
) -> None:
    """With the Roles of docs/rbac.md nothing is skipped for lack of a permission."""
    kubeconfig = bind(cluster, namespace, f"doctor-{namespace}", "doctor", "doctor-better")
    report = doctor(env={"KUBECONFIG": str(kubeconfig)})
    denied = [each for each in report.document["checks"] if "permission" in str(each["skipped"])]
    assert denied == [] and report.document["notSeen"] == []


def test_minimal_role_reports_what_it_cannot_read(
    cluster: Cluster, namespace: str, cache: str, doctor: Doctor
) -> None:
    kubeconfig = bind(cluster, namespace, f"least-doctor-{namespace}", "doctor")
    everything, least = doctor(), doctor(env={"KUBECONFIG": str(kubeconfig)})
    assert least.codes <= everything.codes
    assert "no permission to list deployments.apps in namespace fluid-system" in least.skipped(
        "FM105"
    )
    assert "nodes" in " ".join(least.document["notSeen"])


def test_missing_namespace_is_an_error(cluster: Cluster, cli: Cli) -> None:
    done = cli("doctor", "-n", "no-such-namespace")
    assert done.code == 1
    assert error_line(done).startswith('error: namespaces "no-such-namespace" not found')


def test_user_without_permissions_gets_no_healthy_verdict(
    cluster: Cluster, namespace: str, cache: str, doctor: Doctor
) -> None:
    kubeconfig = cluster.user_kubeconfig(f"nobody-{namespace}", rules=[], namespace=namespace)
    report = doctor(env={"KUBECONFIG": str(kubeconfig)})
    assert report.document["problems"] == []
    assert report.document["verdict"] == "unchecked" and not report.document["healthy"]
    assert "no permission" in report.skipped("FM105")
    assert any("datasets" in each for each in report.document["notSeen"])


@pytest.mark.breaks("FM113")
def test_failing_api_server_is_reported(
    cluster: Cluster, namespace: str, cache: str, doctor: Doctor, tmp_path: Path
) -> None:
    """Whichever half it is: doctor ends, tells what it did not see, and invents nothing."""
    true = doctor().codes
    for odd in (0, 1):
        with interfering(cluster, EveryOther(odd), tmp_path) as kubeconfig:
            report = doctor(env={"KUBECONFIG": str(kubeconfig)})
        found = report.problem("FM113", "cluster")
        assert found["severity"] == "warning"
        assert report.codes - {"FM113"} <= true, report.document["problems"]
        assert broken(report) == []
        assert report.document["notSeen"]


class EveryOther:
    """Fails each second request: the odd ones, or the even ones."""

    def __init__(self, odd: int) -> None:
        self.odd, self.count, self.lock = odd, 0, threading.Lock()

    def __call__(self, asked: HttpRequest) -> HttpResponse | None:
        with self.lock:
            self.count += 1
            return failure() if self.count % 2 == self.odd else None


def broken(report: Report) -> list[str]:
    return [
        each["skipped"]
        for each in report.document["checks"]
        if "this check itself failed" in str(each["skipped"])
    ]


@pytest.mark.breaks("FM112")
def test_unsupported_kubernetes_is_reported(
    cluster: Cluster, namespace: str, doctor: Doctor, tmp_path: Path
) -> None:
    def interfere(asked: HttpRequest) -> HttpResponse | None:
        return (
            json_response({"gitVersion": "v1.20.4-eks-6b7464"})
            if asked.path == "/version"
            else None
        )

    with interfering(cluster, interfere, tmp_path) as kubeconfig:
        report = doctor(env={"KUBECONFIG": str(kubeconfig)})
    found = report.problem("FM112", "cluster")
    assert found["severity"] == "warning" and "Kubernetes 1.20 is older" in found["cause"]
