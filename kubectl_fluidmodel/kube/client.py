"""A client of plain dicts: get, list, server-side apply, delete, review access.

Objects are JSON in both directions, so fields that this client does not know survive. The
`kubernetes` package is not used: importing it takes 300 ms (`kubernetes` 37; this client 30 ms),
it installs 126 MB, writes certificates to temporary files, and ignores impersonation and
`interactiveMode` of a kubeconfig.

Connections follow kubectl: `tests/kube/conformance` runs both with the same files, flags and
environment and compares the requests that arrive. Intended differences:

    where                                kubectl                         here
    -----------------------------------  ------------------------------  --------------------------
    no server is configured             http://localhost:8080           an error
    a context names a cluster or user    localhost:8080, or anonymous    an error that names it
      that does not exist
    a user without credentials           asks for name and password      anonymous: 401 or 403
    401, and a credential plugin         runs the plugin again for the   repeats the refused
                                         next request                    request once
    a redirect                           is followed, with credentials   an error that names it
    in a pod: --as, --tls-server-name,   localhost:8080, or no effect    as anywhere else
      --request-timeout and the like
    an expired ID token of `oidc`        is refreshed, and written to    an error: `kubectl get ns`
                                         the kubeconfig                  refreshes it
    a GET whose connection breaks        ten retries                     two
    client certificates in files         reloaded while it runs          read once
    compression of streams (watch, log)  requested                       not requested: it delays
                                                                         lines
    Retry-After of hours                 waits                           an error that says so
    a kuberc                             defaults, aliases, plugins      only the plugin policy
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from kubectl_fluidmodel.kube import list_decoder
from kubectl_fluidmodel.kube.config import ConfigFlags, RestConfig, load_rest_config
from kubectl_fluidmodel.kube.errors import ClusterUnreachableError, GoneError, NotFoundError
from kubectl_fluidmodel.kube.rest import JSON, RestClient
from kubectl_fluidmodel.objects import kinds
from kubectl_fluidmodel.objects.access import Object, get_list, get_path, name_of, namespace_of
from kubectl_fluidmodel.objects.kinds import Kind

ClientT = TypeVar("ClientT", bound="Client")

FIELD_MANAGER = "kubectl-fluidmodel"
PAGE_SIZE = 500
"""Objects a list request asks for, kubectl's --chunk-size default."""
_PARTIAL_LIST = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"


class ObjectList(list[Object]):
    """The objects of a list request."""

    resource_version: str = ""
    """The resourceVersion from which a watch continues."""


