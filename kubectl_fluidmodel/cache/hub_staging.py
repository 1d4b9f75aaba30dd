"""A model of the Hub on its way into a cache: planned, staged in a bucket, then like any other.

The cache is built on the prefix of one commit, and only when the manifest beside it says that all
of it is there.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from kubectl_fluidmodel.cache import apply, preflight
from kubectl_fluidmodel.cache.options import CacheOptions
from kubectl_fluidmodel.cache.progress import pending_steps
from kubectl_fluidmodel.cache.progress_reporter import ProgressReporter
from kubectl_fluidmodel.cache.source_info import reachable_store
from kubectl_fluidmodel.errors import FluidModelError
from kubectl_fluidmodel.fluid import names
from kubectl_fluidmodel.fluid import secret as secrets
from kubectl_fluidmodel.hub.client import HubClient
from kubectl_fluidmodel.hub.http import DEFAULT_ENDPOINT
from kubectl_fluidmodel.kube.client import Client
from kubectl_fluidmodel.kube.errors import ForbiddenError
from kubectl_fluidmodel.kube.permissions import Permission
from kubectl_fluidmodel.model.plan import StagingPlan
from kubectl_fluidmodel.model.source import Source
from kubectl_fluidmodel.net import proxies
from kubectl_fluidmodel.objects import kinds
from kubectl_fluidmodel.objects.access import Object, get_path, name_of
from kubectl_fluidmodel.objects.kinds import Kind
from kubectl_fluidmodel.objects.plugin_pod import PodNetwork, SecretKey, no_image_error
from kubectl_fluidmodel.objectstore import s3 as stores
from kubectl_fluidmodel.objectstore.layout import BucketPrefix, StagingLayout
from kubectl_fluidmodel.objectstore.s3 import S3Store
from kubectl_fluidmodel.output.progress_step import DONE, Step
from kubectl_fluidmodel.output.serialize import kubectl_name
from kubectl_fluidmodel.output.text import format_bytes, pluralize
from kubectl_fluidmodel.stage import credentials, job, job_run, manifest
from kubectl_fluidmodel.stage.engine import stage_plan
from kubectl_fluidmodel.stage.events import Began, Note
from kubectl_fluidmodel.stage.options import DEFAULT_WORKERS, TransferOptions
from kubectl_fluidmodel.stage.progress import STAGE_STEP, ProgressAggregator, ProgressSnapshot

_CA_BUNDLE_VARIABLES = ("REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", "AWS_CA_BUNDLE")


@dataclass(frozen=True)
class StagingOptions:
    """How a model of the Hub gets into its bucket: the staging flags of `cache`."""

    to: BucketPrefix
    on: str = "cluster"
    image: str = ""
    """Of the Job; empty where none was given."""
    network: PodNetwork = field(default_factory=PodNetwork)
    workers: int = DEFAULT_WORKERS
    shards: int = 1
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    endpoint_hub: str | None = None
    hf_secret: str | None = None
    endpoint: str | None = None
    region: str | None = None


@dataclass
class HubStaging:
    """One model's staging, from the plan to the manifest."""

    options: StagingOptions
    cache_options: CacheOptions
    """As the user gave it: its source is the Hub's."""
    namespace: str
    client: Client | None = None
    plan: StagingPlan = field(init=False)
    layout: StagingLayout = field(init=False)

    def __post_init__(self) -> None:
        """Plan: resolve the revision once, and list the files at that commit.

        Raises:
            FluidModelError: the Hub says no, each reason in its own words.
            UnreachableError: the Hub does not answer.
        """
        given = self.options
        self._credentials = credentials.resolve_hub_credentials(
            given.endpoint_hub, given.hf_secret, self.client, self.namespace
        )
        self._hub = HubClient(self._credentials, connections=given.workers + 2)
        source = self.cache_options.source
        self.plan = self._hub.plan(
            source.host, source.revision, include=given.include, exclude=given.exclude
        )
        self.layout = StagingLayout(given.to, self.plan.repo, self.plan.commit)

    def staged_options(self) -> CacheOptions:
        """The request for the cache itself: of the commit's prefix, known as the Hub's model."""
        return replace(
            self.cache_options,
            source=self.layout.source,
            origin=Source("hf", self.plan.repo).uri,
            commit=self.plan.commit,
            expected=self.plan.listing(),
        )

    def summary_lines(self) -> list[str]:
        """What the plan comes to, for people."""
        plan = self.plan
        found = [
            f"{plan.repo}@{plan.revision} is commit {plan.commit[:12]}: "
            f"{pluralize(len(plan.files), 'file')}, {format_bytes(plan.bytes)}"
        ]
        from kubectl_fluidmodel.stage.report import format_skipped, unloadable_note

        told = (format_skipped(plan), unloadable_note(plan), *self._job_network_notes())
        return [*found, *(text for text in told if text)]

    def _job_network_notes(self) -> list[str]:
        """What this machine needs to reach the Hub, and the Job was not given."""
        network, found = self.options.network, []
        if self.options.on != "cluster" or not self.options.image:
            return []
        if proxies.proxy_for(self._credentials.endpoint) and not network.proxy:
            found.append(
                "note: the Hub is reached through a proxy from here; if the Job needs it, too: "
                "--stage-proxy"
            )
        bundle = next((name for name in _CA_BUNDLE_VARIABLES if os.environ.get(name)), "")
        if bundle and network.ca is None:
            found.append(
                f"note: {bundle} says here whom to trust; if the Job needs those certificates, "
                "too: --stage-ca"
            )
        return found

    @property
    def lacks_image(self) -> bool:
        """Whether a Job would have to be made and cannot be."""
        return self.options.on == "cluster" and not self.options.image

    def job_objects(self) -> list[Object]:
        """What staging adds to the cluster: the Job, where it runs there and can be made."""
        return [self._build_job()] if self.options.on == "cluster" and self.options.image else []

    def required_permissions(self) -> list[Permission]:
        """What staging takes of the API server: nothing where it runs here."""
        if self.options.on != "cluster":
            return []
        verbs = ("get", "create", "patch") if self._secrets_to_create() else ()
        secret = [Permission(verb, kinds.SECRETS, self.namespace) for verb in verbs]
        return [*preflight.staging_job_permissions(self.namespace), *secret]

    def require_references(self) -> None:
        """What the Job refers to is there, and what is made for it overwrites nothing of others.

        Raises:
            FluidModelError: with the object, and the way out.
        """
        if self.client is None or self.options.on != "cluster":
            return
        for secret in self._secrets_to_create():
            existing = self.client.get_or_none(kinds.SECRETS, name_of(secret), self.namespace)
            if existing is not None and not names.is_managed(existing):
                flag = (
                    "--hf-secret"
                    if credentials.DEFAULT_TOKEN_KEY in secret["data"]
                    else "--s3-secret"
                )
                raise FluidModelError(
                    f"Secret {name_of(secret)} was not made by this plugin",
                    "it would be overwritten",
                    f"{flag} {name_of(secret)}, or --name with another name",
                )
        network = self.options.network
        for name in network.pull_secrets:
            self._require_object(kinds.SECRETS, name, "--image-pull-secret")
        if network.ca is not None:
            kind = kinds.SECRETS if network.ca.kind == "secret" else kinds.CONFIG_MAPS
            self._require_object(kind, network.ca.name, "--stage-ca", network.ca.key)

    def _require_object(self, kind: Kind, name: str, flag: str, key: str = "") -> None:
        """Raises: FluidModelError: there is no such object, or no such key in it."""
        try:
            found = self._require_client().get_or_none(kind, name, self.namespace)
        except ForbiddenError:  # the pods' own kubelet may read it all the same
            return
        if found is None:
            raise FluidModelError(
                f"{kind.name} {name} does not exist in namespace {self.namespace}",
                f"{flag} names it",
                f"kubectl get {kind.resource} -n {self.namespace}",
            )
        keys = sorted({**(found.get("data") or {}), **(found.get("binaryData") or {})})
        if key and key not in keys:
            raise FluidModelError(
                f"{kind.name} {name} has no key {key}",
                f"it has {', '.join(keys) or 'none'}",
                f"{flag} {kind.name.lower()}/{name}:KEY",
            )

    def is_staged(self) -> bool:
        """Whether the model is in its bucket, with a valid manifest beside it."""
        with self._open_store() as near:
            return self._is_staged(near)

    @property
    def done_step(self) -> Step:
        """The staging when it is over, for the view of what comes after."""
        return Step(
            STAGE_STEP,
            DONE,
            f"{pluralize(len(self.plan.files), 'file')}, {format_bytes(self.plan.bytes)}",
        )

    def run(self, reporter: ProgressReporter, deadline: float, *, wait: bool) -> bool:
        """Stage it unless it is there; False where nobody waits for the Job.

        The view has the steps of the cache, too, so that the whole way is in sight.

        Raises:
            FluidModelError: what is in the way; the same command goes on from there.
        """
        with self._open_store() as near:
            if self._is_staged(near, hidden=True):
                reporter.log(f"staged already at {self.layout.uri}, its manifest is valid")
                return True
            if self.options.on == "client":
                self._run_on_client(near, reporter)
            elif not self._run_in_cluster(reporter, deadline, wait):
                return False
            if not self._is_staged(near):
                raise FluidModelError(
                    f"{self.layout.uri} has no valid manifest after staging",
                    "somebody else may write to the bucket",
                    "the same command again",
                )
        return True

    # -- steps -------------------------------------------------------------------------------

    def _is_staged(self, store: S3Store, *, hidden: bool = False) -> bool:
        found = manifest.read_manifest(store, self.layout, missing_if_denied=hidden)
        return found is not None and found.covers(self.plan.files)

    def _run_on_client(self, store: S3Store, reporter: ProgressReporter) -> None:
        options = TransferOptions(workers=self.options.workers)
        board: ProgressAggregator | None = None
        for event in stage_plan(self.plan, store, self.options.to, options, self._hub):
            if isinstance(event, Note):
                reporter.log(f"note: {event.text}")
            if isinstance(event, Began):
                board = ProgressAggregator(event.bytes, event.files)
                reporter.log(f"staging to {event.to}")
            if board is not None:
                board.handle(event)
                reporter.update(self._with_cache_steps(board.snapshot()))

    def _run_in_cluster(self, reporter: ProgressReporter, deadline: float, wait: bool) -> bool:
        client = self._require_client()
        staging_job = self._find_active_job(client)
        if staging_job is None and self.lacks_image:
            raise no_image_error()
        if staging_job is not None and self.lacks_image:  # to follow one takes no image
            reporter.log(f"{kubectl_name(staging_job)} found running")
        else:
            for made in self._secrets_to_create():
                what, _ = apply.apply_object(client, made)
                reporter.log(f"{kubectl_name(made)} {what}")
            staging_job = self._build_job()
            reporter.log(f"{kubectl_name(staging_job)} {job_run.ensure_job(client, staging_job)}")
            self._yield_to_earlier_job(client, staging_job)
        if not wait:
            return False
        job_run.wait_for_job(
            client,
            staging_job,
            lambda view: reporter.update(self._with_cache_steps(view)),
            deadline=deadline,
            log=reporter.log,
        )
        return True

    def _find_active_job(self, client: Client) -> Object | None:
        """A Job that is at this commit already, and stages it to the same place."""
        active = job_run.active_jobs(client, self.cache_options.name, self.namespace)
        mine = [
            each
            for each in active
            if job.staged_source(each) == self.plan.uri
            and f"--to={self.options.to.uri}" in job.container_args(each)
        ]
        return mine[0] if mine else None

    def _yield_to_earlier_job(self, client: Client, staging_job: Object) -> None:
        """Two may have begun at once with two models of one name: the later Job goes.

        Raises:
            FluidModelError: ours is the later one.
        """
        name = self.cache_options.name
        ours = client.get_or_none(kinds.JOBS, name_of(staging_job), self.namespace)
        others = preflight.jobs_of_other_models(client, name, self.namespace, self.plan.repo)
        first = min(others, key=_creation_order, default=None)
        if ours is None or first is None or _creation_order(ours) < _creation_order(first):
            return
        job_run.delete_job(client, name_of(staging_job), self.namespace)
        raise preflight.name_taken_error(first, name, self.namespace)

    def _with_cache_steps(self, view: ProgressSnapshot) -> ProgressSnapshot:
        to_come = pending_steps(self.cache_options.replicas, load=self.cache_options.load)
        later = self.plan.bytes if self.cache_options.load else 0  # nodes load side by side
        return replace(view, steps=(*view.steps, *to_come), remaining_after=later)

    def _require_client(self) -> Client:
        if self.client is None:
            raise FluidModelError("staging in the cluster needs a cluster")
        return self.client

    # -- what it is made of ------------------------------------------------------------------

    @contextmanager
    def _open_store(self) -> Iterator[S3Store]:
        given = self.options
        store = credentials.resolve_store(
            given.endpoint, given.region, self.cache_options.s3_secret, self.client, self.namespace
        )
        with reachable_store(store, self.client, self.namespace) as near:
            yield near

    def _secrets_to_create(self) -> list[Object]:
        """The Secrets that the Job refers to and that are ours to make."""
        name, found = self.cache_options.name, []
        if not self.cache_options.s3_secret:
            keys = credentials.resolve_store(self.options.endpoint, self.options.region).credentials
            if keys is not None:
                data = {
                    stores.ACCESS_KEY: keys.access_key,
                    stores.SECRET_KEY: keys.secret_key,
                }
                if keys.session_token:
                    data[stores.SESSION_TOKEN] = keys.session_token
                found.append(secrets.build_secret(name, self.namespace, data))
        if self._credentials.token and not self.options.hf_secret:
            token = {credentials.DEFAULT_TOKEN_KEY: self._credentials.token}
            found.append(
                secrets.build_secret(name, self.namespace, token, suffix=secrets.HUB_SUFFIX)
            )
        return found

    def _build_job(self) -> Object:
        given, name = self.options, self.cache_options.name
        store = stores.store_from_environment(given.endpoint, given.region)
        # The Secret that is made for the Job has the usual names, as one that is not read.
        given_keys = self.client if self.cache_options.s3_secret else None
        secret = self.cache_options.s3_secret or secrets.store_secret_name(name)
        _, keys = credentials.read_store_secret(secret, given_keys, self.namespace)
        token = keys.token_key
        if (
            not self.cache_options.s3_secret
            and store.credentials
            and store.credentials.session_token
        ):
            token = stores.SESSION_TOKEN
        return job.build_job(
            self.plan,
            job.JobSettings(
                name=name,
                namespace=self.namespace,
                to=given.to,
                endpoint=store.endpoint,
                region=store.region,
                # Also where it is that of HF_ENDPOINT: the plan is of that Hub.
                endpoint_hub=self._credentials.endpoint
                if self._credentials.endpoint != DEFAULT_ENDPOINT
                else "",
                access_key=SecretKey(keys.secret, keys.access_key),
                secret_key=SecretKey(keys.secret, keys.secret_key),
                session_token=SecretKey(keys.secret, token) if token else None,
                hub_token=self._token_key(),
                include=given.include,
                exclude=given.exclude,
                image=given.image,
                network=given.network,
                shards=given.shards,
                workers=given.workers,
            ),
        )

    def _token_key(self) -> SecretKey | None:
        """Where the Job finds the Hub's token; None where there is none."""
        given = self.options.hf_secret
        if given:
            return SecretKey(
                given, credentials.read_hub_token(given, self.client, self.namespace)[1]
            )
        made = self.cache_options.name + secrets.HUB_SUFFIX
        return SecretKey(made, credentials.DEFAULT_TOKEN_KEY) if self._credentials.token else None


def _creation_order(staging_job: Object) -> tuple[str, str]:
    """Which of two Jobs was first: by time, and by name within a second."""
    return str(get_path(staging_job, "metadata", "creationTimestamp", default="")), name_of(
        staging_job
    )
