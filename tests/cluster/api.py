"""A small client of the API server for the harness itself: JSON in, JSON out.

The ``kubernetes`` package would do too, but the node agent and the tests' fixtures want a client
that imports in milliseconds and whose every request can be read at a glance.
"""

from __future__ import annotations

import base64
import json
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import urllib3
import yaml

Object = dict[str, Any]

#: Plural names that are not simply the kind in lower case plus "s".
IRREGULAR = {
    "Endpoints": "endpoints",
    "NetworkPolicy": "networkpolicies",
    "StorageClass": "storageclasses",
    "IngressClass": "ingressclasses",
    "PriorityClass": "priorityclasses",
    "CSIDriver": "csidrivers",
    "ThinRuntimeProfile": "thinruntimeprofiles",
    "Logs": "logs",
    "ClusterLogs": "clusterlogs",
}
CLUSTER_SCOPED = {
    "Namespace",
    "Node",
    "PersistentVolume",
    "ClusterRole",
    "ClusterRoleBinding",
    "CSIDriver",
    "CSINode",
    "CustomResourceDefinition",
    "StorageClass",
    "MutatingWebhookConfiguration",
    "ValidatingWebhookConfiguration",
    "PriorityClass",
    "ClusterExec",
    "ClusterLogs",
    "ClusterPortForward",
    "ClusterAttach",
    "Stage",
    "ThinRuntimeProfile",
    "CacheRuntimeClass",
}


class ApiError(RuntimeError):
    """An answer of the API server other than success."""

    def __init__(self, status: int, body: str) -> None:
        self.status = status
        self.details: Object = {}
        try:
            answer = json.loads(body)
            self.message = str(answer.get("message", body))
            self.details = answer.get("details") or {}
        except (ValueError, AttributeError):
            self.message = body
        super().__init__(f"{status}: {self.message}")


def plural(kind: str) -> str:
    if kind in IRREGULAR:
        return IRREGULAR[kind]
    lower = kind.lower()
    return (
        lower[:-1] + "ies"
        if lower.endswith("y") and lower[-2] not in "aeiou"
        else (lower + "es" if lower.endswith(("s", "ch")) else lower + "s")
    )


def path_of(
    api_version: str, kind_or_plural: str, namespace: str | None = None, name: str | None = None
) -> str:
    """The URL path of a collection or object, by kind (``Pod``) or plural (``pods``)."""
    root = f"/api/{api_version}" if "/" not in api_version else f"/apis/{api_version}"
    resource = plural(kind_or_plural) if kind_or_plural[:1].isupper() else kind_or_plural
    middle = f"/namespaces/{namespace}" if namespace else ""
    return f"{root}{middle}/{resource}" + (f"/{name}" if name else "")