class Client(RestClient):
    """The verbs of Kubernetes, for one API server and one identity."""

    def __init__(self, access: RestConfig) -> None:
        super().__init__(access)
        self.namespace = access.namespace

    @classmethod
    def connect(cls: type[ClientT], connection: ConfigFlags) -> ClientT:
        """Create a client for the server that the flags and the kubeconfig name.

        Nothing is sent.

        Raises:
            ClusterUnreachableError: no kubeconfig, an unknown context, or a credential plugin
                failed.
        """
        return cls(load_rest_config(connection))

    # -- reading -----------------------------------------------------------------------------

    def get(self, kind: Kind, name: str, namespace: str | None = None) -> Object:
        """One object.

        Raises:
            NotFoundError: it does not exist, or the server does not serve its kind.
        """
        action = f"cannot get {kind.plural} {name}{_scope(kind, namespace)}"
        return self._json("GET", kind.path(namespace, name), action=action)

    def get_or_none(self, kind: Kind, name: str, namespace: str | None = None) -> Object | None:
        """One object, or None if it does not exist."""
        try:
            return self.get(kind, name, namespace)
        except NotFoundError:
            return None

    def list_objects(
        self,
        kind: Kind,
        namespace: str | None = None,
        *,
        labels: str = "",
        fields: str = "",
        metadata_only: bool = False,
        transform: Callable[[Object], Object | None] | None = None,
        prefilter: tuple[bytes, ...] = (),
    ) -> ObjectList:
        """List all objects of a kind, page by page.

        Args:
            kind: The kind to list.
            namespace: One namespace, or None for all.
            labels: A label selector.
            fields: A field selector.
            metadata_only: Ask the server for metadata alone (PartialObjectMetadata).
            transform: Called with each object as its page arrives. It returns what to keep, or
                None to drop the object, so that memory holds only what is needed.
            prefilter: Skip objects whose JSON contains none of these bytes, before parsing them.
                Skipping costs a tenth of parsing.
        """
        query: dict[str, str] = {"limit": str(PAGE_SIZE)}
        if labels:
            query["labelSelector"] = labels
        if fields:
            query["fieldSelector"] = fields
        action = f"cannot list {kind.plural}{_scope(kind, namespace)}"
        items = ObjectList()
        while True:
            try:
                data = self.request(
                    "GET",
                    kind.path(namespace),
                    query=query,
                    action=action,
                    accept=_PARTIAL_LIST if metadata_only else JSON,
                )
                page = (
                    list_decoder.decode_matching(data, prefilter, action)
                    if prefilter
                    else list_decoder.decode(data, action)
                )
            except GoneError:
                if "continue" not in query:
                    raise
                # etcd compacted the snapshot between two pages: list again in one page, as kubectl.
                query = {key: value for key, value in query.items() if key.endswith("Selector")}
                items = ObjectList()
                continue
            for item in page.get("items") or []:
                item["apiVersion"], item["kind"] = kind.api_version, kind.name
                transformed = transform(item) if transform else item
                if transformed is not None:
                    items.append(transformed)
            token = get_path(page, "metadata", "continue", default="")
            if not token:
                items.resource_version = str(
                    get_path(page, "metadata", "resourceVersion", default="")
                )
                return items
            query["continue"] = token

    def served_versions(self, group: str) -> list[str]:
        """The served versions of an API group, preferred first; empty if it is not served."""
        try:
            api_group = self._json("GET", f"/apis/{group}", action=f"cannot discover {group}")
        except NotFoundError:
            return []
        preferred = get_path(api_group, "preferredVersion", "version", default="")
        versions = [str(entry.get("version")) for entry in api_group.get("versions") or []]
        return sorted(versions, key=lambda version: version != preferred)

    def resources(self, group: str, version: str) -> list[Object]:
        """The resources of a group version: `name` (plural), `kind`, `namespaced`, `verbs`."""
        path = f"/apis/{group}/{version}"
        return get_list(self._json("GET", path, action=f"cannot discover {group}"), "resources")

    def server_version(self) -> str:
        """The API server's version, as `v1.36.3`.

        Raises:
            ClusterUnreachableError: the server has no version: it, or the path in its URL, is not
                an API server's.
        """
        try:
            version = self._json("GET", "/version", action="cannot read the API server's version")
        except NotFoundError as err:
            raise ClusterUnreachableError(
                f"there is no API server at {self.access.server.url}",
                "it responds to /version with 404",
                "kubectl config view",
            ) from err
        return str(version.get("gitVersion", ""))

    def pod_logs(
        self,
        namespace: str,
        pod: str,
        container: str,
        *,
        tail: int = 50,
        previous: bool = False,
        timeout: float = 10.0,
    ) -> str:
        """The last `tail` lines of a container's log, within `timeout` seconds."""
        query = {"container": container, "tailLines": str(tail)}
        if previous:
            query["previous"] = "true"
        path = kinds.PODS.path(namespace, pod, "log")
        action = f"cannot read the log of pod {pod}"
        body = self.request("GET", path, query=query, action=action, timeout=timeout)
        return body.decode("utf-8", "replace")

    # -- writing -----------------------------------------------------------------------------

    def apply(
        self, kind: Kind, obj: Mapping[str, Any], *, dry_run: bool = False, force: bool = False
    ) -> Object:
        """Server-side apply with our field manager.

        Returns:
            The object as stored.

        Raises:
            ConflictError: another manager owns a field with another value, and `force` is off.
            InvalidError: the schema rejects a field or its value.
        """
        return self._json(
            "PATCH",
            kind.path(namespace_of(obj) or None, name_of(obj)),
            query={
                **_write_query(dry_run),
                "force": "true" if force else "false",
                "fieldValidation": "Strict",
            },
            body=obj,
            media="application/apply-patch+yaml",
            action=f"cannot apply {kind.name} {name_of(obj)}",
        )

    def patch(
        self,
        kind: Kind,
        name: str,
        namespace: str | None,
        body: Any,
        *,
        media: str = "application/merge-patch+json",
        dry_run: bool = False,
    ) -> Object:
        """A merge patch, or a JSON patch with `media="application/json-patch+json"`."""
        return self._json(
            "PATCH",
            kind.path(namespace, name),
            query=_write_query(dry_run),
            body=body,
            media=media,
            action=f"cannot patch {kind.name} {name}",
        )

    def create(
        self, kind: Kind, obj: Mapping[str, Any], *, dry_run: bool = False, action: str = ""
    ) -> Object:
        """Create an object (POST)."""
        path = kind.path(namespace_of(obj) or None)
        action = action or f"cannot create {kind.name} {name_of(obj)}"
        return self._json("POST", path, query=_write_query(dry_run), body=obj, action=action)

    def delete(
        self,
        kind: Kind,
        name: str,
        namespace: str | None = None,
        *,
        dry_run: bool = False,
        uid: str = "",
    ) -> bool:
        """Delete with background propagation.

        Returns:
            Whether the object existed.
        """
        body: dict[str, Any] = {"propagationPolicy": "Background"}
        if uid:
            body["preconditions"] = {"uid": uid}
        if dry_run:
            body["dryRun"] = ["All"]
        try:
            self._json(
                "DELETE",
                kind.path(namespace, name),
                body=body,
                action=f"cannot delete {kind.name} {name}",
            )
        except NotFoundError:
            return False
        return True

    def _json(self, method: str, path: str, *, action: str, **options: Any) -> Object:
        return list_decoder.decode(self.request(method, path, action=action, **options), action)


def _scope(kind: Kind, namespace: str | None) -> str:
    return f" in namespace {namespace}" if namespace and kind.namespaced else ""


def _write_query(dry_run: bool) -> dict[str, str]:
    return {"fieldManager": FIELD_MANAGER, **({"dryRun": "All"} if dry_run else {})}
