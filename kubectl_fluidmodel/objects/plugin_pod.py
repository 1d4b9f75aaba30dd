"""The pod that runs this package in a cluster. Pure.

The pod runs as a non-root user with one writable scratch directory and without the cluster's token,
and passes the `restricted` Pod Security Standard. Nothing is installed in it, because its
environment has keys: the image has to contain the package, as the image of this repository's
Dockerfile does.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

from kubectl_fluidmodel import __version__
from kubectl_fluidmodel.errors import UsageError
from kubectl_fluidmodel.objects.access import Object, get_list, get_path
from kubectl_fluidmodel.records import dataclass

USER = 65532
"""The uid that distroless images call nonroot."""
IMAGE_ENV = "FLUIDMODEL_IMAGE"
HOME = "/fluidmodel"
_CA = "/etc/fluidmodel/ca"
_CA_KEY = "ca.crt"
_CLUSTER_HOSTS = ("localhost", "127.0.0.1", ".svc", ".cluster.local")
"""Hosts that are reached without a proxy by default."""
_VOLUME = "ca"
_CA_VARIABLES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "AWS_CA_BUNDLE")
_BASE_ENV = {
    "HOME": HOME,
    "TMPDIR": HOME,
    "PYTHONUNBUFFERED": "1",
    "PYTHONDONTWRITEBYTECODE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
}
"""Environment variables of every container."""
_OBJECT = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")
_IMAGE = re.compile(r"[a-z0-9][\w.:/@-]*", re.ASCII)


@dataclass(frozen=True)
class SecretKey:
    """A reference to a key in a Secret of the pod's namespace."""

    secret: str
    key: str

    def env_var(self, name: str) -> Object:
        """Return an environment variable with its value."""
        reference = {"name": self.secret, "key": self.key}
        return {"name": name, "valueFrom": {"secretKeyRef": reference}}


@dataclass(frozen=True)
class CaBundle:
    """CA certificates to trust: a key of a ConfigMap or a Secret in the pod's namespace."""

    kind: str
    """`configmap` or `secret`."""
    name: str
    key: str = _CA_KEY

    @property
    def path(self) -> str:
        """Return the path of the file in the pod."""
        return f"{_CA}/{self.key}"

    @property
    def volume(self) -> Object:
        items = [{"key": self.key, "path": self.key}]
        if self.kind == "secret":
            return {"name": _VOLUME, "secret": {"secretName": self.name, "items": items}}
        return {"name": _VOLUME, "configMap": {"name": self.name, "items": items}}


@dataclass(frozen=True)
class PodNetwork:
    """How pods get their image and connect to hosts outside the cluster."""

    proxy: str = ""
    no_proxy: str = ""
    ca: CaBundle | None = None
    pull_secrets: tuple[str, ...] = ()

    @property
    def env_vars(self) -> list[Object]:
        """Return the environment variables for this network."""
        variables: dict[str, str] = {}
        if self.proxy:
            variables |= {"HTTP_PROXY": self.proxy, "HTTPS_PROXY": self.proxy}
        if self.no_proxy:
            variables["NO_PROXY"] = self.no_proxy
        if self.ca is not None:
            variables |= dict.fromkeys(_CA_VARIABLES, self.ca.path)
        return _env_vars(variables)

    def with_default_no_proxy(self, endpoint: str) -> PodNetwork:
        """Return the network with direct access to the cluster's hosts and the store's Service."""
        if not self.proxy or self.no_proxy:
            return self
        host = urlsplit(endpoint).hostname or ""
        service = [host] if host and "." not in host else []
        return replace(self, no_proxy=",".join([*_CLUSTER_HOSTS, *service]))


def parse_network(
    proxy: str | None,
    no_proxy: str | None,
    ca: str | None,
    pull_secrets: Sequence[str],
    prefix: str = "--stage",
) -> PodNetwork:
    """Parse the flags PREFIX-proxy, PREFIX-no-proxy, PREFIX-ca and `--image-pull-secret`.

    Raises:
        UsageError: names the invalid flag and its format.
    """
    for name in pull_secrets:
        if not _OBJECT.fullmatch(name):
            raise UsageError(f"--image-pull-secret '{name}'", "it is not the name of a Secret")
    if no_proxy and not proxy:
        raise UsageError(f"{prefix}-no-proxy", f"it requires {prefix}-proxy")
    return PodNetwork(
        _parse_proxy(proxy or "", f"{prefix}-proxy"),
        no_proxy or "",
        _parse_ca_bundle(ca, f"{prefix}-ca") if ca else None,
        tuple(pull_secrets),
    )


