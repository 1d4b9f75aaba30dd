"""Credentials for the Hub and the bucket: of the environment, or of Secrets in the cluster."""

from __future__ import annotations

import base64
from dataclasses import replace

from kubectl_fluidmodel.errors import FluidModelError
from kubectl_fluidmodel.fluid.mount import SecretKeys
from kubectl_fluidmodel.hub.http import HubCredentials, load_credentials
from kubectl_fluidmodel.hub.options import HubOptions
from kubectl_fluidmodel.kube.client import Client
from kubectl_fluidmodel.kube.errors import NotFoundError
from kubectl_fluidmodel.objects.kinds import SECRETS
from kubectl_fluidmodel.objectstore import s3, s3_credentials
from kubectl_fluidmodel.objectstore.options import StoreOptions
from kubectl_fluidmodel.objectstore.s3 import S3Store
from kubectl_fluidmodel.objectstore.s3_credentials import S3Credentials
from kubectl_fluidmodel.output.shell import Command, Operand, command

DEFAULT_TOKEN_KEY = "HF_TOKEN"  # noqa: S105 - the name of a key, not a key
TOKEN_KEYS = (
    DEFAULT_TOKEN_KEY,
    "HUGGING_FACE_HUB_TOKEN",
    "hf_token",
    "hf-token",
    "token",
)
"""Keys under which Secrets commonly have a Hub token."""


def resolve_store(
    options: StoreOptions, client: Client | None = None, namespace: str = ""
) -> S3Store:
    """The store of the options and the environment, with the keys of a Secret if one is named.

    Raises:
        FluidModelError: there are no credentials, or the Secret has none.
    """
    secret = options.s3_secret
    store = s3.store_from_environment(options.endpoint, options.region)
    if secret:
        credentials, _ = read_store_secret(secret, client, namespace)
        store = replace(store, credentials=credentials or store.credentials)
    if store.credentials is None:
        raise FluidModelError(
            "there are no S3 credentials",
            "writing to a bucket requires them",
            "export AWS_ACCESS_KEY_ID=… AWS_SECRET_ACCESS_KEY=…, AWS_PROFILE, or --s3-secret NAME",
        )
    origin = f" in Secret {secret}" if secret else ""
    s3_credentials.require_session_token(store.credentials, origin, with_token=True)
    return store


def read_store_secret(
    secret: str, client: Client | None, namespace: str
) -> tuple[S3Credentials | None, SecretKeys]:
    """Read a store's Secret.

    Returns:
        The credentials, and the keys that they are under. Without a cluster, None and the default
        keys.

    Raises:
        FluidModelError: there is no such Secret, or it has no usable credentials.
    """
    default_keys = (s3_credentials.ACCESS_KEY, s3_credentials.SECRET_KEY)
    if client is None:
        return None, SecretKeys(secret, *default_keys)
    data = _read_secret(client, secret, namespace, default_keys)
    access_key, secret_key = s3_credentials.find_key_names(data, secret)
    token_key = next((name for name in s3_credentials.TOKEN_NAMES if data.get(name)), "")
    credentials = S3Credentials(
        _decode_store_key(data, access_key, secret),
        _decode_store_key(data, secret_key, secret),
        _decode_store_key(data, token_key, secret) if token_key else "",
    )
    return credentials, SecretKeys(secret, access_key, secret_key, token_key)


def resolve_hub_credentials(
    options: HubOptions, client: Client | None, namespace: str
) -> HubCredentials:
    """The Hub with the token of the environment, or of a Secret if one is named.

    Raises:
        FluidModelError: the Secret has no token.
    """
    credentials = load_credentials(options.endpoint)
    if options.secret and client is not None:
        token, _ = read_hub_token(options.secret, client, namespace)
        credentials = replace(credentials, token=token)
    return credentials


def read_hub_token(secret: str, client: Client | None, namespace: str) -> tuple[str, str]:
    """Read the Hub token of a Secret.

    Returns:
        The token, and the key that it is under. Without a cluster, no token and the default key.

    Raises:
        FluidModelError: there is no such Secret, or it has no usable token.
    """
    if client is None:
        return "", DEFAULT_TOKEN_KEY
    data = _read_secret(client, secret, namespace, (DEFAULT_TOKEN_KEY,))
    key = _find_token_key(data, secret, namespace)
    # huggingface_hub ignores a newline after the token, too.
    return _decode(data[key]).strip(), key


def _find_token_key(data: dict[str, str], secret: str, namespace: str) -> str:
    for key in TOKEN_KEYS:
        if key in data and _decode(data[key]).strip():
            return key
    raise FluidModelError(
        f"Secret {secret} has no token",
        f"expected {DEFAULT_TOKEN_KEY}, found {', '.join(sorted(data)) or 'nothing'}",
        _create_secret(secret, namespace, (DEFAULT_TOKEN_KEY,)),
    )


def _read_secret(
    client: Client, name: str, namespace: str, default_keys: tuple[str, ...]
) -> dict[str, str]:
    """The data of a Secret, still encoded; `default_keys` are for the hint if there is none."""
    try:
        return client.get(SECRETS, name, namespace).get("data") or {}
    except NotFoundError as err:
        raise FluidModelError(
            f"Secret {name} does not exist in namespace {namespace}",
            "",
            _create_secret(name, namespace, default_keys),
        ) from err


def _create_secret(name: str, namespace: str, keys: tuple[str, ...]) -> Command:
    literals = (f"--from-literal={key}=VALUE" for key in keys)
    create = ("kubectl", "create", "secret", "generic", Operand(name))
    return command(*create, "-n", namespace, *literals)


def _decode_store_key(data: dict[str, str], key: str, secret: str) -> str:
    """Decode a key of a store.

    Raises:
        FluidModelError: the value is empty or has whitespace around it.
    """
    value = _decode(data[key])
    if value and value == value.strip():
        return value
    raise FluidModelError(
        f"{key} in Secret {secret} is empty or ends in a newline",
        "stores treat a newline as part of the key",
        "printf %s VALUE | kubectl create secret generic … --from-file=…=/dev/stdin",
    )


def _decode(value: str) -> str:
    return base64.b64decode(value).decode("utf-8", "replace")
