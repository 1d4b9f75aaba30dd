"""5xx: what a store says to credentials and to a bucket's name."""

from __future__ import annotations

from collections.abc import Iterator

from kubectl_fluidmodel.doctor import observations
from kubectl_fluidmodel.doctor.check import Case, Finding, Fix, check
from kubectl_fluidmodel.doctor.checks.mount_results import (
    CUT_OFF,
    UNREAD,
    Tried,
    dataset_of,
    evidence,
    keys_command,
    met,
    rebuild,
)
from kubectl_fluidmodel.doctor.mount_probe import result
from kubectl_fluidmodel.doctor.mount_probe.attempt import NO_TOKEN
from kubectl_fluidmodel.model.source import Source, parse
from kubectl_fluidmodel.output.shell import Operand, command


def _source(one: Tried) -> Source:
    return parse(one.answer.mount)


@check("FM520", "the store knows the access key", explains=CUT_OFF)
def key_known(case: Case) -> Iterator[Finding]:
    """The store has no such access key: it was deleted, belongs to another store, or was never
    right. Read the store's own list of keys (`mc admin user list`, the IAM console) and put one
    that is there into the Secret. A master that waits takes it up by itself; a running one keeps
    the old key until its container is started again.
    """
    for one in met(case, result.UNKNOWN_KEY):
        given = one.answer
        yield Finding(
            f"secret {case.own.namespace}/{given.holder}" if given.holder else dataset_of(case),
            f"the store does not know the access key in {_where(one)}",
            evidence(case, one),
            keys_command(case, given) if given.holder else None,
        )


@check("FM521", "the secret key is right", explains=CUT_OFF)
def secret_right(case: Case) -> Iterator[Finding]:
    """The store knows the access key, and the secret key that belongs to it is another one: it was
    rotated, mistyped, or mixed up with another key's. Put the new one into the Secret. A master
    that waits takes it up by itself; a running one keeps the old key until its container is
    started again.
    """
    for one in met(case, result.WRONG_SECRET):
        given = one.answer
        yield Finding(
            f"secret {case.own.namespace}/{given.holder}" if given.holder else dataset_of(case),
            f"the secret key in {_where(one)} is not the one that belongs to its access key",
            evidence(case, one),
            keys_command(case, given) if given.holder else None,
        )


def _where(one: Tried) -> str:
    given = one.answer
    return f"Secret {given.holder}, key {given.entry}," if given.holder else "the Dataset's options"


@check("FM522", "the credentials have not expired", explains=CUT_OFF)
def not_expired(case: Case) -> Iterator[Finding]:
    """The keys are temporary ones and have run out, or need a session token that Alluxio cannot
    send. A cache outlives any session: give it a long-lived key that may only read.
    """
    for one in met(case, result.EXPIRED):
        given = one.answer
        yield Finding(
            f"secret {case.own.namespace}/{given.holder}" if given.holder else dataset_of(case),
            f"the key in {_where(one)} is temporary, and its session token is missing"
            if given.message == NO_TOKEN
            else f"the credentials in {_where(one)} are temporary and not valid any more",
            evidence(case, one),
            keys_command(case, given) if given.holder else None,
        )


@check("FM523", "the store lets the keys list the bucket", explains=CUT_OFF)
def may_list(case: Case) -> Iterator[Finding]:
    """The keys are good, and a policy denies `s3:ListBucket`. Alluxio finds files by listing, so
    reading alone is not enough. The policy has to allow it on the bucket itself
    (`arn:aws:s3:::BUCKET`), not on `BUCKET/*`.
    """
    for one in _denied(case, "ListBucket"):
        bucket = _source(one).host
        who = "the keys in " + _where(one) if one.answer.holder else "requests without keys"
        yield Finding(
            dataset_of(case),
            f"a policy does not let {who.rstrip(',')} list the bucket {bucket}",
            evidence(case, one),
            Fix(
                f'{{"Effect": "Allow", "Action": "s3:ListBucket", "Resource": '
                f'"arn:aws:s3:::{bucket}"}}',
                "advice",
                f"a statement of the policy of bucket {bucket}",
            ),
        )


@check("FM524", "the store lets the keys read the files", explains=UNREAD)
def may_read(case: Case) -> Iterator[Finding]:
    """The files can be listed and not read: a policy denies `s3:GetObject`, or the objects are
    encrypted with a key of KMS that these credentials may not use. Fluid binds such a Dataset all
    the same, and the load fails file by file.
    """
    for one in _denied(case, "GetObject"):
        source = _source(one)
        below = f"{source.host}/{source.path}/*" if source.path else f"{source.host}/*"
        yield Finding(
            dataset_of(case),
            f"a policy does not let the keys in {_where(one).rstrip(',')} read the files of "
            f"{one.answer.mount}",
            evidence(case, one),
            Fix(
                f'{{"Effect": "Allow", "Action": "s3:GetObject", "Resource": '
                f'"arn:aws:s3:::{below}"}}',
                "advice",
                f"a statement of the policy of bucket {source.host}",
            ),
        )


