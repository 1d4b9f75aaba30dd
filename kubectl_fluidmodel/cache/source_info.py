"""Measure a source where it lies, and learn how the cluster gets at it."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from kubectl_fluidmodel.cache.options import Request
from kubectl_fluidmodel.cache.source_check import Place, judged
from kubectl_fluidmodel.errors import FluidModelError, Unreachable
from kubectl_fluidmodel.fluid import secret as secrets
from kubectl_fluidmodel.fluid.mount import Access, SecretKeys
from kubectl_fluidmodel.kube import port_forward
from kubectl_fluidmodel.kube.client import Client
from kubectl_fluidmodel.kube.errors import Forbidden, KubeError, NotFound
from kubectl_fluidmodel.model.files import Listing
from kubectl_fluidmodel.model.rubbish import owner
from kubectl_fluidmodel.model.sample import Fetch
from kubectl_fluidmodel.objects import kinds
from kubectl_fluidmodel.objects.access import Object, dicts
from kubectl_fluidmodel.objectstore import s3 as stores
from kubectl_fluidmodel.objectstore.s3 import Store
from kubectl_fluidmodel.stage import credentials as stage_credentials


@dataclass(frozen=True)
class Measured:
    """A source as seen from here."""

    access: Access
    listing: Listing | None
    secret: Object | None
    """The Secret to make; None where there is nothing to keep in one."""
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    """What is probably not meant."""


def measure(
    request: Request,
    client: Client | None,
    namespace: str,
    *,
    endpoint: str | None,
    region: str | None,
) -> Measured:
    """List the source, and gather what its mount needs.

    `client` is None without a cluster; nothing is asked of the store then either if a quota
    makes up for it, so that manifests for git come out the same everywhere.

    Raises:
        FluidModelError: the source is missing, empty or refuses us.
        Unreachable: it does not answer and no quota was given.
    """
    scheme = request.source.scheme
    ask = client is not None or request.quota is None
    if scheme == "s3":
        return _s3(request, client, namespace, endpoint, region, ask)
    if scheme == "gs":
        return _gs(request, ask)
    if scheme in ("http", "https") and ask:
        from kubectl_fluidmodel.objectstore.http_index import list_directory, reader

        def web() -> tuple[Listing, Fetch]:
            return list_directory(request.source.uri), reader(request.source.uri)

        listing, notes = _or_quota(request, web, Place(namespace))
        return Measured(Access(), listing, None, notes)
    return Measured(Access(), None, None)


def _s3(
    request: Request,
    client: Client | None,
    namespace: str,
    endpoint: str | None,
    region: str | None,
    ask: bool,
) -> Measured:
    store = stores.from_environment(endpoint, region)
    keys: SecretKeys | None = None
    made: Object | None = None
    notes: list[str] = []
    if request.s3_secret:
        found, keys = stage_credentials.store_keys(request.s3_secret, client, namespace)
        store = replace(store, credentials=found or store.credentials)
        if found and found.short_lived:
            stores.check_credentials(found, f" in Secret {request.s3_secret}")
            raise _temporary(f"the keys in Secret {request.s3_secret} are temporary")
    elif store.credentials and store.credentials.short_lived:
        stores.check_credentials(store.credentials)
        raise _temporary("these S3 credentials are temporary")
    elif store.credentials:
        made = secrets.build(
            request.name,
            namespace,
            {
                stores.ACCESS_KEY: store.credentials.access_key,
                stores.SECRET_KEY: store.credentials.secret_key,
            },
        )
        keys = SecretKeys(secrets.store_name(request.name), stores.ACCESS_KEY, stores.SECRET_KEY)
    else:
        notes.append(
            "no S3 credentials found: the cache's pods will use their node's own role, or none"
        )
    way = Access(endpoint=store.endpoint, region=store.region, keys=keys)
    source = request.source
    stores.check_bucket(store, source.host)
    listing = request.expected
    if listing is None and ask:
        with ExitStack() as stack:

            def listed() -> tuple[Listing, Fetch]:
                near = stack.enter_context(reachable(store, client, namespace))
                found = stores.list_prefix(near, source.host, source.path)
                return found, stores.reader(near, source.host, source.path)

            listing, more = _or_quota(request, listed, Place(namespace, store.endpoint))
        notes += more
    return Measured(way, listing, made, tuple(notes), _loopback(store.endpoint, client))


def _loopback(endpoint: str, client: Client | None) -> tuple[str, ...]:
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
    if not here or (client is not None and _on_a_node(client)):
        return ()
    return (
        f"{endpoint} is this machine; the cluster's pods would look for the store on their own "
        "node: give --endpoint as pods see it, e.g. http://SERVICE.NAMESPACE:9000",
    )


def _on_a_node(client: Client) -> bool:
    """Whether this machine is a node of the cluster: it has the address of one."""
    try:
        nodes = client.list_all(kinds.NODES)
    except KubeError:
        return False
    found = {
        str(each.get("address")) for node in nodes for each in dicts(node, "status", "addresses")
    }
    return any(_is_ours(address) for address in sorted(found))


def _is_ours(address: str) -> bool:
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


def _temporary(what: str) -> FluidModelError:
    """Alluxio 2.9's mount takes two keys and no session token, and reads them once."""
    return FluidModelError(
        what,
        "Alluxio cannot use a session token, and the cache would outlive it",
        "--s3-secret NAME with a long-lived key that may read the bucket",
    )


