"""5xx: credentials and bucket names that the store rejects."""

from __future__ import annotations

from collections.abc import Iterator

from kubectl_fluidmodel.doctor import observations
from kubectl_fluidmodel.doctor.check import CheckContext, Finding, Fix, register_check
from kubectl_fluidmodel.doctor.mount_results import (
    FILES_UNREADABLE,
    STORE_UNREADABLE,
    MountResult,
    change_mount_fix,
    dataset_reference,
    recreate_fix,
    result_evidence,
    results_in_state,
    secret_keys_fix,
)
from kubectl_fluidmodel.model.source import Source, parse_source
from kubectl_fluidmodel.output.shell import Operand, command
from kubectl_fluidmodel.snapshot.probe_result import MISSING_SESSION_TOKEN, ProbeState


def _source_of(mount_result: MountResult) -> Source:
    return parse_source(mount_result.result.mount)


@register_check("FM520", "the store knows the access key", explains=STORE_UNREADABLE)
def access_key_is_known(context: CheckContext) -> Iterator[Finding]:
    """The store does not know the access key.

    The key was deleted, belongs to another store, or was never valid. Look up the store's keys (`mc
    admin user list`, the IAM console) and put a valid one into the Secret. A waiting master picks
    it up by itself; a running one keeps the old key until its container restarts.
    """
    for mount_result in results_in_state(context, ProbeState.UNKNOWN_KEY):
        yield _keys_finding(
            context,
            mount_result,
            f"the store does not know the access key in {_keys_location(mount_result)}",
        )


@register_check("FM521", "the secret key is correct", explains=STORE_UNREADABLE)
def secret_key_is_correct(context: CheckContext) -> Iterator[Finding]:
    """The secret key does not belong to the access key.

    It was rotated, mistyped, or mixed up with another key. Put the current one into the Secret. A
    waiting master picks it up by itself; a running one keeps the old key until its container
    restarts.
    """
    for mount_result in results_in_state(context, ProbeState.WRONG_SECRET):
        yield _keys_finding(
            context,
            mount_result,
            f"the secret key in {_keys_location(mount_result)} is not the one that belongs to its "
            "access key",
        )


def _keys_finding(context: CheckContext, mount_result: MountResult, cause: str) -> Finding:
    """A finding about the keys of a mount, whose fix sets them in their Secret."""
    result = mount_result.result
    has_secret = bool(result.secret_name)
    secret = f"secret {context.cache.namespace}/{result.secret_name}"
    return Finding(
        secret if has_secret else dataset_reference(context),
        cause,
        result_evidence(context, mount_result),
        secret_keys_fix(context, result) if has_secret else None,
    )


def _keys_location(mount_result: MountResult) -> str:
    result = mount_result.result
    return (
        f"Secret {result.secret_name}, key {result.secret_key},"
        if result.secret_name
        else "the Dataset's options"
    )


@register_check("FM522", "the credentials have not expired", explains=STORE_UNREADABLE)
def credentials_have_not_expired(context: CheckContext) -> Iterator[Finding]:
    """The credentials have expired.

    They are temporary credentials that are no longer valid, or that need a session token, which
    Alluxio cannot send. A cache outlives any session: give it a long-lived key with read-only
    access.
    """
    for mount_result in results_in_state(context, ProbeState.EXPIRED):
        location = _keys_location(mount_result)
        cause = f"the credentials in {location} are temporary and not valid any more"
        if mount_result.result.message == MISSING_SESSION_TOKEN:
            cause = f"the key in {location} is temporary, and its session token is missing"
        yield _keys_finding(context, mount_result, f"{cause}: Alluxio needs a permanent key")


@register_check("FM523", "the credentials allow listing the bucket", explains=STORE_UNREADABLE)
def bucket_can_be_listed(context: CheckContext) -> Iterator[Finding]:
    """A policy denies `s3:ListBucket`.

    Alluxio finds files by listing, so read access alone is not enough. The policy has to allow the
    action on the bucket itself (`arn:aws:s3:::BUCKET`), not on `BUCKET/*`.
    """
    for mount_result in _denied_results(context, "ListBucket"):
        bucket = _source_of(mount_result).host
        requester = "requests without keys"
        if mount_result.result.secret_name:
            requester = f"the keys in {_keys_location(mount_result).rstrip(',')}"
        yield Finding(
            dataset_reference(context),
            f"a policy does not let {requester} list the bucket {bucket}",
            result_evidence(context, mount_result),
            _policy_fix(bucket, "s3:ListBucket", bucket),
        )


def _policy_fix(bucket: str, action: str, resource: str) -> Fix:
    """The statement that allows an action, for the policy of a bucket."""
    return Fix(
        f'{{"Effect": "Allow", "Action": "{action}", "Resource": "arn:aws:s3:::{resource}"}}',
        "advice",
        f"a statement of the policy of bucket {bucket}",
    )


@register_check("FM524", "the credentials allow reading the files", explains=FILES_UNREADABLE)
def files_can_be_read(context: CheckContext) -> Iterator[Finding]:
    """The files can be listed but not read.

    A policy denies `s3:GetObject`, or the objects are encrypted with a KMS key that these
    credentials may not use. Fluid still binds such a Dataset, and the load fails for each file.
    """
    for mount_result in _denied_results(context, "GetObject"):
        source = _source_of(mount_result)
        below = f"{source.host}/{source.path}/*" if source.path else f"{source.host}/*"
        yield Finding(
            dataset_reference(context),
            f"a policy does not let the keys in {_keys_location(mount_result).rstrip(',')} read "
            f"the files of {mount_result.result.mount}",
            result_evidence(context, mount_result),
            _policy_fix(source.host, "s3:GetObject", below),
        )


