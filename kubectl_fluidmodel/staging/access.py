"""Who may read the Hub and write the bucket: the environment, or Secrets of the cluster."""

from __future__ import annotations

import base64
from dataclasses import replace

from kubectl_fluidmodel.errors import FluidModelError
from kubectl_fluidmodel.kube.client import Client
from kubectl_fluidmodel.kube.kind import SECRETS
from kubectl_fluidmodel.model import store as stores
from kubectl_fluidmodel.model.hubhttp import Login, login
from kubectl_fluidmodel.model.store import Credentials, Store

TOKEN_KEYS = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "hf_token", "hf-token", "token")
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
    if secret and client is not None:
        data = _data(client, namespace, secret)
        keys = stores.key_names(data, secret)
        found = replace(found, credentials=Credentials(data[keys[0]], data[keys[1]]))
    if found.credentials is None:
        raise FluidModelError(
            "there are no S3 credentials",
            "a bucket cannot be written without",
            "export AWS_ACCESS_KEY_ID=… AWS_SECRET_ACCESS_KEY=…, AWS_PROFILE, or --s3-secret NAME",
        )
    return found


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
        data = _data(client, namespace, secret)
        found = replace(found, token=data[token_key(data, secret)])
    return found


def token_key(data: dict[str, str], secret: str) -> str:
    """The name under which a Secret keeps the Hub's token.

    Raises:
        FluidModelError: it has none.
    """
    for key in TOKEN_KEYS:
        if data.get(key):
            return key
    raise FluidModelError(
        f"Secret {secret} has no token",
        f"expected HF_TOKEN, found {', '.join(sorted(data)) or 'nothing'}",
        f"kubectl create secret generic {secret} --from-literal=HF_TOKEN=…",
    )


def _data(client: Client, namespace: str, secret: str) -> dict[str, str]:
    kept = client.get(SECRETS, secret, namespace).get("data") or {}
    return {
        key: base64.b64decode(value).decode("utf-8", "replace").strip()
        for key, value in kept.items()
    }
