"""Measure a source where it lies, and learn how the cluster gets at it."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from kubectl_fluidmodel.cache.options import CacheOptions
from kubectl_fluidmodel.cache.source_check import CacheLocation, check_source
from kubectl_fluidmodel.errors import FluidModelError, UnreachableError
from kubectl_fluidmodel.fluid import secret as secrets
from kubectl_fluidmodel.fluid.mount import MountCredentials, SecretKeys
from kubectl_fluidmodel.kube import port_forward
from kubectl_fluidmodel.kube.client import Client
from kubectl_fluidmodel.kube.errors import ForbiddenError, KubeError, NotFoundError
from kubectl_fluidmodel.model.files import FileListing
from kubectl_fluidmodel.model.rubbish import junk_owner
from kubectl_fluidmodel.model.sample import RangeReader
from kubectl_fluidmodel.objects import kinds
from kubectl_fluidmodel.objects.access import Object, get_list
from kubectl_fluidmodel.objectstore import s3 as stores
from kubectl_fluidmodel.objectstore.s3 import S3Store
from kubectl_fluidmodel.stage import credentials as stage_credentials


@dataclass(frozen=True)
class SourceInfo:
    """A source as seen from here."""

    credentials: MountCredentials
    listing: FileListing | None
    secret: Object | None
    """The Secret to make; None where there is nothing to keep in one."""
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    """What is probably not meant."""


def read_source(
    options: CacheOptions,
    client: Client | None,
    namespace: str,
    *,
    endpoint: str | None,
    region: str | None,
) -> SourceInfo:
    """List the source, and gather what its mount needs.

    `client` is None without a cluster; nothing is asked of the store then either if a quota
    makes up for it, so that manifests for git come out the same everywhere.

    Raises:
        FluidModelError: the source is missing, empty or refuses us.
        UnreachableError: it does not answer and no quota was given.
    """
    scheme = options.source.scheme
    list_files = client is not None or options.quota is None
    if scheme == "s3":
        return _read_s3(options, client, namespace, endpoint, region, list_files)
    if scheme == "gs":
        return _read_gcs(options, list_files)
    if scheme in ("http", "https") and list_files:
        from kubectl_fluidmodel.objectstore.http_index import list_directory, range_reader

        def web() -> tuple[FileListing, RangeReader]:
            return list_directory(options.source.uri), range_reader(options.source.uri)

        listing, notes = _list_unless_quota_given(options, web, CacheLocation(namespace))
        return SourceInfo(MountCredentials(), listing, None, notes)
    return SourceInfo(MountCredentials(), None, None)


def _read_s3(
    options: CacheOptions,
    client: Client | None,
    namespace: str,
    endpoint: str | None,
    region: str | None,
    list_files: bool,
) -> SourceInfo:
    store = stores.store_from_environment(endpoint, region)
    keys: SecretKeys | None = None
    secret: Object | None = None
    notes: list[str] = []
    if options.s3_secret:
        found, keys = stage_credentials.read_store_secret(options.s3_secret, client, namespace)
        store = replace(store, credentials=found or store.credentials)
        if found and found.short_lived:
            stores.require_session_token(found, f" in Secret {options.s3_secret}")
            raise _temporary_credentials_error(
                f"the keys in Secret {options.s3_secret} are temporary"
            )
    elif store.credentials and store.credentials.short_lived:
        stores.require_session_token(store.credentials)
        raise _temporary_credentials_error("these S3 credentials are temporary")
    elif store.credentials:
        secret = secrets.build_secret(
            options.name,
            namespace,
            {
                stores.ACCESS_KEY: store.credentials.access_key,
                stores.SECRET_KEY: store.credentials.secret_key,
            },
        )
        keys = SecretKeys(
            secrets.store_secret_name(options.name), stores.ACCESS_KEY, stores.SECRET_KEY
        )
    else:
        notes.append(
            "no S3 credentials found: the cache's pods will use their node's own role, or none"
        )
    mount_credentials = MountCredentials(endpoint=store.endpoint, region=store.region, keys=keys)
    source = options.source
    stores.require_endpoint_without_bucket(store, source.host)
    listing = options.expected
    if listing is None and list_files:
        with ExitStack() as stack:

            def listed() -> tuple[FileListing, RangeReader]:
                near = stack.enter_context(reachable_store(store, client, namespace))
                found = stores.list_prefix(near, source.host, source.path)
                return found, stores.range_reader(near, source.host, source.path)

            listing, more = _list_unless_quota_given(
                options, listed, CacheLocation(namespace, store.endpoint)
            )
        notes += more
    return SourceInfo(
        mount_credentials, listing, secret, tuple(notes), _loopback_warnings(store.endpoint, client)
    )


def _loopback_warnings(endpoint: str, client: Client | None) -> tuple[str, ...]:
    """A warning of an endpoint that is another machine for whoever asks.

    It may be meant where a node is this machine, for Fluid's pods are in their node's network by
    default; nothing is said there.
    """
    host = urlsplit(endpoint).hostname or ""
    try:
        address = ipaddress.ip_address(host)
        here = address.is_loopback or address.is_unspecified
    except ValueError:
        here = host == "localhost" or host.endswith(".localhost")
    if not here or (client is not None and _runs_on_node(client)):
        return ()
    return (
        f"{endpoint} is this machine; the cluster's pods would look for the store on their own "
        "node: give --endpoint as pods see it, e.g. http://SERVICE.NAMESPACE:9000",
    )


def _runs_on_node(client: Client) -> bool:
    """Whether this machine is a node of the cluster: it has the address of one."""
    try:
        nodes = client.list_objects(kinds.NODES)
    except KubeError:
        return False
    found = {
        str(each.get("address")) for node in nodes for each in get_list(node, "status", "addresses")
    }
    return any(_is_local_address(address) for address in sorted(found))


def _is_local_address(address: str) -> bool:
    """Whether an interface of this machine has the address: a socket can be bound to it."""
    try:
        family = socket.AF_INET6 if ipaddress.ip_address(address).version == 6 else socket.AF_INET
    except ValueError:
        return False
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as made:
            made.bind((address, 0))
    except OSError:
        return False
    return True


def _temporary_credentials_error(what: str) -> FluidModelError:
    """Alluxio 2.9's mount takes two keys and no session token, and reads them once."""
    return FluidModelError(
        what,
        "Alluxio cannot use a session token, and the cache would outlive it",
        "--s3-secret NAME with a long-lived key that may read the bucket",
    )


