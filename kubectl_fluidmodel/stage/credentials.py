"""Who may read the Hub and the bucket: the environment, or Secrets of the cluster."""

from __future__ import annotations

import base64
from dataclasses import replace

from kubectl_fluidmodel.errors import FluidModelError
from kubectl_fluidmodel.fluid.mount import SecretKeys
from kubectl_fluidmodel.hub.http import HubCredentials, load_credentials
from kubectl_fluidmodel.kube.client import Client
from kubectl_fluidmodel.kube.errors import NotFoundError
from kubectl_fluidmodel.objects.kinds import SECRETS
from kubectl_fluidmodel.objectstore import s3 as stores
from kubectl_fluidmodel.objectstore.s3 import S3Credentials, S3Store

DEFAULT_TOKEN_KEY = "HF_TOKEN"  # noqa: S105 - the name of a key, not a key
TOKEN_KEYS = (DEFAULT_TOKEN_KEY, "HUGGING_FACE_HUB_TOKEN", "hf_token", "hf-token", "token")
"""Names under which Secrets in the wild keep a Hub token."""


def resolve_store(
    endpoint: str | None,
    region: str | None,
    secret: str | None = None,
    client: Client | None = None,
    namespace: str = "",
) -> S3Store:
    """The store of the environment, with the keys of a Secret where one is named.

    Raises:
        FluidModelError: no credentials are found, or the Secret has none.
    """
    store = stores.store_from_environment(endpoint, region)
    if secret:
        credentials, _ = read_store_secret(secret, client, namespace)
        store = replace(store, credentials=credentials or store.credentials)
    if store.credentials is None:
        raise FluidModelError(
            "there are no S3 credentials",
            "a bucket cannot be written without",
            "export AWS_ACCESS_KEY_ID=… AWS_SECRET_ACCESS_KEY=…, AWS_PROFILE, or --s3-secret NAME",
        )
    where = f" in Secret {secret}" if secret else ""
    stores.require_session_token(store.credentials, where, with_token=True)
    return store


def read_store_secret(
    secret: str, client: Client | None, namespace: str
) -> tuple[S3Credentials | None, SecretKeys]:
    """The keys in a store's Secret, and their names in it.

    Without a cluster the keys are not known, and the names are taken to be the usual ones.

    Raises:
        FluidModelError: there is no such Secret, or it has no usable keys.
    """
    default_keys = (stores.ACCESS_KEY, stores.SECRET_KEY)
    if client is None:
        return None, SecretKeys(secret, *default_keys)
    data = _read_secret(client, secret, namespace, default_keys)
    access_key, secret_key = stores.find_key_names(data, secret)
    token = next((name for name in stores.TOKEN_NAMES if _decode(data, name, "")), "")
    credentials = S3Credentials(
        _decode_store_key(data, access_key, secret),
        _decode_store_key(data, secret_key, secret),
        _decode_store_key(data, token, secret) if token else "",
    )
    return credentials, SecretKeys(secret, access_key, secret_key, token)


def resolve_hub_credentials(
    endpoint: str | None,
    secret: str | None = None,
    client: Client | None = None,
    namespace: str = "",
) -> HubCredentials:
    """The Hub with the token of the environment, or of a Secret.

    Raises:
        FluidModelError: the Secret has no token.
    """
    credentials = load_credentials(endpoint)
    if secret and client is not None:
        credentials = replace(credentials, token=read_hub_token(secret, client, namespace)[0])
    return credentials


def read_hub_token(secret: str, client: Client | None, namespace: str) -> tuple[str, str]:
    """The Hub's token in a Secret, and its name there; without a cluster the usual name alone.

    Raises:
        FluidModelError: there is no such Secret, or it has no usable token.
    """
    if client is None:
        return "", DEFAULT_TOKEN_KEY
    data = _read_secret(client, secret, namespace, (DEFAULT_TOKEN_KEY,))
    key = _find_token_key(data, secret)
    # The Hub's own library takes a token with a newline behind it, too.
    return _decode(data, key).strip(), key


def _find_token_key(data: dict[str, str], secret: str) -> str:
    for key in TOKEN_KEYS:
        if key in data and _decode(data, key).strip():
            return key
    raise FluidModelError(
        f"Secret {secret} has no token",
        f"expected {DEFAULT_TOKEN_KEY}, found {', '.join(sorted(data)) or 'nothing'}",
        f"kubectl create secret generic {secret} --from-literal={DEFAULT_TOKEN_KEY}=…",
    )


def _read_secret(
    client: Client, name: str, namespace: str, default_keys: tuple[str, ...]
) -> dict[str, str]:
    """What a Secret holds, still encoded; `usual` are the keys to name where there is none."""
    try:
        return client.get(SECRETS, name, namespace).get("data") or {}
    except NotFoundError as err:
        literals = " ".join(f"--from-literal={key}=…" for key in default_keys)
        raise FluidModelError(
            f"Secret {name} does not exist in namespace {namespace}",
            "",
            f"kubectl create secret generic {name} -n {namespace} {literals}",
        ) from err


def _decode_store_key(data: dict[str, str], key: str, secret: str) -> str:
    """A key of a store in plain text.

    Raises:
        FluidModelError: it is nothing that a store would take.
    """
    value = _decode(data, key)
    if value and value == value.strip():
        return value
    raise FluidModelError(
        f"{key} in Secret {secret} is empty or ends in a newline",
        "stores take it as part of the key",
        "printf %s VALUE | kubectl create secret generic … --from-file=…=/dev/stdin",
    )


def _decode(data: dict[str, str], key: str, default: str | None = None) -> str:
    if default is not None and key not in data:
        return default
    return base64.b64decode(data[key]).decode("utf-8", "replace")