def _denied_results(context: CheckContext, action: str) -> list[MountResult]:
    """The results whose denied request is GetObject, or any other of S3."""
    return [
        mount_result
        for mount_result in results_in_state(context, ProbeState.DENIED)
        if mount_result.result.action != "GET"
        and (mount_result.result.action == "GetObject") == (action == "GetObject")
    ]


@register_check("FM525", "the region is that of the bucket", explains=STORE_UNREADABLE)
def bucket_region_is_correct(context: CheckContext) -> Iterator[Finding]:
    """The mount's region is not the region of the bucket.

    Requests are signed for a region. boto3 and the AWS CLI follow a redirect to the right one,
    Alluxio does not: what works on your machine fails in the cluster. Set the region in the options
    of the mount.
    """
    for mount_result in results_in_state(context, ProbeState.REGION):
        result = mount_result.result
        right = result.region
        option = (
            "alluxio.underfs.s3.endpoint.region" if result.endpoint else "alluxio.underfs.s3.region"
        )
        actual = f"it is in {right}" if right else result.message
        fix = None
        if right:
            fix = recreate_fix(context, region=right) or change_mount_fix(
                context, mount_result.index, {option: right}
            )
        yield Finding(
            dataset_reference(context),
            f"the mount's region is not the bucket's: {actual}",
            result_evidence(context, mount_result),
            fix,
        )


@register_check("FM526", "the bucket exists", explains=STORE_UNREADABLE)
def bucket_exists(context: CheckContext) -> Iterator[Finding]:
    """The store has no bucket (or web directory) with this name.

    It was renamed or deleted, or it is at another endpoint. If the credentials allow listing the
    buckets, `doctor` suggests buckets with similar names.
    """
    for mount_result in results_in_state(context, ProbeState.NO_BUCKET):
        result = mount_result.result
        web = result.action == "GET"
        location = result.mount if web else f"bucket {_source_of(mount_result).host}"
        at = result.endpoint or "AWS"
        similar = [name for name in result.buckets if not web]
        hint = f"; similar buckets: {', '.join(similar)}" if similar else ""
        fix = None
        if similar:
            source = _source_of(mount_result)
            right = Source(source.scheme, similar[0], source.path).uri
            fix = recreate_fix(context, source=right) or change_mount_fix(
                context, mount_result.index, mount_point=right
            )
        inspection = ("curl", "-I", Operand(result.mount)) if web else ("aws", "s3", "ls")
        endpoint = ("--endpoint-url", result.endpoint) if result.endpoint and not web else ()
        yield Finding(
            dataset_reference(context),
            f"{location} does not exist at {at}{hint}",
            result_evidence(context, mount_result),
            fix or Fix(command(*inspection, *endpoint), "advice"),
        )


@register_check("FM527", "the web directory is public", explains=STORE_UNREADABLE)
def web_directory_is_public(context: CheckContext) -> Iterator[Finding]:
    """The web server asks for a login.

    WebUFS supports no credentials, so a server that answers 401 or 403 cannot be a source. Make the
    directory readable for the nodes of the cluster, or put the files into a bucket.
    """
    for mount_result in results_in_state(context, ProbeState.DENIED):
        if mount_result.result.action == "GET":
            yield Finding(
                dataset_reference(context),
                f"{mount_result.result.mount} requires authentication, which WebUFS does not "
                "support",
                result_evidence(context, mount_result),
                Fix("kubectl fluidmodel cache s3://BUCKET/PREFIX, with the files in it", "advice"),
            )


@register_check("FM528", "the store reports no internal error", explains=STORE_UNREADABLE)
def store_has_no_error(context: CheckContext) -> Iterator[Finding]:
    """The store was reached and reports an error of its own.

    For example: it is overloaded, its disk is full, or it does not support the request. Its message
    says more than this check can.
    """
    for mount_result in results_in_state(context, ProbeState.ERROR):
        result = mount_result.result
        warning = ": ".join(part for part in (result.code, result.message) if part)
        yield Finding(
            dataset_reference(context),
            f"{result.endpoint or result.mount} fails: {warning}",
            result_evidence(context, mount_result),
            Fix(f"check the store's own log at {result.endpoint or result.mount}", "advice"),
        )


@register_check("FM529", "the claim of the source is Bound", explains=STORE_UNREADABLE)
def source_claim_is_bound(context: CheckContext) -> Iterator[Finding]:
    """The claim that is the source of the cache is not Bound.

    A `pvc://` source is a claim in the Dataset's namespace that master and workers mount. Their
    pods wait while it is missing or Pending.
    """
    for mount_result in results_in_state(context, ProbeState.CLAIM):
        claim = mount_result.result.mount.partition("://")[2].partition("/")[0]
        yield Finding(
            f"persistentvolumeclaim {context.cache.namespace}/{claim}",
            f"the source's claim {claim} is {mount_result.result.code}",
            result_evidence(context, mount_result),
            observations.advice(context.cache, "describe", "pvc", Operand(claim)),
        )
