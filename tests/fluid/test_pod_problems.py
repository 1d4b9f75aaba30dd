"""What logs, pods and events of real failures are read as."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubectl_fluidmodel.fluid import pod_problems
from kubectl_fluidmodel.objects.time import event_time, parse_time
from tests.fluid import junk

# Lines as Alluxio 2.9's master writes them.
NO_BUCKET = """\
2026-03-02 10:15:30,101 INFO  AlluxioMasterProcess - All masters started
2026-03-02 10:15:31,412 ERROR DefaultFileSystemMaster - Failed to mount s3://nope/llama:
com.amazonaws.services.s3.model.AmazonS3Exception: The specified bucket does not exist (Service: \
Amazon S3; Status Code: 404; Error Code: NoSuchBucket; Request ID: 17A; Proxy: null)
\tat com.amazonaws.http.AmazonHttpClient$RequestExecutor.handleErrorResponse(AmazonHttpClient.java)
"""


@pytest.mark.parametrize(
    ("log", "cause"),
    [
        (NO_BUCKET, "the bucket does not exist: com.amazonaws"),
        ("x (Error Code: InvalidAccessKeyId; y)", "the store does not know the access key"),
        ("x (Error Code: SignatureDoesNotMatch)", "the secret key is wrong"),
        ("Status Code: 403; Error Code: AccessDenied;", "the store denies access"),
        ("Status Code: 403; Error Code: 403 Forbidden;", "the store denies access"),
        (
            "java.net.UnknownHostException: minio.store",
            "the host name does not resolve in the pod (minio.store)",
        ),
        (
            "Unable to execute HTTP request: Connect to minio:9000 failed: Connection refused",
            "the store's endpoint refuses connections",
        ),
        ("SdkClientException: connect timed out", "the store's endpoint does not respond"),
        ("javax.net.ssl.SSLHandshakeException: PKIX", "TLS to the store fails"),
        ("java.io.IOException: No space left on device", "the cache's disk is full"),
        ("alluxio.exception.WorkerOutOfSpaceException: 1", "the quota is full"),
        ("java.lang.OutOfMemoryError: Java heap space", "the JVM ran out of memory"),
        (  # Alluxio 2.9.3 in an image without the library
            "java.lang.UnsatisfiedLinkError: /tmp/libjnifuse10888048517559144407.so: "
            "libfuse.so.2: cannot open shared object file: No such file or directory",
            "the image has no libfuse 2, which --high-concurrency needs",
        ),
        (  # Alluxio 2.9.3 with libfuse 3 and the mount option max_read
            "alluxio.jnifuse.FuseException: Unable to mount FS",
            "libfuse does not mount",
        ),
        # Alluxio 2.9.3 in its logs, and its shell on stdout
        (
            "WARN UfsStatusCache - Failed: alluxio.underfs.s3a.AlluxioS3Exception: "
            "SignatureDoesNotMatch:The request signature we calculated does not match",
            "the secret key is wrong",
        ),
        ("SignatureDoesNotMatch:The request signature we calculated", "the secret key is wrong"),
        (
            "Error=alluxio.underfs.s3a.AlluxioS3Exception: NoSuchBucket:The specified bucket",
            "the bucket does not exist",
        ),
        ("XAdminUserNotFound:No user exists", "the store does not know the access key"),
        ("403 Forbidden:Forbidden", "the store denies access"),
        (
            "AlluxioS3Exception: ClientException:Unable to execute HTTP request: Connect to "
            "127.0.0.1:19999 [/127.0.0.1] failed: Connection refused",
            "the store's endpoint refuses connections",
        ),
        ("AlluxioS3Exception: ExpiredToken:expired", "the temporary credentials have expired"),
        ("a user asked about SignatureDoesNotMatch in chat", ""),
        # Alluxio's master looks for itself while it starts.
        (
            "Caused by: io.netty.channel.AbstractChannel$AnnotatedConnectException: "
            "finishConnect(..) failed: Connection refused: demo-master-0.models/10.0.0.7:26000",
            "",
        ),
        (
            "\tat io.netty.channel.unix.Errors.throwConnectException(Errors.java:124)",
            "",
        ),
        ("INFO everything is fine", ""),
        ("", ""),
    ],
)
def test_the_cause_in_a_log(log: str, cause: str) -> None:
    error = pod_problems.find_log_error(log)
    assert error.startswith(cause) if cause else error == ""


def test_the_last_cause_counts() -> None:
    log = "Error Code: NoSuchBucket\nError Code: InvalidAccessKeyId\nINFO retrying"
    assert pod_problems.find_log_error(log).startswith("the store does not know the access key")


@pytest.mark.parametrize(
    "written",
    [
        "aws.secretKey=h1dden",
        "aws.accessKeyId = h1dden",
        "-Daws.secretKey=h1dden",
        "AWS_SECRET_ACCESS_KEY: h1dden",
        '{"secretKey": "h1dden"}',
        "'aws.secretKey': 'h1dden'",
        "alluxio.master.mount.table.root.option.aws.secretKey=h1dden",
        "fs.oss.accessKeySecret=h1dden",
    ],
)
def test_no_key_of_a_log_line_is_repeated(written: str) -> None:
    error = pod_problems.find_log_error(f"Error Code: AccessDenied with {written} and more")
    assert "h1dden" not in error
    assert "and more" in error


def test_a_long_line_is_cut() -> None:
    assert len(pod_problems.find_log_error("Error Code: AccessDenied " + "x" * 9999)) < 300


def waiting(reason: str, message: str = "") -> dict[str, Any]:
    return {"name": "alluxio-master", "state": {"waiting": {"reason": reason, "message": message}}}


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ({}, []),
        ({"phase": "Running"}, []),
        (
            {
                "conditions": [
                    {
                        "type": "PodScheduled",
                        "status": "False",
                        "message": "0/3 nodes are available: 3 Insufficient memory.",
                    }
                ]
            },
            ["pod p is not scheduled: 0/3 nodes are available: 3 Insufficient memory."],
        ),
        (
            {"containerStatuses": [waiting("ImagePullBackOff", "Back-off pulling\n  image")]},
            ["p/alluxio-master: ImagePullBackOff: Back-off pulling image"],
        ),
        (
            {"initContainerStatuses": [waiting("CrashLoopBackOff")]},
            ["p/alluxio-master: CrashLoopBackOff"],
        ),
        ({"containerStatuses": [waiting("ContainerCreating")]}, []),
        ({"containerStatuses": [waiting("PodInitializing")]}, []),
        ({"phase": "Failed", "reason": "Evicted"}, ["pod p failed: Evicted"]),
        ({"phase": "Failed"}, ["pod p failed"]),
        (
            {
                "containerStatuses": [
                    {"name": "fuse", "lastState": {"terminated": {"reason": "OOMKilled"}}}
                ]
            },
            ["p/fuse was killed for using too much memory"],
        ),
    ],
)
def test_a_pod(status: dict[str, Any], expected: list[str]) -> None:
    assert pod_problems.find_pod_problems({"metadata": {"name": "p"}, "status": status}) == expected


@pytest.mark.parametrize(
    ("obj", "ready"),
    [
        ({"status": {"conditions": [{"type": "Ready", "status": "True"}]}}, True),
        ({"status": {"conditions": [{"type": "Ready", "status": "False"}]}}, False),
        ({"status": {"conditions": [{"type": "Initialized", "status": "True"}]}}, False),
        ({}, False),
    ],
)
def test_ready(obj: dict[str, Any], ready: bool) -> None:
    assert pod_problems.is_ready(obj) is ready


def test_restarts_of_one_container() -> None:
    status = {"containerStatuses": [{"name": "a", "restartCount": 3}, {"name": "b"}]}
    assert [pod_problems.restart_count({"status": status}, name) for name in "abc"] == [3, 0, 0]


def event(name: str, reason: str = "Bad", at: str = "10:00:00", **more: Any) -> dict[str, Any]:
    return {
        "type": "Warning",
        "reason": reason,
        "message": f"words at {at}",
        "involvedObject": {"kind": "Pod", "name": name},
        "lastTimestamp": f"2026-03-02T{at}Z",
        **more,
    }


class TestWarnings:
    def problems(self, *events: dict[str, Any], since: float = 0.0) -> list[str]:
        return pod_problems.warning_events(events, "demo", since)

    def test_the_newest_of_each_object_and_reason_in_order_of_time(self) -> None:
        problems = self.problems(
            event("demo-worker-0", at="10:00:05"),
            event("demo-worker-0", at="10:00:09"),
            event("demo-worker-0", at="10:00:01"),
            event("demo-worker-0", "Other", at="10:00:02"),
        )
        assert problems == [
            "Pod demo-worker-0: Other: words at 10:00:02",
            "Pod demo-worker-0: Bad: words at 10:00:09",
        ]

    def test_the_object_itself_and_what_is_named_after_it(self) -> None:
        names = ("demo", "demo-master-0", "demos", "other", "my-demo", "demo-2", "demo-2-master-0")
        problems = self.problems(*(event(name) for name in names))
        assert {text.split()[1] for text in problems} == {"demo:", "demo-master-0:"}

    def test_normal_events_and_other_kinds_are_left_out(self) -> None:
        endpoints = {"kind": "Endpoints", "name": "demo"}
        assert (
            self.problems(event("demo", type="Normal"), event("demo", involvedObject=endpoints))
            == []
        )

    def test_errors_that_fluid_retries_at_once_are_ignored(self) -> None:
        conflict = (
            "Failed to setup ddc engine due to error failed to update worker ready status in "
            "runtime status: Operation cannot be fulfilled on alluxioruntimes.data.fluid.io "
            '"demo": the object has been modified; please apply your changes to the latest version '
            "and try again"
        )
        assert self.problems(event("demo", "ErrorProcessRuntime", message=conflict)) == []

    def test_events_from_before_this_run_are_ignored(self) -> None:
        since = parse_time("2026-03-02T10:00:05Z")
        problems = self.problems(
            event("demo", at="10:00:04"), event("demo-worker-0", at="10:00:05"), since=since
        )
        assert len(problems) == 1


@pytest.mark.parametrize(
    ("fields", "seconds"),
    [
        ({"series": {"lastObservedTime": "1970-01-01T00:00:05.500000Z"},
          "lastTimestamp": "1970-01-01T00:00:01Z"}, 5.5),
        ({"lastTimestamp": "1970-01-01T00:00:01Z"}, 1.0),
        ({"lastTimestamp": None, "eventTime": "1970-01-01T00:00:02.123456Z"}, 2.123456),
        ({"metadata": {"creationTimestamp": "1970-01-01T00:00:03Z"}}, 3.0),
        ({"lastTimestamp": "1970-01-01T02:00:00+02:00"}, 0.0),
        ({"lastTimestamp": "yesterday"}, 0.0),
        ({}, 0.0),
    ],
)  # fmt: skip
def test_when_an_event_was_seen(fields: dict[str, Any], seconds: float) -> None:
    assert event_time(fields) == pytest.approx(seconds)


@given(junk.any_object)
def test_no_object_makes_the_readers_fail(obj: dict[str, Any]) -> None:
    assert all(isinstance(text, str) for text in pod_problems.find_pod_problems(obj))
    assert pod_problems.restart_count(obj, "alluxio-master") >= 0
    assert pod_problems.is_ready(obj) in (True, False)
    assert isinstance(pod_problems.warning_events([{**obj, "type": "Warning"}], "", 0.0), list)
    assert isinstance(event_time(obj), float)


@given(st.text())
def test_no_log_makes_the_reader_fail(log: str) -> None:
    assert "\n" not in pod_problems.find_log_error(log)
