"""The store of a Dataset's mount, with the keys that the Dataset itself uses."""

from __future__ import annotations

import base64

from kubectl_fluidmodel.errors import FluidModelError
from kubectl_fluidmodel.inventory.mount_target import MountTarget, SecretKeyRef
from kubectl_fluidmodel.kube.client import Client
from kubectl_fluidmodel.kube.errors import NotFoundError
from kubectl_fluidmodel.objects.access import get_map
from kubectl_fluidmodel.objects.kinds import SECRETS
from kubectl_fluidmodel.objectstore.s3 import S3Store, store_from_environment
from kubectl_fluidmodel.objectstore.s3_credentials import S3Credentials
from kubectl_fluidmodel.output.shell import Operand, kubectl


def mounted_store(client: Client, target: MountTarget) -> S3Store:
    """The store of a mount; where the Dataset names no keys, with those of the environment.

    Raises:
        ForbiddenError: the Dataset's Secret may not be read.
        FluidModelError: a key that the Dataset refers to does not exist.
    """
    credentials = dataset_credentials(client, target)
    if credentials is None:
        local_store = store_from_environment(target.endpoint or None, target.region or None)
        credentials = local_store.credentials
    return S3Store(target.endpoint, target.region, credentials)


def dataset_credentials(client: Client, target: MountTarget) -> S3Credentials | None:
    """The keys that a Dataset has itself or refers to; None if it names none.

    Raises:
        ForbiddenError: the Secret may not be read.
        FluidModelError: a key that it refers to does not exist.
    """
    if target.plain is not None:
        return S3Credentials(*target.plain)
    if target.access is None or target.hidden is None:
        return None
    access, hidden = (
        _read_key(client, target.namespace, ref) for ref in (target.access, target.hidden)
    )
    return S3Credentials(access, hidden)


def _read_key(client: Client, namespace: str, ref: SecretKeyRef) -> str:
    try:
        data = get_map(client.get(SECRETS, ref.secret, namespace), "data")
        return base64.b64decode(data[ref.key]).decode()
    except (NotFoundError, KeyError, ValueError) as err:
        raise FluidModelError(
            "the key of the Dataset's store cannot be read",
            f"Secret {ref.secret} has no usable {ref.key}",
            kubectl("describe", "secret", Operand(ref.secret), namespace=namespace),
        ) from err