def _parse_proxy(url: str, flag: str) -> str:
    if not url:
        return ""
    try:
        split = urlsplit(url)
        legal = split.scheme in ("http", "https") and bool(split.hostname) and split.port != 0
    except ValueError:
        legal, split = False, urlsplit("")
    if "@" in url:
        raise UsageError(
            f"{flag} contains a user name or a password",
            "everyone who can read the Job could read it",
            "a proxy that does not require authentication",
        )
    if not legal or any(char.isspace() for char in url):
        raise UsageError(f"{flag} '{url}' is not a URL", "", f"{flag} http://HOST:PORT")
    return url


def _parse_ca_bundle(text: str, flag: str) -> CaBundle:
    kind, _, rest = text.partition("/")
    name, separator, key = rest.partition(":")
    kind = {"cm": "configmap", "configmaps": "configmap", "secrets": "secret"}.get(kind, kind)
    legal = kind in ("configmap", "secret") and _OBJECT.fullmatch(name)
    if not legal or (separator and not re.fullmatch(r"[-\w.]+", key, re.ASCII)):
        raise UsageError(
            f"invalid {flag} '{text}'",
            f"it names a ConfigMap or a Secret, and a key if that is not {_CA_KEY}",
            f"{flag} configmap/NAME:KEY",
        )
    return CaBundle(kind, name, key or _CA_KEY)


def ca_bundle_reference(spec: Mapping[str, Any]) -> str:
    """Return the `--stage-ca` with which a pod spec was created; empty for none."""
    for volume in get_list(spec, "volumes"):
        if volume.get("name") != _VOLUME:
            continue
        for kind, source, name in (
            ("configmap", "configMap", get_path(volume, "configMap", "name")),
            ("secret", "secret", get_path(volume, "secret", "secretName")),
        ):
            if name:
                return (
                    f"{kind}/{name}:{get_path(volume, source, 'items', 0, 'key', default=_CA_KEY)}"
                )
    return ""


def require_image(image: str | None, environ: Mapping[str, str] | None = None) -> str:
    """Return the image of `--image` or FLUIDMODEL_IMAGE; empty if neither is set.

    Raises:
        UsageError: it is not the name of an image.
    """
    environ = os.environ if environ is None else environ
    reference = image if image is not None else environ.get("FLUIDMODEL_IMAGE", "")
    if reference and not _IMAGE.fullmatch(reference):
        origin = "--image " if image is not None else f"{IMAGE_ENV}="
        raise UsageError(
            f"{origin}{reference} is not the name of an image",
            "a name has no spaces and starts with a lowercase letter or a digit",
            f"{origin}registry.example.com/kubectl-fluidmodel:{__version__}",
        )
    return reference


def no_image_error() -> UsageError:
    """Return the error for a staging Job without an image."""
    return UsageError(
        "staging in the cluster needs an image with this plugin",
        "there is no default, because nothing should be installed in a pod that has your keys",
        f"{build_image_hint()}; or --stage-on client",
    )


def build_image_hint() -> str:
    """Return a hint on how to build and set an image with this plugin."""
    name = f"REGISTRY/kubectl-fluidmodel:{__version__}"
    return (
        f"docker build -t {name} . && docker push {name} in a clone of this project, then "
        f"--image {name} or {IMAGE_ENV}={name}"
    )


def build_pod(container: Object, network: PodNetwork | None = None) -> Object:
    """Build a pod spec for `container`, which must have the same `network`."""
    spec: Object = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": 10,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER,
            "runAsGroup": USER,
            "fsGroup": USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [container],
        "volumes": [{"name": "work", "emptyDir": {"sizeLimit": "1Gi"}}],
    }
    if network and network.ca:
        spec["volumes"].append(network.ca.volume)
    if network and network.pull_secrets:
        spec["imagePullSecrets"] = [{"name": name} for name in network.pull_secrets]
    return spec


def build_container(
    name: str,
    image: str,
    module: str,
    args: Sequence[str] = (),
    env: Sequence[Object] = (),
    network: PodNetwork | None = None,
) -> Object:
    """Build a container that runs `python -m MODULE`; only its home directory is writable."""
    network = network or PodNetwork()
    mounts: list[Object] = [{"name": "work", "mountPath": HOME}]
    if network.ca:
        mounts.append({"name": _VOLUME, "mountPath": _CA, "readOnly": True})
    return {
        "name": name,
        "image": image,
        "command": ["python", "-m", *shlex.split(module)],
        "args": list(args),
        "env": [*_env_vars(_BASE_ENV), *network.env_vars, *env],
        "workingDir": HOME,
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": mounts,
    }


def _env_vars(values: Mapping[str, str]) -> list[Object]:
    return [{"name": name, "value": value} for name, value in values.items()]
