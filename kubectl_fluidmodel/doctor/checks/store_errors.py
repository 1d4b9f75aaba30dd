"""5xx: what a store says to credentials and to a bucket's name."""

from __future__ import annotations

from collections.abc import Iterator

from kubectl_fluidmodel.doctor import observations
from kubectl_fluidmodel.doctor.check import CheckContext, Finding, Fix, register_check
from kubectl_fluidmodel.doctor.mount_probe.attempt import MISSING_SESSION_TOKEN
from kubectl_fluidmodel.doctor.mount_results import (
    FILES_UNREADABLE,
    STORE_UNREADABLE,
    MountResult,
    dataset_reference,
    recreate_fix,
    result_evidence,
    results_in_state,
    secret_keys_fix,
)
from kubectl_fluidmodel.model.source import Source, parse_source
from kubectl_fluidmodel.output.shell import Operand, command
from kubectl_fluidmodel.snapshot.probe_result import ProbeState


def _source_of(mount_result: MountResult) -> Source:
    return parse_source(mount_result.result.mount)


@register_check("FM520", "the store knows the access key", explains=STORE_UNREADABLE)
def access_key_is_known(context: CheckContext) -> Iterator[Finding]:
    """The store has no such access key: it was deleted, belongs to another store, or was never
    right. Read the store's own list of keys (`mc admin user list`, the IAM console) and put one
    that is there into the Secret. A master that waits takes it up by itself; a running one keeps
    the old key until its container is started again.
    """
    for mount_result in results_in_state(context, ProbeState.UNKNOWN_KEY):
        result = mount_result.result
        yield Finding(
            f"secret {context.cache.namespace}/{result.secret_name}"
            if result.secret_name
            else dataset_reference(context),
            f"the store does not know the access key in {_keys_location(mount_result)}",
            result_evidence(context, mount_result),
            secret_keys_fix(context, result) if result.secret_name else None,
        )


