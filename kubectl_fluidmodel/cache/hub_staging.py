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
from kubectl_fluidmodel.cache.options import Request
from kubectl_fluidmodel.cache.progress import ahead
from kubectl_fluidmodel.cache.progress_reporter import Teller
from kubectl_fluidmodel.cache.source_info import reachable
from kubectl_fluidmodel.errors import FluidModelError
from kubectl_fluidmodel.fluid import names
from kubectl_fluidmodel.fluid import secret as secrets
from kubectl_fluidmodel.hub.client import Hub
from kubectl_fluidmodel.hub.http import HUB
from kubectl_fluidmodel.kube.client import Client
from kubectl_fluidmodel.kube.errors import Forbidden
from kubectl_fluidmodel.kube.permissions import Permission
from kubectl_fluidmodel.model.plan import Plan
from kubectl_fluidmodel.model.source import Source
from kubectl_fluidmodel.net import proxies
from kubectl_fluidmodel.objects import kinds
from kubectl_fluidmodel.objects.access import Object, at, name_of
from kubectl_fluidmodel.objects.kinds import Kind
from kubectl_fluidmodel.objects.plugin_pod import Network, SecretKey, no_image
from kubectl_fluidmodel.objectstore import s3 as stores
from kubectl_fluidmodel.objectstore.layout import Destination, Place
from kubectl_fluidmodel.objectstore.s3 import Store
from kubectl_fluidmodel.output.progress_step import DONE, Step
from kubectl_fluidmodel.output.serialize import reference
from kubectl_fluidmodel.output.text import plural, size
from kubectl_fluidmodel.stage import credentials, job, job_run, manifest
from kubectl_fluidmodel.stage.engine import stage
from kubectl_fluidmodel.stage.events import Began, Note
from kubectl_fluidmodel.stage.options import WORKERS, Options
from kubectl_fluidmodel.stage.progress import STEP, Board, View

_BUNDLES = ("REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", "AWS_CA_BUNDLE")


@dataclass(frozen=True)
class Staging:
    """How a model of the Hub gets into its bucket: the staging flags of `cache`."""

    to: Destination
    on: str = "cluster"
    image: str = ""
    """Of the Job; empty where none was given."""
    network: Network = field(default_factory=Network)
    workers: int = WORKERS
    shards: int = 1
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    endpoint_hub: str | None = None
    hf_secret: str | None = None
    endpoint: str | None = None
    region: str | None = None


