"""The Job that stages a Hub model for a cache, and the Secrets that it refers to."""

from __future__ import annotations

import os

from kubectl_fluidmodel.cache.name_conflicts import require_own_secret
from kubectl_fluidmodel.cache.options import CacheOptions, StagingOptions
from kubectl_fluidmodel.cache.preflight import staging_job_permissions
from kubectl_fluidmodel.cache.source_info import means_pods_own_node
from kubectl_fluidmodel.errors import FluidModelError
from kubectl_fluidmodel.fluid import secret as secrets
from kubectl_fluidmodel.hub.http import DEFAULT_ENDPOINT, HubCredentials
from kubectl_fluidmodel.kube.client import Client
from kubectl_fluidmodel.kube.errors import ForbiddenError
from kubectl_fluidmodel.kube.permissions import Permission
from kubectl_fluidmodel.model.plan import StagingPlan
from kubectl_fluidmodel.net import proxies
from kubectl_fluidmodel.objects import kinds
from kubectl_fluidmodel.objects.access import Object, name_of
from kubectl_fluidmodel.objects.kinds import Kind
from kubectl_fluidmodel.objects.plugin_pod import SecretKey
from kubectl_fluidmodel.objectstore import s3 as stores
from kubectl_fluidmodel.objectstore import s3_credentials
from kubectl_fluidmodel.output.shell import command
from kubectl_fluidmodel.records import dataclass
from kubectl_fluidmodel.stage import credentials, job

_CA_BUNDLE_VARIABLES = ("REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", "AWS_CA_BUNDLE")


