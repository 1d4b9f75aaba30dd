"""Who may read the Hub and the bucket: the environment, or Secrets of the cluster."""

from __future__ import annotations

import base64
from dataclasses import replace

from kubectl_fluidmodel.errors import FluidModelError
from kubectl_fluidmodel.fluid.mount import SecretKeys
from kubectl_fluidmodel.hub.http import Login, login
from kubectl_fluidmodel.kube.client import Client
from kubectl_fluidmodel.kube.errors import NotFound
from kubectl_fluidmodel.objects.kinds import SECRETS
from kubectl_fluidmodel.objectstore import s3 as stores
from kubectl_fluidmodel.objectstore.s3 import Credentials, Store

TOKEN = "HF_TOKEN"  # noqa: S105 - the name of a key, not a key
TOKEN_KEYS = (TOKEN, "HUGGING_FACE_HUB_TOKEN", "hf_token", "hf-token", "token")
"""Names under which Secrets in the wild keep a Hub token."""


def store_of(
    endpoint: str | None,
    region: str | None,
    secret: str | None = None,
    client: Client | None = None,
    namespace: str = "",
) -> Store:
    """The store of the environment, with the keys of a Secret where one is named.

    Raises:
        FluidModelError: no credentials are found, or the Secret has none.
    """
    found = stores.from_environment(endpoint, region)
    if secret:
        kept, _ = store_keys(secret, client, namespace)
        found = replace(found, credentials=kept or found.credentials)
    if found.credentials is None:
        raise FluidModelError(
            "there are no S3 credentials",
            "a bucket cannot be written without",
            "export AWS_ACCESS_KEY_ID=… AWS_SECRET_ACCESS_KEY=…, AWS_PROFILE, or --s3-secret NAME",
        )
    whose = f" in Secret {secret}" if secret else ""
    stores.check_credentials(found.credentials, whose, with_token=True)
    return found


def store_keys(
    secret: str, client: Client | None, namespace: str
) -> tuple[Credentials | None, SecretKeys]:
    """The keys in a store's Secret, and their names in it.

    Without a cluster the keys are not known, and the names are taken to be the usual ones.

    Raises:
        FluidModelError: there is no such Secret, or it has no usable keys.
    """
    usual = (stores.ACCESS_KEY, stores.SECRET_KEY)
    if client is None:
        return None, SecretKeys(secret, *usual)
    data = _read(client, secret, namespace, usual)
    access, hidden = stores.key_names(data, secret)
    token = next((name for name in stores.TOKEN_NAMES if _decoded(data, name, "")), "")
    found = Credentials(
        _plain(data, access, secret),
        _plain(data, hidden, secret),
        _plain(data, token, secret) if token else "",
    )
    return found, SecretKeys(secret, access, hidden, token)


def login_of(
    endpoint: str | None,
    secret: str | None = None,
    client: Client | None = None,
    namespace: str = "",
) -> Login:
    """The Hub with the token of the environment, or of a Secret.

    Raises:
        FluidModelError: the Secret has no token.
    """
    found = login(endpoint)
    if secret and client is not None:
        found = replace(found, token=hub_token(secret, client, namespace)[0])
    return found


def hub_token(secret: str, client: Client | None, namespace: str) -> tuple[str, str]:
    """The Hub's token in a Secret, and its name there; without a cluster the usual name alone.

    Raises:
        FluidModelError: there is no such Secret, or it has no usable token.
    """
    if client is None:
        return "", TOKEN
    data = _read(client, secret, namespace, (TOKEN,))
    key = _token_key(data, secret)
    # The Hub's own library takes a token with a newline behind it, too.
    return _decoded(data, key).strip(), key


def _token_key(data: dict[str, str], secret: str) -> str:
    for key in TOKEN_KEYS:
        if key in data and _decoded(data, key).strip():
            return key
    raise FluidModelError(
        f"Secret {secret} has no token",
        f"expected {TOKEN}, found {', '.join(sorted(data)) or 'nothing'}",
        f"kubectl create secret generic {secret} --from-literal={TOKEN}=…",
    )


def _read(client: Client, name: str, namespace: str, usual: tuple[str, ...]) -> dict[str, str]:
    """What a Secret holds, still encoded; `usual` are the keys to name where there is none."""
    try:
        return client.get(SECRETS, name, namespace).get("data") or {}
    except NotFound as err:
        literals = " ".join(f"--from-literal={key}=…" for key in usual)
        raise FluidModelError(
            f"Secret {name} does not exist in namespace {namespace}",
            "",
            f"kubectl create secret generic {name} -n {namespace} {literals}",
        ) from err


def _plain(data: dict[str, str], key: str, secret: str) -> str:
    """A key of a store in plain text.

    Raises:
        FluidModelError: it is nothing that a store would take.
    """
    value = _decoded(data, key)
    if value and value == value.strip():
        return value
    raise FluidModelError(
        f"{key} in Secret {secret} is empty or ends in a newline",
        "stores take it as part of the key",
        "printf %s VALUE | kubectl create secret generic … --from-file=…=/dev/stdin",
    )


def _decoded(data: dict[str, str], key: str, otherwise: str | None = None) -> str:
    if otherwise is not None and key not in data:
        return otherwise
    return base64.b64decode(data[key]).decode("utf-8", "replace")