@dataclass
class Stager:
    """One model's staging, from the plan to the manifest."""

    staging: Staging
    request: Request
    """As the user gave it: its source is the Hub's."""
    namespace: str
    client: Client | None = None
    plan: Plan = field(init=False)
    place: Place = field(init=False)

    def __post_init__(self) -> None:
        """Plan: resolve the revision once, and list the files at that commit.

        Raises:
            FluidModelError: the Hub says no, each reason in its own words.
            Unreachable: the Hub does not answer.
        """
        given = self.staging
        self._login = credentials.login_of(
            given.endpoint_hub, given.hf_secret, self.client, self.namespace
        )
        self._hub = Hub(self._login, connections=given.workers + 2)
        source = self.request.source
        self.plan = self._hub.plan(
            source.host, source.revision, include=given.include, exclude=given.exclude
        )
        self.place = Place(given.to, self.plan.repo, self.plan.commit)

    def on_prefix(self) -> Request:
        """The request for the cache itself: of the commit's prefix, known as the Hub's model."""
        return replace(
            self.request,
            source=self.place.source,
            origin=Source("hf", self.plan.repo).uri,
            commit=self.plan.commit,
            expected=self.plan.listing(),
        )

    def words(self) -> list[str]:
        """What the plan comes to, for people."""
        plan = self.plan
        found = [
            f"{plan.repo}@{plan.revision} is commit {plan.commit[:12]}: "
            f"{plural(len(plan.files), 'file')}, {size(plan.bytes)}"
        ]
        from kubectl_fluidmodel.stage.report import lacking_text, skipped_text

        told = (skipped_text(plan), lacking_text(plan), *self._unlike_here())
        return [*found, *(text for text in told if text)]

    def _unlike_here(self) -> list[str]:
        """What this machine needs to reach the Hub, and the Job was not given."""
        network, found = self.staging.network, []
        if self.staging.on != "cluster" or not self.staging.image:
            return []
        if proxies.proxy_for(self._login.endpoint) and not network.proxy:
            found.append(
                "note: the Hub is reached through a proxy from here; if the Job needs it, too: "
                "--stage-proxy"
            )
        bundle = next((name for name in _BUNDLES if os.environ.get(name)), "")
        if bundle and network.ca is None:
            found.append(
                f"note: {bundle} says here whom to trust; if the Job needs those certificates, "
                "too: --stage-ca"
            )
        return found

    @property
    def lacks_image(self) -> bool:
        """Whether a Job would have to be made and cannot be."""
        return self.staging.on == "cluster" and not self.staging.image

    def objects(self) -> list[Object]:
        """What staging adds to the cluster: the Job, where it runs there and can be made."""
        return [self._job()] if self.staging.on == "cluster" and self.staging.image else []

    def permissions(self) -> list[Permission]:
        """What staging takes of the API server: nothing where it runs here."""
        if self.staging.on != "cluster":
            return []
        verbs = ("get", "create", "patch") if self._secrets() else ()
        secret = [Permission(verb, kinds.SECRETS, self.namespace) for verb in verbs]
        return [*preflight.of_a_job(self.namespace), *secret]

    def check(self) -> None:
        """What the Job refers to is there, and what is made for it overwrites nothing of others.

        Raises:
            FluidModelError: with the object, and the way out.
        """
        if self.client is None or self.staging.on != "cluster":
            return
        for made in self._secrets():
            standing = self.client.find(kinds.SECRETS, name_of(made), self.namespace)
            if standing is not None and not names.is_ours(standing):
                flag = "--hf-secret" if credentials.TOKEN in made["data"] else "--s3-secret"
                raise FluidModelError(
                    f"Secret {name_of(made)} was not made by this plugin",
                    "it would be overwritten",
                    f"{flag} {name_of(made)}, or --name with another name",
                )
        network = self.staging.network
        for name in network.pull_secrets:
            self._refer(kinds.SECRETS, name, "--image-pull-secret")
        if network.ca is not None:
            kind = kinds.SECRETS if network.ca.kind == "secret" else kinds.CONFIG_MAPS
            self._refer(kind, network.ca.name, "--stage-ca", network.ca.key)

    def _refer(self, kind: Kind, name: str, flag: str, key: str = "") -> None:
        """Raises: FluidModelError: there is no such object, or no such key in it."""
        try:
            found = self._cluster().find(kind, name, self.namespace)
        except Forbidden:  # the pods' own kubelet may read it all the same
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
        with self._store() as near:
            return self._is_staged(near)

    @property
    def step(self) -> Step:
        """The staging when it is over, for the view of what comes after."""
        return Step(STEP, DONE, f"{plural(len(self.plan.files), 'file')}, {size(self.plan.bytes)}")

    def carry_out(self, teller: Teller, deadline: float, *, wait: bool) -> bool:
        """Stage it unless it is there; False where nobody waits for the Job.

        The view has the steps of the cache, too, so that the whole way is in sight.

        Raises:
            FluidModelError: what is in the way; the same command goes on from there.
        """
        with self._store() as near:
            if self._is_staged(near, hidden=True):
                teller.say(f"staged already at {self.place.uri}, its manifest is valid")
                return True
            if self.staging.on == "client":
                self._here(near, teller)
            elif not self._in_cluster(teller, deadline, wait):
                return False
            if not self._is_staged(near):
                raise FluidModelError(
                    f"{self.place.uri} has no valid manifest after staging",
                    "somebody else may write to the bucket",
                    "the same command again",
                )
        return True

    # -- steps -------------------------------------------------------------------------------

    def _is_staged(self, store: Store, *, hidden: bool = False) -> bool:
        found = manifest.read(store, self.place, hidden=hidden)
        return found is not None and found.covers(self.plan.files)

    def _here(self, store: Store, teller: Teller) -> None:
        options = Options(workers=self.staging.workers)
        board: Board | None = None
        for event in stage(self.plan, store, self.staging.to, options, self._hub):
            if isinstance(event, Note):
                teller.say(f"note: {event.text}")
            if isinstance(event, Began):
                board = Board(event.bytes, event.files)
                teller.say(f"staging to {event.to}")
            if board is not None:
                board.take(event)
                teller.show(self._with_cache(board.view()))

    def _in_cluster(self, teller: Teller, deadline: float, wait: bool) -> bool:
        client = self._cluster()
        work = self._same_work(client)
        if work is None and self.lacks_image:
            raise no_image()
        if work is not None and self.lacks_image:  # to follow one takes no image
            teller.say(f"{reference(work)} found running")
        else:
            for made in self._secrets():
                what, _ = apply.apply(client, made)
                teller.say(f"{reference(made)} {what}")
            work = self._job()
            teller.say(f"{reference(work)} {job_run.ensure(client, work)}")
            self._yield_to_rival(client, work)
        if not wait:
            return False
        job_run.follow(
            client,
            work,
            lambda view: teller.show(self._with_cache(view)),
            deadline=deadline,
            say=teller.say,
        )
        return True

    def _same_work(self, client: Client) -> Object | None:
        """A Job that is at this commit already, and stages it to the same place."""
        working = job_run.at_work(client, self.request.name, self.namespace)
        mine = [
            each
            for each in working
            if job.work_of(each) == self.plan.uri
            and f"--to={self.staging.to.uri}" in job.arguments_of(each)
        ]
        return mine[0] if mine else None

    def _yield_to_rival(self, client: Client, work: Object) -> None:
        """Two may have begun at once with two models of one name: the later Job goes.

        Raises:
            FluidModelError: ours is the later one.
        """
        name = self.request.name
        ours = client.find(kinds.JOBS, name_of(work), self.namespace)
        rivals = preflight.rivals(client, name, self.namespace, self.plan.repo)
        first = min(rivals, key=_order, default=None)
        if ours is None or first is None or _order(ours) < _order(first):
            return
        job_run.remove(client, name_of(work), self.namespace)
        raise preflight.name_is_staged(first, name, self.namespace)

    def _with_cache(self, view: View) -> View:
        to_come = ahead(self.request.replicas, load=self.request.load)
        later = self.plan.bytes if self.request.load else 0  # nodes load side by side
        return replace(view, steps=(*view.steps, *to_come), later=later)

    def _cluster(self) -> Client:
        if self.client is None:
            raise FluidModelError("staging in the cluster needs a cluster")
        return self.client

    # -- what it is made of ------------------------------------------------------------------

    @contextmanager
    def _store(self) -> Iterator[Store]:
        given = self.staging
        store = credentials.store_of(
            given.endpoint, given.region, self.request.s3_secret, self.client, self.namespace
        )
        with reachable(store, self.client, self.namespace) as near:
            yield near

    def _secrets(self) -> list[Object]:
        """The Secrets that the Job refers to and that are ours to make."""
        name, found = self.request.name, []
        if not self.request.s3_secret:
            keys = credentials.store_of(self.staging.endpoint, self.staging.region).credentials
            if keys is not None:
                data = {
                    stores.ACCESS_KEY: keys.access_key,
                    stores.SECRET_KEY: keys.secret_key,
                }
                if keys.session_token:
                    data[stores.SESSION_TOKEN] = keys.session_token
                found.append(secrets.build(name, self.namespace, data))
        if self._login.token and not self.staging.hf_secret:
            token = {credentials.TOKEN: self._login.token}
            found.append(secrets.build(name, self.namespace, token, suffix=secrets.HUB_SUFFIX))
        return found

    def _job(self) -> Object:
        given, name = self.staging, self.request.name
        store = stores.from_environment(given.endpoint, given.region)
        # The Secret that is made for the Job has the usual names, as one that is not read.
        given_keys = self.client if self.request.s3_secret else None
        secret = self.request.s3_secret or secrets.store_name(name)
        _, keys = credentials.store_keys(secret, given_keys, self.namespace)
        token = keys.token
        if not self.request.s3_secret and store.credentials and store.credentials.session_token:
            token = stores.SESSION_TOKEN
        return job.build(
            self.plan,
            job.Settings(
                name=name,
                namespace=self.namespace,
                to=given.to,
                endpoint=store.endpoint,
                region=store.region,
                # Also where it is that of HF_ENDPOINT: the plan is of that Hub.
                endpoint_hub=self._login.endpoint if self._login.endpoint != HUB else "",
                access_key=SecretKey(keys.secret, keys.access),
                secret_key=SecretKey(keys.secret, keys.hidden),
                session_token=SecretKey(keys.secret, token) if token else None,
                token=self._token(),
                include=given.include,
                exclude=given.exclude,
                image=given.image,
                network=given.network,
                shards=given.shards,
                workers=given.workers,
            ),
        )

    def _token(self) -> SecretKey | None:
        """Where the Job finds the Hub's token; None where there is none."""
        given = self.staging.hf_secret
        if given:
            return SecretKey(given, credentials.hub_token(given, self.client, self.namespace)[1])
        made = self.request.name + secrets.HUB_SUFFIX
        return SecretKey(made, credentials.TOKEN) if self._login.token else None


def _order(work: Object) -> tuple[str, str]:
    """Which of two Jobs was first: by time, and by name within a second."""
    return str(at(work, "metadata", "creationTimestamp", default="")), name_of(work)