@register_check("FM521", "the secret key is right", explains=STORE_UNREADABLE)
def secret_key_is_correct(context: CheckContext) -> Iterator[Finding]:
    """The store knows the access key, and the secret key that belongs to it is another one: it was
    rotated, mistyped, or mixed up with another key's. Put the new one into the Secret. A master
    that waits takes it up by itself; a running one keeps the old key until its container is
    started again.
    """
    for mount_result in results_in_state(context, ProbeState.WRONG_SECRET):
        result = mount_result.result
        yield Finding(
            f"secret {context.cache.namespace}/{result.secret_name}"
            if result.secret_name
            else dataset_reference(context),
            f"the secret key in {_keys_location(mount_result)} is not the one that belongs to its "
            "access key",
            result_evidence(context, mount_result),
            secret_keys_fix(context, result) if result.secret_name else None,
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
    """The keys are temporary ones and have run out, or need a session token that Alluxio cannot
    send. A cache outlives any session: give it a long-lived key that may only read.
    """
    for mount_result in results_in_state(context, ProbeState.EXPIRED):
        result = mount_result.result
        yield Finding(
            f"secret {context.cache.namespace}/{result.secret_name}"
            if result.secret_name
            else dataset_reference(context),
            f"the key in {_keys_location(mount_result)} is temporary, and its session token is "
            "missing"
            if result.message == MISSING_SESSION_TOKEN
            else f"the credentials in {_keys_location(mount_result)} are temporary and not valid "
            "any more",
            result_evidence(context, mount_result),
            secret_keys_fix(context, result) if result.secret_name else None,
        )


@register_check("FM523", "the store lets the keys list the bucket", explains=STORE_UNREADABLE)
def bucket_can_be_listed(context: CheckContext) -> Iterator[Finding]:
    """The keys are good, and a policy denies `s3:ListBucket`. Alluxio finds files by listing, so
    reading alone is not enough. The policy has to allow it on the bucket itself
    (`arn:aws:s3:::BUCKET`), not on `BUCKET/*`.
    """
    for mount_result in _denied_results(context, "ListBucket"):
        bucket = _source_of(mount_result).host
        who = (
            "the keys in " + _keys_location(mount_result)
            if mount_result.result.secret_name
            else "requests without keys"
        )
        yield Finding(
            dataset_reference(context),
            f"a policy does not let {who.rstrip(',')} list the bucket {bucket}",
            result_evidence(context, mount_result),
            Fix(
                f'{{"Effect": "Allow", "Action": "s3:ListBucket", "Resource": '
                f'"arn:aws:s3:::{bucket}"}}',
                "advice",
                f"a statement of the policy of bucket {bucket}",
            ),
        )


@register_check("FM524", "the store lets the keys read the files", explains=FILES_UNREADABLE)
def files_can_be_read(context: CheckContext) -> Iterator[Finding]:
    """The files can be listed and not read: a policy denies `s3:GetObject`, or the objects are
    encrypted with a key of KMS that these credentials may not use. Fluid binds such a Dataset all
    the same, and the load fails file by file.
    """
    for mount_result in _denied_results(context, "GetObject"):
        source = _source_of(mount_result)
        below = f"{source.host}/{source.path}/*" if source.path else f"{source.host}/*"
        yield Finding(
            dataset_reference(context),
            f"a policy does not let the keys in {_keys_location(mount_result).rstrip(',')} read "
            "the files of "
            f"{mount_result.result.mount}",
            result_evidence(context, mount_result),
            Fix(
                f'{{"Effect": "Allow", "Action": "s3:GetObject", "Resource": '
                f'"arn:aws:s3:::{below}"}}',
                "advice",
                f"a statement of the policy of bucket {source.host}",
            ),
        )


def _denied_results(context: CheckContext, action: str) -> list[MountResult]:
    found = results_in_state(context, ProbeState.DENIED)
    reading = "GetObject"
    return [
        mount_result
        for mount_result in found
        if (mount_result.result.action == reading) == (action == reading)
        and mount_result.result.action != "GET"
    ]


@register_check("FM525", "the region is the bucket's", explains=STORE_UNREADABLE)
def bucket_region_is_correct(context: CheckContext) -> Iterator[Finding]:
    """A request is signed for a region, and the bucket is in another one. boto3 and the AWS CLI
    follow the redirect by themselves, Alluxio does not: what works on your machine fails in the
    cluster. The region belongs into the mount's options.
    """
    for mount_result in results_in_state(context, ProbeState.REGION):
        result = mount_result.result
        right = result.region
        option = (
            "alluxio.underfs.s3.endpoint.region"
            if result.endpoint
            else ("alluxio.underfs.s3.region")
        )
        known = f"it is in {right}" if right else result.message
        by_yaml = Fix(
            f"{option}: {right}",
            "yaml",
            f"Dataset {context.cache.namespace}/{context.cache.name} "
            f"{mount_result.field_path}.options",
        )
        fix = (recreate_fix(context, region=right) or by_yaml) if right else None
        yield Finding(
            dataset_reference(context),
            f"the mount asks for the bucket in a region that it is not in: {known}",
            result_evidence(context, mount_result),
            fix,
        )


@register_check("FM526", "the bucket exists", explains=STORE_UNREADABLE)
def bucket_exists(context: CheckContext) -> Iterator[Finding]:
    """The store knows the keys and has no bucket (or web directory) of that name: it was renamed,
    deleted, or is at another endpoint. Where the keys may see the list of buckets, those of a
    like name are named.
    """
    for mount_result in results_in_state(context, ProbeState.NO_BUCKET):
        result = mount_result.result
        web = result.action == "GET"
        what = result.mount if web else f"bucket {_source_of(mount_result).host}"
        at = result.endpoint or "AWS"
        alike = [name for name in result.buckets if not web]
        hint = f"; the likeliest that is there: {', '.join(alike)}" if alike else ""
        fix = None
        if alike:
            source = _source_of(mount_result)
            right = Source(source.scheme, alike[0], source.path).uri
            fix = recreate_fix(context, source=right) or Fix(
                f"mountPoint: {right}",
                "yaml",
                f"Dataset {context.cache.namespace}/{context.cache.name} {mount_result.field_path}",
            )
        look = ("curl", "-I", Operand(result.mount)) if web else ("aws", "s3", "ls")
        endpoint = ("--endpoint-url", result.endpoint) if result.endpoint and not web else ()
        yield Finding(
            dataset_reference(context),
            f"{what} does not exist at {at}{hint}",
            result_evidence(context, mount_result),
            fix or Fix(command(*look, *endpoint), "advice"),
        )


@register_check("FM527", "the web server gives the directory out", explains=STORE_UNREADABLE)
def web_directory_is_public(context: CheckContext) -> Iterator[Finding]:
    """WebUFS has no credentials: a server that answers 401 or 403 cannot be a source. Let it give
    the directory out to the cluster's nodes, or put the files into a bucket.
    """
    for mount_result in results_in_state(context, ProbeState.DENIED):
        if mount_result.result.action == "GET":
            yield Finding(
                dataset_reference(context),
                f"{mount_result.result.mount} asks for a login, and WebUFS has none",
                result_evidence(context, mount_result),
                Fix("kubectl fluidmodel cache s3://BUCKET/PREFIX, with the files in it", "advice"),
            )


@register_check("FM528", "the store has no error of its own", explains=STORE_UNREADABLE)
def store_has_no_error(context: CheckContext) -> Iterator[Finding]:
    """The store was reached and failed in a way of its own (overloaded, a disk that is full, a
    request that it does not know). Its words say more than this check can.
    """
    for mount_result in results_in_state(context, ProbeState.ERROR):
        result = mount_result.result
        warning = ": ".join(part for part in (result.code, result.message) if part)
        yield Finding(
            dataset_reference(context),
            f"{result.endpoint or result.mount} fails: {warning}",
            result_evidence(context, mount_result),
            Fix(f"look at the store's own log at {result.endpoint or result.mount}", "advice"),
        )


@register_check("FM529", "the claim that the files come from is Bound", explains=STORE_UNREADABLE)
def source_claim_is_bound(context: CheckContext) -> Iterator[Finding]:
    """A `pvc://` source is a claim of the Dataset's own namespace that master and workers mount.
    While it is absent or Pending, their pods wait.
    """
    for mount_result in results_in_state(context, ProbeState.CLAIM):
        claim = mount_result.result.mount.partition("://")[2].partition("/")[0]
        yield Finding(
            f"persistentvolumeclaim {context.cache.namespace}/{claim}",
            f"the source's claim {claim} is {mount_result.result.code}",
            result_evidence(context, mount_result),
            observations.advice(context.cache, "describe", "pvc", Operand(claim)),
        )