def _denied(case: Case, action: str) -> list[Tried]:
    found = met(case, result.DENIED)
    reading = "GetObject"
    return [
        one
        for one in found
        if (one.answer.action == reading) == (action == reading) and one.answer.action != "GET"
    ]


@check("FM525", "the region is the bucket's", explains=CUT_OFF)
def region(case: Case) -> Iterator[Finding]:
    """A request is signed for a region, and the bucket is in another one. boto3 and the AWS CLI
    follow the redirect by themselves, Alluxio does not: what works on your machine fails in the
    cluster. The region belongs into the mount's options.
    """
    for one in met(case, result.REGION):
        given = one.answer
        right = given.region
        option = (
            "alluxio.underfs.s3.endpoint.region"
            if given.endpoint
            else ("alluxio.underfs.s3.region")
        )
        known = f"it is in {right}" if right else given.message
        by_yaml = Fix(
            f"{option}: {right}",
            "yaml",
            f"Dataset {case.own.namespace}/{case.own.name} {one.place}.options",
        )
        fix = (rebuild(case, region=right) or by_yaml) if right else None
        yield Finding(
            dataset_of(case),
            f"the mount asks for the bucket in a region that it is not in: {known}",
            evidence(case, one),
            fix,
        )


@check("FM526", "the bucket exists", explains=CUT_OFF)
def bucket_there(case: Case) -> Iterator[Finding]:
    """The store knows the keys and has no bucket (or web directory) of that name: it was renamed,
    deleted, or is at another endpoint. Where the keys may see the list of buckets, those of a
    like name are named.
    """
    for one in met(case, result.NO_BUCKET):
        given = one.answer
        web = given.action == "GET"
        what = given.mount if web else f"bucket {_source(one).host}"
        at = given.endpoint or "AWS"
        alike = [name for name in given.buckets if not web]
        hint = f"; the likeliest that is there: {', '.join(alike)}" if alike else ""
        fix = None
        if alike:
            source = _source(one)
            right = Source(source.scheme, alike[0], source.path).uri
            fix = rebuild(case, source=right) or Fix(
                f"mountPoint: {right}",
                "yaml",
                f"Dataset {case.own.namespace}/{case.own.name} {one.place}",
            )
        look = ("curl", "-I", Operand(given.mount)) if web else ("aws", "s3", "ls")
        endpoint = ("--endpoint-url", given.endpoint) if given.endpoint and not web else ()
        yield Finding(
            dataset_of(case),
            f"{what} does not exist at {at}{hint}",
            evidence(case, one),
            fix or Fix(command(*look, *endpoint), "advice"),
        )


@check("FM527", "the web server gives the directory out", explains=CUT_OFF)
def web_open(case: Case) -> Iterator[Finding]:
    """WebUFS has no credentials: a server that answers 401 or 403 cannot be a source. Let it give
    the directory out to the cluster's nodes, or put the files into a bucket.
    """
    for one in met(case, result.DENIED):
        if one.answer.action == "GET":
            yield Finding(
                dataset_of(case),
                f"{one.answer.mount} asks for a login, and WebUFS has none",
                evidence(case, one),
                Fix("kubectl fluidmodel cache s3://BUCKET/PREFIX, with the files in it", "advice"),
            )


@check("FM528", "the store has no error of its own", explains=CUT_OFF)
def no_error(case: Case) -> Iterator[Finding]:
    """The store was reached and failed in a way of its own (overloaded, a disk that is full, a
    request that it does not know). Its words say more than this check can.
    """
    for one in met(case, result.ERROR):
        given = one.answer
        said = ": ".join(part for part in (given.code, given.message) if part)
        yield Finding(
            dataset_of(case),
            f"{given.endpoint or given.mount} fails: {said}",
            evidence(case, one),
            Fix(f"look at the store's own log at {given.endpoint or given.mount}", "advice"),
        )


@check("FM529", "the claim that the files come from is Bound", explains=CUT_OFF)
def claim_there(case: Case) -> Iterator[Finding]:
    """A `pvc://` source is a claim of the Dataset's own namespace that master and workers mount.
    While it is absent or Pending, their pods wait.
    """
    for one in met(case, result.CLAIM):
        claim = one.answer.mount.partition("://")[2].partition("/")[0]
        yield Finding(
            f"persistentvolumeclaim {case.own.namespace}/{claim}",
            f"the source's claim {claim} is {one.answer.code}",
            evidence(case, one),
            observations.look(case.own, "describe", "pvc", Operand(claim)),
        )
