"""5xx: the connection to the store: endpoint, TLS, clocks."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

from kubectl_fluidmodel.doctor.check import (
    CheckContext,
    Evidence,
    Finding,
    Fix,
    Severity,
    register_check,
)
from kubectl_fluidmodel.doctor.mount_results import (
    STORE_UNREADABLE,
    MountResult,
    certain_results,
    change_mount_fix,
    dataset_reference,
    is_certain,
    mount_results,
    recreate_fix,
    result_evidence,
    results_in_state,
)
from kubectl_fluidmodel.fluid.mount import ROOT_OPTION
from kubectl_fluidmodel.inventory.mount_target import (
    PATH_STYLE_OPTION,
    default_scheme,
    effective_options,
    raw_endpoint,
)
from kubectl_fluidmodel.objects.access import get_list
from kubectl_fluidmodel.objects.service_host import parse_service_host
from kubectl_fluidmodel.objectstore import error_codes
from kubectl_fluidmodel.output.shell import command
from kubectl_fluidmodel.snapshot.probe_result import ProbeOrigin, ProbeResult, ProbeState

ENDPOINT_OPTION = "alluxio.underfs.s3.endpoint"
_MAX_SKEW = 300.0
"""Seconds of clock skew that are reported; S3 rejects requests from 15 minutes on."""


@register_check("FM506", "the store is addressed by path", explains=STORE_UNREADABLE)
def store_is_addressed_by_path(context: CheckContext) -> Iterator[Finding]:
    """The store is a Service of the cluster, and Alluxio addresses the bucket by host name.

    Alluxio puts the bucket in front of the host name (`models.minio.store.svc`) unless
    `alluxio.underfs.s3.disable.dns.buckets` is `true`. A Service has no such names, so the master
    cannot resolve it and never becomes ready.
    """
    for index, mount in enumerate(get_list(context.cache.dataset, "spec", "mounts")):
        options = effective_options(context.cache, mount)
        endpoint = options.get(ENDPOINT_OPTION, "")
        host = urlsplit(endpoint if "://" in endpoint else f"//{endpoint}").hostname or ""
        rooted = options.get(ROOT_OPTION + PATH_STYLE_OPTION, "")
        reported = (options.get(PATH_STYLE_OPTION) or rooted).lower() == "true"
        service = parse_service_host(host, context.cache.namespace)
        if endpoint and not reported and service and host != "localhost":
            yield Finding(
                dataset_reference(context),
                f"the endpoint {endpoint} is a Service, and Alluxio asks for a host named "
                f"BUCKET.{host}, which the cluster's DNS does not have",
                (
                    Evidence(dataset_reference(context), f"spec.mounts[{index}].options", endpoint),
                    Evidence(
                        dataset_reference(context),
                        f"spec.mounts[{index}].options",
                        f"no {PATH_STYLE_OPTION}",
                    ),
                ),
                recreate_fix(context)
                or change_mount_fix(context, index, {PATH_STYLE_OPTION: "true"}),
            )


@register_check("FM507", "the endpoint has a scheme", severity=Severity.WARNING)
def endpoint_has_scheme(context: CheckContext) -> Iterator[Finding]:
    """The endpoint does not say whether to use http or https.

    For an endpoint such as `minio:9000`, Alluxio uses plain http, or https if
    `alluxio.underfs.s3.secure.http.enabled` or server-side encryption is on. Other tools and
    runtimes assume https. Write the scheme that you mean.
    """
    for index, mount in enumerate(get_list(context.cache.dataset, "spec", "mounts")):
        options = effective_options(context.cache, mount)
        written = raw_endpoint(options)
        if not written or "://" in written:
            continue
        scheme = default_scheme(options)
        yield Finding(
            dataset_reference(context),
            f"the endpoint {written} has no scheme: Alluxio uses {scheme}, other tools use https",
            (Evidence(dataset_reference(context), f"spec.mounts[{index}].options", written),),
            _change_endpoint_fix(context, index, f"{scheme}://{written}"),
        )


def _change_endpoint_fix(context: CheckContext, index: int, endpoint: str) -> Fix:
    """Give a mount of the Dataset another endpoint."""
    return recreate_fix(context, endpoint=endpoint) or change_mount_fix(
        context, index, {ENDPOINT_OPTION: endpoint}
    )


@register_check(
    "FM508", "the endpoint does not contain the bucket's name", explains=STORE_UNREADABLE
)
def endpoint_has_no_bucket_name(context: CheckContext) -> Iterator[Finding]:
    """The endpoint contains the name of the bucket.

    For example `https://BUCKET.s3.amazonaws.com` or `http://minio:9000/BUCKET`. Alluxio adds the
    bucket once more, in front or at the end, and finds nothing there.
    """
    for index, mount in enumerate(get_list(context.cache.dataset, "spec", "mounts")):
        scheme, _, rest = str(mount.get("mountPoint", "")).partition("://")
        if scheme not in ("s3", "s3a", "s3n"):
            continue
        options = effective_options(context.cache, mount)
        written = raw_endpoint(options)
        url = written if "://" in written else f"{default_scheme(options)}://{written}"
        right = error_codes.find_bucket_in_endpoint(url, rest.partition("/")[0])
        if right:
            yield Finding(
                dataset_reference(context),
                f"the endpoint {written} contains the name of the bucket",
                (
                    Evidence(dataset_reference(context), f"spec.mounts[{index}].options", written),
                    Evidence(
                        dataset_reference(context),
                        f"spec.mounts[{index}].mountPoint",
                        mount["mountPoint"],
                    ),
                ),
                _change_endpoint_fix(context, index, right),
            )


def _in_state(results: list[MountResult], state: ProbeState) -> list[MountResult]:
    return [candidate for candidate in results if candidate.result.state == state]


@register_check("FM510", "the endpoint's host name resolves", explains=STORE_UNREADABLE)
def endpoint_host_resolves(context: CheckContext) -> Iterator[Finding]:
    """The host name of the endpoint does not resolve, or its Service has no endpoints.

    A short name (`http://minio:9000`) means a Service in the Dataset's namespace. Outside the
    cluster, `doctor` cannot resolve names that only the cluster's DNS has, so this is reported only
    if the cluster has not mounted the store either. `--probe` tests it from inside the cluster.
    """
    unreachable = results_in_state(context, ProbeState.DNS, ProbeState.SERVICE)
    without_pods = _in_state(unreachable, ProbeState.SERVICE)
    for mount_result in without_pods or certain_results(context, unreachable):
        result = mount_result.result
        host = urlsplit(result.endpoint).hostname or ""
        service = parse_service_host(host, context.cache.namespace)
        space = service[0] if service else context.cache.namespace
        yield Finding(
            dataset_reference(context),
            f"the endpoint {result.endpoint} is not reachable: {result.message}",
            result_evidence(context, mount_result),
            Fix(command("kubectl", "get", "services,endpoints", "-n", space), "advice")
            if service
            else Fix(f"correct the endpoint {result.endpoint}, or the DNS entry", "advice"),
        )


@register_check("FM511", "the store responds", explains=STORE_UNREADABLE)
def store_responds(context: CheckContext) -> Iterator[Finding]:
    """Nothing answers at the endpoint of the store.

    The store is down, the port is wrong, or a firewall or NetworkPolicy blocks the connection. A
    timeout seen from your machine is reported only if the cluster has not mounted the store either,
    or if `--probe` confirms it.
    """
    unreachable = results_in_state(context, ProbeState.REFUSED, ProbeState.TIMEOUT)
    refused = _in_state(unreachable, ProbeState.REFUSED)
    for mount_result in refused or certain_results(context, unreachable):
        result = mount_result.result
        yield Finding(
            dataset_reference(context),
            f"there is no response from {result.endpoint or result.mount}: {result.message}",
            result_evidence(context, mount_result),
            _inspect_endpoint_fix(context, result.endpoint),
        )


def _inspect_endpoint_fix(context: CheckContext, endpoint: str) -> Fix:
    service = parse_service_host(urlsplit(endpoint).hostname or "", context.cache.namespace)
    if service is None:
        return Fix(f"start the store at {endpoint}, or correct its port", "advice")
    return Fix(command("kubectl", "get", "pods,endpoints", "-n", service[0]), "advice")


@register_check("FM512", "the TLS connection to the store works", explains=STORE_UNREADABLE)
def store_tls_works(context: CheckContext) -> Iterator[Finding]:
    """TLS to the store fails.

    The endpoint says https and the port uses plain HTTP (or the reverse), or the certificate is for
    another name or from a CA that is not trusted. The Java trust store in Alluxio's image has
    public CAs only; mount a private CA into master and workers. A certificate that only your
    machine does not trust is not reported while the cache is Bound.
    """
    failed = results_in_state(context, ProbeState.TLS)
    plain = [candidate for candidate in failed if _has_wrong_scheme(candidate.result)]
    for mount_result in plain or certain_results(context, failed):
        result = mount_result.result
        swap = {"https": "http", "http": "https"}
        scheme, _, rest = result.endpoint.partition("://")
        right = f"{swap.get(scheme, scheme)}://{rest}"
        fix = Fix(
            "set AWS_CA_BUNDLE=ca.pem here, and add the CA to the trust store of Alluxio's JVMs",
            "advice",
        )
        if mount_result in plain:
            fix = _change_endpoint_fix(context, mount_result.index, right)
        yield Finding(
            dataset_reference(context),
            f"TLS to {result.endpoint} fails: {result.message}",
            result_evidence(context, mount_result),
            fix,
        )


def _has_wrong_scheme(result: ProbeResult) -> bool:
    """Return whether the endpoint says https and the port uses plain HTTP, or the reverse."""
    # Bundles of earlier versions have a message with "speaks".
    messages = (error_codes.PORT_USES_TLS, error_codes.PORT_USES_PLAIN_HTTP)
    return result.message in messages or "speaks" in result.message


@register_check("FM513", "the endpoint is an object store", explains=STORE_UNREADABLE)
def endpoint_is_an_object_store(context: CheckContext) -> Iterator[Finding]:
    """The endpoint answers, but not as an S3 API does.

    Often it is the port of a console (MinIO's 9001 instead of 9000), an ingress that does not know
    the host, or a login page.
    """
    for mount_result in results_in_state(context, ProbeState.NOT_S3):
        result = mount_result.result
        yield Finding(
            dataset_reference(context),
            f"{result.endpoint} does not respond like an S3 store: {result.message}",
            result_evidence(context, mount_result),
            Fix(
                f"correct the endpoint {result.endpoint}: use the port of the S3 API, not of the "
                "console",
                "advice",
            ),
        )


@register_check("FM514", "the clocks agree", explains=STORE_UNREADABLE)
def clocks_agree(context: CheckContext) -> Iterator[Finding]:
    """The clocks of the client and of the store differ too much.

    A signature is valid within 15 minutes of the store's time. If either clock is further off, the
    store rejects every request, whatever the credentials. A probe from your machine shows your
    clock; `--probe` shows the clock of a node.
    """
    refused_results = results_in_state(context, ProbeState.SKEW)
    off = [
        skewed for skewed in mount_results(context) if abs(skewed.result.clock_skew) >= _MAX_SKEW
    ]
    for mount_result in refused_results or off:
        result = mount_result.result
        whose = "a node of the cluster" if result.origin == ProbeOrigin.POD else "this machine"
        refused = result.state == ProbeState.SKEW
        yield Finding(
            dataset_reference(context),
            f"the clocks of {whose} and of the store are {abs(result.clock_skew):.0f} s apart"
            + (", so it refuses every signature" if refused else ""),
            result_evidence(context, mount_result),
            Fix(command("timedatectl", "set-ntp", "true"), "advice"),
            severity=Severity.ERROR
            if refused and is_certain(context, result)
            else Severity.WARNING,
        )