class Api:
    """One kubeconfig's view of the API server."""

    def __init__(self, kubeconfig: Path) -> None:
        document = yaml.safe_load(kubeconfig.read_text())
        cluster = document["clusters"][0]["cluster"]
        user = document["users"][0]["user"]
        self.server: str = cluster["server"]
        with tempfile.TemporaryDirectory() as scratch:

            def unpack(name: str, data: str) -> str:
                path = Path(scratch) / name
                path.touch(mode=0o600)
                path.write_bytes(base64.b64decode(data))
                return str(path)

            context = urllib3.util.ssl_.create_urllib3_context()
            context.load_verify_locations(unpack("ca", cluster["certificate-authority-data"]))
            context.load_cert_chain(
                unpack("crt", user["client-certificate-data"]),
                unpack("key", user["client-key-data"]),
            )
        self.pool = urllib3.PoolManager(
            ssl_context=context, maxsize=32, retries=False, timeout=urllib3.Timeout(connect=5)
        )

    def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        content_type: str | None = None,
        timeout: float = 60,
        **query: Any,
    ) -> Any:
        """One request; ``body`` is a JSON value, or text as it is."""
        url = self.server + path + (f"?{urlencode(query)}" if query else "")
        data = body if isinstance(body, str | bytes | None) else json.dumps(body)
        deadline = time.monotonic() + 30
        while True:
            answer = self.pool.request(
                method,
                url,
                body=data,
                timeout=timeout,
                headers={"Content-Type": content_type or "application/json"},
            )
            # "Too many requests" is also what it says while it opens or closes a CRD's storage.
            if answer.status != 429 or time.monotonic() > deadline:
                break
            time.sleep(0.2)
        text = answer.data.decode(errors="replace")
        if answer.status >= 400:
            raise ApiError(answer.status, text)
        return json.loads(text) if text[:1] in "{[" else text

    def get(
        self,
        api_version: str,
        kind: str,
        name: str | None = None,
        namespace: str | None = None,
        **query: Any,
    ) -> Any:
        return self.request("GET", path_of(api_version, kind, namespace, name), **query)

    def find(
        self, api_version: str, kind: str, name: str, namespace: str | None = None
    ) -> Object | None:
        """Like ``get``, with None for an object that is not there."""
        try:
            found: Object = self.get(api_version, kind, name, namespace)
        except ApiError as error:
            if error.status == 404:
                return None
            raise
        return found

    def list(
        self, api_version: str, kind: str, namespace: str | None = None, **query: Any
    ) -> list[Object]:
        items: list[Object] = self.get(api_version, kind, None, namespace, **query)["items"]
        return items

    def create(self, obj: Object, **query: Any) -> Object:
        path = path_of(obj["apiVersion"], obj["kind"], obj["metadata"].get("namespace"))
        created: Object = self.request("POST", path, obj, **query)
        return created

    def apply(
        self, obj: Object, manager: str = "harness", force: bool = True, **query: Any
    ) -> Object:
        """Server-side apply."""
        meta = obj["metadata"]
        path = path_of(obj["apiVersion"], obj["kind"], meta.get("namespace"), meta["name"])
        applied: Object = self.request(
            "PATCH",
            path,
            obj,
            "application/apply-patch+yaml",
            fieldManager=manager,
            force=str(force).lower(),
            **query,
        )
        return applied

    def patch(
        self,
        api_version: str,
        kind: str,
        name: str,
        body: Any,
        namespace: str | None = None,
        subresource: str = "",
        content_type: str = "application/merge-patch+json",
    ) -> Object:
        path = path_of(api_version, kind, namespace, name)
        path += f"/{subresource}" if subresource else ""
        patched: Object = self.request("PATCH", path, body, content_type)
        return patched

    def delete(
        self, api_version: str, kind: str, name: str, namespace: str | None = None, **query: Any
    ) -> None:
        """Delete; an object that is gone already is fine."""
        try:
            self.request("DELETE", path_of(api_version, kind, namespace, name), **query)
        except ApiError as error:
            if error.status != 404:
                raise

    def watch(
        self,
        api_version: str,
        kind: str,
        namespace: str | None = None,
        since: str = "",
        seconds: int = 300,
        **query: Any,
    ) -> Iterator[Object]:
        """The events of one watch request; the caller starts the next one."""
        options = {"watch": "true", "allowWatchBookmarks": "true", "timeoutSeconds": seconds}
        url = self.server + path_of(api_version, kind, namespace)
        url += "?" + urlencode({**options, "resourceVersion": since, **query})
        answer = self.pool.request(
            "GET", url, preload_content=False, timeout=urllib3.Timeout(connect=5, read=seconds + 30)
        )
        try:
            if answer.status >= 400:
                raise ApiError(answer.status, answer.read().decode(errors="replace"))
            pending = b""
            for chunk in answer.stream(65536, decode_content=True):
                *lines, pending = (pending + chunk).split(b"\n")
                for line in lines:
                    if line.strip():
                        yield json.loads(line)
        finally:
            answer.close()
            answer.release_conn()

    def ready(self) -> bool:
        try:
            self.request("GET", "/readyz", timeout=3)
        except (ApiError, urllib3.exceptions.HTTPError):
            return False
        return True

    def wait_ready(self, seconds: float = 180) -> None:
        deadline = time.monotonic() + seconds
        while not self.ready():
            if time.monotonic() > deadline:
                raise RuntimeError(f"the API server at {self.server} was not ready in {seconds} s")
            time.sleep(0.1)
