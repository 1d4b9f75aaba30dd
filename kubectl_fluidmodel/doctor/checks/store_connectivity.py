"""5xx: the way to the store: the Secret, its keys, the endpoint, TLS, clocks."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

from kubectl_fluidmodel.doctor.check import Case, Evidence, Finding, Fix, Severity, Skip, check
from kubectl_fluidmodel.doctor.checks.mount_results import (
    CUT_OFF,
    Tried,
    certain,
    dataset_of,
    evidence,
    keys_command,
    met,
    rebuild,
    tried,
    unless_certain,
)
from kubectl_fluidmodel.doctor.mount_probe import result
from kubectl_fluidmodel.doctor.mount_probe.attempt import EMPTY_KEY
from kubectl_fluidmodel.doctor.mount_probe.target import (
    BY_PATH,
    options_of,
    scheme_of,
    written_endpoint,
)
from kubectl_fluidmodel.fluid.mount import ROOT_OPTION
from kubectl_fluidmodel.kube import port_forward
from kubectl_fluidmodel.objects import kinds
from kubectl_fluidmodel.objects.access import dicts
from kubectl_fluidmodel.objectstore import error_codes
from kubectl_fluidmodel.output.shell import command

_SKEWED = 300.0
"""Seconds; S3 refuses requests that are signed 15 minutes off."""


def _untold(case: Case, state: str) -> list[Tried]:
    """The answers in a state of the Secret that FM212 has not seen: it lists them, where it may.

    Raises:
        Skip: FM212 tells.
    """
    found = met(case, state)
    if found and case.snapshot.knows(kinds.SECRETS, case.own.namespace):
        raise Skip("FM212 tells of it")
    return found


@check("FM501", "the Secret with the store's keys exists", explains=CUT_OFF)
def secret_there(case: Case) -> Iterator[Finding]:
    """As FM212, seen by a probe where you may not read Secrets. A mount names the Secret that its
    keys come from. Without it the master's pod stays in
    ContainerCreating, and nothing that follows can work. The Secret has to be in the Dataset's
    own namespace. The command makes it from the variables `AWS_ACCESS_KEY_ID` and
    `AWS_SECRET_ACCESS_KEY` of your shell; the kubelet tries again by itself.
    """
    for one in _untold(case, result.NO_SECRET):
        given, namespace = one.answer, case.own.namespace
        yield Finding(
            f"secret {namespace}/{given.holder}",
            f"Secret {given.holder}, which the mount takes its keys from, does not exist in "
            f"namespace {namespace}",
            (Evidence(dataset_of(case), f"{one.place}.encryptOptions", given.holder),),
            keys_command(case, given),
        )


@check("FM502", "the Secret has the keys that the mount names", explains=CUT_OFF)
def keys_there(case: Case) -> Iterator[Finding]:
    """As FM212, seen by a probe where you may not read Secrets. An `encryptOption` names a Secret
    and a key in it. A key of another name (`accesskey` for
    `AWS_ACCESS_KEY_ID`) is as good as none: the master's pod does not start. Either the Secret
    gets the key, or the Dataset names the key that is there.
    """
    for one in _untold(case, result.NO_KEY):
        given = one.answer
        have = ", ".join(given.entries) or "none"
        yield Finding(
            f"secret {case.own.namespace}/{given.holder}",
            f"Secret {given.holder} has no key {given.entry}, which the mount takes a key of the "
            "store from",
            (
                Evidence(dataset_of(case), f"{one.place}.encryptOptions", given.entry),
                Evidence(f"secret {case.own.namespace}/{given.holder}", "keys of data", have),
            ),
            keys_command(case, given),
        )


@check("FM503", "the keys are whole", explains=CUT_OFF)
def keys_usable(case: Case) -> Iterator[Finding]:
    """A key that ends in the newline of `echo KEY | base64`, or is no text, is not the key that
    the store gave out: it signs requests that the store refuses. Make the Secret with
    `--from-literal`, which adds nothing.
    """
    for one in met(case, result.BAD_KEY):
        if one.answer.message == EMPTY_KEY and case.snapshot.knows(
            kinds.SECRETS, case.own.namespace
        ):
            raise Skip("FM212 tells of it")
        given = one.answer
        yield Finding(
            f"secret {case.own.namespace}/{given.holder}",
            f"key {given.entry} of Secret {given.holder} {given.message}",
            (Evidence(f"secret {case.own.namespace}/{given.holder}", given.entry, given.message),),
            keys_command(case, given),
        )


@check("FM506", "the store is addressed by path", explains=CUT_OFF)
def by_path(case: Case) -> Iterator[Finding]:
    """Alluxio puts the bucket in front of the host's name (`models.minio.store.svc`) unless
    `alluxio.underfs.s3.disable.dns.buckets` is `true`. A Service of the cluster has no such names,
    so the master cannot resolve it and never becomes ready.
    """
    for index, mount in enumerate(dicts(case.own.dataset, "spec", "mounts")):
        options = options_of(case.own, mount)
        endpoint = options.get("alluxio.underfs.s3.endpoint", "")
        host = urlsplit(endpoint if "://" in endpoint else f"//{endpoint}").hostname or ""
        rooted = options.get(ROOT_OPTION + BY_PATH, "")
        told = (options.get(BY_PATH) or rooted).lower() == "true"
        service = port_forward.service_of(host, case.own.namespace)
        if endpoint and not told and service and host != "localhost":
            yield Finding(
                dataset_of(case),
                f"the endpoint {endpoint} is a Service, and Alluxio asks for a host named "
                f"BUCKET.{host}, which the cluster's DNS does not have",
                (
                    Evidence(dataset_of(case), f"spec.mounts[{index}].options", endpoint),
                    Evidence(dataset_of(case), f"spec.mounts[{index}].options", f"no {BY_PATH}"),
                ),
                Fix(
                    f'{BY_PATH}: "true"',
                    "yaml",
                    f"Dataset {case.own.namespace}/{case.own.name} spec.mounts[{index}].options",
                ),
            )


@check("FM507", "the endpoint says which protocol is spoken", severity=Severity.WARNING)
def scheme_written(case: Case) -> Iterator[Finding]:
    """An endpoint such as `minio:9000` has no scheme. Alluxio then speaks plain http to it, or
    https where `alluxio.underfs.s3.secure.http.enabled` or server-side encryption is on; other
    tools and runtimes take it for https. Write what is meant.
    """
    for index, mount in enumerate(dicts(case.own.dataset, "spec", "mounts")):
        options = options_of(case.own, mount)
        written = written_endpoint(options)
        if not written or "://" in written:
            continue
        scheme = scheme_of(options)
        yield Finding(
            dataset_of(case),
            f"the endpoint {written} has no scheme: Alluxio speaks {scheme} to it, other tools "
            "speak https",
            (Evidence(dataset_of(case), f"spec.mounts[{index}].options", written),),
            rebuild(case, endpoint=f"{scheme}://{written}")
            or Fix(
                f"alluxio.underfs.s3.endpoint: {scheme}://{written}",
                "yaml",
                f"Dataset {case.own.namespace}/{case.own.name} spec.mounts[{index}].options",
            ),
        )


@check("FM508", "the endpoint is the store's, without a bucket", explains=CUT_OFF)
def endpoint_of_the_store(case: Case) -> Iterator[Finding]:
    """The endpoint has the bucket's name in it, as `https://BUCKET.s3.amazonaws.com` or
    `http://minio:9000/BUCKET`. Alluxio puts the bucket in front of it, or behind it, once more, and
    finds nothing there.
    """
    for index, mount in enumerate(dicts(case.own.dataset, "spec", "mounts")):
        scheme, _, rest = str(mount.get("mountPoint", "")).partition("://")
        if scheme not in ("s3", "s3a", "s3n"):
            continue
        options = options_of(case.own, mount)
        written = written_endpoint(options)
        url = written if "://" in written else f"{scheme_of(options)}://{written}"
        right = error_codes.names_bucket(url, rest.partition("/")[0])
        if right:
            yield Finding(
                dataset_of(case),
                f"the endpoint {written} has the name of the bucket in it",
                (
                    Evidence(dataset_of(case), f"spec.mounts[{index}].options", written),
                    Evidence(
                        dataset_of(case), f"spec.mounts[{index}].mountPoint", mount["mountPoint"]
                    ),
                ),
                rebuild(case, endpoint=right)
                or Fix(
                    f"alluxio.underfs.s3.endpoint: {right}",
                    "yaml",
                    f"Dataset {case.own.namespace}/{case.own.name} spec.mounts[{index}].options",
                ),
            )


@check("FM510", "the endpoint's name is known", explains=CUT_OFF)
def name_known(case: Case) -> Iterator[Finding]:
    """The endpoint is a host that DNS does not have, or a Service that is not in the cluster or has
    no ready pod. A short name (`http://minio:9000`) means a Service of the Dataset's own
    namespace. From outside, a name that only the cluster's DNS knows says nothing, so this is
    only a finding where the cluster has not mounted the store either; `--probe` asks in it.
    """
    services = met(case, result.DNS, result.SERVICE)
    served = [each for each in services if each.answer.state == result.SERVICE]
    named = [each for each in services if each.answer.state == result.DNS]
    for one in [*served, *(unless_certain(case, named) if not served else ())]:
        given = one.answer
        host = urlsplit(given.endpoint).hostname or ""
        service = port_forward.service_of(host, case.own.namespace)
        space = service[0] if service else case.own.namespace
        yield Finding(
            dataset_of(case),
            f"the endpoint {given.endpoint} leads nowhere: {given.message}",
            evidence(case, one),
            Fix(command("kubectl", "get", "services,endpoints", "-n", space), "advice")
            if service
            else Fix(f"correct the endpoint {given.endpoint}, or the DNS entry", "advice"),
        )


@check("FM511", "the store answers", explains=CUT_OFF)
def answers(case: Case) -> Iterator[Finding]:
    """The endpoint's host is there and nothing answers on the port: the store is down, the port is
    another, or a firewall or NetworkPolicy stands between. An attempt from your machine that gets
    no answer is only a finding where the cluster has not mounted the store either, or from
    `--probe`.
    """
    found = met(case, result.REFUSED, result.TIMEOUT)
    refused = [each for each in found if each.answer.state == result.REFUSED]
    for one in refused or unless_certain(case, found):
        given = one.answer
        yield Finding(
            dataset_of(case),
            f"nothing answers at {given.endpoint or given.mount}: {given.message}",
            evidence(case, one),
            _look_at(case, given.endpoint),
        )


def _look_at(case: Case, endpoint: str) -> Fix:
    service = port_forward.service_of(urlsplit(endpoint).hostname or "", case.own.namespace)
    if service is None:
        return Fix(f"start the store at {endpoint}, or correct its port", "advice")
    return Fix(command("kubectl", "get", "pods,endpoints", "-n", service[0]), "advice")


@check("FM512", "TLS to the store works", explains=CUT_OFF)
def tls(case: Case) -> Iterator[Finding]:
    """The endpoint says https and the port speaks plain HTTP (or the other way round), or the
    certificate is for another name or signed by a CA that nobody here knows. Java's trust store
    in Alluxio's image knows the public CAs only; a private one has to be mounted into master and
    workers. A certificate that only your machine does not trust is not counted while the cache
    is Bound.
    """
    found = met(case, result.TLS)
    plain = [each for each in found if "speaks" in each.answer.message]
    for one in plain or unless_certain(case, found):
        given = one.answer
        swap = {"https": "http", "http": "https"}
        scheme, _, rest = given.endpoint.partition("://")
        right = f"{swap.get(scheme, scheme)}://{rest}"
        fix = rebuild(case, endpoint=right) if one in plain else None
        yield Finding(
            dataset_of(case),
            f"TLS to {given.endpoint} fails: {given.message}",
            evidence(case, one),
            fix
            or Fix(
                f"alluxio.underfs.s3.endpoint: {right}"
                if one in plain
                else "AWS_CA_BUNDLE=ca.pem here, and the CA in the trust store of Alluxio's JVMs",
                "yaml" if one in plain else "advice",
                f"Dataset {case.own.namespace}/{case.own.name} {one.place}.options"
                if one in plain
                else "",
            ),
        )


@check("FM513", "what answers is a store", explains=CUT_OFF)
def is_a_store(case: Case) -> Iterator[Finding]:
    """Something answers at the endpoint, but not as S3 does: often it is the port of a console
    (MinIO's 9001 for 9000), an ingress that does not know the host, or a login page.
    """
    for one in met(case, result.FOREIGN):
        given = one.answer
        yield Finding(
            dataset_of(case),
            f"{given.endpoint} does not answer as an S3 store: {given.message}",
            evidence(case, one),
            Fix(
                f"correct the endpoint {given.endpoint}: take the port of the S3 API, not of the "
                "console",
                "advice",
            ),
        )


@check("FM514", "the clocks agree", explains=CUT_OFF)
def clocks(case: Case) -> Iterator[Finding]:
    """A signature is good for 15 minutes around the store's own time. Where the clock that signs,
    or the store's, is further off, every request is refused whatever the keys are. An attempt
    from here shows your machine's clock; `--probe` shows a node's.
    """
    found = met(case, result.SKEW)
    off = [one for one in tried(case) if abs(one.answer.skew) >= _SKEWED]
    for one in found or off:
        given = one.answer
        whose = "a node of the cluster" if given.origin == result.POD else "this machine"
        refused = given.state == result.SKEW
        yield Finding(
            dataset_of(case),
            f"the clocks of {whose} and of the store are {abs(given.skew):.0f} s apart"
            + (", so it refuses every signature" if refused else ""),
            evidence(case, one),
            Fix(command("timedatectl", "set-ntp", "true"), "advice"),
            severity=Severity.ERROR if refused and certain(case, given) else Severity.WARNING,
        )