@contextmanager
def reachable(store: Store, client: Client | None, namespace: str) -> Iterator[Store]:
    """The store as this machine reaches it: as it is, or through a port-forward.

    An endpoint such as `http://minio:9000` is the name of a Service; outside the cluster it
    means nothing, so the API server carries us there.
    """
    url = urlsplit(store.endpoint)
    service = port_forward.service_of(url.hostname or "", namespace) if store.endpoint else None
    if client is None or service is None or url.scheme != "http" or _resolves(url.hostname or ""):
        yield store
        return
    try:
        with port_forward.forward(client, service[0], service[1], url.port or 80) as port:
            yield store.reached_at(f"http://127.0.0.1:{port}")
    except Forbidden as err:
        raise Unreachable(
            f"cannot reach {store.endpoint} from here",
            "it is a Service of the cluster, and you may not forward ports "
            f"(get and create pods/portforward in namespace {service[0]})",
            "--quota SIZE, to go on without measuring",
        ) from err
    except NotFound as err:
        raise Unreachable(
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


def _gs(request: Request, ask: bool) -> Measured:
    """Google's buckets are listed by its S3-compatible API: public ones, or with HMAC keys."""
    way = Access(gcs_secret=request.gcs_secret or "")
    if not ask:
        return Measured(way, None, None)
    found = stores.from_environment(None, None)
    store = Store(stores.GCS_ENDPOINT, "auto", found.credentials)
    source = request.source

    def listed() -> tuple[Listing, Fetch]:
        found = stores.list_prefix(store, source.host, source.path)
        return found, stores.reader(store, source.host, source.path)

    listing, notes = _or_quota(request, listed, Place(""), tolerate=FluidModelError)
    return Measured(way, listing, None, notes)


def _or_quota(
    request: Request,
    read: Callable[[], tuple[Listing, Fetch]],
    place: Place,
    tolerate: type[FluidModelError] = Unreachable,
) -> tuple[Listing | None, tuple[str, ...]]:
    """The listing, judged; or a note where a quota makes up for a source out of reach.

    Raises:
        FluidModelError: it cannot be read, or is no model.
    """
    try:
        listing, fetch = read()
    except tolerate as err:
        if request.quota is None:
            raise type(err)(err.what, err.why, err.try_ or "--quota SIZE") from err
        return None, (f"the source was not measured: {err.why or err.what}",)
    listing = without_rubbish(listing)
    return listing, tuple(judged(request, listing, fetch, place))


def without_rubbish(listing: Listing) -> Listing:
    """The model's files, and apart from them what lies beside it."""
    kept = tuple(file for file in listing.files if not owner(file.path))
    return Listing(kept, tuple(file for file in listing.files if owner(file.path)))
