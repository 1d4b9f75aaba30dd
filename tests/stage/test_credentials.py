"""Keys that end while a model is on its way: renewed where somebody renews them, else said."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from kubectl_fluidmodel.errors import FluidModelError, UsageError
from kubectl_fluidmodel.objectstore.s3 import S3Store, store_from_environment
from kubectl_fluidmodel.objectstore.s3_credentials import S3Credentials, expiry_warning
from kubectl_fluidmodel.stage.engine import stage_plan
from tests.stage.faultproxy import FaultProxy
from tests.stage.harness import PART, StagingHarness, StagingRun, random_bytes
from tests.stage.s3server import ACCESS, SECRET

WithProxy = Callable[[], StagingHarness]
BIG = "model.safetensors"
FIRST, SECOND = "KEYTHATENDS", "KEYTHATFOLLOWS"
NOW = datetime(2026, 6, 1, 12, 0, tzinfo=timezone.utc)


@pytest.fixture
def expiring(with_proxy: WithProxy, proxy: FaultProxy) -> StagingHarness:
    """A store for which the first of two keys ends after a few parts."""
    harness = with_proxy()
    harness.add_model({BIG: random_bytes(6 * PART), "config.json": b"{}"})
    expired = {"status": 400, "code": "ExpiredToken"}
    proxy.add_fault("refuse", match="partNumber|config", login=FIRST, skip=3, **expired)
    return harness


def program(folder: Path, *outputs: dict[str, str]) -> Path:
    """A `credential_process` that prints one thing after the other, and counts its runs."""
    for number, output in enumerate(outputs):
        (folder / f"{number}.json").write_text(json.dumps({"Version": 1, **output}))
    script = folder / "login"
    script.write_text(
        "#!/bin/sh\n"
        f"cd '{folder}' || exit 1\n"
        "echo run >> runs\n"
        f"n=$(wc -l < runs); [ $n -gt {len(outputs)} ] && n={len(outputs)}\n"
        "cat $((n - 1)).json\n"
    )
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    return script


def keys(name: str, **more: str) -> dict[str, str]:
    return {"AccessKeyId": name, "SecretAccessKey": f"{SECRET}-{name}", **more}


@pytest.fixture
def users(harness: StagingHarness) -> None:
    """Both keys may write to the bucket."""
    client = harness.s3.client()
    client.create_bucket(Bucket=harness.bucket)
    for name in (FIRST, SECOND):
        if name not in harness.s3.users:
            harness.s3.user(name)
    where = [f"arn:aws:s3:::{harness.bucket}", f"arn:aws:s3:::{harness.bucket}/*"]
    allow = {
        "Effect": "Allow",
        "Principal": {"AWS": [FIRST, SECOND]},
        "Action": ["s3:*"],
        "Resource": where,
    }
    client.put_bucket_policy(
        Bucket=harness.bucket, Policy=json.dumps({"Version": "2012-10-17", "Statement": [allow]})
    )


def staged(harness: StagingHarness, store: S3Store) -> StagingRun:
    run = StagingRun()
    for event in stage_plan(
        harness.plan(), store, harness.destination, harness.options, harness.client()
    ):
        run.events.append(event)
    return run


def profile(monkeypatch: pytest.MonkeyPatch, folder: Path, text: str) -> None:
    (folder / "config").write_text(f"[profile rot]\nregion = us-east-1\n{text}\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(folder / "config"))
    monkeypatch.setenv("AWS_PROFILE", "rot")


@pytest.mark.usefixtures("users")
def test_keys_of_a_credential_process_are_renewed_before_they_expire(
    expiring: StagingHarness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As of SSO and of roles: their provider is boto3's, which asks anew in time."""
    soon = (datetime.now(timezone.utc) + timedelta(minutes=9)).strftime("%Y-%m-%dT%H:%M:%SZ")
    late = (datetime.now(timezone.utc) + timedelta(hours=9)).strftime("%Y-%m-%dT%H:%M:%SZ")
    script = program(tmp_path, keys(FIRST, Expiration=soon), keys(SECOND, Expiration=late))
    profile(monkeypatch, tmp_path, f"credential_process = {script}")
    store = store_from_environment(expiring.endpoint, None)
    assert store.credentials is not None and store.credentials.auto_renews
    run = staged(expiring, store)
    assert not run.messages
    expiring.assert_staged()
    assert (tmp_path / "runs").read_text().count("run") == 2


