"""The pod that runs this package inside a cluster. Pure.

It runs as a non-root user with nothing writable but a scratch directory, without the cluster's
token, and passes the `restricted` Pod Security Standard. Nothing is installed into it, for its
environment holds keys: the image has the package, as the one of this repository's Dockerfile does.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit

from kubectl_fluidmodel import __version__
from kubectl_fluidmodel.errors import UsageError
from kubectl_fluidmodel.objects.access import Object, get_list, get_path

USER = 65532
"""The uid that distroless images call nonroot."""
IMAGE_ENV = "FLUIDMODEL_IMAGE"
HOME = "/fluidmodel"
_CA = "/etc/fluidmodel/ca"
_CA_KEY = "ca.crt"
_CLUSTER_HOSTS = ("localhost", "127.0.0.1", ".svc", ".cluster.local")
"""Hosts that are reached without the proxy unless the user says otherwise."""
_VOLUME = "ca"
_CA_VARIABLES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "AWS_CA_BUNDLE")
_OBJECT = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")
_IMAGE = re.compile(r"[a-z0-9][\w.:/@-]*", re.ASCII)


@dataclass(frozen=True)
class SecretKey:
    """A key in a Secret of the pod's namespace."""

    secret: str
    key: str

    def env_var(self, name: str) -> Object:
        """An environment variable with its value."""
        reference = {"name": self.secret, "key": self.key}
        return {"name": name, "valueFrom": {"secretKeyRef": reference}}


@dataclass(frozen=True)
class CaBundle:
    """Certificates to trust: a key of a ConfigMap or a Secret of the pod's namespace."""

    kind: str
    """`configmap` or `secret`."""
    name: str
    key: str = _CA_KEY

    @property
    def path(self) -> str:
        """Where the pod finds the file."""
        return f"{_CA}/{self.key}"

    @property
    def volume(self) -> Object:
        items = [{"key": self.key, "path": self.key}]
        if self.kind == "secret":
            return {"name": _VOLUME, "secret": {"secretName": self.name, "items": items}}
        return {"name": _VOLUME, "configMap": {"name": self.name, "items": items}}


@dataclass(frozen=True)
class PodNetwork:
    """How pods get their image and reach what lies outside of the cluster."""

    proxy: str = ""
    no_proxy: str = ""
    ca: CaBundle | None = None
    pull_secrets: tuple[str, ...] = ()

    @property
    def env_vars(self) -> list[Object]:
        """The environment variables that say so."""
        found: dict[str, str] = {}
        if self.proxy:
            found |= {"HTTP_PROXY": self.proxy, "HTTPS_PROXY": self.proxy}
        if self.no_proxy:
            found["NO_PROXY"] = self.no_proxy
        if self.ca is not None:
            found |= dict.fromkeys(_CA_VARIABLES, self.ca.path)
        return [{"name": name, "value": value} for name, value in found.items()]

    def with_default_no_proxy(self, endpoint: str) -> PodNetwork:
        """The network with the cluster's hosts, and the store's Service, reached without proxy."""
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
    """Read the flags PREFIX-proxy, PREFIX-no-proxy, PREFIX-ca and `--image-pull-secret`.

    Raises:
        UsageError: with the flag at fault and what it takes.
    """
    for name in pull_secrets:
        if not _OBJECT.fullmatch(name):
            raise UsageError(f"--image-pull-secret '{name}'", "it is the name of a Secret")
    if no_proxy and not proxy:
        raise UsageError(f"{prefix}-no-proxy", f"it goes with {prefix}-proxy")
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
            f"{flag} has a user or a password in it",
            "it would stand in the Job, where everybody who may see Jobs reads it",
            "a proxy that lets the namespace's pods through without a login",
        )
    if not legal or any(char.isspace() for char in url):
        raise UsageError(f"{flag} '{url}' is not a URL", "", f"{flag} http://HOST:PORT")
    return url


def _parse_ca_bundle(text: str, flag: str) -> CaBundle:
    kind, _, rest = text.partition("/")
    name, mark, key = rest.partition(":")
    kind = {"cm": "configmap", "configmaps": "configmap", "secrets": "secret"}.get(kind, kind)
    legal = kind in ("configmap", "secret") and _OBJECT.fullmatch(name)
    if not legal or (mark and not re.fullmatch(r"[-\w.]+", key, re.ASCII)):
        raise UsageError(
            f"cannot read {flag} '{text}'",
            f"it is a ConfigMap or a Secret, with the key in it where that is not {_CA_KEY}",
            f"{flag} configmap/NAME:KEY",
        )
    return CaBundle(kind, name, key or _CA_KEY)


def ca_bundle_reference(spec: Mapping[str, Any]) -> str:
    """The `--stage-ca` that a pod spec was made with; empty for none."""
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


def require_image(given: str | None, environ: Mapping[str, str] | None = None) -> str:
    """The image of `--image`, else of FLUIDMODEL_IMAGE; empty where neither is given.

    Raises:
        UsageError: it is no image's name.
    """
    environ = os.environ if environ is None else environ
    found = given if given is not None else environ.get("FLUIDMODEL_IMAGE", "")
    if found and not _IMAGE.fullmatch(found):
        where = "--image " if given is not None else f"{IMAGE_ENV}="
        raise UsageError(
            f"{where}{found} is not the name of an image",
            "a name has no spaces and begins with a lower-case letter or a digit",
            f"{where}registry.example.com/kubectl-fluidmodel:{__version__}",
        )
    return found


def no_image_error() -> UsageError:
    """What is said where a staging Job is to be made and no image is known."""
    return UsageError(
        "staging in the cluster needs an image that has this plugin",
        "none is the default, as nothing may be installed into a pod that holds your keys",
        f"{build_image_hint()}; or --stage-on client",
    )


def build_image_hint() -> str:
    """How to get an image that has this plugin, and how to name it."""
    name = f"REGISTRY/kubectl-fluidmodel:{__version__}"
    return (
        f"docker build -t {name} . && docker push {name} in a clone of this project, then "
        f"--image {name} or {IMAGE_ENV}={name}"
    )


def build_pod(container: Object, network: PodNetwork | None = None) -> Object:
    """A pod spec around a container of `container`, which has to know the same `network`."""
    found: Object = {
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
        found["volumes"].append(network.ca.volume)
    if network and network.pull_secrets:
        found["imagePullSecrets"] = [{"name": name} for name in network.pull_secrets]
    return found


def build_container(
    name: str,
    image: str,
    module: str,
    args: Sequence[str] = (),
    env: Sequence[Object] = (),
    network: PodNetwork | None = None,
) -> Object:
    """A container that runs `python -m MODULE`, with nothing writable but its home."""
    network = network or PodNetwork()
    mounts: list[Object] = [{"name": "work", "mountPath": HOME}]
    if network.ca:
        mounts.append({"name": _VOLUME, "mountPath": _CA, "readOnly": True})
    return {
        "name": name,
        "image": image,
        "command": ["python", "-m", *shlex.split(module)],
        "args": list(args),
        "env": [*_plain(), *network.env_vars, *env],
        "workingDir": HOME,
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": mounts,
    }


def _plain() -> list[Object]:
    plain = {
        "HOME": HOME,
        "TMPDIR": HOME,
        "PYTHONUNBUFFERED": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
    }
    return [{"name": name, "value": value} for name, value in plain.items()]