@contextmanager
def reachable_store(store: S3Store, client: Client | None, namespace: str) -> Iterator[S3Store]:
    """The store as this machine reaches it: as it is, or through a port-forward.

    An endpoint such as `http://minio:9000` is the name of a Service; outside the cluster it
    means nothing, so the API server carries us there.
    """
    url = urlsplit(store.endpoint)
    service = (
        port_forward.parse_service_host(url.hostname or "", namespace) if store.endpoint else None
    )
    if client is None or service is None or url.scheme != "http" or _resolves(url.hostname or ""):
        yield store
        return
    try:
        with port_forward.forwarded_port(client, service[0], service[1], url.port or 80) as port:
            yield store.with_reach_url(f"http://127.0.0.1:{port}")
    except ForbiddenError as err:
        raise UnreachableError(
            f"cannot reach {store.endpoint} from here",
            "it is a Service of the cluster, and you may not forward ports "
            f"(get and create pods/portforward in namespace {service[0]})",
            "--quota SIZE, to go on without measuring",
        ) from err
    except NotFoundError as err:
        raise UnreachableError(
            f"cannot reach {store.endpoint}",
            f"there is no Service {service[1]} in namespace {service[0]}",
            f"kubectl get services -n {service[0]}",
        ) from err


def _resolves(host: str) -> bool:
    try:
        socket.getaddrinfo(host, None)
    except OSError:
        return False
    return True


def _read_gcs(options: CacheOptions, list_files: bool) -> SourceInfo:
    """Google's buckets are listed by its S3-compatible API: public ones, or with HMAC keys."""
    mount_credentials = MountCredentials(gcs_secret=options.gcs_secret or "")
    if not list_files:
        return SourceInfo(mount_credentials, None, None)
    found = stores.store_from_environment(None, None)
    store = S3Store(stores.GCS_ENDPOINT, "auto", found.credentials)
    source = options.source

    def listed() -> tuple[FileListing, RangeReader]:
        found = stores.list_prefix(store, source.host, source.path)
        return found, stores.range_reader(store, source.host, source.path)

    listing, notes = _list_unless_quota_given(
        options, listed, CacheLocation(""), tolerate=FluidModelError
    )
    return SourceInfo(mount_credentials, listing, None, notes)


def _list_unless_quota_given(
    options: CacheOptions,
    read: Callable[[], tuple[FileListing, RangeReader]],
    location: CacheLocation,
    tolerate: type[FluidModelError] = UnreachableError,
) -> tuple[FileListing | None, tuple[str, ...]]:
    """The listing, judged; or a note where a quota makes up for a source out of reach.

    Raises:
        FluidModelError: it cannot be read, or is no model.
    """
    try:
        listing, fetch = read()
    except tolerate as err:
        if options.quota is None:
            raise type(err)(err.message, err.reason, err.hint or "--quota SIZE") from err
        return None, (f"the source was not measured: {err.reason or err.message}",)
    listing = separate_unrelated_files(listing)
    return listing, tuple(check_source(options, listing, fetch, location))


def separate_unrelated_files(listing: FileListing) -> FileListing:
    """The model's files, and apart from them what lies beside it."""
    kept = tuple(file for file in listing.files if not junk_owner(file.path))
    return FileListing(kept, tuple(file for file in listing.files if junk_owner(file.path)))