@pytest.mark.usefixtures("users")
def test_keys_that_the_store_revokes_early_are_renewed(
    expiring: StagingHarness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    late = (datetime.now(timezone.utc) + timedelta(hours=9)).strftime("%Y-%m-%dT%H:%M:%SZ")
    outputs = [keys(FIRST, Expiration=late), keys(SECOND, Expiration=late)]
    profile(monkeypatch, tmp_path, f"credential_process = {program(tmp_path, *outputs)}")
    run = staged(expiring, store_from_environment(expiring.endpoint, None))
    assert "the credentials have expired: renewing them" in run.retries
    expiring.assert_staged()


@pytest.mark.usefixtures("users")
@pytest.mark.parametrize("code", ["ExpiredToken", "InvalidToken"])
def test_renewed_keys_that_the_store_refuses_as_well_are_not_renewed_for_ever(
    expiring: StagingHarness,
    proxy: FaultProxy,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    code: str,
) -> None:
    """As of a store that takes no session tokens at all, whoever issues them."""
    proxy.add_fault("refuse", match="partNumber|config", status=400, code=code)
    late = (datetime.now(timezone.utc) + timedelta(hours=9)).strftime("%Y-%m-%dT%H:%M:%SZ")
    script = program(tmp_path, *(keys(name, Expiration=late) for name in (FIRST, SECOND)))
    profile(monkeypatch, tmp_path, f"credential_process = {script}")
    with pytest.raises(FluidModelError, match=code):
        staged(expiring, store_from_environment(expiring.endpoint, None))
    assert (tmp_path / "runs").read_text().count("run") == 2


@pytest.mark.usefixtures("users")
def test_keys_that_are_replaced_in_their_file_are_read_again(
    expiring: StagingHarness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(name: str) -> None:
        (tmp_path / "credentials").write_text(
            f"[rot]\naws_access_key_id = {name}\naws_secret_access_key = {SECRET}-{name}\n"
        )

    write(FIRST)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    profile(monkeypatch, tmp_path, "")
    store = store_from_environment(expiring.endpoint, None)
    write(SECOND)
    staged(expiring, store)
    expiring.assert_staged()


@pytest.mark.usefixtures("users")
def test_expired_keys_that_nothing_renews_fail_at_once_and_another_run_resumes(
    expiring: StagingHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", FIRST)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", f"{SECRET}-{FIRST}")
    with pytest.raises(FluidModelError) as caught:
        staged(expiring, store_from_environment(expiring.endpoint, None))
    assert "expired" in caught.value.reason and caught.value.exit_code == 1
    again = S3Store(expiring.endpoint, "us-east-1", S3Credentials(ACCESS, SECRET))
    assert staged(expiring, again).outcomes[BIG] in ("resumed", "staged")
    expiring.assert_staged()


@pytest.mark.parametrize(
    ("credentials", "message"),
    [
        (None, ""),
        (S3Credentials("AKIA1", "x"), ""),
        (S3Credentials("ASIA1", "x", "token", auto_renews=True), ""),
        (S3Credentials("ASIA1", "x", "token"), "are temporary, and nothing renews them"),
        (
            S3Credentials(
                "ASIA1", "x", "token", expires_at=NOW + timedelta(minutes=42, seconds=30)
            ),
            "expire in 42 min (12:42 UTC)",
        ),
        (
            S3Credentials("ASIA1", "x", "token", expires_at=NOW - timedelta(hours=1)),
            "expire in 0 min",
        ),
    ],
)
def test_a_warning_names_when_temporary_keys_expire(
    credentials: S3Credentials | None, message: str
) -> None:
    warning = expiry_warning(credentials, NOW)
    assert message in warning if message else not warning


@pytest.fixture
def temporary(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Keys of the environment that end some time."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "ASIA1")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hidden-key")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "hidden-token")
    return monkeypatch


@pytest.mark.parametrize("expected", ["2126-06-01T12:00:00Z", "2126-06-01T14:00:00+02:00", ""])
def test_the_expiration_in_the_environment_is_read(
    temporary: pytest.MonkeyPatch, expected: str
) -> None:
    """Read by us: botocore would call such keys renewable, and fail as they end."""
    temporary.setenv("AWS_CREDENTIAL_EXPIRATION", expected)
    credentials = store_from_environment("http://s3", None).credentials
    assert credentials is not None and credentials.will_expire and not credentials.auto_renews
    assert credentials.expires_at == (
        datetime(2126, 6, 1, 12, tzinfo=timezone.utc) if expected else None
    )
    assert "hidden" not in repr(credentials)


def test_an_invalid_expiration_is_a_usage_error(temporary: pytest.MonkeyPatch) -> None:
    temporary.setenv("AWS_CREDENTIAL_EXPIRATION", "soon")
    with pytest.raises(UsageError, match="AWS_CREDENTIAL_EXPIRATION is not a time: 'soon'"):
        store_from_environment("http://s3", None)


def test_expired_keys_of_the_environment_are_an_error(temporary: pytest.MonkeyPatch) -> None:
    temporary.setenv("AWS_CREDENTIAL_EXPIRATION", "2020-01-01T00:00:00Z")
    with pytest.raises(FluidModelError, match="cannot use the S3 credentials") as caught:
        store_from_environment("http://s3", None)
    assert "expired" in caught.value.reason