@dataclass(frozen=True)
class StagingJob:
    """The staging Job of one cache."""

    options: CacheOptions
    staging: StagingOptions
    namespace: str
    client: Client | None
    """None for a dry run without a cluster."""
    hub: HubCredentials
    plan: StagingPlan

    @property
    def lacks_image(self) -> bool:
        """Whether the Job would have to be created but has no image."""
        return self.staging.on == "cluster" and not self.staging.image

    def objects(self) -> list[Object]:
        """Return the Job alone; nothing if this process stages, or without an image."""
        return [self.build()] if self.staging.on == "cluster" and self.staging.image else []

    def required_permissions(self) -> list[Permission]:
        """Return the permissions to create and watch the Job; none if this process stages."""
        if self.staging.on != "cluster":
            return []
        verbs = ("get", "create", "patch") if self.secrets() else ()
        secret = [Permission(verb, kinds.SECRETS, self.namespace) for verb in verbs]
        return [*staging_job_permissions(self.namespace), *secret]

    def network_notes(self) -> list[str]:
        """Return notes on settings for the Hub that apply here but not in the Job."""
        network, notes = self.staging.network, []
        if self.staging.on != "cluster" or not self.staging.image:
            return []
        if proxies.proxy_for(self.hub.endpoint) and not network.proxy:
            notes.append(
                "note: this machine reaches the Hub through a proxy; if the Job needs it, too, use "
                "--stage-proxy"
            )
        if means_pods_own_node(self.hub.endpoint, self.client):
            notes.append(
                f"warning: the Hub's endpoint {self.hub.endpoint} is this machine; the Job's pods "
                "would connect to their own node: set --endpoint-hub as pods reach it"
            )
        bundle = next((name for name in _CA_BUNDLE_VARIABLES if os.environ.get(name)), "")
        if bundle and network.ca is None:
            notes.append(
                f"note: {bundle} sets the CA certificates here; if the Job needs them, too, use "
                "--stage-ca"
            )
        return notes

    def secrets(self) -> list[Object]:
        """Return the Secrets that the Job refers to and that `cache` creates."""
        name, store, needed = self.options.name, self.options.store, []
        if not store.s3_secret:
            keys = credentials.resolve_store(store).credentials
            if keys is not None:
                needed.append(secrets.build_secret(name, self.namespace, keys.secret_data()))
        if self.hub.token and not self.staging.hub.secret:
            token = {credentials.DEFAULT_TOKEN_KEY: self.hub.token}
            needed.append(
                secrets.build_secret(name, self.namespace, token, suffix=secrets.HUB_SUFFIX)
            )
        return needed

    def build(self) -> Object:
        """Return the Job object."""
        options, staging = self.options, self.staging
        store = stores.store_from_environment(options.store.endpoint, options.store.region)
        # A Secret that is created here, or cannot be read, has the default keys.
        client = self.client if options.store.s3_secret else None
        secret = options.store.s3_secret or secrets.store_secret_name(options.name)
        _, keys = credentials.read_store_secret(secret, client, self.namespace)
        token = keys.token_key
        if not options.store.s3_secret and store.credentials and store.credentials.session_token:
            token = s3_credentials.SESSION_TOKEN
        # Pass the endpoint of HF_ENDPOINT, too: the plan is from that Hub.
        own_hub = self.hub.endpoint if self.hub.endpoint != DEFAULT_ENDPOINT else ""
        return job.build_job(
            self.plan,
            job.JobSettings(
                name=options.name,
                namespace=self.namespace,
                to=staging.to,
                endpoint=store.endpoint,
                region=store.region,
                endpoint_hub=own_hub,
                access_key=SecretKey(keys.secret, keys.access_key),
                secret_key=SecretKey(keys.secret, keys.secret_key),
                session_token=SecretKey(keys.secret, token) if token else None,
                hub_token=self._hub_token(),
                include=staging.hub.include,
                exclude=staging.hub.exclude,
                image=staging.image,
                network=staging.network,
                shards=staging.shards,
                workers=staging.workers,
            ),
        )

    def _hub_token(self) -> SecretKey | None:
        """Return where the Job finds the Hub's token; None without a token."""
        secret = self.staging.hub.secret
        if secret:
            _, key = credentials.read_hub_token(secret, self.client, self.namespace)
            return SecretKey(secret, key)
        if not self.hub.token:
            return None
        return SecretKey(self.options.name + secrets.HUB_SUFFIX, credentials.DEFAULT_TOKEN_KEY)

    def require_references(self) -> None:
        """Check that what the Job refers to exists, and that no foreign Secret is overwritten.

        Raises:
            FluidModelError: names the object and a solution.
        """
        if self.client is None or self.staging.on != "cluster":
            return
        for secret in self.secrets():
            is_token = credentials.DEFAULT_TOKEN_KEY in secret["data"]
            flag = command("--hf-secret" if is_token else "--s3-secret", name_of(secret))
            hint = f"{flag}, or --name with another name"
            require_own_secret(self.client, self.namespace, name_of(secret), hint)
        network = self.staging.network
        for name in network.pull_secrets:
            self._require_object(self.client, kinds.SECRETS, name, "--image-pull-secret")
        if network.ca is not None:
            kind = kinds.SECRETS if network.ca.kind == "secret" else kinds.CONFIG_MAPS
            self._require_object(self.client, kind, network.ca.name, "--stage-ca", network.ca.key)

    def _require_object(
        self, client: Client, kind: Kind, name: str, flag: str, key: str = ""
    ) -> None:
        """Raises: FluidModelError: the object or its key does not exist."""
        try:
            obj = client.get_or_none(kind, name, self.namespace)
        except ForbiddenError:  # the kubelet may be able to read it
            return
        if obj is None:
            raise FluidModelError(
                f"{kind.name} {name} does not exist in namespace {self.namespace}",
                f"{flag} refers to it",
                command("kubectl", "get", kind.resource, "-n", self.namespace),
            )
        keys = sorted({**(obj.get("data") or {}), **(obj.get("binaryData") or {})})
        if key and key not in keys:
            raise FluidModelError(
                f"{kind.name} {name} has no key {key}",
                f"it has {', '.join(keys) or 'none'}",
                f"{flag} {kind.name.lower()}/{name}:KEY",
            )
