"""Lists a source, and determines how the cluster reaches it."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
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
from kubectl_fluidmodel.model.junk import junk_owner
from kubectl_fluidmodel.model.sample import RangeReader
from kubectl_fluidmodel.model.source import Source
from kubectl_fluidmodel.net.loopback import is_loopback_url
from kubectl_fluidmodel.objects import kinds
from kubectl_fluidmodel.objects.access import Object, get_list
from kubectl_fluidmodel.objects.service_host import parse_service_host
from kubectl_fluidmodel.objectstore import s3 as stores
from kubectl_fluidmodel.objectstore import s3_credentials, s3_objects
from kubectl_fluidmodel.objectstore.options import GCS_ENDPOINT
from kubectl_fluidmodel.objectstore.s3 import S3Store
from kubectl_fluidmodel.output.shell import kubectl
from kubectl_fluidmodel.records import dataclass
from kubectl_fluidmodel.stage import credentials as stage_credentials


@dataclass(frozen=True)
class SourceInfo:
    """A source, as seen from this machine."""

    credentials: MountCredentials
    listing: FileListing | None
    secret: Object | None
    """The Secret to create; None if there are no keys to store."""
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    """Probable mistakes."""


def read_source(options: CacheOptions, client: Client | None, namespace: str) -> SourceInfo:
    """List the source, and collect what its mount needs.

    Args:
        options: The options with the source, its store and its keys.
        client: None without a cluster. The store is then not read either if there is a quota, so
            manifests for git are the same everywhere.
        namespace: The cache's namespace.

    Raises:
        FluidModelError: the source is missing or empty, access is denied, or it is not a model.
        UnreachableError: it does not respond, and there is no quota.
    """
    scheme = options.source.scheme
    list_files = client is not None or options.quota is None
    if scheme == "s3":
        return _read_s3(options, client, namespace, list_files)
    if scheme == "gs":
        return _read_gcs(options, list_files)
    if scheme in ("http", "https") and list_files:
        from kubectl_fluidmodel.objectstore.http_index import list_directory, range_reader

        def list_web() -> tuple[FileListing, RangeReader]:
            return list_directory(options.source.uri), range_reader(options.source.uri)

        listing, notes = _list_unless_quota_given(options, list_web, CacheLocation(namespace))
        return SourceInfo(MountCredentials(), listing, None, notes)
    return SourceInfo(MountCredentials(), None, None)


def _read_s3(
    options: CacheOptions, client: Client | None, namespace: str, list_files: bool
) -> SourceInfo:
    store, keys, secret = _resolve_mount_keys(options, client, namespace)
    notes: list[str] = []
    if keys is None:
        notes.append(
            "no S3 credentials found: the cache's pods will use their node's role, if it has one"
        )
    credentials = MountCredentials(endpoint=store.endpoint, region=store.region, keys=keys)
    stores.require_endpoint_without_bucket(store, options.source.host)
    listing = options.expected
    if listing is None and list_files:
        listing, list_notes = list_s3_source(options, store, client, namespace)
        notes += list_notes
    warnings = _loopback_warnings(store.endpoint, client)
    return SourceInfo(credentials, listing, secret, tuple(notes), warnings)


def list_s3_source(
    options: CacheOptions, store: S3Store, client: Client | None, namespace: str
) -> tuple[FileListing | None, tuple[str, ...]]:
    """List a bucket's prefix, and assess it as a model.

    Args:
        options: With the source.
        store: The store with its credentials.
        client: Carries us to a store that is a Service of the cluster; None without a cluster.
        namespace: Of the cache.

    Returns:
        The files, None if they cannot be listed and a quota was given; and notes on them.

    Raises:
        FluidModelError: the bucket cannot be read, or holds no model.
    """
    with ExitStack() as stack:

        def list_bucket() -> tuple[FileListing, RangeReader]:
            reached = stack.enter_context(reachable_store(store, client, namespace))
            return _list_prefix(reached, options.source)

        location = CacheLocation(namespace, store.endpoint)
        listing, notes = _list_unless_quota_given(options, list_bucket, location)
    return listing, notes


def _resolve_mount_keys(
    options: CacheOptions, client: Client | None, namespace: str
) -> tuple[S3Store, SecretKeys | None, Object | None]:
    """Find the keys with which Alluxio mounts the bucket.

    Returns:
        The store with its credentials, the Secret's keys for the mount, and the Secret to create.
        The latter two are None if there are no keys or if the Secret exists.

    Raises:
        FluidModelError: the keys are temporary.
    """
    store_options = options.store
    store = stores.store_from_environment(store_options.endpoint, store_options.region)
    if store_options.s3_secret:
        secret_credentials, keys = stage_credentials.read_store_secret(
            store_options.s3_secret, client, namespace
        )
        if secret_credentials and secret_credentials.short_lived:
            s3_credentials.require_session_token(
                secret_credentials, f" in Secret {store_options.s3_secret}"
            )
            raise _temporary_credentials_error(
                f"the keys in Secret {store_options.s3_secret} are temporary"
            )
        return replace(store, credentials=secret_credentials or store.credentials), keys, None
    local_keys = store.credentials
    if local_keys is None:
        return store, None, None
    if local_keys.short_lived:
        s3_credentials.require_session_token(local_keys)
        raise _temporary_credentials_error("these S3 credentials are temporary")
    secret = secrets.build_secret(options.name, namespace, local_keys.secret_data())
    secret_name = secrets.store_secret_name(options.name)
    return (
        store,
        SecretKeys(secret_name, s3_credentials.ACCESS_KEY, s3_credentials.SECRET_KEY),
        secret,
    )


def means_pods_own_node(url: str, client: Client | None) -> bool:
    """Return whether a URL means this machine here and another machine in a pod.

    It can be correct if a node of the cluster is this machine: by default, Fluid's pods use their
    node's network.
    """
    return is_loopback_url(url) and not (client is not None and _runs_on_node(client))


def _loopback_warnings(endpoint: str, client: Client | None) -> tuple[str, ...]:
    if not means_pods_own_node(endpoint, client):
        return ()
    return (
        f"{endpoint} is this machine; the cluster's pods would connect to their own node: set "
        "--endpoint as pods reach it, e.g. http://SERVICE.NAMESPACE:9000",
    )


def _runs_on_node(client: Client) -> bool:
    """Return whether this machine is a node of the cluster: it has the address of one."""
    try:
        nodes = client.list_objects(kinds.NODES)
    except KubeError:
        return False
    addresses = {
        str(entry.get("address"))
        for node in nodes
        for entry in get_list(node, "status", "addresses")
    }
    return any(_is_local_address(address) for address in sorted(addresses))


def _is_local_address(address: str) -> bool:
    """Return whether this machine has the address: a socket can be bound to it."""
    try:
        family = socket.AF_INET6 if ipaddress.ip_address(address).version == 6 else socket.AF_INET
    except ValueError:
        return False
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as connection:
            connection.bind((address, 0))
    except OSError:
        return False
    return True


def _temporary_credentials_error(message: str) -> FluidModelError:
    """Return the error: Alluxio 2.9 mounts with two keys, without a session token."""
    return FluidModelError(
        message,
        "Alluxio does not support session tokens, and the token would expire before the cache is "
        "removed",
        "--s3-secret NAME with a long-lived key that may read the bucket",
    )


@contextmanager
def reachable_store(store: S3Store, client: Client | None, namespace: str) -> Iterator[S3Store]:
    """Return the store as this machine reaches it: directly, or through a port-forward.

    An endpoint such as `http://minio:9000` is the name of a Service. It does not resolve outside
    the cluster, so the API server forwards a port.
    """
    url = urlsplit(store.endpoint)
    service = parse_service_host(url.hostname or "", namespace) if store.endpoint else None
    if client is None or service is None or url.scheme != "http" or _resolves(url.hostname or ""):
        yield store
        return
    with ExitStack() as stack:
        try:
            port = stack.enter_context(
                port_forward.forwarded_port(client, service[0], service[1], url.port or 80)
            )
        except ForbiddenError as err:
            raise UnreachableError(
                f"cannot reach {store.endpoint} from this machine",
                "it is a Service in the cluster, and you may not forward ports (get and create "
                f"pods/portforward in namespace {service[0]})",
                "--quota SIZE, to continue without the source's size",
            ) from err
        except NotFoundError as err:
            raise UnreachableError(
                f"cannot reach {store.endpoint}",
                f"there is no Service {service[1]} in namespace {service[0]}",
                kubectl("get", "services", namespace=service[0]),
            ) from err
        yield store.with_reach_url(f"http://127.0.0.1:{port}")


def _resolves(host: str) -> bool:
    try:
        socket.getaddrinfo(host, None)
    except OSError:
        return False
    return True


def _read_gcs(options: CacheOptions, list_files: bool) -> SourceInfo:
    """List a bucket of Google through its S3-compatible API, public or with HMAC keys."""
    mount_credentials = MountCredentials(gcs_secret=options.gcs_secret or "")
    if not list_files:
        return SourceInfo(mount_credentials, None, None)
    credentials = stores.store_from_environment(None, None).credentials
    store = S3Store(GCS_ENDPOINT, "auto", credentials)
    listing, notes = _list_unless_quota_given(
        options,
        lambda: _list_prefix(store, options.source),
        CacheLocation(""),
        tolerate=FluidModelError,
    )
    return SourceInfo(mount_credentials, listing, None, notes)


def _list_prefix(store: S3Store, source: Source) -> tuple[FileListing, RangeReader]:
    """Return the objects of a bucket's prefix, and how to read them."""
    listing = s3_objects.list_prefix(store, source.host, source.path)
    return listing, s3_objects.range_reader(store, source.host, source.path)


def _list_unless_quota_given(
    options: CacheOptions,
    read: Callable[[], tuple[FileListing, RangeReader]],
    location: CacheLocation,
    tolerate: type[FluidModelError] = UnreachableError,
) -> tuple[FileListing | None, tuple[str, ...]]:
    """Return the checked listing; or a note if there is a quota and the source is unreachable.

    Raises:
        FluidModelError: it cannot be read, or is not a model.
    """
    try:
        listing, fetch = read()
    except tolerate as err:
        if options.quota is None:
            raise type(err)(err.message, err.reason, err.hint or "--quota SIZE") from err
        return None, (f"the size of the source is unknown: {err.reason or err.message}",)
    listing = separate_unrelated_files(listing)
    return listing, tuple(check_source(options, listing, fetch, location))


def separate_unrelated_files(listing: FileListing) -> FileListing:
    """Separate the model's files from junk."""
    model_files = tuple(file for file in listing.files if not junk_owner(file.path))
    return FileListing(model_files, tuple(file for file in listing.files if junk_owner(file.path)))
